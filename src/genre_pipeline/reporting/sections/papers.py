"""What papers report of these models, and what was measured."""

from __future__ import annotations

from genre_pipeline.evaluation.published import SWEEPS
from genre_pipeline.reporting.document import (
    Block,
    Figure,
    Paragraph,
    Section,
    Table,
    TableEntry,
    Value,
    figure,
    numeric,
    share_entry,
    texts,
)
from genre_pipeline.reporting.reproduction_figure import NO_PAPER, paper_comparison
from genre_pipeline.reporting.sections.base import ReportData, track_accuracy
from genre_pipeline.reporting.sweep_figure import sweep_comparison
from genre_pipeline.reporting.wording import NONE, interval, plural, points, points_interval, split_badge
from genre_pipeline.results.cell import CellResult, cell_of, part_name, statistic

_WORDS = {"yes": "yes", "no": "no", "unclear": "perhaps"}


def section(data: ReportData) -> Section:
    """Show the papers' accuracies beside the measured ones, or why there are none."""
    reading = (
        "For each cell that is a row of a paper's table. A pair can be compared if the protocol is the paper's, the "
        "tracks are all there, and the paper says what it counts."
    )
    nothing = data.reproduction.empty
    blocks: list[Block] = [Paragraph(NO_PAPER)] if nothing else [Paragraph(reading), _figure(data), _table(data)]
    return Section(
        "papers", "Paper against measured", [*blocks, *_sweeps(data), *_tables_of_others(data)], nav="Papers"
    )


def brief(data: ReportData) -> list[Section]:
    """Show the tables, where there are any."""
    tables = [*([] if data.reproduction.empty else [_table(data)]), *_tables_of_others(data)]
    return [Section("", "Paper against measured", tables)] if tables else []


def _figure(data: ReportData) -> Figure:
    rows = data.reproduction
    comparable = rows[rows["comparable"] == "yes"]
    within = int(((comparable["ci_low"] <= 0) & (comparable["ci_high"] >= 0)).sum())
    caption = (
        f"{plural(len(rows), 'pair')}, of which {len(comparable)} can be compared; of these {within} agree within our "
        "interval. Squares are what papers report, dots with intervals what was measured under the same unit, split "
        "and statistic."
    )
    drawn = paper_comparison(rows)
    return figure(drawn, key="papers-figure", title="Accuracies", captions=caption, height=drawn.layout.height - 80)


def _table(data: ReportData) -> Table:
    columns = [
        *texts("Paper's row", "Model", "Dataset", "Protocol", "Feature", "Unit, split, statistic"),
        *numeric("Reported (%)", "Measured (%)", "Difference (points)", "Interval (points)"),
        *texts("Comparable", "Why"),
    ]
    rows: list[list[Value]] = [
        [
            TableEntry(f"{row['row']} ({row['paper']}, table {row['table']})", badge=split_badge(row)),
            *(row["model"], part_name(row["dataset"], row["subset"]), row["protocol"], row["feature"]),
            f"{row['unit']}, {row['split']}, {row['statistic']}",
            *(share_entry(row[key]) for key in ("reported", "measured")),
            TableEntry(points(row["difference"]), sort=row["difference"]),
            TableEntry(points_interval(row["ci_low"], row["ci_high"]), sort=row["ci_low"]),
            _WORDS[row["comparable"]],
            TableEntry(row["reason"] or NONE, prose=True),
        ]
        for row in data.reproduction.to_dict("records")
    ]
    caption = (
        "Ours is of the paper's unit, split and statistic; where the paper names no unit, of both, and where it names "
        "no statistic, the mean. The difference is ours minus the paper's, whose figure is taken as it stands: the "
        "interval is ours alone."
    )
    return Table("papers-table", caption, columns, rows)


def _sweeps(data: ReportData) -> list[Figure]:
    drawn = [(sweep, sweep_comparison(sweep, data.results)) for sweep in SWEEPS]
    return [
        figure(
            each,
            key=f"sweep-{number}",
            title=sweep.title,
            captions=f"Accuracy of the segments of the test split, with intervals, against the {sweep.axis}. What the "
            "paper's figure shows is lost.",
            height=360,
        )
        for number, (sweep, each) in enumerate(drawn)
        if each is not None
    ]


def _tables_of_others(data: ReportData) -> list[Table]:
    return [_table_of_others(dataset, data) for dataset in data.others]


def _table_of_others(dataset: str, data: ReportData) -> Table:
    """Set what others report on a dataset beside every cell that was measured on it."""
    columns = [*texts("System", "From", "Protocol", "Unit, statistic"), *numeric("Accuracy (%)"), *texts("Note")]
    of_others: list[tuple[float, list[Value]]] = [
        (
            figure.accuracy / 100.0,
            [
                *(figure.row, f"{figure.paper}: {figure.table}", figure.protocol),
                *(f"{figure.unit}, {figure.statistic}", share_entry(figure.accuracy / 100.0)),
                TableEntry(figure.note or NONE, prose=True),
            ],
        )
        for figure in data.others[dataset]
    ]
    measured = [_measured(result) for (name, _), group in data.groups.items() if name == dataset for result in group]
    rows = [row for _, row in sorted([*of_others, *measured], key=lambda each: -each[0])]
    caption = (
        f"What papers report of other systems on {dataset}, and every cell here, by accuracy on the test split. Only "
        "the same tracks under the same protocol, unit and statistic can be compared."
    )
    return Table(f"others-{dataset}", caption, columns, rows, filter="system, protocol…")


def _measured(result: CellResult) -> tuple[float, list[Value]]:
    cell, (mean, low, high) = cell_of(result), track_accuracy(result)
    row: list[Value] = [
        TableEntry(f"{cell.model} ({cell.feature})", badge=split_badge(result)),
        *("measured here", cell.protocol, f"track, {statistic(result)}", share_entry(mean)),
        TableEntry("; ".join(filter(None, [result["subset"], interval(low, high, "")])) or NONE, prose=True),
    ]
    return mean, row
