"""Confusion matrices of tracks and segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from genre_pipeline.reporting import figures
from genre_pipeline.reporting.document import Block, Figure, Group, Paragraph, Section, figure
from genre_pipeline.reporting.sections.base import ReportData
from genre_pipeline.reporting.wording import PERCENT, plural
from genre_pipeline.results.cell import CellResult, cell_of, confusion_counts


def section(data: ReportData) -> Section:
    """Show the matrices of tracks and of segments, of which menus choose the cell."""
    reading = (
        "Rows are true genres and sum to 100 %; the counts appear when you point at a cell. A blank row was not tested."
    )
    shown = [_confusion_figure(data.groups, unit) for unit in ("track", "segment") if data.groups]
    blocks: list[Block] = [Paragraph(reading), Group("grid", shown, is_linked=True)]
    return Section("confusion", "Confusion matrices", blocks, nav="Confusion")


def _confusion_figure(groups: Mapping[tuple[str, str], Sequence[CellResult]], unit: str) -> Figure:
    ordered = [result for group in groups.values() for result in group]
    drawn = figures.confusion_matrices(ordered, unit=unit)
    drawn.update_layout(coloraxis_showscale=False)
    labels = [button["label"] for button in drawn.to_plotly_json()["layout"]["updatemenus"][0]["buttons"]]
    captions = {label: _confusion_caption(result, unit) for label, result in zip(labels, ordered, strict=True)}
    title = f"{unit.capitalize()}s"
    return figure(drawn, key=f"confusion-{unit}", title=title, captions=captions, height=480, menu="Cell")


def _confusion_caption(result: CellResult, unit: str) -> str:
    counts = confusion_counts(result, unit)
    right = f"{int(np.trace(counts)):,} of {plural(int(counts.sum()), unit)} right (sum over repeats)"
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return f"{cell_of(result).model}: {right}, no confusion."
    shares = np.nan_to_num(figures.confusion_percent(result, unit)) * (wrong > 0)
    true, predicted = np.unravel_index(int(shares.argmax()), shares.shape)
    genres = result["genres"]
    pair = f"{genres[true]} was taken for {genres[predicted]} most often, {shares[true, predicted]:.1f}{PERCENT}"
    return f"{cell_of(result).model}: {right}; {pair} ({plural(int(counts[true, predicted]), unit)})."
