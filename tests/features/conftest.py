from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
import soundfile

from genre_pipeline.datasets import TRACK_COLUMNS
from genre_pipeline.features.log_mel import LogMelBlock
from genre_pipeline.features.mfcc import MfccBlock

SAMPLE_RATE = 8000


def _seconds(duration_s: float, sample_rate: int = 22050) -> np.ndarray:
    return np.arange(int(duration_s * sample_rate)) / sample_rate


@pytest.fixture(scope="session")
def signals():
    """Closed-form waveforms of 2 s at 22,050 Hz, by name."""
    time_s = _seconds(2.0)
    impulse = np.zeros(len(time_s))
    impulse[10_000] = 1.0
    return {
        name: samples.astype(np.float32)
        for name, samples in {
            "sine": 0.5 * np.sin(2 * np.pi * 440.0 * time_s),
            "chirp": 0.8 * np.sin(2 * np.pi * (50.0 * time_s + 2500.0 * time_s**2)),
            "impulse": impulse,
            "noise": 0.1 * np.random.default_rng(7).standard_normal(len(time_s)),
            "silence": np.zeros(len(time_s)),
        }.items()
    }


@pytest.fixture
def make_log_mel():
    def make(**changes) -> LogMelBlock:
        values = {
            "kind": "log_mel",
            "sample_rate": 22050,
            "hop_length": 512,
            "n_fft": 2048,
            "n_mels": 128,
            "segment": {"n_frames": 20, "hop_frames": 10},
        }
        return LogMelBlock.model_validate({**values, **changes})

    return make


@pytest.fixture
def make_mfcc(make_log_mel):
    def make(**changes) -> MfccBlock:
        return MfccBlock.model_validate({**make_log_mel().model_dump(exclude={"dtype"}), "kind": "mfcc", **changes})

    return make


@pytest.fixture
def small_block(make_log_mel):
    """A log-mel spectrogram that is quick to compute: 16 bands at 8 kHz."""
    return make_log_mel(
        sample_rate=SAMPLE_RATE, hop_length=128, n_fft=256, n_mels=16, segment={"n_frames": 10, "hop_frames": 5}
    )


@pytest.fixture
def make_tracks():
    """A function that makes a track table from partial rows."""

    def make(rows) -> pd.DataFrame:
        defaults = {
            "genre": "rock",
            "path": "",
            "artist": "",
            "title": "",
            "album": "",
            "duration_s": 1.0,
            "sample_rate": SAMPLE_RATE,
            "n_channels": 1,
            "start_sample": 0,
            "n_samples": SAMPLE_RATE,
            "format": "WAV",
            "n_bytes": 0,
            "content_hash": "",
            "audio_hash": "",
            "recording": "",
            "checksum": "",
            "faults": "",
            "quarantined": False,
        }
        table = pd.DataFrame([{**defaults, **row} for row in rows], columns=list(TRACK_COLUMNS))
        return table.astype(dict(TRACK_COLUMNS)).sort_values("track_id", ignore_index=True)

    return make


@pytest.fixture
def write_track(tmp_path):
    """A function that writes a WAV file of seeded noise under ``audio/`` and returns its row of the track table."""

    def write(track_id: str, *, seed: int, n_samples: int = 4000, genre: str = "rock") -> dict:
        path = tmp_path / "audio" / f"{track_id}.wav"
        path.parent.mkdir(exist_ok=True)
        samples = np.random.default_rng(seed).integers(-8000, 8000, n_samples).astype(np.int16)
        soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")
        return {
            "track_id": track_id,
            "genre": genre,
            "path": path.name,
            "n_samples": n_samples,
            "audio_hash": hashlib.blake2b(samples.tobytes(), digest_size=16).hexdigest(),
        }

    return write
