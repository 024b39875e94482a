"""Agreement with librosa, and with a published table, on real music."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from genre_pipeline.features import FEATURES, extract_features

pytestmark = pytest.mark.real_data

TOLERANCE_DB = 2e-3
COMMON = {"sample_rate": 22050, "hop_length": 512, "segment": {"n_frames": 129, "hop_frames": 129}}


@pytest.fixture(scope="module")
def data():
    folder = os.environ.get("GENRE_PIPELINE_REAL_DATA")
    if not folder:
        pytest.skip("GENRE_PIPELINE_REAL_DATA does not name a folder with the real music")
    return Path(folder)


@pytest.fixture(scope="module")
def paths(data):
    found = sorted((data / "gtzan6_original" / "genres").glob("*/*.wav"))
    assert len(found) == 12
    return found


def block_of(kind, **parameters):
    return FEATURES[kind].block.model_validate({**COMMON, "kind": kind, **parameters})


def test_spectral_features_equal_librosa(paths):
    blocks = [
        block_of("log_mel", n_fft=2048, n_mels=128),
        block_of("stft", n_fft=1024, win_length=661),
        block_of("mfcc", n_fft=2048, n_mels=128),
        block_of("cqt", n_octaves=7, bins_per_octave=36),
    ]
    for path in paths[::3]:
        waveform, _ = soundfile.read(path, dtype="float32", frames=10 * 22050)
        log_mel, stft, mfcc, cqt = extract_features(waveform, [(FEATURES[block.kind], block) for block in blocks])
        expected_mel = librosa.power_to_db(librosa.feature.melspectrogram(y=waveform, sr=22050))
        np.testing.assert_allclose(log_mel, expected_mel, rtol=0, atol=TOLERANCE_DB)
        expected_stft = librosa.amplitude_to_db(
            np.abs(librosa.stft(waveform, n_fft=1024, win_length=661, hop_length=512))
        )
        np.testing.assert_allclose(stft, expected_stft, rtol=0, atol=TOLERANCE_DB)
        expected_mfcc = librosa.feature.mfcc(y=waveform, sr=22050, n_mfcc=20)
        np.testing.assert_allclose(mfcc, expected_mfcc, rtol=1e-4, atol=1e-4 * np.abs(expected_mfcc).max())
        expected_cqt = librosa.amplitude_to_db(np.abs(librosa.cqt(waveform, sr=22050, n_bins=252, bins_per_octave=36)))
        assert (np.abs(cqt - expected_cqt) <= TOLERANCE_DB).mean() >= 0.999, path.name


def test_statistics_equal_the_common_table(data, paths):
    with (data / "metadata" / "gtzan_kaggle_features_30_sec.csv").open(newline="") as file:
        published = {row["filename"]: row for row in csv.DictReader(file)}
    block = block_of("statistics", n_fft=2048, segment={"n_frames": 1, "hop_frames": 1})
    for path in paths[::6]:
        waveform, _ = soundfile.read(path, dtype="float32")
        given = FEATURES["statistics"].extract(waveform, block)[:, 0]
        expected = np.array([float(published[path.name][column]) for column in block.columns])
        # All columns, six digits; but the means of waveforms are sums of millions of samples that cancel.
        loose = {"harmony_mean", "perceptr_mean"}
        tolerances = np.array([1e-3 if column in loose else 1e-4 for column in block.columns])
        errors = np.abs(given - expected) / np.abs(expected)
        assert (errors <= tolerances).all(), dict(zip(block.columns, errors, strict=True))


def test_a_segment_on_its_own_differs_from_a_slice(paths):
    slices = block_of("log_mel", n_fft=2048, n_mels=128)
    own = block_of(
        "log_mel", n_fft=2048, n_mels=128, segment={"n_frames": 130, "hop_frames": 130, "own_s": 129 * 512 / 22050}
    )
    spec = FEATURES["log_mel"]
    waveform, _ = soundfile.read(paths[0], dtype="float32")
    clip, pieces = extract_features(waveform, [(spec, slices), (spec, own)])
    differences_db = [
        np.abs(pieces[:, 130 * index : 130 * index + 129] - clip[:, 129 * index : 129 * index + 129]).mean()
        for index in range(pieces.shape[1] // 130)
    ]
    # The two first and two last frames, and levels below the range.
    assert 0.05 < np.mean(differences_db) < 3.0
