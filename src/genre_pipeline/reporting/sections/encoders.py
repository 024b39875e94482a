"""Pretrained encoders compared: each with every classifier on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.paired import PairVerdict
from genre_pipeline.reporting.document import (
    NOTHING,
    Block,
    Bullets,
    Paragraph,
    Section,
    Table,
    TableEntry,
    Value,
    numeric,
    share_entry,
    texts,
)
from genre_pipeline.reporting.sections.base import ReportData, label, setting_name, track_accuracy
from genre_pipeline.reporting.wording import (
    NONE,
    PERCENT,
    duration,
    interval,
    percent,
    points,
    points_interval,
    pretrained_text,
)
from genre_pipeline.results.cell import CellResult, cell_of, statistic


def section(data: ReportData) -> Section | None:
    """Show the encoders of each dataset and protocol; nothing where no feature is of a pretrained network."""
    tables = _tables(data)
    if not tables:
        return None
    reading = (
        "An encoder is a feature of a network that was trained before on other data; a probe is the classifier on top "
        "of it. All encoders get the same tracks, folds and grid of strengths. A model without a probe is such a "
        "network itself, with a new last layer, trained further on these tracks."
    )
    encoders = [result for result in data.results if "pretraining" in result]
    named: dict[str, set[str]] = {}
    for result in encoders:
        named.setdefault(pretrained_text(result["pretraining"]), set()).add(_encoder_and_probe(result)[0])
    published = [text for result in encoders for text in _published_texts(result, data)]
    blocks: list[Block] = [
        Paragraph(reading),
        *tables,
        Bullets([*(f"{', '.join(sorted(names))}: {text}" for text, names in named.items()), *published]),
    ]
    return Section("encoders", "Pretrained encoders", blocks, nav="Encoders")


def brief(data: ReportData) -> list[Section]:
    """Show the table of each dataset and protocol."""
    return [Section("", "Pretrained encoders", [table]) for table in _tables(data)]


def _tables(data: ReportData) -> list[Table]:
    return [
        _table(f"encoders-{place}", group, data)
        for place, group in enumerate(data.groups.values(), start=1)
        if any("pretraining" in result for result in group)
    ]


def _table(key: str, group: Sequence[CellResult], data: ReportData) -> Table:
    """Return a table of the encoders' cells, best first, each against the best and against the best without encoder."""
    encoders = [result for result in group if "pretraining" in result]
    others = [result for result in group if "pretraining" not in result]
    against = {"best here": encoders[0]} | ({"best without encoder": others[0]} if others else {})
    columns = [
        *texts("Encoder", "Probe"),
        *numeric("Accuracy (%)", f"{data.confidence_shown} interval (%)"),
        *numeric(*(f"Against {word} (points)" for word in against)),
        *numeric("Training", "Published (%)"),
    ]
    rows = [_row(result, list(against.values()), data) for result in encoders]
    named = "; ".join(f"{word}: {label(result, data.looks)}" for word, result in against.items())
    caption = (
        f"{setting_name(group)}. Accuracy of test tracks, {statistic(group[0])}. Differences with their paired "
        f"intervals, and “better” or “worse” where the tests, corrected for all pairs, show it ({named}). Training is "
        "the sum over repeats, without the feature."
    )
    return Table(key, caption, columns, rows)


def _row(result: CellResult, against: Sequence[CellResult], data: ReportData) -> list[Value]:
    cell = cell_of(result)
    mean, low, high = track_accuracy(result)
    compared = data.compared[cell.dataset, cell.protocol]
    published = [float(row["reported"]) for row in _published(result, data)]
    return [
        *_encoder_and_probe(result),
        share_entry(mean),
        TableEntry(interval(low, high, NONE), sort=low),
        *(_difference(compared.get((cell, cell_of(other)))) for other in against),
        TableEntry(duration(result["cost"]["training_s"]), sort=result["cost"]["training_s"]),
        TableEntry(", ".join(map(percent, published)), sort=max(published)) if published else NOTHING,
    ]


def _difference(verdict: PairVerdict | None) -> TableEntry:
    if verdict is None:
        return NOTHING
    text = f"{points(verdict.difference)} ({points_interval(verdict.ci_low, verdict.ci_high)})"
    if verdict.word in {"better", "worse"}:
        text += f" {verdict.word}"
    return TableEntry(text, sort=verdict.difference)


def _encoder_and_probe(result: CellResult) -> tuple[str, str]:
    cell = cell_of(result)
    return (cell.model, NONE) if result["pretraining"].get("part") == "network" else (cell.feature, cell.model)


def _published(result: CellResult, data: ReportData) -> list[dict[Any, Any]]:
    cell = cell_of(result)
    return [
        row
        for row in data.reproduction.to_dict("records")
        if Cell(row["dataset"], row["protocol"], row["feature"], row["model"]) == cell
    ]


def _published_texts(result: CellResult, data: ReportData) -> list[str]:
    """Return how each published figure was measured, and whether ours can be compared with it."""
    return [
        f"Published for {cell_of(result).model} on {cell_of(result).feature}: {percent(row['reported'])}{PERCENT} "
        f"({row['paper']}: {row['reported_dataset']}, {row['reported_protocol']}, {row['reported_statistic']}). "
        f"Comparable with ours: {row['comparable']}{': ' + row['reason'] if row['reason'] else ''}."
        for row in _published(result, data)
    ]
