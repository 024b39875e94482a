from __future__ import annotations

import librosa
import numpy as np
import pytest

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import FeatureError
from genre_pipeline.features import FEATURES
from genre_pipeline.features import chroma as chroma_module
from genre_pipeline.features.chroma import ChromaBlock, estimate_tuning

chroma = FEATURES["chroma"].extract


@pytest.fixture
def make_chroma():
    def make(**changes) -> ChromaBlock:
        values = {
            "kind": "chroma",
            "sample_rate": 22050,
            "hop_length": 512,
            "n_fft": 2048,
            "segment": {"n_frames": 20, "hop_frames": 10},
        }
        return parse_block(ChromaBlock, {**values, **changes}, key="features.chroma_12")

    return make


@pytest.fixture(scope="module")
def chords():
    """Four chords that are 30 cents sharp, 0.5 s each."""
    time_s = np.arange(11_025) / 22_050
    roots_hz = 440.0 * 2.0 ** ((np.array([0, 5, 7, 3]) + 0.3) / 12)
    sounds = [sum(np.sin(2 * np.pi * root * ratio * time_s) for ratio in (1.0, 1.26, 1.498)) for root in roots_hz]
    return (0.2 * np.concatenate(sounds)).astype(np.float32)


@pytest.mark.parametrize("tuning", [None, 0.0, -0.25])
@pytest.mark.parametrize(
    "changes", [{}, {"hop_length": 331, "win_length": 1024}, {"n_chroma": 24}], ids=["usual", "window", "quarter_tones"]
)
def test_equals_librosa_feature_chroma_stft(signals, chords, make_chroma, tuning, changes):
    block = make_chroma(tuning=tuning, **changes)
    for waveform in (chords, signals["chirp"], signals["noise"]):
        expected = librosa.feature.chroma_stft(
            y=waveform,
            sr=22050,
            n_fft=2048,
            hop_length=block.hop_length,
            win_length=block.win_length,
            n_chroma=block.n_chroma,
            tuning=tuning,
        )
        np.testing.assert_allclose(chroma(waveform, block), expected, rtol=0, atol=1e-4)


def test_tuning_equals_librosa_estimate_tuning(chords):
    energies = np.abs(librosa.stft(chords)) ** 2
    tuning = estimate_tuning(energies, sample_rate=22050, n_chroma=12)
    assert tuning == librosa.estimate_tuning(S=energies, sr=22050)
    assert tuning == pytest.approx(0.3, abs=0.06)


def test_silence_has_no_pitch_class(signals, make_chroma):
    assert (chroma(signals["silence"], make_chroma()) == 0.0).all()
    assert (chroma(signals["silence"], make_chroma(tuning=0.0)) == 0.0).all()


def test_only_the_estimate_of_the_tuning_is_limited(monkeypatch, signals, make_chroma):
    monkeypatch.setattr(chroma_module, "MAX_TUNED_BYTES", 4 * 1025 * 80)
    with pytest.raises(FeatureError, match=r"expected at most 40960 samples \(2 s\), got 44100\. Give the tuning"):
        chroma(signals["noise"], make_chroma())
    assert chroma(signals["noise"], make_chroma(tuning=0.0)).shape == (12, 87)
    assert chroma(signals["noise"][:40_960], make_chroma()).shape == (12, 81)
