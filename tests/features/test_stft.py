from __future__ import annotations

import librosa
import numpy as np
import pytest

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError
from genre_pipeline.features import FEATURES
from genre_pipeline.features.stft import StftBlock

stft = FEATURES["stft"].extract

TOLERANCE_DB = 2e-3


@pytest.fixture
def make_stft():
    def make(**changes) -> StftBlock:
        values = {
            "kind": "stft",
            "sample_rate": 22050,
            "hop_length": 512,
            "n_fft": 2048,
            "segment": {"n_frames": 20, "hop_frames": 10},
        }
        return parse_block(StftBlock, {**values, **changes}, key="features.stft")

    return make


def librosa_stft(waveform, block):
    return np.abs(
        librosa.stft(
            waveform,
            n_fft=block.n_fft,
            hop_length=block.hop_length,
            win_length=block.win_length,
            window=block.window,
        )
    )


VARIANTS = {
    "default": {},
    "lgnet": {"n_fft": 1024, "win_length": 661, "hop_length": 331},
    "even": {"n_fft": 662, "hop_length": 331},
    "hamming": {"window": "hamming"},
    "reference_max": {"ref": "max", "top_db": 60.0},
    "high_floor": {"amin": 1e-4},
}


@pytest.mark.parametrize("name", ["sine", "chirp", "impulse", "noise", "silence"])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_equals_librosa_stft_and_amplitude_to_db(signals, make_stft, name, changes):
    block = make_stft(**changes)
    expected_db = librosa.amplitude_to_db(
        librosa_stft(signals[name], block),
        ref=np.max if block.ref == "max" else 1.0,
        amin=np.sqrt(block.amin),
        top_db=block.top_db,
    )
    levels_db = stft(signals[name], block)
    assert levels_db.shape == (1 + block.n_fft // 2, block.n_frames(len(signals[name])))
    np.testing.assert_allclose(levels_db, expected_db, rtol=0, atol=TOLERANCE_DB)


def test_single_precision_agrees_where_bins_are_not_far_below_the_loudest(signals, make_stft):
    block = make_stft(precision="single", top_db=40.0)
    expected_db = librosa.amplitude_to_db(librosa_stft(signals["noise"], block), top_db=40.0)
    np.testing.assert_allclose(stft(signals["noise"], block), expected_db, rtol=0, atol=TOLERANCE_DB)


@pytest.mark.parametrize("name", ["chirp", "noise", "silence"])
def test_linear_scale_equals_the_magnitudes(signals, make_stft, name):
    block = make_stft(scale="linear")
    expected = librosa_stft(signals[name], block)
    np.testing.assert_allclose(stft(signals[name], block), expected, rtol=0, atol=1e-6 * max(1.0, expected.max()))


def test_odd_frames_are_refused(make_stft):
    with pytest.raises(ConfigError, match="n_fft: got 661"):
        make_stft(n_fft=661)
