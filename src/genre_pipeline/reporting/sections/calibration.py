"""How often tracks are right against how sure the model was of them, and what a temperature makes of it."""

from __future__ import annotations

from collections.abc import Sequence

from genre_pipeline.reporting import figures
from genre_pipeline.reporting.document import (
    Block,
    Figure,
    Group,
    Paragraph,
    Section,
    Table,
    Value,
    figure,
    number_entry,
    numeric,
    share_entry,
    texts,
)
from genre_pipeline.reporting.sections.base import Looks, ReportData, label, setting_name
from genre_pipeline.reporting.wording import PERCENT, enumerated, percent
from genre_pipeline.results.cell import CellResult, number, summary_row

_METRICS = ("ece", "log_loss", "brier")


def section(data: ReportData) -> Section:
    """Show the reliability diagrams of each dataset and protocol, and the errors before and after calibration."""
    reading = (
        "How often tracks are right against how sure the model was of them, in 15 bins of confidence; larger marks "
        "hold more tracks. On the dotted diagonal confidence is honest, below it the model is too sure, above it too "
        "modest. Bins of few tracks jump about by chance."
    )
    calibrated = (
        "A temperature divides the logarithms of a track's probabilities; above 1 it makes the model less sure. It is "
        "fitted to the validation tracks of each repeat and changes no answer, so that no other number depends on it. "
        "The model for use goes without: the mean of the repeats' models is less sure than each of them."
    )
    shown = [_reliability_figure(setting, group, data.looks) for setting, group in data.groups.items()]
    tables = [
        _table(f"temperature-{place}", group, data.looks) for place, group in enumerate(data.groups.values(), start=1)
    ]
    blocks: list[Block] = [Paragraph(reading), Group("grid", shown), Paragraph(calibrated), *tables]
    return Section("calibration", "Calibration of tracks", blocks, nav="Calibration")


def _reliability_figure(setting: tuple[str, str], group: Sequence[CellResult], looks: Looks) -> Figure:
    errors = []
    for result in group:
        bars = result["reliability"]["track"]
        sure = sum(bar["n"] * bar["confidence"] for bar in bars) / sum(bar["n"] for bar in bars)
        ece = number(summary_row(result, unit="track", metric="ece")["mean"])
        errors.append(f"{label(result, looks)} {percent(ece)} (sure by {percent(sure)}{PERCENT} on average)")
    return figure(
        figures.reliability_diagrams(group, looks=looks),
        key=f"reliability-{'-'.join(setting)}",
        title=setting_name(group),
        captions=f"Expected calibration error in points, mean over repeats: {enumerated(errors)}.",
        height=380,
    )


def _table(key: str, group: Sequence[CellResult], looks: Looks) -> Table:
    rows: list[list[Value]] = []
    for result in group:
        temperature = summary_row(result, unit="track", metric="temperature", split="validation")
        ece, *others = (
            [summary_row(result, unit="track", metric=f"{when}{metric}")["mean"] for when in ("", "calibrated_")]
            for metric in _METRICS
        )
        ends = [number_entry(temperature[end], "{:.2f}".format) for end in ("mean", "min", "max")]
        losses = [number_entry(value, "{:.3f}".format) for pair in others for value in pair]
        rows.append([label(result, looks), *ends, *map(share_entry, ece), *losses])
    columns = [
        *texts("Model"),
        *numeric("Temperature", "Lowest", "Highest"),
        *numeric("Calibration error (points)", "with temperature", "Log loss", "with temperature"),
        *numeric("Brier score", "with temperature"),
    ]
    caption = f"{setting_name(group)}. Test tracks, mean over repeats; temperatures of validation tracks."
    return Table(key, caption, columns, rows)
