from __future__ import annotations

import librosa
import numpy as np
import pytest

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError
from genre_pipeline.features import FEATURES
from genre_pipeline.features.cqt import CqtBlock

cqt = FEATURES["cqt"].extract

TOLERANCE_DB = 2e-3


@pytest.fixture
def make_cqt():
    def make(**changes) -> CqtBlock:
        values = {
            "kind": "cqt",
            "sample_rate": 22050,
            "hop_length": 512,
            "n_octaves": 7,
            "bins_per_octave": 36,
            "segment": {"n_frames": 20, "hop_frames": 10},
        }
        return parse_block(CqtBlock, {**values, **changes}, key="features.cqt_36")

    return make


def librosa_cqt(waveform, block):
    """What the feature promises to equal."""
    magnitudes = np.abs(
        librosa.cqt(
            waveform,
            sr=block.sample_rate,
            hop_length=block.hop_length,
            fmin=block.f_min_hz,
            n_bins=block.n_bins,
            bins_per_octave=block.bins_per_octave,
            filter_scale=block.filter_scale,
            sparsity=block.sparsity,
        )
    )
    ref = np.max if block.ref == "max" else 1.0
    return librosa.amplitude_to_db(magnitudes, ref=ref, amin=np.sqrt(block.amin), top_db=block.top_db)


VARIANTS = {
    "default": {},
    "lgnet": {"n_octaves": 8, "hop_length": 384},
    "semitones": {"bins_per_octave": 12, "f_min_hz": 55.0},
    "short_filters": {"filter_scale": 0.5},
    "all_of_the_filters": {"sparsity": 0.0, "n_octaves": 6},
    # A rate so high that librosa halves it before the highest octave.
    "early_halving": {"sample_rate": 44_100, "n_octaves": 5},
    "reference_max": {"ref": "max", "top_db": 60.0},
    "one_octave": {"n_octaves": 1, "f_min_hz": 440.0, "hop_length": 331},
}


@pytest.mark.filterwarnings("ignore:n_fft=.* is too large for input signal:UserWarning")
@pytest.mark.parametrize("name", ["impulse", "noise", "silence"])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_equals_librosa_cqt_and_amplitude_to_db(signals, make_cqt, name, changes):
    block = make_cqt(**changes)
    levels_db = cqt(signals[name], block)
    expected_db = librosa_cqt(signals[name], block)
    assert levels_db.shape == (block.n_bins, block.n_frames(len(signals[name])))
    differences_db = np.abs(levels_db - expected_db[:, : levels_db.shape[1]])
    assert (differences_db <= TOLERANCE_DB).mean() >= 0.999


@pytest.mark.filterwarnings("ignore:n_fft=.* is too large for input signal:UserWarning")
@pytest.mark.parametrize("name", ["sine", "chirp"])
def test_pure_tones_agree_within_fifty_decibels_of_the_loudest(signals, make_cqt, name):
    block = make_cqt(top_db=50.0)
    differences_db = np.abs(cqt(signals[name], block) - librosa_cqt(signals[name], block))
    assert (differences_db <= TOLERANCE_DB).mean() >= 0.999


@pytest.mark.filterwarnings("ignore:n_fft=.* is too large for input signal:UserWarning")
@pytest.mark.parametrize("n_samples", [20_479, 20_480, 20_481, 30_001])
def test_frames_are_those_of_the_waveform_whatever_its_length(signals, make_cqt, n_samples):
    block = make_cqt(n_octaves=6)
    levels_db = cqt(signals["noise"][:n_samples], block)
    expected_db = librosa_cqt(signals["noise"][:n_samples], block)
    assert levels_db.shape == (216, 1 + n_samples // 512)
    # Where librosa halves the rate first, it rounds the length up and may give a frame more.
    assert (np.abs(levels_db - expected_db[:, : levels_db.shape[1]]) <= TOLERANCE_DB).mean() >= 0.999


@pytest.mark.parametrize(("frequency_hz", "bin_number"), [(440.0, 135), (65.406, 36), (261.626, 108)])
def test_a_tone_is_loudest_in_the_bin_of_its_pitch(make_cqt, frequency_hz, bin_number):
    tone = np.sin(2 * np.pi * frequency_hz * np.arange(44_100) / 22_050).astype(np.float32)
    levels_db = cqt(tone, make_cqt())
    assert int(levels_db.mean(axis=1).argmax()) == bin_number


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hop_length": 331}, "hop_length=331 is not a multiple of 64, as n_octaves=7 requires"),
        (
            {"n_octaves": 9},
            r"9 octaves from f_min_hz=32\.7032 reach up to \d+ Hz, beyond half the sample rate, 11025 Hz",
        ),
        ({"bins_per_octave": 1}, "bins_per_octave: got 1"),
        ({"sparsity": 1.0}, r"sparsity: got 1\.0"),
    ],
)
def test_bad_parameters_are_refused(make_cqt, changes, message):
    with pytest.raises(ConfigError, match=message):
        make_cqt(**changes)
