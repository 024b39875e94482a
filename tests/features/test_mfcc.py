from __future__ import annotations

import librosa
import numpy as np
import pytest

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError, FeatureError
from genre_pipeline.features import FEATURES
from genre_pipeline.features.mfcc import MfccBlock

mfcc = FEATURES["mfcc"].extract


@pytest.mark.parametrize("name", ["sine", "chirp", "impulse", "noise", "silence"])
def test_equals_librosa_feature_mfcc(signals, make_mfcc, name):
    expected = librosa.feature.mfcc(y=signals[name], sr=22050, n_mfcc=20, n_fft=2048, hop_length=512, n_mels=128)
    # 1e-4 of the coefficients' size: those that are nearly zero have no digits of their own.
    tolerance = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(mfcc(signals[name], make_mfcc()), expected, rtol=1e-4, atol=tolerance)


@pytest.mark.parametrize("delta_order", [1, 2])
def test_deltas_equal_librosa_feature_delta(signals, make_mfcc, delta_order):
    coefficients = mfcc(signals["noise"], make_mfcc())
    rows = mfcc(signals["noise"], make_mfcc(delta_order=delta_order))
    expected = [librosa.feature.delta(coefficients, width=9, order=order) for order in range(1, delta_order + 1)]
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, np.concatenate([coefficients, *expected]), rtol=1e-4, atol=1e-5)


def test_follows_the_parameters_of_its_mel_spectrogram(signals, make_mfcc):
    block = make_mfcc(n_mfcc=13, n_mels=40, n_fft=1024, f_max_hz=8000.0, mel_scale="htk", top_db=None)
    expected = librosa.feature.mfcc(
        S=librosa.power_to_db(
            librosa.feature.melspectrogram(
                y=signals["noise"], sr=22050, n_fft=1024, hop_length=512, n_mels=40, fmax=8000.0, htk=True
            ),
            top_db=None,
        ),
        n_mfcc=13,
    )
    np.testing.assert_allclose(mfcc(signals["noise"], block), expected, rtol=1e-4, atol=1e-3)


def test_height_counts_the_deltas(make_mfcc):
    heights = [FEATURES["mfcc"].n_bins(make_mfcc(n_mfcc=13, delta_order=order)) for order in (0, 1, 2)]
    assert heights == [13, 26, 39]


def test_coefficients_are_stored_in_single_precision(make_mfcc):
    assert make_mfcc().dtype == "float32"


def test_too_few_frames_for_deltas_are_refused(signals, make_mfcc):
    waveform = signals["noise"][: 7 * 512]
    assert mfcc(waveform, make_mfcc()).shape == (20, 8)
    with pytest.raises(FeatureError, match="too short for delta_order=2: expected at least 9 frames, got 8"):
        mfcc(waveform, make_mfcc(delta_order=2))


def test_more_coefficients_than_bands_are_refused(make_mfcc):
    values = {**make_mfcc().model_dump(), "n_mfcc": 129}
    with pytest.raises(ConfigError, match="n_mfcc=129 is greater than n_mels=128"):
        parse_block(MfccBlock, values, key="features.mfcc_20")
