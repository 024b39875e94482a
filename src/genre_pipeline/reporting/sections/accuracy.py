"""Track accuracies with their intervals and repeats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from genre_pipeline.reporting import figures
from genre_pipeline.reporting.document import FigureView, figure_view
from genre_pipeline.reporting.sections.base import (
    Looks,
    ReportData,
    Section,
    chance,
    label,
    setting_name,
    track_accuracy,
)
from genre_pipeline.reporting.wording import PERCENT, interval, percent
from genre_pipeline.results import CellResult


def _build(data: ReportData) -> Mapping[str, Any]:
    return {"figures": [_accuracy_view(setting, group, data.looks) for setting, group in data.groups.items()]}


def _accuracy_view(setting: tuple[str, str], group: Sequence[CellResult], looks: Looks) -> FigureView:
    (mean, low, high), worst = track_accuracy(group[0]), group[-1]
    known = "" if math.isnan(low) else f" (interval {interval(low, high)})"
    sentence = f"{label(group[0], looks)} has the highest mean track accuracy, {percent(mean)}{PERCENT}{known}"
    if len(group) > 1:
        sentence += f"; {label(worst, looks)} the lowest, {percent(track_accuracy(worst)[0])}{PERCENT}"
    caption = f"{sentence}. Always answering the largest genre gives {chance(group)}."
    return figure_view(
        figures.accuracy_comparison(group, looks=looks),
        key=f"accuracy-{'-'.join(setting)}",
        title=setting_name(group),
        captions=caption,
        height=34 * len(group) + 80,
    )


SECTION = Section("accuracy", "Accuracy of tracks", _build, nav="Accuracy")
