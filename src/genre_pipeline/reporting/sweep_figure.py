"""Accuracy against one value of a network, as a paper's figure shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genre_pipeline.evaluation.leaderboard import by_setting
from genre_pipeline.evaluation.published import Sweep
from genre_pipeline.reporting.figures import AXIS_TITLE, PALETTE, escape_html, style_figure
from genre_pipeline.reporting.wording import mark_suffix
from genre_pipeline.results.cell import CellResult, dataset_name, number, summary_row

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_DASHES = ("solid", "dash")


def sweep_comparison(sweep: Sweep, results: Sequence[CellResult]) -> Figure | None:
    """Draw the accuracy of segments of the test split, mean over repeats with its interval, against a value.

    Args:
        sweep: The paper's figure.
        results: One result per cell.

    Returns:
        A colour for each dataset and protocol, a dash for each line of the paper's figure. ``None`` if no line has two
        values that were measured under one of them.
    """
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    for place, ((_, protocol), group) in enumerate(by_setting(results).items()):
        rows = {each["cell"]["model"]: summary_row(each, unit="segment", metric="accuracy") for each in group}
        for line, dash in zip(sweep.lines, _DASHES, strict=False):
            points = [(value, rows[model]) for value, model in sweep.lines[line].items() if model in rows]
            if len(points) < 2:
                continue
            means, lows, highs = (
                [100 * number(row[key]) for _, row in points] for key in ("mean", "ci_low", "ci_high")
            )
            colour = PALETTE[place % len(PALETTE)]
            figure.add_trace(
                Scatter(
                    x=[value for value, _ in points],
                    y=means,
                    error_y={
                        "type": "data",
                        "symmetric": False,
                        "array": [high - mean for high, mean in zip(highs, means, strict=True)],
                        "arrayminus": [mean - low for low, mean in zip(lows, means, strict=True)],
                        "color": colour,
                    },
                    mode="lines+markers",
                    line={"color": colour, "dash": dash},
                    name=f"{escape_html(dataset_name(group[0]))} · {escape_html(protocol)}{mark_suffix(group)}, {line}",
                )
            )
    if not figure.data:
        return None
    style_figure(figure, height=420)
    values = [value for line in sweep.lines.values() for value in line]
    order = {"type": "category", "categoryorder": "array", "categoryarray": list(dict.fromkeys(values))}
    figure.update_xaxes({"title": {"text": sweep.axis, **AXIS_TITLE}, **order})
    figure.update_yaxes({"title": {"text": "segment accuracy (%)", **AXIS_TITLE}})
    return figure.update_layout(title={"text": sweep.title}, legend={"orientation": "h", "y": -0.25, "yanchor": "top"})
