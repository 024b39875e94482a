"""What changes of the test audio cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from genre_pipeline.reporting.document import (
    Column,
    Entry,
    Table,
    count_entry,
    escape_markdown,
    figure_view,
    markdown_table,
    share_entry,
)
from genre_pipeline.reporting.robustness_figure import figure_height, robustness_figure
from genre_pipeline.reporting.sections.base import ReportData, Section, label, setting_name, track_accuracy
from genre_pipeline.reporting.wording import NONE, PERCENT, plural, points
from genre_pipeline.results import CellResult, cell_of

# Rounding of a mean of shares.
_SAME = 1e-9

Setting = tuple[Sequence[CellResult], pd.DataFrame]


def _settings(data: ReportData) -> list[Setting]:
    """Return the results and scores of each dataset and protocol that has scores of these trainings."""
    if data.robustness is None:
        return []
    settings: list[Setting] = []
    for group in data.groups.values():
        scores = [(result, _rows_of(data.robustness, result)) for result in group]
        asked = [(result, rows) for result, rows in scores if len(rows)]
        if asked:
            settings.append(([result for result, _ in asked], pd.concat([rows for _, rows in asked])))
    return settings


def _rows_of(table: pd.DataFrame, result: CellResult) -> pd.DataFrame:
    """Return a cell's scores; ``None`` if they are of another split or training."""
    same = table["split_hash"].eq(result["split_hash"]) & (
        (table["accuracy_of_all"] - track_accuracy(result)[0]).abs() < _SAME
    )
    for key, value in result["cell"].items():
        same &= table[key] == value
    return table[same]


def _build(data: ReportData) -> Mapping[str, Any] | None:
    settings = _settings(data)
    if not settings:
        return None
    return {
        "views": [
            {
                "figure": figure_view(
                    robustness_figure(rows, looks=data.looks),
                    key=f"robustness-{'-'.join((cell_of(group[0]).dataset, cell_of(group[0]).protocol))}",
                    title=setting_name(group),
                    captions=_reading(rows),
                    height=figure_height(rows),
                ),
                "matrix": _matrix(data, group, rows),
                "details": _details(data, group, rows),
            }
            for group, rows in settings
        ]
    }


def _write_markdown(data: ReportData) -> Sequence[str]:
    lines: list[str] = []
    for group, rows in _settings(data):
        title = escape_markdown(setting_name(group))
        lines += ["", f"## Robustness: {title}", "", _reading(rows), "", *markdown_table(_matrix(data, group, rows))]
    return lines


def _reading(rows: pd.DataFrame) -> str:
    known = rows[rows["n_tracks"] > 0]
    if known.empty:
        return "No model could be asked."
    worst = known.iloc[int(known["difference"].argmin())]
    n_changed, level = int(known["is_changed"].sum()), f"{100 * (1 - known['confidence'].iloc[0]):g}{PERCENT}"
    return (
        f"Tests see a change in {n_changed} of {plural(len(known), 'comparison')} (at {level}, corrected for the "
        f"interventions). The greatest loss is that of {worst['model']} under {worst['label']}: "
        f"{points(worst['difference'])} points of track accuracy."
    )


def _matrix(data: ReportData, group: Sequence[CellResult], rows: pd.DataFrame) -> Table:
    names = [label(result, data.looks) for result in group]
    before = [Entry("accuracy as it is (%)"), *(share_entry(track_accuracy(result)[0]) for result in group)]
    lines = [before]
    for name, of_intervention in rows.groupby("label", sort=False):
        by_cell = {(row["model"], row["feature"]): row for row in of_intervention.to_dict("records")}
        found = (by_cell.get((cell_of(result).model, cell_of(result).feature)) for result in group)
        lines.append([Entry(str(name)), *(_change_entry(row) for row in found)])
    caption = (
        "Change of track accuracy in points, on the tracks that could be changed, of which each cell is asked with the "
        "models of all repeats. * Seen by the tests."
    )
    return Table(caption, [Column("Test audio"), *(Column(name, numeric=True) for name in names)], lines)


def _change_entry(row: Mapping[Any, Any] | None) -> Entry:
    if row is None or math.isnan(row["difference"]):
        return Entry(NONE, sort=math.nan)
    return Entry(f"{points(row['difference'])}{' *' if row['is_changed'] else ''}", sort=row["difference"])


def _details(data: ReportData, group: Sequence[CellResult], rows: pd.DataFrame) -> Table:
    names = {(cell_of(result).model, cell_of(result).feature): label(result, data.looks) for result in group}
    titles = ("Accuracy (%)", "As it is (%)", "Change (points)", "Interval (points)", "Same answer (%)")
    columns = [
        *(Column(name) for name in ("Test audio", "Model")),
        *(Column(name, numeric=True) for name in (*titles, "p after Holm", "Tracks", "Left out")),
    ]
    entries = []
    for row in rows.to_dict("records"):
        low, high, p = row["ci_low"], row["ci_high"], row["p_holm"]
        entries.append(
            [
                Entry(row["label"]),
                Entry(names[row["model"], row["feature"]]),
                *(share_entry(row[key]) for key in ("accuracy", "accuracy_before")),
                _change_entry(row),
                Entry(NONE if math.isnan(low) else f"{points(low)} to {points(high)}", sort=low),
                share_entry(row["same_answer"]),
                Entry(NONE if math.isnan(p) else f"{p:.3f}", sort=p),
                *(count_entry(row[key]) for key in ("n_tracks", "n_left_out")),
            ]
        )
    caption = (
        "Everything that was asked. Interval and tests: as for pairs of models, the same model before and after being "
        "the pair. Same answer: tracks of which the model says what it said before, right or wrong. Left out, over "
        "repeats: tracks that could not be changed, or became shorter than one segment."
    )
    return Table(caption, columns, entries)


SECTION = Section("robustness", "What if the test audio is changed?", _build, _write_markdown, nav="Robustness")
