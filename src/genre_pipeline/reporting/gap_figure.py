"""What leaks are worth, as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from genre_pipeline.reporting.figures import (
    AXIS_TITLE,
    GREY,
    Style,
    empty_figure,
    escape_html,
    menu,
    style_figure,
)
from genre_pipeline.reporting.wording import mark_suffix

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

NO_GAP = "No model has a number under an honest protocol and under another one."
# What can be looked at: a label, the unit, and whether it is the best repeat.
CHOICES = (
    ("Tracks, mean", "track", False),
    ("Segments, mean", "segment", False),
    ("Tracks, best repeat", "track", True),
    ("Segments, best repeat", "segment", True),
)
# Pixels that a model's mark takes within its protocol's row, and those between two rows [?].
_MARK_PX, _ROW_PX = 16, 22
# What an axis and its title take up below the marks, however few they are [?].
_AXIS_PX = 56


def gap_comparison(gaps: pd.DataFrame, *, looks: Mapping[tuple[str, str], Style]) -> Figure:
    """Draw how many points each protocol moves each model, against the honest one.

    Args:
        gaps: What :func:`~genre_pipeline.evaluation.protocol_gap.protocol_gaps` found.
        looks: Style of each model and feature.

    Returns:
        One panel per dataset, one row per protocol, one mark with its interval per model. A menu chooses the unit, and
        whether the mean or the best repeat is set against the honest mean.
    """
    from plotly.subplots import make_subplots

    if gaps.empty:
        return empty_figure(NO_GAP)
    datasets = list(dict.fromkeys(gaps["dataset"]))
    shapes = {dataset: _rows(gaps, dataset) for dataset in datasets}
    heights = [len(protocols) * (_MARK_PX * len(models) + _ROW_PX) + 40 for protocols, models in shapes.values()]
    total = sum(heights) + 110 * (len(datasets) - 1)
    figure = make_subplots(
        rows=len(datasets),
        cols=1,
        subplot_titles=[escape_html(dataset) for dataset in datasets],
        row_heights=[float(height) for height in heights],
        vertical_spacing=110 / total,
    )
    figure.update_annotations({"x": 0, "xanchor": "left", "font": {"size": 14}})
    style_figure(figure, height=total + 160)
    values: dict[str, list[dict[str, Any]]] = {label: [] for label, _, _ in CHOICES}
    named: set[str] = set()
    for place, (dataset, (protocols, models)) in enumerate(shapes.items(), start=1):
        for index, key in enumerate(models):
            look = looks[key]
            offset = 0.7 * ((index + 0.5) / len(models) - 0.5)
            rows = gaps[(gaps["dataset"] == dataset) & (gaps["model"] == key[0]) & (gaps["feature"] == key[1])]
            figure.add_trace(_trace(rows, protocols, offset, look, legend=look.label not in named), row=place, col=1)
            named.add(look.label)
            for label, unit, best in CHOICES:
                values[label].append(_values(rows, protocols, unit, best=best))
        figure.add_vline(0, line={"color": GREY, "dash": "dot", "width": 1.5}, row=place, col=1)
        figure.update_yaxes(
            {
                "range": [len(protocols) - 0.5, -0.5],
                "tickvals": list(range(len(protocols))),
                "ticktext": [_row_label(gaps, dataset, protocol) for protocol in protocols],
                "showgrid": False,
            },
            row=place,
            col=1,
        )
    figure.update_xaxes({"title": {"text": "points against the honest mean", **AXIS_TITLE}})
    buttons = [_button(label, values[label]) for label, _, _ in CHOICES]
    for trace, first in zip(figure.data, values[CHOICES[0][0]], strict=True):
        trace.update(first)
    return figure.update_layout(
        title={"text": buttons[0]["args"][1]["title.text"]},
        legend={"orientation": "h", "y": -_AXIS_PX / total, "yanchor": "top", "x": 0},
        updatemenus=[menu(buttons)],
    )


def _rows(gaps: pd.DataFrame, dataset: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the protocols of a dataset, the honest one first and then by what they are worth, and its models."""
    rows = gaps[gaps["dataset"] == dataset]
    reference = rows["reference_protocol"].iloc[0]
    worth = rows.groupby("protocol")["gap"].mean().drop(reference)
    models = list(dict.fromkeys(zip(rows["model"], rows["feature"], strict=True)))
    return [reference, *worth.sort_values().index], models


def _row_label(gaps: pd.DataFrame, dataset: str, protocol: str) -> str:
    rows = gaps[(gaps["dataset"] == dataset) & (gaps["protocol"] == protocol)]
    reference = " (reference)" if protocol == rows["reference_protocol"].iloc[0] else ""
    return escape_html(protocol) + f"{reference}{mark_suffix(rows.to_dict('records'))}".replace(" (", "<br>(")


def chosen_gaps(rows: pd.DataFrame, unit: str, *, best: bool) -> pd.DataFrame:
    """Return the gaps of a unit, of the mean or of the best repeat, by protocol."""
    return rows[(rows["unit"] == unit) & (rows["statistic"].str.startswith("maximum") == best)].set_index("protocol")


def _values(rows: pd.DataFrame, protocols: list[str], unit: str, *, best: bool) -> dict[str, Any]:
    points = 100 * chosen_gaps(rows, unit, best=best)[["gap", "ci_low", "ci_high", "accuracy"]].reindex(protocols)
    ends = {"array": points["ci_high"] - points["gap"], "arrayminus": points["gap"] - points["ci_low"]}
    return {
        "x": _plain(points["gap"]),
        "customdata": _plain(points["accuracy"]),
        **{f"error_x_{name}": _plain(values) for name, values in ends.items()},
    }


def _trace(rows: pd.DataFrame, protocols: list[str], offset: float, look: Style, *, legend: bool) -> Any:
    from plotly.graph_objects import Scatter

    leaky = chosen_gaps(rows, "track", best=False)["leaky"].reindex(protocols)
    return Scatter(
        y=(np.arange(len(protocols)) + offset).tolist(),
        mode="markers",
        error_x={"type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": look.colour},
        marker={
            "color": look.colour,
            "size": 10,
            "symbol": ["diamond-open" if mark is True else "circle" for mark in leaky],
            "line": {"width": 2, "color": look.colour},
        },
        text=[escape_html(protocol) for protocol in protocols],
        name=escape_html(look.label),
        legendgroup=look.label,
        showlegend=legend,
        hovertemplate=(
            f"<b>{escape_html(look.label)}</b>, %{{text}}<br>%{{customdata:.1f}} %, %{{x:+.1f}} points<extra></extra>"
        ),
    )


def _button(label: str, values: list[dict[str, Any]]) -> dict[str, Any]:
    changes = {key.replace("error_x_", "error_x."): [each[key] for each in values] for key in values[0]}
    title = f"What protocols are worth: {label.lower()} against the honest mean, test split"
    return {"label": label, "method": "update", "args": [changes, {"title.text": title}]}


def _plain(values: pd.Series[float]) -> list[float | None]:
    return [None if pd.isna(value) else float(value) for value in values]
