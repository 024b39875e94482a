"""What leaks are worth."""

from __future__ import annotations

import math

import pandas as pd

from genre_pipeline.evaluation.protocol_gap import UNITS
from genre_pipeline.reporting.document import (
    Block,
    Figure,
    Group,
    Paragraph,
    Section,
    Table,
    TableEntry,
    Value,
    figure,
    number_entry,
    numeric,
    share_entry,
    texts,
)
from genre_pipeline.reporting.gap_figure import CHOICES, NO_GAP, chosen_gaps, gap_comparison
from genre_pipeline.reporting.sections.base import ReportData
from genre_pipeline.reporting.wording import NONE, enumerated, mark_suffix, points, points_interval, split_badge
from genre_pipeline.results.cell import part_name


def section(data: ReportData) -> Section:
    """Show the gaps of each dataset, or why there are none."""
    reading = (
        "The same model on the same feature, under an honest protocol and under others: how many points each leak is "
        "worth. Hollow diamonds are leaky."
    )
    blocks: list[Block] = [Paragraph(NO_GAP)]
    if not data.gaps.empty:
        shown = [_figure(rows, data) for _, rows in data.gaps.groupby("dataset", sort=False)]
        blocks = [Paragraph(reading), Group("grid", shown), _table(data)]
    return Section("gap", "What protocols are worth", blocks, nav="Protocols")


def brief(data: ReportData) -> list[Section]:
    """Show the table, where there is one."""
    return [] if data.gaps.empty else [Section("", "What protocols are worth", [_table(data)])]


def _figure(rows: pd.DataFrame, data: ReportData) -> Figure:
    first = rows.iloc[0]
    name = part_name(first["dataset"], first["subset"])
    reference = rows[rows["protocol"] == first["reference_protocol"]].to_dict("records")
    drawn = gap_comparison(rows, looks=data.looks)
    return figure(
        drawn,
        key=f"gap-{first['dataset']}",
        title=f"{name}, against {first['reference_protocol']}{mark_suffix(reference)}",
        captions={label: _caption(rows, label, unit, best=best) for label, unit, best in CHOICES},
        height=drawn.layout.height - 110,
        menu="Shown",
    )


def _caption(rows: pd.DataFrame, label: str, unit: str, *, best: bool) -> str:
    shown = chosen_gaps(rows, unit, best=best)
    gaps = shown.groupby("protocol", sort=False)["gap"]
    reference = rows["reference_protocol"].iloc[0]
    words = [f"{protocol} {_range(of_protocol)}" for protocol, of_protocol in gaps if best or protocol != reference]
    return f"{label} of the test split, in points against the mean under {reference}: {enumerated(words)}."


def _range(gaps: pd.Series[float]) -> str:
    low, high = points(float(gaps.min())), points(float(gaps.max()))
    return low if low == high else f"{low} to {high}"


def _table(data: ReportData) -> Table:
    columns = texts("Model", "Dataset", "Protocol", "Feature", "On both sides")
    for unit in UNITS:
        titles = ("mean (%)", "gap (points)", "interval (points)", "best repeat (%)", "its gap (points)")
        columns += numeric(*(f"{unit.capitalize()}s: {title}" for title in titles))
    keys = ["dataset", "model", "feature", "protocol"]
    rows = []
    for _, of_cell in data.gaps.groupby(keys, sort=False):
        first = of_cell.iloc[0].to_dict()
        reference = first["protocol"] == first["reference_protocol"]
        entries: list[Value] = [
            TableEntry(first["model"], badge=split_badge(first)),
            part_name(first["dataset"], first["subset"]),
            f"{first['protocol']} (reference)" if reference else first["protocol"],
            *(first["feature"], first["shared"] or NONE),
        ]
        for unit in UNITS:
            mean, best = (chosen_gaps(of_cell, unit, best=best).iloc[0] for best in (False, True))
            entries += [
                share_entry(mean["accuracy"]),
                number_entry(math.nan if reference else mean["gap"], points),
                TableEntry(points_interval(mean["ci_low"], mean["ci_high"]), sort=mean["ci_low"]),
                share_entry(best["accuracy"]),
                TableEntry(points(best["gap"]), sort=best["gap"]),
            ]
        rows.append(entries)
    caption = (
        "Accuracy of the test split, mean over repeats and best repeat. Gaps are differences from the mean of the same "
        "model, feature and unit under the reference, the dataset's honest protocol; the interval takes the two for "
        "independent. The gap of the best repeat is what reporting the maximum adds."
    )
    return Table("gap-table", caption, columns, rows, is_ranking=False)
