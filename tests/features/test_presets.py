"""The features that the papers name: what a 30-s clip gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from genre_pipeline.blocks import parse_block
from genre_pipeline.features import FEATURES
from genre_pipeline.features.log_mel import mel_bank
from genre_pipeline.features.segments import segment_tracks

FOLDER = Path(__file__).parents[2] / "conf" / "base" / "parameters" / "features"

# Bins and frames of a segment, and segments of a clip of 661,500 samples, by hand.
EXPECTED = {
    "chroma_12": (12, 129, 10),
    "cqt_36": (288, 172, 10),
    "log_mel_100": (100, 130, 10),
    "log_mel_100_own": (100, 130, 10),
    "log_mel_128": (128, 646, 1),
    "log_mel_128_3s": (128, 65, 19),
    "log_mel_256": (256, 128, 10),
    "log_mel_30ms": (128, 200, 9),
    "log_mel_hop256": (128, 256, 10),
    "log_mel_musicnn": (96, 187, 10),
    "mfcc_20": (20, 129, 10),
    "mfcc_20_deltas": (60, 129, 10),
    "musicnn": (200, 1, 10),
    "musicnn_mean_pool": (753, 1, 10),
    "musicnn_mtt": (200, 1, 10),
    "musicnn_vgg": (256, 1, 10),
    "statistics_57": (57, 1, 1),
    "statistics_57_3s": (57, 1, 10),
    "stft_30ms": (513, 200, 9),
}


def preset(name):
    values = yaml.safe_load((FOLDER / f"{name}.yml").read_text(encoding="utf-8"))["features"][name]
    spec = FEATURES[values["kind"]]
    return spec, parse_block(spec.block, values, key=f"features.{name}")


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yml")))
def test_a_clip_of_thirty_seconds_has_a_segment(make_tracks, name):
    _, block = preset(name)
    tracks = make_tracks([{"track_id": "a", "n_samples": 661_500, "sample_rate": 22_050}])
    assert len(segment_tracks(tracks, block).table) >= 1


@pytest.mark.parametrize("name", EXPECTED)
def test_segments_of_a_clip_of_thirty_seconds(make_tracks, name):
    spec, block = preset(name)
    tracks = make_tracks([{"track_id": "a", "n_samples": 661_500, "sample_rate": 22_050}])
    assert (spec.n_bins(block), block.segment.n_frames, len(segment_tracks(tracks, block).table)) == EXPECTED[name]


def test_the_shortest_clip_of_gtzan_is_a_whole_one_to_the_broadcast_networks():
    spec, block = preset("log_mel_128")
    waveform = np.random.default_rng(0).standard_normal(660_000).astype(np.float32)
    levels_db = spec.extract(waveform, block)
    assert levels_db.shape == (128, 646)
    assert np.isfinite(levels_db).all()


def test_each_band_of_net1_holds_a_bin():
    _, block = preset("log_mel_256")
    bands = block.bands
    bank = mel_bank(
        sample_rate=bands.sample_rate,
        n_fft=block.n_fft,
        n_mels=bands.n_mels,
        f_min_hz=bands.f_min_hz,
        f_max_hz=bands.f_max_hz,
        scale=bands.scale,
    )
    n_bins = (bank > 0).sum(axis=1)
    assert (block.n_fft, block.n_mels, n_bins.min(), (n_bins == 1).sum()) == (1024, 256, 1, 77)
