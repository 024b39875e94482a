"""Learning curves."""

from __future__ import annotations

from collections.abc import Sequence

from genre_pipeline.reporting import figures
from genre_pipeline.reporting.document import Block, Figure, Group, Paragraph, Section, figure
from genre_pipeline.reporting.sections.base import Looks, ReportData, label, setting_name
from genre_pipeline.reporting.wording import PERCENT, enumerated
from genre_pipeline.results.cell import CellResult


def section(data: ReportData) -> Section:
    """Show the curves of each dataset and protocol."""
    shown = [
        _curves_figure(setting, trained, data.looks)
        for setting, group in data.groups.items()
        if (trained := [result for result in group if result["history"]])
    ]
    reading = (
        "Strong lines are means over repeats, drawn as far as at least half of the repeats trained; faint lines are "
        "single repeats. Models without epochs are a point."
    )
    blocks: list[Block] = (
        [Paragraph(reading), Group("grid", shown)] if shown else [Paragraph("No model recorded epochs.")]
    )
    return Section("curves", "Learning curves", blocks)


def _curves_figure(setting: tuple[str, str], group: Sequence[CellResult], looks: Looks) -> Figure:
    return figure(
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
