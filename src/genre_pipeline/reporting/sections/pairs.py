"""Every two cells of a dataset and protocol against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.paired import PairVerdict
from genre_pipeline.reporting.document import (
    NOTHING,
    Block,
    Folded,
    Paragraph,
    Section,
    Table,
    TableEntry,
    Value,
    count_entry,
    number_entry,
    numeric,
    texts,
)
from genre_pipeline.reporting.sections.base import Looks, ReportData, label, setting_name
from genre_pipeline.reporting.wording import PERCENT, common, count, plural, points, points_interval
from genre_pipeline.results.cell import CellResult, cell_of, statistic

_TITLE = "Is A really better than B?"


def section(data: ReportData) -> Section | None:
    """Show every pair of each dataset and protocol; nothing where nothing was compared."""
    found = _tables(data)
    blocks: list[Block] = [
        Paragraph(
            "Both predicted the same tracks, so that they are compared track by track: what is easy or hard for both "
            "cancels out."
        )
    ]
    for _, matrix, details in found:
        blocks += [matrix, Folded("Intervals and tests", [details])]
    return Section("pairs", _TITLE, blocks, nav="Pairs") if found else None


def brief(data: ReportData) -> list[Section]:
    """Show the matrix of each dataset and protocol."""
    return [Section("", f"{_TITLE} {name}", [matrix]) for name, matrix, _ in _tables(data)]


def _tables(data: ReportData) -> list[tuple[str, Table, Table]]:
    """Return the name of each dataset and protocol, the matrix of its cells, and the tests in full."""
    if data.pairs is None:
        return []
    compared = [setting for setting in data.groups if data.compared[setting]]
    return [
        (
            setting_name(data.groups[setting]),
            *_tables_of(place, data.pairs, data.groups[setting], data.looks, data.compared[setting]),
        )
        for place, setting in enumerate(compared, start=1)
    ]


def _tables_of(
    place: int,
    pairs: pd.DataFrame,
    group: Sequence[CellResult],
    looks: Looks,
    compared: Mapping[tuple[Cell, Cell], PairVerdict],
) -> tuple[Table, Table]:
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
    matrix: list[list[Value]] = [
        [name, *(_verdict_entry(compared.get((cell, other))) for other in names)] for cell, name in names.items()
    ]
    columns = [*texts("A"), *numeric(*(f"against {name}" for name in names.values()))]
    return (
        Table(f"pairs-{place}", reading, columns, matrix, is_sortable=False),
        _pairs_table(f"pair-tests-{place}", rows, names),
    )


def _verdict_entry(verdict: PairVerdict | None) -> TableEntry:
    if verdict is None:
        return NOTHING
    return TableEntry(f"{points(verdict.difference)} {verdict.word}", sort=verdict.difference)


def _pairs_table(key: str, rows: pd.DataFrame, names: Mapping[Cell, str]) -> Table:
    columns = [
        *texts("A", "B"),
        *numeric("A minus B (points)", "Interval (points)", "Only A right", "Only B right"),
        *numeric("p: bootstrap", "p: corrected t", "p: McNemar", "p after Holm"),
        *texts("Better"),
    ]
    tests = ("p_bootstrap", "p_corrected_t", "p_mcnemar", "p_holm")
    entries: list[list[Value]] = []
    for row in rows.to_dict("records"):
        a, b = (
            names[Cell(row["dataset"], row["protocol"], row[f"feature_{side}"], row[f"model_{side}"])] for side in "ab"
        )
        low, high = row["ci_low"], row["ci_high"]
        entries.append(
            [
                *(a, b),
                TableEntry(points(row["difference"]), sort=row["difference"]),
                TableEntry(points_interval(low, high), sort=low),
                *(count_entry(row[key]) for key in ("only_a", "only_b")),
                *(number_entry(row[key], "{:.3f}".format) for key in tests),
                {"a": a, "b": b}.get(row["better"], "no difference shown"),
            ]
        )
    caption = (
        "Every pair. Interval and first p-value: bootstrap over artists (and over seeds, where repeats are seeds). "
        "Corrected t: Nadeau and Bengio 2003, for folds and resampled splits. McNemar: exact, for single runs. A "
        "difference counts if every test sees it after Holm's correction for the number of pairs."
    )
    return Table(key, caption, columns, entries)
