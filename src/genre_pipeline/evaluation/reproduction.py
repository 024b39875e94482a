"""Paper against measured: what papers report of the models here, and what the same unit, split and statistic give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from genre_pipeline.evaluation.estimates import best_repeat, first_repeat, mean_accuracy
from genre_pipeline.evaluation.intervals import Estimate, difference
from genre_pipeline.evaluation.published import PublishedFigure, published_figures
from genre_pipeline.results.cell import CellResult, cell_of, row_of, scored, statistic
from genre_pipeline.results.tables import REPRODUCTION_COLUMNS, make_table

# What a paper that does not name its unit may have meant.
_UNITS = {"track": ("track",), "segment": ("segment",), "unclear": ("track", "segment")}


def compare_with_papers(
    results: Sequence[CellResult],
    *,
    kinds: Mapping[str, str],
    confidence: float = 0.95,
    figures: Sequence[PublishedFigure] | None = None,
) -> pd.DataFrame:
    """Set what papers report beside what was measured.

    A cell corresponds to a row of a paper if it is the same model on the same feature, or on another reading of it, of
    the same dataset, or of one that has its kind (a part of GTZAN under another name). Ours is of the paper's unit (of
    both where it names none), split and statistic: the mean over repeats, which also stands where the paper names no
    statistic; the best repeat for a maximum; the first repeat for a single run. The difference is ours minus the
    paper's, whose figure is taken as it stands: what its test tracks and runs leave open is not known, so that the
    interval is ours alone.

    Whether the two mean the same is ``comparable``: ``no`` if the paper's own figure cannot be compared, or if
    protocol or tracks differ; ``unclear`` if the paper leaves open what it means; ``yes`` otherwise. ``reason`` says
    why not.

    Args:
        results: One result per cell.
        kinds: Kind of each dataset, by its name.
        confidence: Coverage of the intervals.
        figures: What papers report; all that is known by default.

    Returns:
        One row a pair, in the papers' order, with the columns :data:`REPRODUCTION_COLUMNS`; empty if no cell
        corresponds to any.

    Raises:
        EvaluationError: If a metric is missing.
    """
    known = published_figures() if figures is None else figures
    rows = [
        _row(figure, result, unit, confidence)
        for figure in known
        for result in scored(results)
        if _correspond(figure, result, _dataset_in_papers(cell_of(result).dataset, kinds, known))
        for unit in _UNITS[figure.unit]
    ]
    return make_table(rows, REPRODUCTION_COLUMNS)


def reported_of_others(
    dataset: str, *, kinds: Mapping[str, str], figures: Sequence[PublishedFigure] | None = None
) -> list[PublishedFigure]:
    """Return what papers report on a dataset of systems that are no presets here.

    Args:
        dataset: The dataset's name.
        kinds: Kind of each dataset, by its name.
        figures: What papers report; all that is known by default.

    Returns:
        Their accuracies on the test split, the highest first.

    Example:
        >>> [figure.row for figure in reported_of_others("ismir2004", kinds={})]
        ['FusionNet with mel alone']
    """
    known = published_figures() if figures is None else figures
    name = _dataset_in_papers(dataset, kinds, known)
    found = [each for each in known if not each.model and each.dataset == name and each.split == "test"]
    return sorted(found, key=lambda each: -each.accuracy)


def _dataset_in_papers(dataset: str, kinds: Mapping[str, str], figures: Sequence[PublishedFigure]) -> str:
    """Return the name that papers' figures have for a dataset: its own, or that of its kind."""
    return dataset if any(each.dataset == dataset for each in figures) else kinds.get(dataset, dataset)


def _correspond(figure: PublishedFigure, result: CellResult, dataset: str) -> bool:
    cell = cell_of(result)
    same_input = cell.feature in {figure.feature, *figure.readings}
    return same_input and (figure.model, figure.dataset) == (cell.model, dataset)


def _row(figure: PublishedFigure, result: CellResult, unit: str, confidence: float) -> dict[str, Any]:
    word, ours = _measured(figure, result, unit, confidence)
    reported = figure.accuracy / 100.0
    gap = difference(ours, Estimate(reported, reported, reported))
    comparable, reason = _verdict(figure, result)
    return {
        "paper": figure.paper,
        "table": figure.table,
        "row": figure.row,
        "reported": reported,
        "reported_dataset": figure.dataset,
        "reported_protocol": figure.protocol,
        "reported_unit": figure.unit,
        "reported_statistic": figure.statistic,
        **row_of(result),
        "split": figure.split,
        "unit": unit,
        "metric": "accuracy",
        "statistic": word,
        "measured": ours.value,
        "measured_ci_low": ours.low,
        "measured_ci_high": ours.high,
        "difference": gap.value,
        "ci_low": gap.low,
        "ci_high": gap.high,
        "comparable": comparable,
        "reason": reason,
    }


def _measured(figure: PublishedFigure, result: CellResult, unit: str, confidence: float) -> tuple[str, Estimate]:
    """Return our number under the paper's statistic, and what that statistic is called."""
    single: dict[str, tuple[str, Callable[..., Estimate]]] = {
        "maximum": (f"maximum of {result['n_repeats']}", best_repeat),
        "one run": ("first repeat", first_repeat),
    }
    if figure.statistic in single:
        word, estimate = single[figure.statistic]
        return word, estimate(result, unit=unit, split=figure.split, confidence=confidence)
    return statistic(result), mean_accuracy(result, unit=unit, split=figure.split)


def _verdict(figure: PublishedFigure, result: CellResult) -> tuple[str, str]:
    protocol = result["cell"]["protocol"]
    differences = [
        f"the protocol is {protocol}, the paper's nearest is {figure.protocol}" if protocol != figure.protocol else "",
        f"the tracks are {result['subset']}" if result["subset"] else "",
    ]
    doubts = [f"the paper names no {name}" for name in ("unit", "statistic") if getattr(figure, name) == "unclear"]
    reasons = [*filter(None, differences), *doubts, *([figure.note] if figure.note else [])]
    verdict = "no" if any(differences) else figure.comparable
    return verdict, "; ".join(reasons)
