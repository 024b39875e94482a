"""What became of each cell since the last finished run."""

from __future__ import annotations

from collections.abc import Sequence

from genre_pipeline.cells import Cell
from genre_pipeline.reporting.document import Block, Paragraph, Section, Table, Value, numeric, texts
from genre_pipeline.reporting.run_changes import metric_entries, verdict_text, what_changed
from genre_pipeline.reporting.sections.base import ReportData
from genre_pipeline.reporting.wording import plural
from genre_pipeline.results.run_changes import CellChange, regressions


def section(data: ReportData) -> Section | None:
    """Show what became of every cell that was compared; nothing where none was."""
    return _section(data, _compared(data))


def brief(data: ReportData) -> list[Section]:
    """Show the cells that are not as they were."""
    found = _section(data, [change for change in _compared(data) if change["verdict"] != "unchanged"])
    return [] if found is None else [found]


def _section(data: ReportData, shown: Sequence[CellChange]) -> Section | None:
    compared = _compared(data)
    if not compared:
        return None
    blocks: list[Block] = [Paragraph(_reading(compared)), *([_table(shown, data)] if shown else [])]
    return Section("changes", "Since the run before", blocks, nav="Changes")


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
    columns = [
        *texts("Model", "Dataset", "Protocol", "Feature"),
        *numeric("Before (%)", "Now (%)", "Difference (points)", f"{data.confidence_shown} interval (points)"),
        *texts("On", "Verdict", "What changed"),
    ]
    caption = (
        "Accuracy of test tracks. On tracks: paired, on the tracks that both runs have answered for, artists drawn as "
        "wholes. On intervals: made of both logged intervals, which is wider than need be."
    )
    return Table("changes-table", caption, columns, [_row(change) for change in changes])


def _row(change: CellChange) -> list[Value]:
    cell = Cell.parse(change["cell"])
    return [
        *(cell.model, cell.dataset, cell.protocol, cell.feature),
        *metric_entries(change["metrics"][0] if change["metrics"] else None),
        verdict_text(change),
        what_changed(change["changes"]),
    ]
