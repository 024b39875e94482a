"""The report's figures as still pictures, for papers and slides, without a browser.

A figure is described once, for Plotly, and this draws what it describes with Matplotlib: scatters with error bars and
heat maps below each other, which is what all figures here are made of.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genre_pipeline.errors import EvaluationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure
    from plotly.graph_objects import Figure

# A page of 9 inches shows the 900 pixels for which the figures are laid out.
_PX_PER_INCH = 100.0
_WIDTH_IN = 9.0
# Points of a printed page in a pixel of the screen at that scale.
_POINTS = 72.0 / _PX_PER_INCH
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_MARKERS = {"circle": "o", "diamond-open": "D", "square-open": "s", "line-ns": "|"}


def draw_still(figure: Figure) -> MatplotlibFigure:
    """Draw a figure as a still picture: what is visible before anything is chosen from a menu.

    Args:
        figure: A figure of panels below each other, of scatters and heat maps.

    Returns:
        A Matplotlib figure, drawn without pyplot: it belongs to no window.

    Raises:
        EvaluationError: If the figure holds anything else.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as MatplotlibFigure

    layout = figure.layout
    shown = [trace for trace in figure.data if trace.visible is not False]
    names = list(dict.fromkeys(trace.yaxis or "y" for trace in shown)) or ["y"]
    still = MatplotlibFigure(figsize=(_WIDTH_IN, layout.height / _PX_PER_INCH), layout="constrained")
    FigureCanvasAgg(still)
    heights = [_height(layout[_axis_key(name)]) for name in names]
    panels = list(still.subplots(len(names), 1, height_ratios=heights, squeeze=False)[:, 0])
    for name, axes in zip(names, panels, strict=True):
        _draw_panel(figure, [trace for trace in shown if (trace.yaxis or "y") == name], name, axes)
    _write_texts(figure, still, panels)
    handles, labels = _legend(panels)
    if handles:
        still.legend(handles, labels, loc="outside lower left", ncols=5, frameon=False, fontsize=8)
    return still


def _axis_key(name: str) -> str:
    return f"{name[0]}axis{name[1:]}"


def _height(axis: Any) -> float:
    return 1.0 if axis.domain is None else float(axis.domain[1] - axis.domain[0])


def _draw_panel(figure: Figure, traces: Sequence[Any], name: str, axes: Axes) -> None:
    layout = figure.layout
    x_name = f"x{name[1:]}"
    x_axis, y_axis = layout[_axis_key(x_name)], layout[_axis_key(name)]
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for trace in traces:
        if trace.type == "heatmap":
            _draw_heatmap(trace, layout.coloraxis, axes)
        elif trace.type == "scatter":
            _draw_scatter(trace, _places(y_axis), axes)
        else:
            raise EvaluationError(f"Expected scatters and heat maps to draw a still of, got a '{trace.type}'.")
    for shape in layout.shapes:
        if (shape.yref or "y").split()[0] == name:
            _draw_line(shape, axes)
    if not (traces and traces[0].type == "heatmap"):
        _set_axis(axes, "x", x_axis)
        _set_axis(axes, "y", y_axis)
    for key, axis in (("x", x_axis), ("y", y_axis)):
        getattr(axes, f"set_{key}label")(_plain(axis.title.text or ""))
    if x_axis.visible is False:
        axes.set_axis_off()


def _places(axis: Any) -> Mapping[str, int]:
    """Return where the categories of an axis are, from below; nothing for an axis of numbers."""
    return {label: place for place, label in enumerate(axis.categoryarray or ())}


def _set_axis(axes: Axes, key: str, axis: Any) -> None:
    """Give an axis its scale, its ends and its labels."""
    if axis.type == "log":
        getattr(axes, f"set_{key}scale")("log")
        for ticks in ("major", "minor"):
            getattr(getattr(axes, f"{key}axis"), f"set_{ticks}_formatter")("{x:.3g}")
    if axis.range is not None:
        getattr(axes, f"set_{key}lim")(*axis.range)
    elif axis.rangemode == "tozero":
        getattr(axes, f"set_{key}lim")(**{"left" if key == "x" else "bottom": 0})
    places = _places(axis)
    if axis.tickvals is not None:
        labels = axis.ticktext or [f"{value:g}" for value in axis.tickvals]
        getattr(axes, f"set_{key}ticks")(list(axis.tickvals), labels=[_plain(label) for label in labels])
    elif places:
        getattr(axes, f"set_{key}ticks")(list(places.values()), labels=[_plain(label) for label in places])
        getattr(axes, f"set_{key}lim")(-0.5, len(places) - 0.5)
    if axis.showticklabels is False:
        getattr(axes, f"set_{key}ticks")([])
    if axis.showgrid is False:
        getattr(axes, f"{key}axis").grid(visible=False)


def _draw_scatter(trace: Any, places: Mapping[str, int], axes: Axes) -> None:
    x = _numbers(trace.x)
    y = _numbers([places.get(value, value) for value in trace.y or ()])
    mode, line, marker = trace.mode or "lines", trace.line, trace.marker
    colour = line.color or marker.color
    opacity = trace.opacity or 1.0
    named: dict[str, Any] = {"label": _plain(trace.name)} if trace.name and trace.showlegend is not False else {}
    if "text" in mode:
        for at_x, at_y, text in zip(x, y, trace.text, strict=True):
            axes.text(at_x, at_y, _plain(text), va="center", fontsize=8)
        return
    if "lines" in mode:
        style: dict[str, Any] = {"linestyle": _DASHES[line.dash or "solid"], "linewidth": (line.width or 2) * _POINTS}
        steps: dict[str, Any] = {"drawstyle": "steps-post"} if line.shape == "hv" else {}
        axes.plot(x, y, color=colour, alpha=opacity, **style, **steps, **named)
        named = {}
    if "markers" in mode:
        _draw_bars(trace, x, y, axes)
        symbols = marker.symbol if isinstance(marker.symbol, tuple) else [marker.symbol] * len(x)
        sizes = marker.size if isinstance(marker.size, tuple) else [marker.size or 6] * len(x)
        for place, (at_x, at_y, symbol, size) in enumerate(zip(x, y, symbols, sizes, strict=True)):
            is_open = str(symbol).endswith("-open")
            axes.plot(
                [at_x],
                [at_y],
                linestyle="none",
                marker=_MARKERS[symbol or "circle"],
                markersize=size * _POINTS,
                markerfacecolor="none" if is_open else marker.color,
                markeredgecolor=marker.color,
                alpha=opacity * (marker.opacity or 1.0),
                **(named if place == 0 else {}),
            )


def _draw_bars(trace: Any, x: Any, y: Any, axes: Axes) -> None:
    for key in ("x", "y"):
        bars = trace[f"error_{key}"]
        if bars.array is None:
            continue
        lengths = np.stack([_numbers(bars.arrayminus), _numbers(bars.array)])
        known = np.isfinite(lengths).all(axis=0) & np.isfinite(x) & np.isfinite(y)
        ends: dict[str, Any] = {f"{key}err": lengths[:, known]}
        axes.errorbar(
            x[known],
            y[known],
            fmt="none",
            ecolor=bars.color,
            elinewidth=(bars.thickness or 2) * _POINTS,
            capsize=(bars.width or 4) * _POINTS / 2,
            **ends,
        )


def _draw_heatmap(trace: Any, scale: Any, axes: Axes) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    values = np.asarray([_numbers(row) for row in trace.z])
    colours = LinearSegmentedColormap.from_list("figure", [colour for _, colour in scale.colorscale])
    axes.imshow(values, cmap=colours, vmin=scale.cmin, vmax=scale.cmax)
    middle = (scale.cmin + scale.cmax) / 2
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        colour = "white" if value > middle else "black"
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=8)
    labels = [_plain(label) for label in trace.x]
    axes.set_xticks(range(len(labels)), labels=labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(trace.y)), labels=[_plain(label) for label in trace.y])
    axes.grid(visible=False)


def _draw_line(shape: Any, axes: Axes) -> None:
    style = {
        "color": shape.line.color,
        "linestyle": _DASHES[shape.line.dash or "solid"],
        "linewidth": (shape.line.width or 2) * _POINTS,
        "zorder": 1,
    }
    # Plotly lets a line span a panel by the word "domain".
    if str(shape.yref).endswith("domain"):
        axes.axvline(shape.x0, **style)
    else:
        axes.plot([shape.x0, shape.x1], [shape.y0, shape.y1], **style)


def _write_texts(figure: Figure, still: MatplotlibFigure, panels: Sequence[Axes]) -> None:
    """Write the figure's title and those of its panels, or its message if there is nothing else."""
    if figure.layout.title.text:
        still.suptitle(_plain(figure.layout.title.text), x=0.01, ha="left", fontsize=11, fontweight="bold")
    texts = [_plain(annotation.text) for annotation in figure.layout.annotations]
    if not figure.data:
        panels[0].text(0.5, 0.5, "\n".join(texts), ha="center", va="center", transform=panels[0].transAxes, wrap=True)
        return
    for axes, text in zip(panels, texts, strict=False):
        axes.set_title(text, loc="left", fontsize=10)


def _legend(panels: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def _numbers(values: Sequence[Any] | None) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray([math.nan if value is None else value for value in values or ()], dtype=np.float64)


def _plain(text: str) -> str:
    """Turn the little HTML that Plotly reads into plain text, in which Matplotlib sees no formulas."""
    lines = re.sub(r"<[^>]*>", "", text.replace("<br>", "\n"))
    return html.unescape(lines).replace("$", r"\$")
