"""How often tracks are right against how sure the model was of them."""

from __future__ import annotations

from collections.abc import Sequence

from genre_pipeline.reporting import figures
from genre_pipeline.reporting.document import Figure, Group, Paragraph, Section, figure
from genre_pipeline.reporting.sections.base import Looks, ReportData, label, setting_name
from genre_pipeline.reporting.wording import PERCENT, enumerated, percent
from genre_pipeline.results.cell import CellResult, number, summary_row


def section(data: ReportData) -> Section:
    """Show the reliability diagrams of each dataset and protocol."""
    reading = (
        "How often tracks are right against how sure the model was of them, in 15 bins of confidence; larger marks "
        "hold more tracks. On the dotted diagonal confidence is honest, below it the model is too sure, above it too "
        "modest. Bins of few tracks jump about by chance."
    )
    shown = [_reliability_figure(setting, group, data.looks) for setting, group in data.groups.items()]
    return Section(
        "calibration", "Calibration of tracks", [Paragraph(reading), Group("grid", shown)], nav="Calibration"
    )


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
