"""How right the answers are that a model is surest of."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from genre_pipeline.evaluation.abstention import choose_threshold
from genre_pipeline.reporting import figures
from genre_pipeline.reporting.document import (
    Block,
    Figure,
    Group,
    Paragraph,
    Section,
    Span,
    Table,
    Text,
    Value,
    figure,
    numeric,
    share_entry,
    texts,
)
from genre_pipeline.reporting.final_model import ERRORS
from genre_pipeline.reporting.sections.base import Looks, ReportData, label, rows_of, setting_name
from genre_pipeline.reporting.wording import enumerated, mean_and_sd, plural
from genre_pipeline.results.cell import CellResult, summary_row, threshold_rows

_METRICS = ("accuracy", "accuracy_at_95_coverage", "accuracy_at_80_coverage")


def section(data: ReportData) -> Section:
    """Show the risk-coverage curves of each dataset and protocol, and what thresholds are worth."""
    reading = (
        "A model that may say “not sure” keeps the answers of which it is surest: how many of these are right, against "
        "how many are kept. On the right end it answers for every track. Of few tracks, on the left, a curve jumps "
        "about by chance."
    )
    chosen = (
        "Thresholds are chosen on the validation tracks of all repeats, to let no more of the kept answers be wrong "
        "than is allowed; the table shows what they keep of the test tracks, and how much of that is wrong. Where "
        "validation and test tracks differ, or few are kept, more is wrong than was allowed."
    )
    shown = [_figure(setting, group, data.looks) for setting, group in data.groups.items()]
    tables = [
        _table(f"abstention-{place}", group, data.looks) for place, group in enumerate(data.groups.values(), start=1)
    ]
    blocks: list[Block] = [Paragraph(reading), Group("grid", shown), Paragraph(chosen), *tables, *_unseen(data)]
    return Section("abstention", "If a model may say “not sure”", blocks, nav="Not sure")


def _unseen(data: ReportData) -> list[Block]:
    """Show how well confidence tells genres that a model never saw, where that was asked for."""
    if data.unseen_genres is None:
        return []
    tables: list[Block] = []
    for place, group in enumerate(data.groups.values(), start=1):
        found = {
            label(result, data.looks): rows
            for result in group
            if len(rows := rows_of(data.unseen_genres, result)) and rows["genre"].isin(result["genres"]).all()
        }
        if not found:
            continue
        by_model = pd.DataFrame({name: rows.groupby("genre")["value"].mean() for name, rows in found.items()})
        spread = {name: rows.groupby("repeat")["value"].mean().std() for name, rows in found.items()}
        lines: list[list[Value]] = [
            ["all genres", *(mean_and_sd(by_model[name].mean(), spread[name]) for name in found)]
        ]
        lines += [[str(genre), *map(share_entry, by_model.loc[genre])] for genre in by_model.index]
        n_repeats = max(rows["repeat"].nunique() for rows in found.values())
        caption = (
            f"{setting_name(group)}. How often, in %, a test track of a known genre gets a higher probability than one "
            f"of the genre that was left out of training and validation (area under the ROC curve; 50 is chance, 100 "
            f"perfect). Mean over {plural(n_repeats, 'repeat')}; ± is the standard deviation over them."
        )
        columns = [*texts("Genre never seen"), *numeric(*found)]
        tables.append(Table(f"unseen-{place}", caption, columns, lines, is_sortable=False))
    made: Text = [
        "Are models less sure of genres that they never saw? Each was trained again without each genre. Made by ",
        Span("kedro run --pipelines unseen_genres", "code"),
        ".",
    ]
    return [Paragraph(made), *tables] if tables else []


def _figure(setting: tuple[str, str], group: Sequence[CellResult], looks: Looks) -> Figure:
    return figure(
        figures.risk_coverage(group, looks=looks),
        key=f"coverage-{'-'.join(setting)}",
        title=setting_name(group),
        captions=(
            "Accuracy of the kept answers over the test tracks of all repeats: "
            f"{enumerated(label(result, looks) for result in group)}."
        ),
        height=380,
    )


def _table(key: str, group: Sequence[CellResult], looks: Looks) -> Table:
    rows: list[list[Value]] = []
    for result in group:
        surest = [summary_row(result, unit="track", metric=metric)["mean"] for metric in _METRICS]
        found = [choose_threshold(threshold_rows(result), error) for error in ERRORS]
        kept = [value for each in found for value in (each.kept, each.error)]
        rows.append([label(result, looks), *map(share_entry, [*surest, *kept])])
    columns = [*texts("Model"), *numeric("Accuracy (%)", "surest 95 %", "surest 80 %")]
    for error in ERRORS:
        columns += numeric(f"Kept for {100 * error:g} % errors (%)", "of these wrong (%)")
    caption = (
        f"{setting_name(group)}. Test tracks; accuracies are means over repeats, thresholds one for all repeats. 0.0 "
        f"kept: no threshold reaches that error rate, or no test track is that sure."
    )
    return Table(key, caption, columns, rows)
