"""A training that is killed in the middle: run by ``test_resumption.py`` in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genre_pipeline.cells import Cell
from genre_pipeline.features import FeatureBlock, SegmentBlock
from genre_pipeline.training import Checkpoint, SegmentSet, fitting, parse_model, train_repeat

ARCHITECTURE = {"variant": "net1", "n_filters": 6, "n_parallel_filters": 3, "hidden": (8, 6)}
# Everything that has a state of its own: momenta, averages, schedule, counters, order, dropout and augmentation.
RECIPE: dict[str, Any] = {
    "optimiser": "adam",
    "max_epochs": 8,
    "batch_size": 8,
    "learning_rate": 0.01,
    "precision": "float32",
    "device": "cpu",
    "n_threads": 1,
    "patience": 7,
    "schedule": {"kind": "plateau", "monitor": "train_loss", "factor": 0.5, "patience": 2, "min_delta": 0.1},
    "stopping": {"monitor": "train_loss", "patience": 7},
    "ema_decay": 0.9,
    "augmentation": {"mixup": 0.4, "noise": 0.1},
    "resume_interval_s": 0.0,
}


def segments(n_segments: int, seed: int) -> SegmentSet:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(n_segments, 6, 8)).astype(np.float32)
    return SegmentSet(features, np.arange(n_segments, dtype=np.int64) % 3)


def train(
    folder: Path, *, on_epoch: Any = None, slot: int = 0, seed: int = 3, architecture: Any = None, **recipe: Any
) -> Checkpoint:
    architecture = {**ARCHITECTURE, **(architecture or {})}
    values = {"family": "duplicated_convolutions", "feature": "log_mel_6", "architecture": architecture}
    segment = SegmentBlock(n_frames=8, hop_frames=8)
    return train_repeat(
        cell=Cell("demo", "artist_kfold", "log_mel_6", "net"),
        repeat=0,
        seed=seed,
        genres=("blues", "jazz", "rock"),
        feature=FeatureBlock(
            kind="log_mel", sample_rate=8000, hop_length=256, segment=segment, normalisation="training"
        ),
        model=parse_model("net", {**values, "training": recipe}, RECIPE),
        train=segments(27, 0),
        validation=segments(9, 1),
        inputs="0123456789abcdef",
        leaky=False,
        folder=folder,
        on_epoch=on_epoch,
        slot=slot,
    )


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_epoch(epoch: int) -> None:
    """Die after the first step of an epoch."""
    step = fitting._Loop.step

    def dying(loop: Any, batch: torch.Tensor, current: int) -> Any:
        result = step(loop, batch, current)
        if current == epoch:
            kill()
        return result

    fitting._Loop.step = dying  # type: ignore[method-assign]


def die_while_writing(n_states: int) -> None:
    """Die when the state of an epoch is written, but does not have its name."""
    fsync = os.fsync
    n_written = 0

    def dying(file: int) -> None:
        nonlocal n_written
        n_written += 1
        if n_written == n_states:
            kill()
        fsync(file)

    os.fsync = dying


if __name__ == "__main__":
    where, when, number, options = sys.argv[1:]
    if when == "in_epoch":
        die_in_epoch(int(number))
    if when == "while_writing":
        die_while_writing(int(number))
    train(
        Path(where),
        on_epoch=lambda record: kill() if (when, int(number)) == ("after_epoch", record.epoch) else None,
        **json.loads(options),
    )
