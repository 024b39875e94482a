"""The best cell of each dataset and protocol, how sure that is, and how the numbers are to be read."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.paired import PairVerdict
from genre_pipeline.reporting.document import Article, Folded, Glossary, Group, Paragraph, Section, Span, Text, word
from genre_pipeline.reporting.sections.base import Looks, ReportData, chance, chance_level, label, track_accuracy
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
    "Accuracy": (
        "The share of test tracks whose genre was predicted right. A track counts once: the mean of its segments' "
        "probabilities decides. “Segment” counts every segment by itself; neighbouring segments are alike, so that "
        "there are fewer independent ones than it seems."
    ),
    "Split": "All numbers are of the test split unless they say otherwise.",
    "Statistic": (
        "The mean over repeats (folds, resampled splits or seeds), never the best repeat. ± is the standard deviation."
    ),
    "Fold": "One of the parts that a protocol divides the tracks into: each is tested by a model trained on others.",
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


_DESIGNS = {
    "kfold": "{n} folds, each tested by a model that was trained on others",
    "resampled": "{n} random divisions into training, validation and test tracks",
    "seeds": "one division into training, validation and test tracks, and {n} trainings that differ in their seed",
}


def section(data: ReportData) -> Section:
    """Show the best cell of each dataset and protocol, and explain the words."""
    protocols = {str(report["protocol"]): _protocol(report) for report in data.splits}
    best = [_best(group, data, protocols) for group in data.groups.values()]
    interval_text = (
        f"{data.confidence_shown}: {_reading(data.results)}. Where intervals overlap, do not read a winner into the "
        "order."
    )
    meanings = {name: meaning or interval_text for name, meaning in _WORDS.items()}
    reading = (
        "The model of each dataset and protocol that is the most accurate on the test tracks. Words underlined with "
        "dots lead to their meaning."
    )
    words = Folded("How to read the numbers", [Glossary({**meanings, **protocols})], is_open=True)
    return Section("summary", "Summary", [Paragraph(reading, "muted"), Group("findings", best), words])


def _protocol(report: Mapping[str, Any]) -> str:
    """Explain a protocol, from its split's report."""
    design = _DESIGNS.get(report.get("design", ""), "tracks are divided").format(n=report.get("n_repeats"))
    promises = sorted(report.get("promises", ()))
    if not promises:
        return f"A protocol: {design}. It keeps nothing apart."
    return f"A protocol: {design}. It keeps on one side: each {enumerated(promises)}."


def _best(group: Sequence[CellResult], data: ReportData, protocols: Collection[str]) -> Article:
    """Show the best cell of a dataset and protocol, and how sure that is."""
    best, marks = group[0], marks_of(group)
    protocol = cell_of(best).protocol
    compared = data.compared[cell_of(best).dataset, protocol]
    mean, low, high = track_accuracy(best)
    known = [Span(text, "range")] if (text := interval(low, high, "")) else []
    badges = [part for mark in marks for part in (" ", Span(mark, "badge"))]
    return Article(
        [f"{dataset_name(best)} · ", word(protocol) if protocol in protocols else protocol, *badges],
        [
            Paragraph([percent(mean), Span(" %", "unit"), *known], "big"),
            Paragraph([f"{cell_of(best).model} ", Span(cell_of(best).feature, "range")], "best"),
            Paragraph(_unit(best, group), "muted"),
            Paragraph(_certainty(group, data.looks, compared), "muted"),
        ],
        is_marked=bool(marks),
    )


def _unit(best: CellResult, group: Sequence[CellResult]) -> Text:
    known: list[str | Span] = (
        [", its ", word("interval"), " beside it"] if not math.isnan(track_accuracy(best)[1]) else []
    )
    doubt = "" if track_accuracy(best)[1] > chance_level(group) else ", not shown to be better"
    chances = f" {chance(group)}{doubt}."
    mean = word(statistic(best), "statistic")
    return ["Track ", word("accuracy"), *known, ", ", mean, "; ", word("largest genre", "chance"), chances]


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
