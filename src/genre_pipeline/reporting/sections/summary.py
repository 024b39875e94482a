"""The best cell of each dataset and protocol, how sure that is, and how the numbers are to be read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.paired import PairVerdict
from genre_pipeline.reporting.document import Article, Folded, Glossary, Group, Paragraph, Section, Span
from genre_pipeline.reporting.sections.base import Looks, ReportData, chance, label, track_accuracy
from genre_pipeline.reporting.wording import enumerated, interval, marks_of, percent
from genre_pipeline.results.cell import CellResult, cell_of, dataset_name, scored, statistic, summary_row

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
# The interval's meaning depends on the results.
_WORDS = {
    "Cell": "A model on a feature of a dataset under a protocol (how tracks are split and repeated).",
    "Unit": (
        "A track counts once: the mean of its segments' probabilities decides. “Segment” counts every segment by "
        "itself; neighbouring segments are alike, so that there are fewer independent ones than it seems."
    ),
    "Split": "All numbers are of the test split unless they say otherwise.",
    "Statistic": (
        "The mean over repeats (folds, resampled splits or seeds), never the best repeat. ± is the standard deviation."
    ),
    "Interval": "",
    "Chance": "What always answering the largest genre would give.",
    "Leaky": (
        "Pieces of one track, recording or artist stood on both sides of the split, or the test split chose the model. "
        "Such numbers show how much a leak inflates, not how good a model is."
    ),
    "Artists unknown": (
        "The share of tracks whose artist is not known, under a protocol that is not leaky. Each of them counts as an "
        "artist of its own, so that one artist may stand on both sides of the split without being found; the numbers "
        "would then be inflated as leaky ones are."
    ),
}


def section(data: ReportData) -> Section:
    """Show the best cell of each dataset and protocol, and explain the words."""
    best = [_best(group, data.looks, data.compared[setting]) for setting, group in data.groups.items()]
    interval_text = (
        f"{data.confidence_shown}: {_reading(data.results)}. Where intervals overlap, do not read a winner into the "
        "order."
    )
    words = Glossary({word: meaning or interval_text for word, meaning in _WORDS.items()})
    return Section(
        "summary", "Summary", [Group("findings", best), Folded("How to read the numbers", [words], is_open=True)]
    )


def _best(group: Sequence[CellResult], looks: Looks, compared: Mapping[tuple[Cell, Cell], PairVerdict]) -> Article:
    """Show the best cell of a dataset and protocol, and how sure that is."""
    best, marks = group[0], marks_of(group)
    mean, low, high = track_accuracy(best)
    known = [Span(text, "range")] if (text := interval(low, high, "")) else []
    badges = [part for mark in marks for part in (" ", Span(mark, "badge"))]
    return Article(
        [f"{dataset_name(best)} · {cell_of(best).protocol}", *badges],
        [
            Paragraph([percent(mean), Span(" %", "unit"), *known], "big"),
            Paragraph([f"{cell_of(best).model} ", Span(cell_of(best).feature, "range")], "best"),
            Paragraph(f"Track accuracy, {statistic(best)}; largest genre {chance(group)}.", "muted"),
            Paragraph(_certainty(group, looks, compared), "muted"),
        ],
        is_marked=bool(marks),
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
