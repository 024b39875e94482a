from __future__ import annotations

import librosa
import numpy as np
import pytest

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError, FeatureError
from genre_pipeline.features import FEATURES
from genre_pipeline.features import statistics as statistics_module
from genre_pipeline.features.statistics import StatisticsBlock

statistics = FEATURES["statistics"].extract


@pytest.fixture
def make_statistics():
    def make(**changes) -> StatisticsBlock:
        values = {
            "kind": "statistics",
            "sample_rate": 22050,
            "hop_length": 512,
            "n_fft": 2048,
            "segment": {"n_frames": 1, "hop_frames": 1},
        }
        return parse_block(StatisticsBlock, {**values, **changes}, key="features.statistics_57")

    return make


def named(waveform, block):
    return dict(zip(block.columns, statistics(waveform, block)[:, 0].tolist(), strict=True))


def test_columns_are_those_of_the_common_table(make_statistics):
    columns = make_statistics().columns
    assert len(columns) == len(set(columns)) == 57
    assert columns[14:19] == ("perceptr_mean", "perceptr_var", "tempo", "mfcc1_mean", "mfcc1_var")
    assert columns[-1] == "mfcc20_var"
    assert FEATURES["statistics"].n_bins(make_statistics(n_mfcc=13)) == 43


@pytest.mark.parametrize("name", ["chirp", "noise"])
def test_equal_the_librosa_calls_they_are_named_after(signals, make_statistics, name):
    waveform = signals[name]
    given = named(waveform, make_statistics())
    magnitudes = np.abs(librosa.stft(waveform, pad_mode="reflect"))
    mel_db = librosa.power_to_db(librosa.feature.melspectrogram(S=magnitudes**2, sr=22050))
    descriptors = {
        "chroma_stft": librosa.feature.chroma_stft(S=magnitudes**2, sr=22050),
        "rms": librosa.feature.rms(y=waveform, pad_mode="reflect"),
        "spectral_centroid": librosa.feature.spectral_centroid(S=magnitudes),
        "spectral_bandwidth": librosa.feature.spectral_bandwidth(S=magnitudes),
        "rolloff": librosa.feature.spectral_rolloff(S=magnitudes),
        "zero_crossing_rate": librosa.feature.zero_crossing_rate(waveform),
        **{f"mfcc{row + 1}": librosa.feature.mfcc(S=mel_db, n_mfcc=20)[row] for row in range(20)},
    }
    for descriptor, values in descriptors.items():
        size = float(np.abs(values).max())
        assert given[f"{descriptor}_mean"] == pytest.approx(values.mean(), rel=1e-4, abs=1e-6 * size)
        assert given[f"{descriptor}_var"] == pytest.approx(values.var(), rel=1e-4, abs=1e-6 * size**2)


def test_harmony_and_percussion_equal_librosa_effects_hpss(make_statistics):
    # A chord with clicks; a whole number of hops, where old and new versions of librosa agree.
    n_samples = 64 * 512
    time_s = np.arange(n_samples) / 22_050
    waveform = sum(0.1 * np.sin(2 * np.pi * hz * time_s) for hz in (220, 277, 330))
    waveform[::5000] += 0.8
    waveform = waveform.astype(np.float32)
    given = named(waveform, make_statistics())
    harmonic, percussive = librosa.effects.hpss(waveform, pad_mode="reflect")
    assert given["harmony_var"] == pytest.approx(harmonic.var(), rel=1e-4)
    assert given["perceptr_var"] == pytest.approx(percussive.var(), rel=1e-4)
    assert given["harmony_mean"] == pytest.approx(harmonic.mean(), abs=1e-6)
    assert given["perceptr_mean"] == pytest.approx(percussive.mean(), abs=1e-6)


def test_tempo_equals_librosa_beat_track(make_statistics):
    clicks = librosa.clicks(times=np.arange(0, 6, 0.5), sr=22050, length=6 * 22050).astype(np.float32)
    tempo = named(clicks, make_statistics())["tempo"]
    expected, _ = librosa.beat.beat_track(y=clicks, sr=22050)
    assert tempo == pytest.approx(float(np.atleast_1d(expected)[0]), rel=1e-6)
    assert tempo == pytest.approx(120.0, rel=0.03)


def test_silence_is_all_zero_but_for_the_floor_and_its_cepstrum(signals, make_statistics):
    given = named(signals["silence"], make_statistics())
    # 128 bands at -100 dB, orthonormal.
    assert given.pop("mfcc1_mean") == pytest.approx(-100.0 * np.sqrt(128), rel=1e-6)
    # 0/0 by convention of librosa: the frequency of the lowest bin.
    assert all(abs(value) < 1e-3 for value in given.values()), given


def test_pieces_have_statistics_of_their_own(signals, make_statistics):
    block = make_statistics(segment={"n_frames": 1, "hop_frames": 1, "own_s": 0.5})
    waveform = signals["chirp"]
    frames = statistics(waveform, block)
    assert frames.shape == (57, 4)
    piece = statistics(waveform[2 * 11_025 : 3 * 11_025], make_statistics())
    np.testing.assert_array_equal(frames[:, 2:3], piece)


def test_long_clips_are_refused_and_long_clips_in_pieces_are_not(monkeypatch, signals, make_statistics):
    monkeypatch.setattr(statistics_module, "MAX_SAMPLES", 22_050)
    with pytest.raises(FeatureError, match=r"at most 22050 samples \(1 s\), got 44100\. Set segment\.own_s"):
        statistics(signals["noise"], make_statistics())
    pieces = make_statistics(segment={"n_frames": 1, "hop_frames": 1, "own_s": 1.0})
    assert statistics(signals["noise"], pieces).shape == (57, 2)


def test_segments_of_several_frames_are_refused(make_statistics):
    with pytest.raises(ConfigError, match=r"segment\.n_frames=2 must be 1"):
        make_statistics(segment={"n_frames": 2, "hop_frames": 2})
