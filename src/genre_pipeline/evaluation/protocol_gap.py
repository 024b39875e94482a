"""What leaks are worth: the same model on the same feature of a dataset under several protocols."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from genre_pipeline.evaluation.estimates import best_repeat, mean_accuracy
from genre_pipeline.evaluation.intervals import Estimate, difference
from genre_pipeline.evaluation.leaderboard import honest_results
from genre_pipeline.results.cell import CellResult, cell_of, row_of, scored, statistic
from genre_pipeline.results.tables import GAP_COLUMNS, make_table

UNITS: tuple[Literal["track", "segment"], ...] = ("track", "segment")


def protocol_gaps(results: Sequence[CellResult], *, confidence: float = 0.95) -> pd.DataFrame:
    """Measure how far each protocol, unit and statistic moves the accuracy of a model.

    The reference of a dataset is its honest protocol
    (:func:`~genre_pipeline.evaluation.leaderboard.honest_results`): a gap is the accuracy under a protocol minus the
    mean accuracy of the same model, feature and unit under the reference. The mean's interval is
    :func:`~genre_pipeline.evaluation.intervals.difference`. The maximum over repeats is set against the same mean: that
    is what a paper that reports its best run adds. Its interval takes the best repeat for a single one, with the
    Wilson interval of its test tracks; against the mean of the same repeats it has none.

    Args:
        results: One result per cell.
        confidence: Coverage of the intervals.

    Returns:
        One row per cell, unit and statistic with the columns :data:`GAP_COLUMNS`, for models that have a number under
        the reference and under another protocol. Empty if there is none.

    Raises:
        EvaluationError: If a metric is missing.
    """
    references = {
        (dataset, cell_of(result).model, cell_of(result).feature): result
        for dataset, group in honest_results(results).items()
        for result in group
    }
    cells: dict[tuple[str, str, str], list[CellResult]] = {}
    for result in scored(results):
        cell = cell_of(result)
        cells.setdefault((cell.dataset, cell.model, cell.feature), []).append(result)
    rows = [
        row
        for key, of_model in cells.items()
        if key in references and len(of_model) > 1
        for result in of_model
        for row in _rows(result, references[key], confidence)
    ]
    return make_table(rows, GAP_COLUMNS)


def _rows(result: CellResult, reference: CellResult, confidence: float) -> list[dict[str, Any]]:
    rows = []
    for unit in UNITS:
        base = mean_accuracy(reference, unit=unit)
        accuracies = {
            statistic(result): mean_accuracy(result, unit=unit),
            f"maximum of {result['n_repeats']}": best_repeat(result, unit=unit, confidence=confidence),
        }
        for word, accuracy in accuracies.items():
            gap = difference(accuracy, base)
            if result is reference:
                gap = Estimate(gap.value, math.nan, math.nan)
            rows.append(
                {
                    **row_of(result),
                    "shared": ", ".join(kind for kind, n in result["leaks"].items() if n),
                    "split": "test",
                    "unit": unit,
                    "metric": "accuracy",
                    "statistic": word,
                    "accuracy": accuracy.value,
                    "reference_protocol": reference["cell"]["protocol"],
                    "reference_accuracy": base.value,
                    "gap": gap.value,
                    "ci_low": gap.low,
                    "ci_high": gap.high,
                    "reference_split_hash": reference["split_hash"],
                }
            )
    return rows
