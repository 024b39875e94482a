"""The best cell of each dataset and protocol, how sure that is, and how the numbers are to be read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.paired import PairVerdict
from genre_pipeline.reporting.sections.base import Looks, ReportData, Section, chance, label, track_accuracy
from genre_pipeline.reporting.wording import enumerated, interval, marks_of, percent
from genre_pipeline.results import CellResult, cell_of, dataset_name, scored, statistic, summary_row

_INTERVALS = {
    "corrected resampled t": (
        "the corrected resampled t interval (Nadeau and Bengio 2003): repeats share training tracks, so that the plain "
        "one would be too narrow"
    ),
    "t": "the t interval over training seeds: it says nothing of other test tracks",
    "clustered bootstrap": (
        "the bootstrap over artists, and over seeds where repeats are seeds, where it is the widest: tracks of one "
        "artist are alike"
    ),
    "wilson": "the Wilson score interval of the number of tested tracks, where it is wider or there is a single repeat",
    "none": "none, because there is one repeat",
}


@dataclass(frozen=True)
class Finding:
    """The best cell of a dataset and protocol, and how sure that is."""

    dataset: str
    protocol: str
    model: str
    feature: str
    accuracy: str
    interval: str
    marks: Sequence[str]
    sentences: Sequence[str]


def _build(data: ReportData) -> Mapping[str, Any]:
    return {
        "findings": [_finding(group, data.looks, data.compared[setting]) for setting, group in data.groups.items()],
        "confidence": data.confidence_shown,
        "reading": _reading(data.results),
    }


def _finding(group: Sequence[CellResult], looks: Looks, compared: Mapping[tuple[Cell, Cell], PairVerdict]) -> Finding:
    best = group[0]
    mean, low, high = track_accuracy(best)
    return Finding(
        dataset=dataset_name(best),
        protocol=cell_of(best).protocol,
        model=cell_of(best).model,
        feature=cell_of(best).feature,
        accuracy=percent(mean),
        interval=interval(low, high, ""),
        marks=marks_of(group),
        sentences=[
            f"Track accuracy, {statistic(best)}; largest genre {chance(group)}.",
            _certainty(group, looks, compared),
        ],
    )


def _certainty(group: Sequence[CellResult], looks: Looks, compared: Mapping[tuple[Cell, Cell], PairVerdict]) -> str:
    best, *others = group
    _, low, _ = track_accuracy(best)
    if not others and not math.isnan(low):
        return "It is the only model here."
    if compared:
        rivals = [label(each, looks) for each in others if compared[cell_of(best), cell_of(each)].word != "better"]
        if rivals:
            return f"No difference from {enumerated(rivals)} that these tracks can show: the order is not settled."
        return "Better than every other in paired tests."
    rivals = [label(result, looks) for result in others if track_accuracy(result)[2] >= low]
    if math.isnan(low):
        return "There is no interval: the order may be chance."
    if rivals:
        return f"Its interval overlaps with {enumerated(rivals)}: the order is not settled."
    return "No other interval reaches its own."


def _reading(results: Sequence[CellResult]) -> str:
    methods = dict.fromkeys(
        summary_row(result, unit="track", metric="accuracy")["interval"] for result in scored(results)
    )
    return "; or ".join(_INTERVALS.get(method, method) for method in methods)


SECTION = Section("summary", "Summary", _build)
