"""The evaluation of a cell: predictions of all repeats, their scores, and everything that says what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.comparison import CellResult
from genre_pipeline.evaluation.intervals import summarise
from genre_pipeline.evaluation.metrics import UNITS, confusion, reliability_of, score, score_genres
from genre_pipeline.training import Checkpoint
from genre_pipeline.training.cell_data import CellData

_SELECTION = {"best_validation": "best validation", "last": "last"}


def evaluate_cell(
    cell: Cell,
    checkpoints: Sequence[Checkpoint],
    data: CellData,
    predictions: pd.DataFrame,
    *,
    inference_s: float,
    audit: Mapping[str, Any],
    confidence: float,
    reference: str,
) -> CellResult:
    """Score and summarise all repeats of a cell.

    Args:
        cell: The cell.
        checkpoints: The trained model of each repeat, in the order of the repeats.
        data: The cell's segments.
        predictions: The predictions of all repeats.
        inference_s: Seconds that the models took for them.
        audit: The split's report.
        confidence: Coverage of the confidence intervals.
        reference: The model's paper, in one line.

    Returns:
        The cell's result.

    Raises:
        EvaluationError: If the predictions cannot be scored.
    """
    scores = score(predictions, genres=data.genres)
    n_tracks, n_segments = data.counts()
    # The correction of the interval asks how much of what was divided trains and tests.
    n_units = n_tracks if audit["unit"] == "track" else n_segments
    summary = summarise(
        scores,
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
        "leaky": bool(audit["leaky"]),
        "split_hash": audit["split_hash"],
        "feature_hash": data.store.spec_hash,
        "subset": audit["subset"],
        "n_repeats": len(checkpoints),
        "n_parameters": cards[0].n_parameters,
        "n_tracks": _sides(n_tracks),
        "n_segments": _sides(n_segments),
        "segment_duration_s": float(first["duration_s"]),
        "summary": _records(summary),
        "repeats": _records(scores),
        "genre_repeats": _records(score_genres(predictions, genres=data.genres)),
        "history": _records(
            pd.concat([_history(repeat, each) for repeat, each in zip(data.repeats, checkpoints, strict=True)])
        ),
        "confusion": {unit: confusion(predictions, genres=data.genres, unit=unit).tolist() for unit in UNITS},
        "reliability": {unit: _records(reliability_of(predictions, genres=data.genres, unit=unit)) for unit in UNITS},
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
        },
        "precision": cards[0].precision,
        "reference": reference,
        "selection": _SELECTION[cards[0].model["training"]["selection"]],
        "seed": cards[0].seed,
    }
    return result


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
    return {
        f"{row['split']}_{row['unit']}_{row['metric']}{suffix}": float(row[value])
        for row in rows
        if row[value] is not None
    }


def _sides(counts: Mapping[str, float]) -> Any:
    return {side: counts[side] for side in ("train", "validation", "test")}


def _history(repeat: int, checkpoint: Checkpoint) -> pd.DataFrame:
    columns = ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate"]
    history = checkpoint.history[columns].copy()
    history.insert(0, "repeat", repeat)
    return history


def _records(table: pd.DataFrame) -> Any:
    """Return plain JSON rows: what is not a number becomes null."""
    plain = table.astype(object).where(table.notna(), None)
    return plain.to_dict(orient="records")
