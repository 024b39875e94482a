"""What changes of the test audio cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from genre_pipeline.reporting.document import (
    NOTHING,
    Block,
    Folded,
    Group,
    Paragraph,
    Section,
    Span,
    Table,
    TableEntry,
    Value,
    count_entry,
    figure,
    number_entry,
    numeric,
    share_entry,
    texts,
)
from genre_pipeline.reporting.robustness_figure import figure_height, robustness_figure
from genre_pipeline.reporting.sections.base import (
    ReportData,
    Setting,
    has_accuracy,
    label,
    rows_of,
    setting_name,
    settings_of,
    track_accuracy,
)
from genre_pipeline.reporting.wording import PERCENT, plural, points, points_interval
from genre_pipeline.results.cell import CellResult, cell_of


def _settings(data: ReportData) -> list[Setting]:
    """Return the results and scores of each dataset and protocol that has scores of these trainings."""
    table = data.robustness
    return [] if table is None else settings_of(data.groups.values(), partial(_scores, table))


def _scores(table: pd.DataFrame, result: CellResult) -> pd.DataFrame:
    """Return a cell's scores; none if they are of another split or training."""
    rows = rows_of(table, result)
    return rows if has_accuracy(result, rows["accuracy_of_all"]) else rows.iloc[:0]


def section(data: ReportData) -> Section | None:
    """Show a figure and the numbers of each dataset and protocol; nothing where no audio was changed."""
    blocks: list[Block] = [
        Paragraph(
            [
                (
                    "Nothing was trained anew: the same models predicted the same test tracks after their audio was "
                    "changed in a way that leaves the genre to the ear (Sturm 2014). A model that loses much has "
                    "learned something else than what is heard. Made by "
                ),
                Span("kedro run --pipelines robustness", "code"),
                ".",
            ]
        )
    ]
    settings = _settings(data)
    for place, (group, rows) in enumerate(settings, start=1):
        drawn = figure(
            robustness_figure(rows, looks=data.looks),
            key=f"robustness-{'-'.join((cell_of(group[0]).dataset, cell_of(group[0]).protocol))}",
            title=setting_name(group),
            captions=_reading(rows),
            height=figure_height(rows),
        )
        details = _details(f"robustness-tests-{place}", data, group, rows)
        blocks += [
            Group("grid", [drawn]),
            _matrix(f"robustness-{place}", data, group, rows),
            Folded("Accuracies, intervals and tests", [details]),
        ]
    return Section("robustness", "What if the test audio is changed?", blocks, nav="Robustness") if settings else None


def brief(data: ReportData) -> list[Section]:
    """Show the changes of each dataset and protocol."""
    return [
        Section("", f"Robustness: {setting_name(group)}", [Paragraph(_reading(rows)), _matrix("", data, group, rows)])
        for group, rows in _settings(data)
    ]


def _reading(rows: pd.DataFrame) -> str:
    known = rows[rows["n_tracks"] > 0]
    if known.empty:
        return "No track could be changed."
    worst = known.iloc[int(known["difference"].argmin())]
    n_changed, level = int(known["is_changed"].sum()), f"{100 * (1 - known['confidence'].iloc[0]):g}{PERCENT}"
    return (
        f"Tests see a change in {n_changed} of {plural(len(known), 'comparison')} (at {level}, corrected for the "
        f"interventions). The greatest loss is that of {worst['model']} under {worst['label']}: "
        f"{points(worst['difference'])} points of track accuracy."
    )


def _matrix(key: str, data: ReportData, group: Sequence[CellResult], rows: pd.DataFrame) -> Table:
    names = [label(result, data.looks) for result in group]
    before: list[Value] = [
        "accuracy of the unchanged audio (%)",
        *(share_entry(track_accuracy(result)[0]) for result in group),
    ]
    lines: list[list[Value]] = [before]
    for name, of_intervention in rows.groupby("label", sort=False):
        by_cell = {(row["model"], row["feature"]): row for row in of_intervention.to_dict("records")}
        found = (by_cell.get((cell_of(result).model, cell_of(result).feature)) for result in group)
        lines.append([str(name), *(_change_entry(row) for row in found)])
    caption = (
        "Change of track accuracy in points, on the tracks that could be changed, over the models of all repeats. "
        "* Significant after correction."
    )
    return Table(key, caption, [*texts("Test audio"), *numeric(*names)], lines, is_sortable=False)


def _change_entry(row: Mapping[Any, Any] | None) -> TableEntry:
    if row is None or math.isnan(row["difference"]):
        return NOTHING
    return TableEntry(f"{points(row['difference'])}{' *' if row['is_changed'] else ''}", sort=row["difference"])


def _details(key: str, data: ReportData, group: Sequence[CellResult], rows: pd.DataFrame) -> Table:
    names = {(cell_of(result).model, cell_of(result).feature): label(result, data.looks) for result in group}
    columns = [
        *texts("Test audio", "Model"),
        *numeric("Accuracy (%)", "Unchanged audio (%)", "Change (points)", "Interval (points)"),
        *numeric("Same prediction (%)", "p after Holm", "Tracks", "Left out"),
    ]
    entries: list[list[Value]] = []
    for row in rows.to_dict("records"):
        low, high = row["ci_low"], row["ci_high"]
        entries.append(
            [
                row["label"],
                names[row["model"], row["feature"]],
                *(share_entry(row[key]) for key in ("accuracy", "accuracy_before")),
                _change_entry(row),
                TableEntry(points_interval(low, high), sort=low),
                share_entry(row["same_answer"]),
                number_entry(row["p_holm"], "{:.3f}".format),
                *(count_entry(row[key]) for key in ("n_tracks", "n_left_out")),
            ]
        )
    caption = (
        "Every change and model. Interval and tests: as for pairs of models, the pair being the same model before and "
        "after. Same prediction: share of the tracks that get the same genre as before, right or wrong. Left out, over "
        "repeats: tracks that could not be changed, or became shorter than one segment."
    )
    return Table(key, caption, columns, entries)
