"""Track accuracies with their intervals and repeats."""

from __future__ import annotations

import math
from collections.abc import Sequence

from genre_pipeline.reporting import figures
from genre_pipeline.reporting.document import Figure, Group, Paragraph, Section, figure
from genre_pipeline.reporting.sections.base import (
    Looks,
    ReportData,
    chance,
    label,
    setting_name,
    track_accuracy,
)
from genre_pipeline.reporting.wording import PERCENT, interval, percent
from genre_pipeline.results.cell import CellResult


def section(data: ReportData) -> Section:
    """Show the accuracies of each dataset and protocol."""
    reading = (
        "Large marks are means with their intervals, small ones single repeats. Hollow diamonds are leaky. The dotted "
        "line is the share of the largest genre."
    )
    shown = [_accuracy_figure(setting, group, data.looks) for setting, group in data.groups.items()]
    return Section("accuracy", "Accuracy of tracks", [Paragraph(reading), Group("grid", shown)], nav="Accuracy")


def _accuracy_figure(setting: tuple[str, str], group: Sequence[CellResult], looks: Looks) -> Figure:
    (mean, low, high), worst = track_accuracy(group[0]), group[-1]
    known = "" if math.isnan(low) else f" (interval {interval(low, high)})"
    sentence = f"{label(group[0], looks)} has the highest mean track accuracy, {percent(mean)}{PERCENT}{known}"
    if len(group) > 1:
        sentence += f"; {label(worst, looks)} the lowest, {percent(track_accuracy(worst)[0])}{PERCENT}"
    caption = f"{sentence}. Always answering the largest genre gives {chance(group)}."
    return figure(
        figures.accuracy_comparison(group, looks=looks),
        key=f"accuracy-{'-'.join(setting)}",
        title=setting_name(group),
        captions=caption,
        height=34 * len(group) + 80,
    )
