"""What nodes log of a cell: plain data, which a hook writes to MLflow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from genre_pipeline.cells import Cell
from genre_pipeline.results.cell import ThresholdRow

# The predictions for the test tracks, among the files of a cell's run.
OUTCOMES = "test_tracks.parquet"
# The metrics that stand at the top of a run; MLflow lists the others, which have a folder, below them.
_HEADLINES = (
    "test_segment_accuracy",
    "test_track_accuracy",
    "test_track_accuracy_ci_low",
    "test_track_accuracy_ci_high",
    "test_track_macro_f1",
)
_SCORE = re.compile(r"(train|validation|test)_(segment|track)_(.+)")
_FILED = re.compile(r"unit_(segment|track)/(train|validation|test)_(.+)")


def file_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Put scores into a folder of their unit, except for the few by which people compare runs: those come first.

    Example:
        >>> file_metrics({"test_track_macro_f1_sd": 0.1, "test_track_f1/jazz": 0.6, "test_track_accuracy": 0.7})
        {'test_track_accuracy': 0.7, 'unit_track/test_macro_f1_sd': 0.1, 'unit_track/test_f1/jazz': 0.6}
    """
    first = {key: metrics[key] for key in _HEADLINES if key in metrics}
    return first | {_SCORE.sub(r"unit_\2/\1_\3", key): metrics[key] for key in metrics if key not in first}


def unfile_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Undo :func:`file_metrics`; runs of earlier releases had no folders.

    Example:
        >>> unfile_metrics({"unit_track/test_f1/jazz": 0.6, "test_track_accuracy": 0.7})
        {'test_track_f1/jazz': 0.6, 'test_track_accuracy': 0.7}
    """
    return {_FILED.sub(r"\2_\1_\3", key): value for key, value in metrics.items()}


@dataclass(frozen=True, kw_only=True)
class RunLog:
    """What is logged of one run.

    Attributes:
        tags: Tags.
        params: Parameters; nested mappings are flattened with dots.
        metrics: Metrics; values that are not finite are left out.
        epochs: Metrics of each epoch.
        note: A description in Markdown.
        files: Files by name: a text, a table (Parquet), a figure (a picture, or a page for one of Plotly), or a mapping
            of plain JSON types.
        ends: How the run ends with this; ``None`` leaves it open.
    """

    tags: Mapping[str, object] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    epochs: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    note: str = ""
    files: Mapping[str, Any] = field(default_factory=dict)
    ends: Literal["FINISHED", "FAILED"] | None = None


@dataclass(frozen=True)
class ServedModel:
    """The trained models that a cell's run keeps, and that are served as one: their mean probability.

    Attributes:
        checkpoints: The folder of each repeat's checkpoint.
        genres: The genres, in the order of the model's outputs.
        fingerprint: Their fingerprint, see :func:`~genre_pipeline.training.checkpoints.joint_fingerprint`.
        thresholds: What thresholds of the confidence keep; empty if that is not known.
    """

    checkpoints: tuple[Path, ...]
    genres: tuple[str, ...]
    fingerprint: str
    thresholds: tuple[ThresholdRow, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CellLog(RunLog):
    """What is logged of a cell.

    Attributes:
        cell: The cell.
        level: What the run is about, as its tag ``level``: ``cell`` for the run with the cell's metrics, ``study`` for
            its tuning, whose repeats are trials, another word for what was done with its models later.
        repeats: What is logged of its repeats, or trials, by number.
        session_tags: Values that are added to those of the session's tags.
        inputs: Fingerprints of what the numbers were measured on, by name.
        model: The model that the run keeps.
    """

    cell: Cell
    level: str = "cell"
    repeats: Mapping[int, RunLog] = field(default_factory=dict)
    session_tags: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    model: ServedModel | None = None


# Writes at once, while a node runs, so that a training can be watched, and one that is killed has left its curves.
WriteLog = Callable[[CellLog], None]


def write_nothing(log: CellLog) -> None:
    """Write nothing: what a node gets where no session tracks it."""
    del log
