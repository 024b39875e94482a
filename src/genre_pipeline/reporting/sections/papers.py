"""What papers report of these models, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genre_pipeline.reporting.document import Column, Entry, FigureView, Table, figure_view, markdown_table
from genre_pipeline.reporting.reproduction_figure import NO_PAPER, paper_comparison
from genre_pipeline.reporting.sections.base import ReportData, Section, split_badge
from genre_pipeline.reporting.wording import NONE, percent, plural, points, points_interval
from genre_pipeline.results import part_name

_WORDS = {"yes": "yes", "no": "no", "unclear": "perhaps"}


def _build(data: ReportData) -> Mapping[str, Any]:
    if data.reproduction.empty:
        return {"why_not": NO_PAPER}
    return {"why_not": "", "figure": _figure(data), "table": _table(data)}


def _write_markdown(data: ReportData) -> Sequence[str]:
    if data.reproduction.empty:
        return []
    table = _table(data)
    return ["", "## Paper against measured", "", table.caption, "", *markdown_table(table)]


def _figure(data: ReportData) -> FigureView:
    rows = data.reproduction
    comparable = rows[rows["comparable"] == "yes"]
    within = int(((comparable["ci_low"] <= 0) & (comparable["ci_high"] >= 0)).sum())
    caption = (
        f"{plural(len(rows), 'pair')}, of which {len(comparable)} can be compared; of these {within} agree within our "
        "interval. Squares are what papers report, dots with intervals what was measured under the same unit, split "
        "and statistic."
    )
    figure = paper_comparison(rows)
    return figure_view(
        figure, key="papers-figure", title="Accuracies", captions=caption, height=figure.layout.height - 80
    )


def _table(data: ReportData) -> Table:
    columns = [
        *(
            Column(title)
            for title in ("Paper's row", "Model", "Dataset", "Protocol", "Feature", "Unit, split, statistic")
        ),
        *(Column(title, numeric=True) for title in ("Reported (%)", "Measured (%)", "Difference (points)")),
        Column("Interval (points)", numeric=True),
        Column("Comparable"),
        Column("Why"),
    ]
    rows = [
        [
            Entry(f"{row['row']} ({row['paper']}, table {row['table']})", badge=split_badge(row)),
            Entry(row["model"]),
            Entry(part_name(row["dataset"], row["subset"])),
            *(Entry(row[key]) for key in ("protocol", "feature")),
            Entry(f"{row['unit']}, {row['split']}, {row['statistic']}"),
            Entry(percent(row["reported"]), sort=row["reported"]),
            Entry(percent(row["measured"]), sort=row["measured"]),
            Entry(points(row["difference"]), sort=row["difference"]),
            Entry(points_interval(row["ci_low"], row["ci_high"]), sort=row["ci_low"]),
            Entry(_WORDS[row["comparable"]]),
            Entry(row["reason"] or NONE, prose=True),
        ]
        for row in data.reproduction.to_dict("records")
    ]
    caption = (
        "Ours is of the paper's unit, split and statistic; where the paper names no unit, of both, and where it names "
        "no statistic, the mean. The difference is ours minus the paper's, whose figure is taken as it stands: the "
        "interval is ours alone."
    )
    return Table(caption, columns, rows)


SECTION = Section("papers", "Paper against measured", _build, _write_markdown, nav="Papers")
