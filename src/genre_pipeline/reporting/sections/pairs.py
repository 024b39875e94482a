"""Every two cells of a dataset and protocol against each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.paired import PairVerdict
from genre_pipeline.reporting.document import Column, Entry, Table, count_entry, escape_markdown, markdown_table
from genre_pipeline.reporting.sections.base import Looks, ReportData, Section, label, setting_name
from genre_pipeline.reporting.wording import NONE, PERCENT, common, count, plural, points, points_interval
from genre_pipeline.results import CellResult, cell_of, statistic


@dataclass(frozen=True)
class PairsView:
    """What the comparison of every two cells of a dataset and protocol found."""

    reading: str
    matrix: Table
    details: Table


def _views(data: ReportData) -> dict[tuple[str, str], PairsView]:
    if data.pairs is None:
        return {}
    return {
        setting: _pairs_view(data.pairs, group, data.looks, data.compared[setting])
        for setting, group in data.groups.items()
        if data.compared[setting]
    }


def _build(data: ReportData) -> Mapping[str, Any] | None:
    views = _views(data)
    return {"views": list(views.values())} if views else None


def _write_markdown(data: ReportData) -> Sequence[str]:
    lines: list[str] = []
    for setting, view in _views(data).items():
        name = escape_markdown(setting_name(data.groups[setting]))
        lines += ["", f"## Is A really better than B? {name}", "", view.reading, "", *markdown_table(view.matrix)]
    return lines


def _pairs_view(
    pairs: pd.DataFrame, group: Sequence[CellResult], looks: Looks, compared: Mapping[tuple[Cell, Cell], PairVerdict]
) -> PairsView:
    first = cell_of(group[0])
    rows = pairs[(pairs["dataset"] == first.dataset) & (pairs["protocol"] == first.protocol)]
    level = f"{100 * (1 - float(rows['confidence'].iloc[0])):g}{PERCENT}"
    tracks = common(rows["n_tracks"].map(count))
    artists = common(rows["n_clusters"].map(count))
    reading = (
        f"{setting_name(group)}: accuracy of {tracks} test tracks of {artists} artists (a track of unknown artist "
        f"counts as one), {statistic(group[0])}, row minus column in points. “No difference shown”: none that these "
        f"{tracks} tracks can show at {level}, corrected for {plural(len(rows), 'pair')}; there may be one."
    )
    names = {cell_of(result): label(result, looks) for result in group}
    matrix = [
        [Entry(name), *(_verdict_entry(compared.get((cell, other))) for other in names)] for cell, name in names.items()
    ]
    return PairsView(
        reading,
        Table(reading, [Column("A"), *(Column(f"against {name}", numeric=True) for name in names.values())], matrix),
        _pairs_table(rows, names),
    )


def _verdict_entry(verdict: PairVerdict | None) -> Entry:
    if verdict is None:
        return Entry(NONE, sort=math.nan)
    return Entry(f"{points(verdict.difference)} {verdict.word}", sort=verdict.difference)


def _pairs_table(rows: pd.DataFrame, names: Mapping[Cell, str]) -> Table:
    columns = [
        *(Column(name) for name in ("A", "B")),
        *(Column(name, numeric=True) for name in ("A minus B (points)", "Interval (points)", "Only A right")),
        *(Column(name, numeric=True) for name in ("Only B right", "p: bootstrap", "p: corrected t", "p: McNemar")),
        Column("p after Holm", numeric=True),
        Column("Better"),
    ]
    tests = ("p_bootstrap", "p_corrected_t", "p_mcnemar", "p_holm")
    entries = []
    for row in rows.to_dict("records"):
        a, b = (
            names[Cell(row["dataset"], row["protocol"], row[f"feature_{side}"], row[f"model_{side}"])] for side in "ab"
        )
        low, high = row["ci_low"], row["ci_high"]
        entries.append(
            [
                *(Entry(a), Entry(b)),
                Entry(points(row["difference"]), sort=row["difference"]),
                Entry(points_interval(low, high), sort=low),
                *(count_entry(row[key]) for key in ("only_a", "only_b")),
                *(Entry(NONE if math.isnan(row[key]) else f"{row[key]:.3f}", sort=row[key]) for key in tests),
                Entry({"a": a, "b": b}.get(row["better"], "no difference shown")),
            ]
        )
    caption = (
        "Every pair. Interval and first p-value: bootstrap over artists (and over seeds, where repeats are seeds). "
        "Corrected t: Nadeau and Bengio 2003, for folds and resampled splits. McNemar: exact, for single runs. A "
        "difference counts if every test sees it after Holm's correction for the number of pairs."
    )
    return Table(caption, columns, entries)


SECTION = Section("pairs", "Is A really better than B?", _build, _write_markdown, nav="Pairs")
