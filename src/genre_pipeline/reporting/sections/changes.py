"""What became of each cell since the last finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genre_pipeline.cells import Cell
from genre_pipeline.reporting.changes_text import metric_entries, verdict_text, what_changed
from genre_pipeline.reporting.document import Column, Entry, Table, markdown_table
from genre_pipeline.reporting.sections.base import ReportData, Section
from genre_pipeline.reporting.wording import plural
from genre_pipeline.results import CellChange, regressions


def _build(data: ReportData) -> Mapping[str, Any] | None:
    compared = _compared(data)
    return {"table": _table(compared, data), "reading": _reading(compared)} if compared else None


def _write_markdown(data: ReportData) -> Sequence[str]:
    compared = _compared(data)
    if not compared:
        return []
    lines = ["", "## Since the run before", "", _reading(compared)]
    moved = [change for change in compared if change["verdict"] != "unchanged"]
    return [*lines, "", *markdown_table(_table(moved, data))] if moved else lines


def _compared(data: ReportData) -> list[CellChange]:
    return [change for change in data.changes if change["before"] and change["after"]]


def _reading(compared: Sequence[CellChange]) -> str:
    n_same = sum(change["verdict"] == "unchanged" for change in compared)
    n_worse = len(regressions(compared))
    return (
        f"{plural(len(compared), 'cell')} compared with the last finished run that evaluated them: {n_same} unchanged, "
        f"{n_worse} worse beyond the interval. A difference comes with what changed meanwhile, which may explain it."
    )


def _table(changes: Sequence[CellChange], data: ReportData) -> Table:
    titles = ("Before (%)", "Now (%)", "Difference (points)", f"{data.confidence_shown} interval (points)")
    columns = [
        *(Column(title) for title in ("Model", "Dataset", "Protocol", "Feature")),
        *(Column(title, numeric=True) for title in titles),
        *(Column(title) for title in ("On", "Verdict", "What changed")),
    ]
    caption = (
        "Accuracy of test tracks. On tracks: paired, on the tracks that both runs have answered for, artists drawn as "
        "wholes. On intervals: made of both logged intervals, which is wider than need be."
    )
    return Table(caption, columns, [_row(change) for change in changes])


def _row(change: CellChange) -> list[Entry]:
    cell = Cell.parse(change["cell"])
    return [
        *map(Entry, (cell.model, cell.dataset, cell.protocol, cell.feature)),
        *metric_entries(change["metrics"][0] if change["metrics"] else None),
        Entry(verdict_text(change)),
        Entry(what_changed(change["changes"])),
    ]


SECTION = Section("changes", "Since the run before", _build, _write_markdown, nav="Changes")
