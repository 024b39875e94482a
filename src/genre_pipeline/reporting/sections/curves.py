"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genre_pipeline.reporting import figures
from genre_pipeline.reporting.document import FigureView, figure_view
from genre_pipeline.reporting.sections.base import Looks, ReportData, Section, label, setting_name
from genre_pipeline.reporting.wording import PERCENT, enumerated
from genre_pipeline.results import CellResult


def _build(data: ReportData) -> Mapping[str, Any]:
    return {
        "figures": [
            _curves_view(setting, trained, data.looks)
            for setting, group in data.groups.items()
            if (trained := [result for result in group if result["history"]])
        ]
    }


def _curves_view(setting: tuple[str, str], group: Sequence[CellResult], looks: Looks) -> FigureView:
    return figure_view(
        figures.learning_curves(group, looks=looks),
        key=f"curves-{'-'.join(setting)}",
        title=setting_name(group),
        captions={quantity.title: _curves_caption(group, quantity, looks) for quantity in figures.QUANTITIES},
        height=360,
        menu="Quantity",
    )


def _curves_caption(group: Sequence[CellResult], quantity: figures.Quantity, looks: Looks) -> str:
    endings = []
    for result in group:
        epochs, means = figures.mean_curve(result, quantity)
        known = [(epoch, mean) for epoch, mean in zip(epochs, means, strict=True) if mean is not None]
        if known:
            epoch, mean = known[-1]
            shown = f"{mean:.1f}{PERCENT}" if quantity.upper else f"{mean:.2f} nats"
            after = f" after {epoch:,} epochs" if len(epochs) > 1 else ""
            endings.append(f"{label(result, looks)} {shown}{after}")
    if not endings:
        return f"{quantity.title}: not recorded."
    return f"{quantity.title}, mean over repeats: {enumerated(endings)}."


SECTION = Section("curves", "Learning curves", _build)
