"""Quality against cost: which models are worth what they take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genre_pipeline.evaluation.estimates import mean_accuracy
from genre_pipeline.evaluation.leaderboard import by_setting, clip_costs
from genre_pipeline.reporting.figures import (
    AXIS_TITLE,
    GREY,
    NO_MODEL,
    Style,
    empty_figure,
    escape_html,
    menu,
    panels,
    styles,
)
from genre_pipeline.reporting.wording import mark_suffix
from genre_pipeline.results.cell import CellResult, cell_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class CostKind:
    """Something that a model takes: its key among the costs, and how it is drawn."""

    key: str
    title: str
    axis: str


COSTS = (
    CostKind("inference_s_per_clip", "Inference time", "inference per clip (s)"),
    CostKind("training_s", "Training time", "training, all repeats (s)"),
    CostKind("n_parameters", "Parameters", "trainable parameters"),
    CostKind("gflop_per_clip", "Operations", "GFLOP per clip"),
)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Find the points that no other beats: none costs no more and is better, or costs less and is as good.

    Args:
        points: Cost and quality of each; NaN where one is not known, which is on no front.

    Returns:
        Their indices, by rising cost.

    Example:
        >>> pareto_front([(1.0, 0.5), (2.0, 0.4), (3.0, 0.9), (3.0, 0.8)])
        [0, 2]
    """
    known = [index for index, point in enumerate(points) if not any(map(math.isnan, point))]
    front: list[int] = []
    for index in sorted(known, key=lambda index: (points[index][0], -points[index][1])):
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front


def costs_and_quality(group: Sequence[CellResult], kind: CostKind) -> list[tuple[float, float]]:
    """Return the cost and the mean track accuracy of each result; NaN where that cost is not counted."""
    return [(clip_costs(result)[kind.key], mean_accuracy(result, unit="track").value) for result in group]


def cost_comparison(results: Sequence[CellResult], *, looks: Mapping[tuple[str, str], Style] | None = None) -> Figure:
    """Draw the track accuracy of each cell against what it costs, chosen from a menu.

    Args:
        results: One result per cell.
        looks: Styles shared with other figures; the results' own by default.

    Returns:
        One panel for each dataset and protocol, with the front of the models that no other beats as a stepped line.

    Raises:
        EvaluationError: If there is no result or a metric is missing.
    """
    groups, looks = by_setting(results), looks or styles(results)
    if not groups:
        return empty_figure(NO_MODEL)
    figure = panels(groups, heights=[320] * len(groups), spacing_px=110)
    named: set[str] = set()
    for place, group in enumerate(groups.values(), start=1):
        for trace in _traces(group, looks, named):
            figure.add_trace(trace, row=place, col=1)
    buttons = [_button(kind, list(groups.values())) for kind in COSTS]
    figure.update_xaxes({"type": "log", "title": AXIS_TITLE, "tickformat": "~s", "nticks": 6})
    figure.update_yaxes({"title": {"text": "track accuracy (%)", **AXIS_TITLE}})
    for trace, x, y in zip(figure.data, buttons[0]["args"][0]["x"], buttons[0]["args"][0]["y"], strict=True):
        trace.update(x=x, y=y)
    figure.update_layout(buttons[0]["args"][1])
    return figure.update_layout(
        legend={"orientation": "h", "y": -0.22 / len(groups), "yanchor": "top", "x": 0}, updatemenus=[menu(buttons)]
    )


def _traces(group: Sequence[CellResult], looks: Mapping[tuple[str, str], Style], named: set[str]) -> list[Any]:
    """Return the front's trace, then one per cell; the button sets their positions."""
    from plotly.graph_objects import Scatter

    line = {"color": GREY, "dash": "dot", "width": 1.5, "shape": "hv"}
    traces = [Scatter(mode="lines", line=line, hoverinfo="skip", showlegend=False, meta="front")]
    for result in group:
        look = looks[cell_of(result).model, cell_of(result).feature]
        mean, low, high = mean_accuracy(result, unit="track")
        known = not (math.isnan(low) or math.isnan(high))
        bars = {"type": "data", "symmetric": False, "thickness": 1.5, "width": 5, "color": look.colour}
        ends = {"array": [100 * (high - mean)], "arrayminus": [100 * (mean - low)]}
        name = escape_html(look.label) + mark_suffix([result])
        traces.append(
            Scatter(
                mode="markers",
                error_y={**bars, **ends} if known else None,
                marker={
                    "color": look.colour,
                    "size": 12,
                    "symbol": "diamond-open" if result["leaky"] else "circle",
                    "line": {"width": 2, "color": look.colour},
                },
                name=escape_html(look.label),
                legendgroup=look.label,
                showlegend=look.label not in named,
                hovertemplate=f"<b>{name}</b><br>%{{y:.1f}} % at %{{x:.3~s}}<extra></extra>",
                meta="cell",
            )
        )
        named.add(look.label)
    return traces


def _button(kind: CostKind, groups: Sequence[Sequence[CellResult]]) -> dict[str, Any]:
    x: list[list[float | None]] = []
    y: list[list[float | None]] = []
    for group in groups:
        points = costs_and_quality(group, kind)
        front = pareto_front(points)
        x.append([points[index][0] for index in front])
        y.append([100 * points[index][1] for index in front])
        x += [[None if math.isnan(cost) else cost] for cost, _ in points]
        y += [[100 * quality] for _, quality in points]
    layout: dict[str, Any] = {"title.text": f"Track accuracy on the test split against {kind.title.lower()}"}
    for place in range(1, len(groups) + 1):
        layout[f"{'xaxis' if place == 1 else f'xaxis{place}'}.title.text"] = kind.axis
    return {"label": kind.title, "method": "update", "args": [{"x": x, "y": y}, layout]}
