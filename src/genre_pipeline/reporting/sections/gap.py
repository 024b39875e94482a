"""What leaks are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from genre_pipeline.evaluation.protocol_gap import UNITS
from genre_pipeline.reporting.document import Column, Entry, FigureView, Table, figure_view, markdown_table
from genre_pipeline.reporting.gap_figure import CHOICES, NO_GAP, chosen_gaps, gap_comparison
from genre_pipeline.reporting.sections.base import ReportData, Section, split_badge
from genre_pipeline.reporting.wording import NONE, enumerated, mark_suffix, percent, points, points_interval
from genre_pipeline.results import part_name


def _build(data: ReportData) -> Mapping[str, Any]:
    if data.gaps.empty:
        return {"why_not": NO_GAP}
    by_dataset = data.gaps.groupby("dataset", sort=False)
    return {"why_not": "", "figures": [_figure(rows, data) for _, rows in by_dataset], "table": _table(data)}


def _write_markdown(data: ReportData) -> Sequence[str]:
    if data.gaps.empty:
        return []
    table = _table(data)
    return ["", "## What protocols are worth", "", table.caption, "", *markdown_table(table)]


def _figure(rows: pd.DataFrame, data: ReportData) -> FigureView:
    first = rows.iloc[0]
    name = part_name(first["dataset"], first["subset"])
    reference = rows[rows["protocol"] == first["reference_protocol"]].to_dict("records")
    figure = gap_comparison(rows, looks=data.looks)
    return figure_view(
        figure,
        key=f"gap-{first['dataset']}",
        title=f"{name}, against {first['reference_protocol']}{mark_suffix(reference)}",
        captions={label: _caption(rows, label, unit, best=best) for label, unit, best in CHOICES},
        height=figure.layout.height - 110,
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
    columns = [*(Column(title) for title in ("Model", "Dataset", "Protocol", "Feature", "On both sides"))]
    for unit in UNITS:
        titles = ("mean (%)", "gap (points)", "interval (points)", "best repeat (%)", "its gap (points)")
        columns += [Column(f"{unit.capitalize()}s: {title}", numeric=True) for title in titles]
    keys = ["dataset", "model", "feature", "protocol"]
    rows = []
    for _, of_cell in data.gaps.groupby(keys, sort=False):
        first = of_cell.iloc[0].to_dict()
        reference = first["protocol"] == first["reference_protocol"]
        entries = [
            Entry(first["model"], badge=split_badge(first)),
            Entry(part_name(first["dataset"], first["subset"])),
            Entry(f"{first['protocol']} (reference)" if reference else first["protocol"]),
            Entry(first["feature"]),
            Entry(first["shared"] or NONE),
        ]
        for unit in UNITS:
            mean, best = (chosen_gaps(of_cell, unit, best=best).iloc[0] for best in (False, True))
            gap = math.nan if reference else mean["gap"]
            entries += [
                Entry(percent(mean["accuracy"]), sort=mean["accuracy"]),
                Entry(NONE if reference else points(gap), sort=gap),
                Entry(points_interval(mean["ci_low"], mean["ci_high"]), sort=mean["ci_low"]),
                Entry(percent(best["accuracy"]), sort=best["accuracy"]),
                Entry(points(best["gap"]), sort=best["gap"]),
            ]
        rows.append(entries)
    caption = (
        "Accuracy of the test split, mean over repeats and best repeat. Gaps are differences from the mean of the same "
        "model, feature and unit under the reference, the dataset's honest protocol; the interval takes the two for "
        "independent. The gap of the best repeat is what reporting the maximum adds."
    )
    return Table(caption, columns, rows)


SECTION = Section("gap", "What protocols are worth", _build, _write_markdown, nav="Protocols")
