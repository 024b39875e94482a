"""The result of a cell: a model on a feature of a dataset under a protocol."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

import numpy as np
from typing_extensions import NotRequired

from genre_pipeline.cells import Cell
from genre_pipeline.errors import EvaluationError

_REPEAT_WORDS = {
    "kfold": ("fold", "folds"),
    "resampled": ("split", "resampled splits"),
    "seeds": ("seed", "seeds"),
}


class CellName(TypedDict):
    """The four parts of a cell's name."""

    dataset: str
    protocol: str
    feature: str
    model: str


class SplitCounts(TypedDict):
    """How many tracks or segments each split holds (the mean over repeats, where repeats differ)."""

    train: float
    validation: float
    test: float


class SummaryRow(TypedDict):
    """A metric over all repeats; shares between 0 and 1, intervals null or NaN where there is none."""

    split: str
    unit: str
    metric: str
    mean: float
    sd: float | None
    ci_low: float | None
    ci_high: float | None
    min: float
    max: float
    n_repeats: int
    interval: str


class RepeatRow(TypedDict):
    """A metric of one repeat, over ``n`` tracks or segments."""

    repeat: int
    split: str
    unit: str
    metric: str
    value: float
    n: int


class GenreRow(TypedDict):
    """How well one genre was recognised in one repeat, over its ``n`` tracks or segments; null where undefined."""

    repeat: int
    split: str
    unit: str
    genre: str
    precision: float | None
    recall: float | None
    f1: float | None
    n: int


class ReliabilityRow(TypedDict):
    """Predictions of about equal confidence: how sure the model was on average, and how often it was right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


class ThresholdRow(TypedDict):
    """Answers whose confidence is not below a threshold: how many tracks keep theirs, how many are wrong."""

    threshold: float
    validation_kept: int
    validation_wrong: int
    test_kept: int
    test_wrong: int


class EpochRow(TypedDict):
    """One epoch of one repeat: losses in nats, accuracies between 0 and 1, null where there is nothing to score."""

    repeat: int
    epoch: int
    train_loss: float | None
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float | None
    gradient_norm: float | None


class FailureRow(TypedDict):
    """A repeat that could not be trained, and why."""

    repeat: int
    seed: int
    reason: str


class CellCost(TypedDict):
    """Wall-clock seconds, summed over repeats, and floating-point operations that a clip takes (null: not counted)."""

    training_s: float
    inference_s: float
    flop_per_clip: float | None


class PretrainingFacts(TypedDict):
    """What is to know of a pretrained network, as text: see ``registry.Pretraining``."""

    licence: str
    trained_on: str
    overlap: str
    # Results of earlier releases do not have it: theirs are features.
    part: NotRequired[str]


class CellResult(TypedDict):
    """Everything that the comparison needs of one cell, in plain JSON types.

    Attributes:
        cell: Dataset, protocol, feature and model.
        genres: The genres, in the order of the confusion matrices.
        design: How repeats differ: ``kfold`` (folds), ``resampled`` (independent splits) or ``seeds`` (one split).
        leaky: Whether pieces of one track, recording or artist stood on both sides, or the test split chose the model.
        artists_unknown: Share of tracks whose artist is unknown, where a reader takes artists to be apart: see
            :func:`~genre_pipeline.splits.audit.artists_unknown`. Results of before this was recorded lack it.
        split_hash: Fingerprint of the split.
        feature_hash: Fingerprint of the feature.
        subset: What part of the dataset was used, empty for all of it.
        n_repeats: Number of folds, resampled splits or seeds that were scored.
        failures: Those that could not be trained. Where all failed, there are no metrics, epochs and matrices.
        n_parameters: Trainable parameters of a network; ``None`` for an estimator.
        n_tracks: Tracks in each split.
        n_segments: Segments in each split.
        segment_duration_s: Length of a segment, in seconds.
        summary: Metrics over repeats.
        repeats: Metrics of each repeat.
        genre_repeats: Precision, recall and F1 of each genre in each repeat.
        history: Metrics of each epoch.
        confusion: For the units ``segment`` and ``track``, counts on the test split summed over repeats: rows are
            true genres, columns predicted ones.
        reliability: For the units ``segment`` and ``track``, the bins of the reliability diagram, on the test split of
            all repeats.
        thresholds: What is kept and wrong above thresholds of the confidence in a track, over all repeats, the highest
            first; the last is zero and keeps all.
        leaks: Tracks, files, audio, recordings, artists and albums found on both sides of a split.
        cost: Training and inference time.
        precision: Number format of training, for example ``float32``.
        reference: The model's paper, in one line.
        pretraining: What is to know of the pretrained network that gave the feature, or was trained further; absent
            if there is none.
        selection: Which epoch was scored: ``best validation``, ``last`` or ``best test`` (which is leaky).
        git_commit: Commit of the code that scored.
        seed: Seed of the first repeat.
    """

    cell: CellName
    genres: list[str]
    design: str
    leaky: bool
    artists_unknown: NotRequired[float]
    split_hash: str
    feature_hash: str
    subset: str
    n_repeats: int
    failures: list[FailureRow]
    n_parameters: int | None
    n_tracks: SplitCounts
    n_segments: SplitCounts
    segment_duration_s: float
    summary: list[SummaryRow]
    repeats: list[RepeatRow]
    genre_repeats: list[GenreRow]
    history: list[EpochRow]
    confusion: dict[str, list[list[int]]]
    reliability: dict[str, list[ReliabilityRow]]
    thresholds: list[ThresholdRow]
    leaks: dict[str, int]
    cost: CellCost
    precision: str
    reference: str
    pretraining: NotRequired[PretrainingFacts]
    selection: str
    git_commit: str
    seed: int


def cell_of(result: CellResult) -> Cell:
    """Return the cell that a result belongs to."""
    return Cell(**result["cell"])


def dataset_name(result: CellResult) -> str:
    """Return the dataset's name with the part of it that was used, if not the whole.

    Example:
        >>> dataset_name({"cell": {"dataset": "gtzan"}, "subset": "6 of 10 genres"})
        'gtzan (6 of 10 genres)'
    """
    return part_name(result["cell"]["dataset"], result["subset"])


def part_name(dataset: str, subset: str) -> str:
    """Join a dataset's name and what part of it was used.

    Example:
        >>> part_name("gtzan", ""), part_name("gtzan", "6 of 10 genres")
        ('gtzan', 'gtzan (6 of 10 genres)')
    """
    return f"{dataset} ({subset})" if subset else dataset


def number(value: float | None) -> float:
    """Read a number that JSON may hold as null.

    Example:
        >>> number(0.5), number(None)
        (0.5, nan)
    """
    return math.nan if value is None else float(value)


def summary_row(result: CellResult, *, unit: str, metric: str, split: str = "test") -> SummaryRow:
    """Find a metric in a result's summary.

    Args:
        result: The cell's result.
        unit: ``segment`` or ``track``.
        metric: For example ``accuracy``.
        split: ``train``, ``validation`` or ``test``.

    Returns:
        The metric's mean, spread and interval over repeats.

    Raises:
        EvaluationError: If the summary does not hold it.
    """
    for row in result["summary"]:
        if (row["split"], row["unit"], row["metric"]) == (split, unit, metric):
            return row
    raise EvaluationError(
        f"{cell_of(result).name}: expected the metric '{metric}' of the {split} split at {unit} unit in the summary, "
        "which does not hold it. Evaluate the cell again."
    )


def statistic(result: CellResult) -> str:
    """Name what a result's numbers are averaged over.

    Raises:
        EvaluationError: If the design is unknown.

    Example:
        >>> statistic({"design": "kfold", "n_repeats": 5, "failures": []})
        'mean of 5 folds'
        >>> statistic({"design": "kfold", "n_repeats": 3, "failures": [{"repeat": 1}, {"repeat": 4}]})
        'mean of 3 of 5 folds'
    """
    design, n_repeats, n_failed = result["design"], result["n_repeats"], len(result["failures"])
    if design not in _REPEAT_WORDS:
        raise EvaluationError(f"Unknown design '{design}': expected one of {', '.join(_REPEAT_WORDS)}.")
    one, many = _REPEAT_WORDS[design]
    if n_failed:
        words = f"{n_repeats} of {n_repeats + n_failed} {many}"
        return words if n_repeats < 2 else f"mean of {words}"
    return f"one {one}" if n_repeats == 1 else f"mean of {n_repeats} {many}"


def scored(results: Iterable[CellResult]) -> list[CellResult]:
    """Return the results of which at least one repeat could be trained."""
    return [result for result in results if result["n_repeats"]]


def confusion_counts(result: CellResult, unit: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return a confusion matrix of the test split.

    Args:
        result: The cell's result.
        unit: ``segment`` or ``track``.

    Returns:
        Counts, shape ``(n_genres, n_genres)``; rows are true genres.

    Raises:
        EvaluationError: If there is none at that unit, or its shape is not the genres'.
    """
    name, n_genres = cell_of(result).name, len(result["genres"])
    if unit not in result["confusion"]:
        known = ", ".join(sorted(result["confusion"])) or "none"
        raise EvaluationError(f"{name}: no confusion matrix at unit '{unit}'. There are: {known}.")
    counts = np.asarray(result["confusion"][unit], dtype=np.int64)
    if counts.shape != (n_genres, n_genres):
        raise EvaluationError(
            f"{name}: expected a {unit} confusion matrix of {n_genres} x {n_genres} (the genres), got the shape "
            f"{counts.shape}. Evaluate the cell again."
        )
    return counts


def threshold_rows(result: CellResult) -> list[ThresholdRow]:
    """Return what thresholds of the confidence keep, the highest first.

    Raises:
        EvaluationError: If the result is of an earlier release, which did not count it.
    """
    if not result.get("thresholds"):
        raise EvaluationError(
            f"{cell_of(result).name}: expected what thresholds of the confidence keep, which the result does not hold. "
            "Evaluate the cell again."
        )
    return result["thresholds"]


def is_missing(value: Any) -> bool:
    """Tell whether an entry of a table or of JSON is missing: ``None``, NaN, or pandas' NA, which equals nothing.

    Example:
        >>> is_missing(None), is_missing(float("nan")), is_missing(0)
        (True, True, False)
    """
    # By its name: pandas takes half a second to import.
    if value is None or type(value).__name__ == "NAType":
        return True
    return isinstance(value, float | np.floating) and math.isnan(value)


def unknown_share(marked: Mapping[Any, Any]) -> float:
    """Return the share of unknown artists that a result, a split's report or a row of a table has, 0 if it lacks it."""
    share: Any = marked.get("artists_unknown")
    return 0.0 if is_missing(share) else float(share)


def row_of(result: CellResult) -> dict[str, Any]:
    """Return what a row of any table has from its cell's result; tables take the columns that they have."""
    copied = ("subset", "leaky", "n_repeats", "selection", "split_hash", "feature_hash", "git_commit")
    return {
        **result["cell"],
        **{key: result[key] for key in copied},  # type: ignore[literal-required]
        "artists_unknown": unknown_share(result),
        "statistic": statistic(result),
        "n_failed": len(result["failures"]),
    }


def metric_key(row: Mapping[str, Any]) -> str:
    """Name a metric as MLflow and the tables do.

    Example:
        >>> metric_key({"split": "test", "unit": "track", "metric": "accuracy"})
        'test_track_accuracy'
    """
    return f"{row['split']}_{row['unit']}_{row['metric']}"
