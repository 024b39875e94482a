"""Accuracies of a cell with their intervals, by statistic: the mean, the best repeat, the first repeat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genre_pipeline.evaluation.intervals import Estimate, wilson_interval
from genre_pipeline.results.cell import CellResult, number, summary_row


def mean_accuracy(result: CellResult, *, unit: str, split: str = "test") -> Estimate:
    """Return the mean accuracy of a result with its interval."""
    row = summary_row(result, unit=unit, metric="accuracy", split=split)
    return Estimate(*(number(row[key]) for key in ("mean", "ci_low", "ci_high")))


def best_repeat(result: CellResult, *, unit: str, confidence: float, split: str = "test") -> Estimate:
    """Return the highest accuracy of all repeats, with the interval that it would have as the only one.

    Segments of one track are alike, so that the interval counts tracks, also for segments.
    """
    best = max(_repeats(result, unit, split), key=lambda row: row["value"])
    return _single(result, best, split, confidence)


def first_repeat(result: CellResult, *, unit: str, confidence: float, split: str = "test") -> Estimate:
    """Return the accuracy of the first repeat, which is fixed beforehand, with the interval that it has by itself."""
    first = min(_repeats(result, unit, split), key=lambda row: row["repeat"])
    return _single(result, first, split, confidence)


def _repeats(result: CellResult, unit: str, split: str) -> list[Any]:
    return [row for row in result["repeats"] if (row["split"], row["unit"], row["metric"]) == (split, unit, "accuracy")]


def _single(result: CellResult, repeat: Mapping[str, Any], split: str, confidence: float) -> Estimate:
    tracks = next(row["n"] for row in _repeats(result, "track", split) if row["repeat"] == repeat["repeat"])
    return Estimate(repeat["value"], *wilson_interval(repeat["value"], tracks, confidence=confidence))
