"""The evaluation of a cell: predictions of all repeats, their scores, and everything that says what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.errors import EvaluationError
from genre_pipeline.evaluation.abstention import count_by_threshold
from genre_pipeline.evaluation.bootstrap import clusters_of
from genre_pipeline.evaluation.intervals import summarise
from genre_pipeline.evaluation.metrics import (
    UNITS,
    TrackAverage,
    confidences_of,
    confusion,
    reliability_of,
    score,
    score_calibrated,
    score_genres,
    told_right,
)
from genre_pipeline.results.cell import CellResult, EpochRow, metric_key, unknown_share
from genre_pipeline.training import Checkpoint, FailedRepeat
from genre_pipeline.training.cell_data import CellData

_SELECTION = {"best_validation": "best validation", "last": "last", "best_test": "best test"}
# What is not known of a cell of which no repeat was trained.
_NONE = "none"


def evaluate_cell(
    cell: Cell,
    outcomes: Sequence[Checkpoint | FailedRepeat],
    data: CellData,
    predictions: pd.DataFrame,
    *,
    inference_s: float,
    audit: Mapping[str, Any],
    artists: pd.Series[str],
    confidence: float,
    reference: str,
    git_commit: str,
    average: TrackAverage = "probability",
) -> CellResult:
    """Score and summarise all repeats of a cell.

    Args:
        cell: The cell.
        outcomes: The trained model of each repeat, in the order of the repeats, or why there is none.
        data: The cell's segments.
        predictions: The predictions of all repeats.
        inference_s: Seconds that the models took for them.
        audit: The split's report.
        artists: Artist by track id, empty where unknown.
        confidence: Coverage of the confidence intervals.
        reference: The model's paper, in one line; empty if there is none.
        git_commit: Commit of the code that scores.
        average: What of a track's segments is averaged.

    Returns:
        The cell's result; without any metric if every repeat failed.

    Raises:
        EvaluationError: If a repeat is missing, or the predictions cannot be scored.
    """
    checkpoints = [each for each in outcomes if isinstance(each, Checkpoint)]
    failures = [each for each in outcomes if isinstance(each, FailedRepeat)]
    known = sorted([each.card.repeat for each in checkpoints] + [each.repeat for each in failures])
    if known != data.repeats:
        raise EvaluationError(f"{cell.name}: expected the outcome of the repeats {data.repeats}, got {known}.")
    n_tracks, n_segments = data.counts()
    # The correction of the interval needs the shares that train and test.
    n_units = n_tracks if audit["unit"] == "track" else n_segments
    metrics: Any = {key: [] for key in ("summary", "repeats", "genre_repeats", "history", "thresholds")}
    metrics |= {"confusion": {}, "reliability": {}}
    if checkpoints:
        metrics = _metrics(
            predictions,
            checkpoints,
            data.genres,
            artists,
            average,
            design=audit["design"],
            n_train_tracks=n_units["train"],
            n_test_tracks=n_units["test"],
            confidence=confidence,
        )
    cards = [checkpoint.card for checkpoint in checkpoints]
    overall = audit["leaks"]["overall"]
    first = data.segments.iloc[0]
    result: CellResult = {
        "cell": {
            "dataset": cell.dataset,
            "protocol": cell.protocol,
            "feature": cell.feature,
            "model": cell.model,
        },
        "genres": list(data.genres),
        "design": audit["design"],
        "leaky": bool(audit["leaky"]) or any(card.leaky for card in cards),
        "artists_unknown": unknown_share(audit),
        "split_hash": audit["split_hash"],
        "feature_hash": data.store.spec_hash,
        "subset": audit["subset"],
        "n_repeats": len(checkpoints),
        "failures": [{"repeat": each.repeat, "seed": each.seed, "reason": each.reason} for each in failures],
        "n_parameters": cards[0].n_parameters if cards else None,
        "n_tracks": _sides(n_tracks),
        "n_segments": _sides(n_segments),
        "segment_duration_s": float(first["duration_s"]),
        **metrics,  # type: ignore[typeddict-item]
        "leaks": {
            "tracks": overall["track"],
            "files": overall["file"],
            "audio": overall["audio"],
            "recordings": overall["recording"],
            "artists": overall["artist"],
            "albums": overall["album"],
        },
        "cost": {
            "training_s": float(sum(card.training_s for card in cards)),
            "inference_s": inference_s,
            "flop_per_clip": _flop_per_clip(checkpoints, data),
        },
        "precision": cards[0].precision if cards else _NONE,
        "reference": reference,
        "selection": _SELECTION[cards[0].model["training"]["selection"]] if cards else _NONE,
        "git_commit": git_commit,
        "seed": min([card.seed for card in cards] + [each.seed for each in failures]),
    }
    return result


def _metrics(
    predictions: pd.DataFrame,
    checkpoints: Sequence[Checkpoint],
    genres: tuple[str, ...],
    artists: pd.Series[str],
    average: TrackAverage,
    **design: Any,
) -> dict[str, Any]:
    """Return the parts of a result that need predictions."""
    how: Any = {"genres": genres, "average": average}
    scores = pd.concat([score(predictions, **how), score_calibrated(predictions, **how)], ignore_index=True)
    outcomes = told_right(predictions, **how)
    outcomes["cluster"] = clusters_of(outcomes["track_id"], artists)
    return {
        "summary": _records(summarise(scores, outcomes=outcomes, **design)),
        "repeats": _records(scores),
        "genre_repeats": _records(score_genres(predictions, **how)),
        "history": _records(pd.concat([_history(each) for each in checkpoints])),
        "confusion": {unit: confusion(predictions, unit=unit, **how).tolist() for unit in UNITS},
        # As predictions of new audio do, they average probabilities.
        "thresholds": count_by_threshold(
            *(confidences_of(predictions, split, genres=genres) for split in ("validation", "test"))
        ),
        "reliability": {unit: _records(reliability_of(predictions, unit=unit, **how)) for unit in UNITS},
    }


def metric_values(rows: Sequence[Mapping[str, Any]], *, value: str, suffix: str = "") -> dict[str, float]:
    """Name metrics as MLflow and the reports do: ``test_track_accuracy``.

    Args:
        rows: Rows with ``split``, ``unit`` and ``metric``.
        value: The column that holds the number.
        suffix: Added to every name.

    Returns:
        Name to number; numbers that are missing are left out.

    Example:
        >>> row = {"split": "test", "unit": "track", "metric": "accuracy", "sd": 0.1}
        >>> metric_values([row], value="sd", suffix="_sd")
        {'test_track_accuracy_sd': 0.1}
    """
    return {f"{metric_key(row)}{suffix}": float(row[value]) for row in rows if row[value] is not None}


def _flop_per_clip(checkpoints: Sequence[Checkpoint], data: CellData) -> float | None:
    """Return the operations that a clip takes on average; ``None`` for an estimator, or where every repeat failed."""
    per_segment = checkpoints[0].flop_per_segment if checkpoints else None
    segments = data.segments
    return None if per_segment is None else per_segment * len(segments) / segments["track_id"].nunique()


def _sides(counts: Mapping[str, float]) -> Any:
    return {side: counts[side] for side in ("train", "validation", "test")}


def _history(checkpoint: Checkpoint) -> pd.DataFrame:
    history = checkpoint.history[[key for key in EpochRow.__annotations__ if key != "repeat"]].copy()
    history.insert(0, "repeat", checkpoint.card.repeat)
    return history


def _records(table: pd.DataFrame) -> Any:
    """Return plain JSON rows: what is not a number becomes null."""
    plain = table.astype(object).where(table.notna(), None)
    return plain.to_dict(orient="records")
