"""Music of three genres that a model tells apart at once, with everything up to its features and checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from genre_pipeline.cells import Cell
from genre_pipeline.datasets import DATASETS, DatasetBlock
from genre_pipeline.features import FEATURES
from genre_pipeline.features.log_mel import LogMelBlock
from genre_pipeline.features.segments import segment_tracks
from genre_pipeline.ingest.ingest import ingest
from genre_pipeline.stores.extraction import extract
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.training import Checkpoint, ModelBlock, parse_model, train_repeat
from genre_pipeline.training.cell_data import CellData
from genre_pipeline.work.backends import Workers

SAMPLE_RATE = 8000
# Frequency of each genre's tone, far enough apart for eight mel bands.
TONES_HZ = {"blues": 300.0, "jazz": 900.0, "rock": 2400.0}
GENRES = tuple(TONES_HZ)
# A second of audio has 63 frames: three segments of 16.
FEATURE = LogMelBlock.model_validate(
    {
        "kind": "log_mel",
        "sample_rate": SAMPLE_RATE,
        "n_fft": 256,
        "hop_length": 128,
        "n_mels": 8,
        "segment": {"n_frames": 16, "hop_frames": 16},
        "normalisation": "training",
    }
)
SEGMENTS_PER_TRACK = 3
CELL = Cell("tiny", "folds", "log_mel_8", "net")
AUDIT: dict[str, Any] = {
    "design": "kfold",
    "unit": "track",
    "leaky": False,
    "subset": "half of it",
    "split_hash": "0123456789abcdef",
    "leaks": {"overall": {"track": 0, "file": 3, "audio": 0, "recording": 4, "artist": 1, "album": 2}},
}
_MODELS: dict[str, dict[str, Any]] = {
    "net": {
        "family": "duplicated_convolutions",
        "architecture": {"variant": "net1", "n_filters": 6, "n_parallel_filters": 3, "hidden": (8, 6)},
    },
    "naive_bayes": {"family": "naive_bayes"},
    "svm": {"family": "svm"},
}
_RECIPE = {"max_epochs": 2, "batch_size": 8, "precision": "float32", "device": "cpu", "n_threads": 1}


@dataclass(frozen=True)
class TinyMusic:
    """A dataset of four tracks a genre on disk, with its tables and feature store."""

    root: Path
    tracks: pd.DataFrame
    segments: pd.DataFrame
    split: pd.DataFrame
    store: FeatureStore

    def path(self, track_id: str) -> Path:
        """Return a track's audio file."""
        return self.root / str(self.tracks.set_index("track_id")["path"][track_id])

    def data(self) -> CellData:
        """Return the segments as a cell sees them."""
        return CellData.join(CELL.name, split=self.split, segments=self.segments, store=self.store)


def write_clip(path: Path, genre: str, *, seed: int, duration_s: float = 1.0) -> Path:
    """Write a WAV file: the genre's tone, in noise that the seed decides."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time_s = np.arange(int(duration_s * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.random.default_rng(seed).standard_normal(len(time_s))
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * TONES_HZ[genre] * time_s) + 0.02 * noise, SAMPLE_RATE)
    return path


def make_tiny_music(folder: Path) -> TinyMusic:
    """Write the audio and take it through ingest, split, segmentation and extraction."""
    root = folder / "audio"
    for number, genre in enumerate(GENRES):
        for track in range(4):
            write_clip(root / genre / f"{genre}_{track}.wav", genre, seed=4 * number + track)
    block = DatasetBlock(kind="folder", path=root, min_duration_s=0.1)
    tracks = ingest("tiny", DATASETS["folder"], block, cache=folder / "cache.parquet", n_workers=1).tracks
    spec, stored = FEATURES["log_mel"], folder / "features"
    result = extract(tracks, root=root, spec=spec, block=FEATURE, folder=stored, workers=Workers("serial"))
    return TinyMusic(root, tracks, segment_tracks(tracks, FEATURE).table, split_in_turn(tracks), result.store)


def split_in_turn(tracks: pd.DataFrame, n_repeats: int = 2) -> pd.DataFrame:
    """Give each genre's tracks two places in training and one each in validation and test, moved on each repeat."""
    sides = ("train", "train", "validation", "test")
    place = tracks.groupby("genre").cumcount()
    tables = [
        tracks[["track_id", "genre"]].assign(
            group=range(len(tracks)), repeat=repeat, split=[sides[(each + repeat) % 4] for each in place]
        )
        for repeat in range(n_repeats)
    ]
    return pd.concat(tables, ignore_index=True)[["repeat", "track_id", "genre", "group", "split"]].assign(leaky=False)


def tiny_model(name: str = "net", **training: Any) -> ModelBlock:
    """Return a small model: ``net`` or ``naive_bayes``."""
    return parse_model(name, {"feature": CELL.feature, **_MODELS[name], "training": training}, _RECIPE)


def train_tiny(music: TinyMusic, folder: Path, *, model: str = "net", repeat: int = 0, **training: Any) -> Checkpoint:
    """Train a repeat in a moment."""
    data = music.data()
    return train_repeat(
        cell=CELL,
        repeat=repeat,
        seed=repeat,
        genres=data.genres,
        feature=FEATURE,
        model=tiny_model(model, **training),
        train=data.segment_set(repeat, "train"),
        validation=data.segment_set(repeat, "validation"),
        inputs=data.fingerprint(repeat, "train", "validation"),
        leaky=data.leaky,
        folder=folder,
    )
