"""Paper against measured, as a figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from genre_pipeline.reporting.figures import (
    AXIS_TITLE,
    GREY,
    PALETTE,
    empty_figure,
    escape_html,
    style_figure,
)
from genre_pipeline.results.cell import part_name

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Pixels that two lines of a name and the marks below them take [?].
_ROW_PX = 64
NO_PAPER = "No paper's table has a row for these models on these features and datasets."
_COLOURS = {"yes": PALETTE[2], "unclear": PALETTE[1], "no": PALETTE[3]}
_WORDS = {"yes": "comparable", "unclear": "perhaps comparable", "no": "not comparable"}


def paper_comparison(reproduction: pd.DataFrame) -> Figure:
    """Draw what papers report beside what was measured under the same unit, split and statistic.

    Args:
        reproduction: What :func:`~genre_pipeline.evaluation.reproduction.compare_with_papers` found.

    Returns:
        One row a pair whose protocol is the paper's (or every pair, where there is none): the paper's figure as a
        hollow square, ours with its interval, in a colour that says whether they can be compared.
    """
    from plotly.graph_objects import Figure, Scatter

    if reproduction.empty:
        return empty_figure(NO_PAPER)
    same = reproduction[reproduction["protocol"] == reproduction["reported_protocol"]]
    rows = (reproduction if same.empty else same).to_dict("records")
    places, labels = list(range(len(rows))), [_label(row) for row in rows]
    figure = Figure()
    joined = [end for row in rows for end in (100 * row["reported"], 100 * row["measured"], None)]
    levels = [end for place in places for end in (place, place, None)]
    line = {"color": GREY, "width": 1}
    figure.add_trace(Scatter(x=joined, y=levels, mode="lines", line=line, hoverinfo="skip", showlegend=False))
    figure.add_trace(
        Scatter(
            x=[100 * row["reported"] for row in rows],
            y=places,
            mode="markers",
            marker={"symbol": "square-open", "size": 11, "color": GREY, "line": {"width": 2, "color": GREY}},
            name="paper",
            text=labels,
            hovertemplate="%{text}<br>reported %{x:.1f} %<extra></extra>",
        )
    )
    for verdict, colour in _COLOURS.items():
        chosen = [place for place in places if rows[place]["comparable"] == verdict]
        if chosen:
            figure.add_trace(_measured([rows[place] for place in chosen], chosen, verdict, colour))
    ends = [row[key] for row in rows for key in ("reported", "measured", "measured_ci_low")]
    left = 10.0 * math.floor(10.0 * min(end for end in ends if not math.isnan(end)))
    # Names stand above their row: beside it they would leave a phone no room.
    heads = {"x": [left] * len(rows), "y": [place - 0.45 for place in places], "text": labels}
    figure.add_trace(Scatter(**heads, mode="text", textposition="middle right", hoverinfo="skip", showlegend=False))
    style_figure(figure, height=_ROW_PX * len(rows) + 180)
    figure.update_xaxes({"title": {"text": "accuracy (%)", **AXIS_TITLE}, "range": [left, 101]})
    figure.update_yaxes({"range": [len(rows) - 0.6, -0.9], "showticklabels": False, "showgrid": False})
    return figure.update_layout(
        title={"text": "Paper against measured, under the paper's unit, split and statistic"},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    )


def _measured(rows: list[dict[Any, Any]], places: list[int], verdict: str, colour: str) -> Any:
    from plotly.graph_objects import Scatter

    ends = [(row["measured_ci_low"], row["measured"], row["measured_ci_high"]) for row in rows]
    return Scatter(
        x=[100 * row["measured"] for row in rows],
        y=places,
        mode="markers",
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [None if math.isnan(high) else 100 * (high - value) for _, value, high in ends],
            "arrayminus": [None if math.isnan(low) else 100 * (value - low) for low, value, _ in ends],
            "thickness": 2,
            "width": 5,
            "color": colour,
        },
        marker={"color": colour, "size": 11},
        name=f"measured, {_WORDS[verdict]}",
        text=[_label(row) for row in rows],
        hovertemplate=f"%{{text}}<br>measured %{{x:.1f}} %, {_WORDS[verdict]}<extra></extra>",
    )


def _label(row: dict[Any, Any]) -> str:
    """Name a pair in two lines: the paper's row and the dataset, then what was counted."""
    dataset = part_name(row["dataset"], "part" if row["subset"] else "")
    lines = [
        f"{row['row']} ({row['paper']}) · {dataset}",
        f"{row['protocol']} · {row['feature']} · {row['unit']}, {row['split']}",
    ]
    return "<br>".join(map(escape_html, lines))
