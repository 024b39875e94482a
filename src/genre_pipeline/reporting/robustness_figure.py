"""Figures of what changes of the test audio cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.reporting.figures import (
    AXIS_TITLE,
    GREY,
    Style,
    cell_styles,
    empty_figure,
    escape_html,
    style_figure,
)
from genre_pipeline.reporting.wording import mark_suffix

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure
    from plotly.graph_objects import Figure

# [?] Pixels of a model's mark, and of the gap between two interventions.
_MARK_PX, _GAP_PX = 11, 14


def robustness_figure(table: pd.DataFrame, *, looks: Mapping[tuple[str, str], Style] | None = None) -> Figure:
    """Draw the change of accuracy under each intervention, with its interval.

    Args:
        table: Rows with the columns :data:`~genre_pipeline.results.tables.ROBUSTNESS_COLUMNS`, of one or several
            datasets and protocols.
        looks: Styles shared with other figures; the table's own by default.

    Returns:
        One panel for each dataset and protocol: one row per intervention, with one mark per cell, in points of track
        accuracy. A mark is filled where the tests see a change.
    """
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    known = table[table["n_tracks"] > 0]
    if known.empty:
        return empty_figure("No test track could be changed.")
    looks = looks or cell_styles(_cells(known))
    groups = list(known.groupby(["dataset", "protocol"], sort=False))
    heights = [figure_height(group) for _, group in groups]
    spacing_px = 90
    figure = make_subplots(
        rows=len(groups),
        cols=1,
        subplot_titles=[
            escape_html(f"{dataset} · {protocol}") + mark_suffix(group.to_dict("records"))
            for (dataset, protocol), group in groups
        ],
        row_heights=[float(height) for height in heights],
        vertical_spacing=spacing_px / (sum(heights) + spacing_px * (len(heights) - 1)),
    )
    figure.update_annotations({"x": 0, "xanchor": "left", "font": {"size": 14}})
    style_figure(figure, height=sum(heights) + spacing_px * (len(heights) - 1) + 160)
    named: set[str] = set()
    for place, (_, group) in enumerate(groups, start=1):
        labels = list(dict.fromkeys(group["label"]))
        by_cell = list(group.groupby(["model", "feature"], sort=False))
        offsets = _offsets(len(by_cell))
        for offset, ((model, feature), rows) in zip(offsets, by_cell, strict=True):
            look = looks[str(model), str(feature)]
            low, middle, high = (100 * rows[name].to_numpy() for name in ("ci_low", "difference", "ci_high"))
            bars = {"type": "data", "symmetric": False, "thickness": 1.5, "width": 3, "color": look.colour}
            trace = Scatter(
                x=middle.tolist(),
                y=[labels.index(label) + offset for label in rows["label"]],
                error_x={**bars, "array": (high - middle).tolist(), "arrayminus": (middle - low).tolist()},
                mode="markers",
                name=escape_html(look.label),
                legendgroup=look.label,
                showlegend=look.label not in named,
                marker={
                    "color": look.colour,
                    "size": 8,
                    "symbol": ["circle" if changed else "circle-open" for changed in rows["is_changed"]],
                },
                text=[_spoken(row, look) for row in rows.to_dict("records")],
                hovertemplate="%{text}<extra></extra>",
            )
            figure.add_trace(trace, row=place, col=1)
            named.add(look.label)
        figure.add_vline(0, line={"color": GREY, "dash": "dot", "width": 1.5}, row=place, col=1)
        figure.update_yaxes(
            {
                "tickmode": "array",
                "tickvals": list(range(len(labels))),
                "ticktext": [escape_html(label) for label in labels],
                "range": [len(labels) - 0.5, -0.5],
                "showgrid": False,
            },
            row=place,
            col=1,
        )
    figure.update_xaxes({"title": {"text": "change of track accuracy (points)", **AXIS_TITLE}})
    return figure.update_layout(
        title={"text": "Accuracy on changed test audio, against that on the same tracks as they are"},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1, "xanchor": "right"},
    )


def robustness_picture(table: pd.DataFrame) -> MatplotlibFigure:
    """Draw the same as numbers in a still picture: one row per cell, one column per intervention.

    Args:
        table: As for :func:`robustness_figure`.

    Returns:
        A Matplotlib figure drawn without pyplot: it belongs to no window, and is the caller's to save. Changes that
        the tests see are bold.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = ["dataset", "protocol", "feature", "model"]
    cells = table.drop_duplicates(keys)[[*keys, "accuracy_of_all", "leaky", "artists_unknown"]].to_dict("records")
    labels = list(dict.fromkeys(table["label"]))
    rows = {(*(row[key] for key in keys), row["label"]): row for row in table.to_dict("records")}
    found = [[rows.get((*(cell[key] for key in keys), label)) for label in labels] for cell in cells]
    points = np.array([[np.nan if row is None else 100 * row["difference"] for row in line] for line in found])
    # 0.55 inches hold the digits of a cell, 4 and 2.2 inches the labels of the axes [?].
    figure = Figure(figsize=(0.55 * len(labels) + 4.0, 0.36 * len(cells) + 2.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    limit = max(10.0, float(np.nanmax(np.abs(points), initial=0.0)))
    axes.imshow(points, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    for row, column in np.argwhere(~np.isnan(points)):
        value, line = points[row, column], found[row][column]
        colour = "white" if abs(value) > 0.6 * limit else "black"
        weight = "bold" if line is not None and line["is_changed"] else "normal"
        axes.text(column, row, f"{value:+.1f}", ha="center", va="center", fontsize=8, color=colour, fontweight=weight)
    axes.set_xticks(range(len(labels)), labels=labels, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(cells)), labels=[_row_label(cell) for cell in cells], fontsize=8)
    axes.set_title("Change of track accuracy in points when the test audio is changed; bold: tests see it", fontsize=10)
    return figure


def _row_label(cell: Mapping[Any, Any]) -> str:
    share = f"{100 * cell['accuracy_of_all']:.1f} %"
    return f"{cell['dataset']} · {cell['protocol']} · {cell['model']}{mark_suffix([cell])}: {share}"


def _cells(table: pd.DataFrame) -> list[Cell]:
    keys = ["dataset", "protocol", "feature", "model"]
    return [Cell(*row) for row in table[keys].drop_duplicates().itertuples(index=False, name=None)]


def figure_height(rows: pd.DataFrame) -> int:
    """Return the height that a panel needs, in pixels.

    Args:
        rows: The rows of one dataset and protocol.
    """
    n_cells = len(rows[["model", "feature"]].drop_duplicates())
    return int(rows["label"].nunique() * (n_cells * _MARK_PX + _GAP_PX)) + 60


def _offsets(n_cells: int) -> list[float]:
    """Spread the marks of several cells over a row's height."""
    step = _MARK_PX / (n_cells * _MARK_PX + _GAP_PX)
    return [(place - (n_cells - 1) / 2) * step for place in range(n_cells)]


def _spoken(row: Mapping[Any, Any], look: Style) -> str:
    numbers = {key: 100 * row[key] for key in ("accuracy", "accuracy_before", "ci_low", "ci_high")}
    return (
        f"<b>{escape_html(look.label)}</b>, {escape_html(row['label'])}<br>{numbers['accuracy']:.1f} % instead of "
        f"{numbers['accuracy_before']:.1f} % of {row['n_tracks']} tracks<br>change {numbers['ci_low']:+.1f} to "
        f"{numbers['ci_high']:+.1f} points"
    )
