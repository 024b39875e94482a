from __future__ import annotations

import warnings

import librosa
import numpy as np
import pytest

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError, FeatureError
from genre_pipeline.features import FEATURES
from genre_pipeline.features.log_mel import LogMelBlock, hz_from_mel, mel_bank, mel_from_hz

log_mel = FEATURES["log_mel"].extract

NAMES = ["sine", "chirp", "impulse", "noise", "silence"]

# As far as float32 FFTs allow on pure tones: see the docstring of log_mel.
TOLERANCE_DB = 2e-3


def librosa_log_mel(waveform, block):
    """What the feature promises to equal."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters detected")
        energies = librosa.feature.melspectrogram(
            y=waveform,
            sr=block.sample_rate,
            n_fft=block.n_fft,
            hop_length=block.hop_length,
            win_length=block.win_length,
            window=block.window,
            center=True,
            pad_mode="constant",
            power=block.power,
            n_mels=block.n_mels,
            fmin=block.f_min_hz,
            fmax=block.f_max_hz,
            htk=block.mel_scale == "htk",
        )
    ref = np.max if block.ref == "max" else 1.0
    return librosa.power_to_db(energies, ref=ref, amin=block.amin, top_db=block.top_db)


VARIANTS = {
    "default": {},
    "hop_1024": {"hop_length": 1024},
    "hop_not_a_divisor": {"hop_length": 331},
    "short_window": {"win_length": 661},
    "odd_window_in_short_frame": {"n_fft": 662, "win_length": 331, "hop_length": 331, "n_mels": 40},
    "more_bands_than_bins": {"n_fft": 1024, "n_mels": 512},
    "single_band": {"n_mels": 1},
    "band_limits": {"f_min_hz": 30.0, "f_max_hz": 8000.0},
    "htk": {"mel_scale": "htk"},
    "hamming": {"window": "hamming"},
    "reference_max": {"ref": "max", "top_db": 60.0},
    "high_floor": {"amin": 1e-5},
    # 40 dB of magnitudes are 80 of energies.
    "magnitude": {"power": 1.0, "top_db": 40.0},
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_equals_librosa_feature_melspectrogram_and_power_to_db(signals, make_log_mel, name, changes):
    block = make_log_mel(**changes)
    levels_db = log_mel(signals[name], block)
    expected_db = librosa_log_mel(signals[name], block)
    assert levels_db.shape == expected_db.shape
    np.testing.assert_allclose(levels_db, expected_db, rtol=0, atol=TOLERANCE_DB)


@pytest.mark.parametrize("name", ["impulse", "noise", "silence"])
@pytest.mark.parametrize("changes", [{}, {"n_fft": 4096, "n_mels": 1024, "hop_length": 1024}], ids=["usual", "many"])
def test_equals_librosa_without_clipping(signals, make_log_mel, name, changes):
    block = make_log_mel(top_db=None, **changes)
    expected_db = librosa_log_mel(signals[name], block)
    np.testing.assert_allclose(log_mel(signals[name], block), expected_db, rtol=0, atol=TOLERANCE_DB)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize(("n_fft", "n_mels"), [(2048, 128), (1024, 256), (512, 1)])
def test_mel_bank_equals_librosa_filters_mel(scale, n_fft, n_mels):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters detected")
        expected = librosa.filters.mel(sr=22050, n_fft=n_fft, n_mels=n_mels, fmin=20, fmax=10000, htk=scale == "htk")
    bank = mel_bank(sample_rate=22050, n_fft=n_fft, n_mels=n_mels, f_min_hz=20, f_max_hz=10000, scale=scale)
    assert bank.dtype == np.float32
    np.testing.assert_allclose(bank, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_numbers_and_frequencies_are_inverse(scale):
    frequencies_hz = np.array([0.0, 20.0, 999.0, 1000.0, 1001.0, 20000.0])
    mels = np.array([mel_from_hz(frequency_hz, scale) for frequency_hz in frequencies_hz])
    np.testing.assert_allclose(mels, librosa.hz_to_mel(frequencies_hz, htk=scale == "htk"), rtol=1e-12)
    np.testing.assert_allclose(hz_from_mel(mels, scale), frequencies_hz, rtol=1e-12)


def test_filters_without_a_bin_stay_at_the_floor(signals, make_log_mel):
    block = make_log_mel(n_fft=1024, n_mels=512, top_db=None)
    bank = mel_bank(sample_rate=22050, n_fft=1024, n_mels=512, f_min_hz=0, f_max_hz=11025, scale="slaney")
    empty = ~bank.any(axis=1)
    assert empty.any()
    levels_db = log_mel(signals["noise"], block)
    assert (levels_db[empty] == -100.0).all()
    assert (levels_db[~empty] > -100.0).all()


def test_a_group_of_nothing_but_empty_filters_is_skipped(signals, make_log_mel):
    block = make_log_mel(n_fft=64, n_mels=64, f_min_hz=360.0, f_max_hz=680.0, hop_length=2048, top_db=None)
    assert (log_mel(signals["noise"], block) == -100.0).all()


def test_silence_is_the_floor_not_nan(signals, make_log_mel):
    assert (log_mel(signals["silence"], make_log_mel()) == -100.0).all()
    assert (log_mel(signals["silence"], make_log_mel(ref="max")) == 0.0).all()


def test_reference_max_puts_the_loudest_at_zero(signals, make_log_mel):
    levels_db = log_mel(signals["chirp"], make_log_mel(ref="max", top_db=70.0))
    assert levels_db.max() == pytest.approx(0.0, abs=1e-5)
    assert levels_db.min() == pytest.approx(-70.0, abs=1e-5)


def test_ten_times_the_amplitude_is_twenty_decibels(signals, make_log_mel):
    block = make_log_mel(top_db=None)
    louder = log_mel(10.0 * signals["noise"], block) - log_mel(signals["noise"], block)
    np.testing.assert_allclose(louder, 20.0, atol=1e-3)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros((2, 4096), np.float32), r"wrong shape: expected mono, \(n_samples,\), got \(2, 4096\)"),
        (np.zeros(2047, np.float32), "too short: expected at least 2048 samples, got 2047"),
        (np.full(4096, np.nan, np.float32), "4096 samples that are NaN or infinite"),
        (np.where(np.arange(4096) == 9, np.inf, 0).astype(np.float32), "1 samples that are NaN or infinite"),
    ],
    ids=["stereo", "short", "nan", "infinite"],
)
def test_unusable_waveforms_are_refused(make_log_mel, waveform, message):
    with pytest.raises(FeatureError, match=message):
        log_mel(waveform, make_log_mel())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_fft": 1023}, "n_fft: got 1023"),
        ({"win_length": 4096}, "win_length=4096 is greater than n_fft=2048"),
        ({"f_min_hz": 9000.0, "f_max_hz": 8000.0}, "f_min_hz=9000 must lie below f_max_hz=8000"),
        ({"f_max_hz": 16000.0}, "at most at half the sample rate, 11025 Hz"),
        ({"window": "square"}, "window: got 'square'"),
        ({"amin": 0.0}, "amin: got 0"),
        ({"top_db": -1.0}, "top_db: got -1"),
        ({"mel_scale": "bark"}, "mel_scale: got 'bark'"),
    ],
)
def test_bad_parameters_are_refused(make_log_mel, changes, message):
    values = {**make_log_mel().model_dump(), **changes}
    with pytest.raises(ConfigError, match=message):
        parse_block(LogMelBlock, values, key="features.log_mel_128")


class TestGain:
    """Levels that are no decibels."""

    @pytest.mark.parametrize("name", NAMES)
    def test_equals_the_logarithm_of_librosas_energies(self, signals, make_log_mel, name):
        block = make_log_mel(gain=10_000.0)
        energies = librosa.feature.melspectrogram(
            y=signals[name], sr=22050, n_fft=2048, hop_length=512, pad_mode="constant", n_mels=128
        )
        expected = np.log10(1.0 + 10_000.0 * energies)
        np.testing.assert_allclose(log_mel(signals[name], block), expected, rtol=0, atol=1e-4)

    def test_silence_is_zero(self, signals, make_log_mel):
        assert (log_mel(signals["silence"], make_log_mel(gain=1.0)) == 0.0).all()

    @pytest.mark.parametrize("changes", [{"ref": "max"}, {"top_db": None}, {"amin": 1e-5}])
    def test_what_belongs_to_decibels_is_refused_beside_it(self, changes):
        values = {"kind": "log_mel", "sample_rate": 22050, "hop_length": 512, "n_fft": 2048, "n_mels": 128}
        values |= {"segment": {"n_frames": 20, "hop_frames": 10}, "gain": 5.0}
        with pytest.raises(ConfigError, match=f"{next(iter(changes))} belongs to decibels, which gain=5 replaces"):
            parse_block(LogMelBlock, values | changes, key="features.mine")

    def test_stores_of_before_there_was_a_gain_stay_valid(self, make_log_mel):
        assert "gain" not in make_log_mel().deciding()
        assert make_log_mel(gain=5.0).deciding()["gain"] == 5.0
