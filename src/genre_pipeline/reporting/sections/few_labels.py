"""How accurate models are that learn from few labelled artists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from genre_pipeline.reporting.document import (
    NOTHING,
    Block,
    Group,
    Paragraph,
    Section,
    Span,
    Table,
    TableEntry,
    Value,
    figure,
    numeric,
)
from genre_pipeline.reporting.figures import AXIS_TITLE, escape_html, style_figure
from genre_pipeline.reporting.sections.base import (
    Looks,
    ReportData,
    Setting,
    has_accuracy,
    label,
    rows_of,
    setting_name,
    settings_of,
)
from genre_pipeline.reporting.wording import enumerated, interval, percent, plural
from genre_pipeline.results.cell import CellResult, cell_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure


def section(data: ReportData) -> Section | None:
    """Show the accuracy of each dataset and protocol against the number of artists; nothing where none was drawn."""
    settings = _settings(data)
    if not settings:
        return None
    reading: list[str | Span] = [
        (
            "The same models, trained again on the tracks of a few artists of each genre. Artists are drawn several "
            "times from the training side of each repeat; those of a draw with more artists include those with fewer. "
            "All are tested on the whole test side. A genre with fewer artists gives all it has; a track of unknown "
            "artist counts as one artist. The validation side stays whole: networks choose their epoch on it, with "
            "labels that are not counted here, and the other models do not use it. Made by "
        ),
        Span("kedro run --pipelines few_labels", "code"),
        ".",
    ]
    drawn = [
        figure(
            few_labels_figure(group, rows, data.looks),
            key=f"few-labels-{'-'.join((cell_of(group[0]).dataset, cell_of(group[0]).protocol))}",
            title=setting_name(group),
            captions=_caption(group, rows, data),
            height=420,
        )
        for group, rows in settings
    ]
    tables = [_table(f"few-labels-{place}", *setting, data) for place, setting in enumerate(settings, start=1)]
    blocks: list[Block] = [Paragraph(reading), Group("grid", drawn), *tables]
    return Section("few-labels", "How many labels does it take?", blocks, nav="Few labels")


def brief(data: ReportData) -> list[Section]:
    """Show the table of each dataset and protocol."""
    return [
        Section("", f"Few labels: {setting_name(group)}", [_table("", group, rows, data)])
        for group, rows in _settings(data)
    ]


def few_labels_figure(group: Sequence[CellResult], rows: pd.DataFrame, looks: Looks) -> PlotlyFigure:
    """Draw the accuracy of cells against the number of labelled artists of each genre.

    Args:
        group: Results of one dataset and protocol.
        rows: What is known of them, with the columns :data:`~genre_pipeline.results.tables.FEW_LABELS_COLUMNS`.
        looks: The style of each model and feature.

    Returns:
        One line per cell, with the interval of each point; the last point is that of all artists.
    """
    from plotly.graph_objects import Figure, Scatter

    drawn = style_figure(Figure(), height=420)
    for place, result in enumerate(group):
        look = looks[cell_of(result).model, cell_of(result).feature]
        of_cell = rows_of(rows, result)
        low, middle, high = (100 * of_cell[name].to_numpy() for name in ("ci_low", "mean", "ci_high"))
        bars = {"type": "data", "symmetric": False, "thickness": 1.2, "width": 4, "color": look.colour}
        name = escape_html(look.label)
        drawn.add_trace(
            Scatter(
                # Side by side, so that bars of two cells do not cover each other: 4 % apart [?].
                x=(of_cell["n_artists"] * 1.04 ** (place - (len(group) - 1) / 2)).tolist(),
                y=middle.tolist(),
                error_y={**bars, "array": (high - middle).tolist(), "arrayminus": (middle - low).tolist()},
                mode="lines+markers",
                name=name,
                line={"color": look.colour, "dash": look.dash, "width": 2},
                marker={"color": look.colour, "size": 7},
                customdata=[
                    [
                        _number(row),
                        f"{row['mean_tracks']:.0f}",
                        percent(row["mean"]),
                        interval(row["ci_low"], row["ci_high"]),
                    ]
                    for row in of_cell.to_dict("records")
                ],
                hovertemplate=(
                    f"{name}<br>%{{customdata[0]}} artists of each genre, %{{customdata[1]}} tracks<br>"
                    "%{customdata[2]} % (%{customdata[3]})<extra></extra>"
                ),
            )
        )
    numbers = rows.drop_duplicates("n_artists").sort_values("n_artists")
    drawn.update_xaxes(
        {
            "title": {"text": "labelled artists of each genre", **AXIS_TITLE},
            "type": "log",
            "tickvals": numbers["n_artists"].tolist(),
            # Short, because a phone leaves out what it has no room for.
            "ticktext": ["all" if row["all_artists"] else str(row["n_artists"]) for row in numbers.to_dict("records")],
            "tickangle": 0,
        }
    )
    drawn.update_yaxes({"title": {"text": "accuracy of test tracks (%)", **AXIS_TITLE}})
    return drawn.update_layout(legend={"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0})


def _settings(data: ReportData) -> list[Setting]:
    """Return the results and rows of each dataset and protocol that has rows of these splits."""
    table = data.few_labels
    return [] if table is None else settings_of(data.groups.values(), partial(_scores, table))


def _scores(table: pd.DataFrame, result: CellResult) -> pd.DataFrame:
    """Return a cell's rows; none if they are of another split or training: those of all artists are the cell's own."""
    rows = rows_of(table, result)
    return rows if has_accuracy(result, rows.loc[rows["all_artists"], "mean"]) else rows.iloc[:0]


def _number(row: Mapping[Any, Any]) -> str:
    return f"all (up to {row['n_artists']})" if row["all_artists"] else str(row["n_artists"])


def _caption(group: Sequence[CellResult], rows: pd.DataFrame, data: ReportData) -> str:
    fewest = rows[rows["n_artists"] == rows["n_artists"].min()]
    ends = [
        f"{label(result, data.looks)} {percent(rows_of(fewest, result)['mean'].iloc[0])}"
        for result in group
        if len(rows_of(fewest, result))
    ]
    return (
        f"Accuracy of test tracks against the number of labelled artists of each genre, with {data.confidence_shown} "
        f"intervals. With the fewest ({_number(fewest.to_dict('records')[0])}), in %: {enumerated(ends)}."
    )


def _table(key: str, group: Sequence[CellResult], rows: pd.DataFrame, data: ReportData) -> Table:
    lines: list[list[Value]] = []
    for _, of_number in rows.groupby(["n_artists", "all_artists"], sort=True):
        first = of_number.to_dict("records")[0]
        entries: list[Value] = []
        for result in group:
            found = rows_of(of_number, result).to_dict("records")
            text = (
                ""
                if not found
                else f"{percent(found[0]['mean'])} ({interval(found[0]['ci_low'], found[0]['ci_high'])})"
            )
            entries.append(TableEntry(text, sort=found[0]["mean"]) if found else NOTHING)
        sizes = (TableEntry(f"{first[name]:.0f}", sort=first[name]) for name in ("mean_artists", "mean_tracks"))
        lines.append([TableEntry(_number(first), sort=float(first["n_artists"])), *sizes, *entries])
    n_draws, n_repeats = int(rows["n_draws"].max()), int(rows["n_repeats"].max())
    n_failed = int(rows["n_failed"].sum())
    failed = f" {plural(n_failed, 'training')} failed, and are in no number." if n_failed else ""
    caption = (
        f"{setting_name(group)}. Accuracy of test tracks in %, with {data.confidence_shown} intervals as in the "
        f"leaderboard; mean over {plural(n_repeats, 'repeat')} of the mean over {plural(n_draws, 'draw')}. Artists and "
        f"tracks are those of all genres together, the mean over draws.{failed}"
    )
    columns = numeric("Artists of each genre", "Artists", "Tracks", *(label(result, data.looks) for result in group))
    return Table(key, caption, columns, lines, is_sortable=False)
