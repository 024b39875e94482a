"""Pretrained encoders compared: each with every classifier on top of it."""

from __future__ import annotations

from collections.abc import Sequence

from genre_pipeline.cells import Cell
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
from genre_pipeline.reporting.wording import NONE, duration, interval, points, pretrained_text
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
    overlaps = {
        _encoder_and_probe(result)[0]: pretrained_text(result["pretraining"])
        for result in data.results
        if "pretraining" in result
    }
    blocks: list[Block] = [
        Paragraph(reading),
        *tables,
        Bullets([f"{feature}: {text}" for feature, text in sorted(overlaps.items())]),
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
        *numeric("Training"),
        *texts("Mean over", "Published (%), and how"),
    ]
    rows = [_row(result, list(against.values()), data) for result in encoders]
    named = "; ".join(f"{word}: {label(result, data.looks)}" for word, result in against.items())
    caption = (
        f"{setting_name(group)}. Accuracy of test tracks. Differences with the verdict of the paired tests, corrected "
        f"for all pairs ({named}). Training is the sum over repeats, without the feature. Whether what is "
        "published can be compared: see the section on papers."
    )
    return Table(key, caption, columns, rows)


def _row(result: CellResult, against: Sequence[CellResult], data: ReportData) -> list[Value]:
    cell = cell_of(result)
    mean, low, high = track_accuracy(result)
    compared = data.compared[cell.dataset, cell.protocol]
    differences = []
    for other in against:
        verdict = compared.get((cell, cell_of(other)))
        text = "" if verdict is None else f"{points(verdict.difference)} {verdict.word}"
        differences.append(NOTHING if verdict is None else TableEntry(text, sort=verdict.difference))
    return [
        *_encoder_and_probe(result),
        share_entry(mean),
        TableEntry(interval(low, high, NONE), sort=low),
        *differences,
        TableEntry(duration(result["cost"]["training_s"]), sort=result["cost"]["training_s"]),
        statistic(result).removeprefix("mean of "),
        TableEntry(_published(result, data) or NONE, prose=True),
    ]


def _encoder_and_probe(result: CellResult) -> tuple[str, str]:
    cell = cell_of(result)
    return (cell.model, NONE) if result["pretraining"]["part"] == "network" else (cell.feature, cell.model)


def _published(result: CellResult, data: ReportData) -> str:
    cell = cell_of(result)
    rows = data.reproduction.to_dict("records")
    return "; ".join(
        f"{100 * row['reported']:.1f} ({row['paper']}, {row['reported_dataset']}, {row['reported_protocol']}, "
        f"{row['reported_statistic']})"
        for row in rows
        if Cell(row["dataset"], row["protocol"], row["feature"], row["model"]) == cell
    )
