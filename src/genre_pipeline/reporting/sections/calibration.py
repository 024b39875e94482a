"""How often tracks are right against how sure the model was of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genre_pipeline.reporting import figures
from genre_pipeline.reporting.document import FigureView, figure_view
from genre_pipeline.reporting.sections.base import Looks, ReportData, Section, label, setting_name
from genre_pipeline.reporting.wording import PERCENT, enumerated, percent
from genre_pipeline.results import CellResult, number, summary_row


def _build(data: ReportData) -> Mapping[str, Any]:
    return {"figures": [_reliability_view(setting, group, data.looks) for setting, group in data.groups.items()]}


def _reliability_view(setting: tuple[str, str], group: Sequence[CellResult], looks: Looks) -> FigureView:
    errors = []
    for result in group:
        bars = result["reliability"]["track"]
        sure = sum(bar["n"] * bar["confidence"] for bar in bars) / sum(bar["n"] for bar in bars)
        ece = number(summary_row(result, unit="track", metric="ece")["mean"])
        errors.append(f"{label(result, looks)} {percent(ece)} (sure by {percent(sure)}{PERCENT} on average)")
    return figure_view(
        figures.reliability_diagrams(group, looks=looks),
        key=f"reliability-{'-'.join(setting)}",
        title=setting_name(group),
        captions=f"Expected calibration error in points, mean over repeats: {enumerated(errors)}.",
        height=380,
    )


SECTION = Section("calibration", "Calibration of tracks", _build, nav="Calibration")
