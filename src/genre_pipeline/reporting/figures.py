"""Figures that compare cells: accuracies with their intervals, learning curves, calibration, confusion matrices.

The Plotly figures have transparent backgrounds and mid-grey text, so that they are readable on light and dark pages.
Names that come from data (genres) are escaped, because Plotly reads a subset of HTML.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.leaderboard import by_setting, chance_levels
from genre_pipeline.reporting.wording import LEAKY, mark_suffix
from genre_pipeline.results.cell import (
    CellResult,
    cell_of,
    confusion_counts,
    dataset_name,
    number,
    statistic,
    summary_row,
    threshold_rows,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure
    from plotly.graph_objects import Figure

# Okabe and Ito, Color Universal Design, 2008, without the yellow and the black, which vanish on one of the themes [P].
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C8C8C")
_DASHES = ("solid", "dash", "dot", "dashdot")
# Grey of 4.5:1 contrast against white and against the dark page (#14171c) alike [D].
_TEXT = "#767b84"
_GRID = "rgba(128, 128, 128, 0.25)"
# White to the palette's blue: the value is read from the cell, the colour only leads the eye [?].
_MATRIX_COLOURS = [[0.0, "#ffffff"], [1.0, "#0072B2"]]
GREY = "#8C8C8C"
NO_MODEL = "No model could be trained."
AXIS_TITLE: Mapping[str, Any] = {"standoff": 8, "font": {"size": 13}}


@dataclass(frozen=True)
class Style:
    """How a model and feature look in every figure."""

    label: str
    colour: str
    dash: str


@dataclass(frozen=True)
class Quantity:
    """Something recorded at each epoch: its key in the history, and how it is drawn."""

    key: str
    title: str
    axis: str
    scale: float
    upper: float | None


QUANTITIES = (
    Quantity("validation_accuracy", "Validation accuracy", "accuracy (%)", 100.0, 100.0),
    Quantity("train_accuracy", "Training accuracy", "accuracy (%)", 100.0, 100.0),
    Quantity("validation_loss", "Validation loss", "cross-entropy (nats)", 1.0, None),
    Quantity("train_loss", "Training loss", "cross-entropy (nats)", 1.0, None),
)


def styles(results: Sequence[CellResult]) -> dict[tuple[str, str], Style]:
    """Choose a colour for each model and a dash for each of its features.

    Args:
        results: All results that are to be shown in the same colours.

    Returns:
        Model and feature to their style. The label names the feature only where a model has several.
    """
    return cell_styles(cell_of(result) for result in results)


def cell_styles(cells: Iterable[Cell]) -> dict[tuple[str, str], Style]:
    """Do the same for cells without results: see :func:`styles`."""
    features: dict[str, list[str]] = {}
    for model, feature in sorted({(cell.model, cell.feature) for cell in cells}):
        features.setdefault(model, []).append(feature)
    return {
        (model, feature): Style(
            label=model if len(of_model) == 1 else f"{model} · {feature}",
            colour=PALETTE[index % len(PALETTE)],
            dash=_DASHES[(place + index // len(PALETTE)) % len(_DASHES)],
        )
        for index, (model, of_model) in enumerate(features.items())
        for place, feature in enumerate(of_model)
    }


def accuracy_comparison(
    results: Sequence[CellResult], *, looks: Mapping[tuple[str, str], Style] | None = None
) -> Figure:
    """Draw the track accuracy of each cell with its interval, its repeats and the chance level.

    Args:
        results: One result per cell.
        looks: Styles shared with other figures; the results' own by default.

    Returns:
        One panel for each dataset and protocol, the best model on top. Leaky cells are hollow and say so.

    Raises:
        EvaluationError: If there is no result or a metric is missing.
    """
    groups, looks = by_setting(results), looks or styles(results)
    if not groups:
        return empty_figure(NO_MODEL)
    # 34 px a model keep labels apart; 90 px hold a panel's title and axis [?].
    figure = panels(groups, heights=[34 * len(group) + 90 for group in groups.values()], spacing_px=110)
    for place, group in enumerate(groups.values(), start=1):
        labels = [_leaky_label(result, looks) for result in group]
        for result, label in zip(group, labels, strict=True):
            look = looks[cell_of(result).model, cell_of(result).feature]
            figure.add_trace(_repeats_trace(result, label, look), row=place, col=1)
            figure.add_trace(_interval_trace(result, label, look), row=place, col=1)
        chance = 100 * max(chance_levels(result)[0] for result in group)
        figure.add_vline(chance, line={"color": GREY, "dash": "dot", "width": 1.5}, row=place, col=1)
        figure.update_yaxes(
            {"categoryorder": "array", "categoryarray": labels[::-1], "type": "category", "showgrid": False},
            row=place,
            col=1,
        )
        figure.layout.annotations[place - 1].text += f"; dotted: largest genre, {chance:.1f} %"
        figure.update_xaxes(
            {"range": [0, 100], "title": {"text": "track accuracy (%)", **AXIS_TITLE}}, row=place, col=1
        )
    return figure.update_layout(
        title={"text": "Track accuracy on the test split: mean, interval and repeats"}, showlegend=False
    )


def learning_curves(results: Sequence[CellResult], *, looks: Mapping[tuple[str, str], Style] | None = None) -> Figure:
    """Draw the epochs' accuracy or loss: the mean over repeats, and each repeat as a faint line.

    The mean is drawn as far as at least half of the repeats trained: after early stopping, the few that go on are
    not typical.

    Args:
        results: One result per cell; those without history are left out.
        looks: Styles shared with other figures; the results' own by default.

    Returns:
        One panel for each dataset and protocol, with a menu of accuracies and losses. Each cell has two traces:
        its repeats (``meta`` is ``repeats``), then their mean (``meta`` is ``mean``). Without any history, a figure
        that says so.

    Raises:
        EvaluationError: If there is no result.
    """
    trained = [result for result in results if result["history"]]
    if results and not trained:
        return empty_figure("No model recorded epochs.")
    groups, looks = by_setting(trained), looks or styles(results)
    figure = panels(groups, heights=[320] * len(groups), spacing_px=110)
    drawn: list[CellResult] = []
    named: set[str] = set()
    for place, group in enumerate(groups.values(), start=1):
        for result in group:
            look = looks[cell_of(result).model, cell_of(result).feature]
            figure.add_traces(_curves(result, look, legend=look.label not in named), rows=place, cols=1)
            named.add(look.label)
            drawn.append(result)
    figure.update_xaxes({"title": {"text": "epoch", **AXIS_TITLE}, "rangemode": "tozero"})
    figure.update_yaxes({"rangemode": "tozero", "title": AXIS_TITLE})
    buttons = [_quantity_button(quantity, drawn, n_panels=len(groups)) for quantity in QUANTITIES]
    figure.update_layout(buttons[0]["args"][1])
    return figure.update_layout(
        legend={"orientation": "h", "y": -0.22 / len(groups), "yanchor": "top", "x": 0}, updatemenus=[menu(buttons)]
    )


def reliability_diagrams(
    results: Sequence[CellResult], *, looks: Mapping[tuple[str, str], Style] | None = None
) -> Figure:
    """Draw how often tracks are right against how sure the model was of them.

    Args:
        results: One result per cell.
        looks: Styles shared with other figures; the results' own by default.

    Returns:
        One panel for each dataset and protocol, one line per cell: the bins of
        :func:`~genre_pipeline.evaluation.calibration.reliability` over the test tracks of all repeats, larger marks for
        more tracks. A calibrated model is on the dotted diagonal, an overconfident one below it.

    Raises:
        EvaluationError: If there is no result.
    """
    groups, looks = by_setting(results), looks or styles(results)
    if not groups:
        return empty_figure(NO_MODEL)
    figure = panels(groups, heights=[320] * len(groups), spacing_px=110)
    named: set[str] = set()
    for place, group in enumerate(groups.values(), start=1):
        figure.add_shape(
            {"type": "line", "x0": 0, "y0": 0, "x1": 100, "y1": 100, "line": {"color": GREY, "dash": "dot"}},
            row=place,
            col=1,
        )
        for result in group:
            look = looks[cell_of(result).model, cell_of(result).feature]
            figure.add_trace(_reliability_trace(result, look, legend=look.label not in named), row=place, col=1)
            named.add(look.label)
    figure.update_xaxes({"title": {"text": "mean confidence (%)", **AXIS_TITLE}, "range": [0, 103]})
    figure.update_yaxes({"title": {"text": "accuracy (%)", **AXIS_TITLE}, "range": [-3, 103]})
    return figure.update_layout(legend={"orientation": "h", "y": -0.22 / len(groups), "yanchor": "top", "x": 0})


def risk_coverage(results: Sequence[CellResult], *, looks: Mapping[tuple[str, str], Style] | None = None) -> Figure:
    """Draw the accuracy of the answers that are kept against the share of the test tracks that they are.

    Args:
        results: One result per cell.
        looks: Styles shared with other figures; the results' own by default.

    Returns:
        One panel for each dataset and protocol, one line per cell: see
        :func:`~genre_pipeline.evaluation.abstention.count_by_threshold`. It ends at the accuracy of all answers.

    Raises:
        EvaluationError: If there is no result.
    """
    groups, looks = by_setting(results), looks or styles(results)
    if not groups:
        return empty_figure(NO_MODEL)
    figure = panels(groups, heights=[320] * len(groups), spacing_px=110)
    named: set[str] = set()
    for place, group in enumerate(groups.values(), start=1):
        for result in group:
            look = looks[cell_of(result).model, cell_of(result).feature]
            figure.add_trace(_coverage_trace(result, look, legend=look.label not in named), row=place, col=1)
            named.add(look.label)
    figure.update_xaxes({"title": {"text": "answers kept (% of the test tracks)", **AXIS_TITLE}, "range": [0, 103]})
    figure.update_yaxes({"title": {"text": "accuracy of these (%)", **AXIS_TITLE}, "range": [-3, 103]})
    return figure.update_layout(legend={"orientation": "h", "y": -0.22 / len(groups), "yanchor": "top", "x": 0})


def confusion_matrices(results: Sequence[CellResult], *, unit: str = "track") -> Figure:
    """Draw the confusion matrix of each cell, chosen from a menu.

    Args:
        results: One result per cell.
        unit: ``segment`` or ``track``.

    Returns:
        One heat map per cell, in the leaderboard's order, of which the first is visible: percentages of the true
        genre, with counts (summed over repeats) on hover. The row of a genre that was not tested is blank.

    Raises:
        EvaluationError: If there is no result, or one holds no confusion matrix at that unit.
    """
    from plotly.graph_objects import Figure

    ordered = [result for group in by_setting(results).values() for result in group]
    if not ordered:
        return empty_figure(NO_MODEL)
    figure = Figure()
    buttons: list[dict[str, Any]] = []
    for place, result in enumerate(ordered):
        figure.add_trace(_heatmap(result, unit, visible=place == 0))
        cell = cell_of(result)
        parts = " · ".join([dataset_name(result), cell.protocol, cell.model, cell.feature])
        name = escape_html(parts) + mark_suffix([result])
        title = f"Confusion of {unit}s: {name}"
        args = [{"visible": [place == other for other in range(len(ordered))]}, {"title.text": title}]
        buttons.append({"label": name, "method": "update", "args": args})
    style_figure(figure, height=560)
    figure.update_xaxes(
        {"title": {"text": "predicted genre", **AXIS_TITLE}, "type": "category", "tickangle": -45, "showgrid": False}
    )
    figure.update_yaxes({"title": {"text": "true genre", **AXIS_TITLE}, "type": "category", "autorange": "reversed"})
    figure.update_yaxes({"scaleanchor": "x", "constrain": "domain", "constraintoward": "top", "showgrid": False})
    figure.update_xaxes({"constrain": "domain"})
    bar = {"title": {"text": "% of true genre", "side": "right"}, "thickness": 12, "outlinewidth": 0}
    return figure.update_layout(
        title={"text": buttons[0]["args"][1]["title.text"]},
        coloraxis={"colorscale": _MATRIX_COLOURS, "cmin": 0, "cmax": 100, "colorbar": bar},
        updatemenus=[menu(buttons)],
    )


def confusion_figure(result: CellResult, unit: str, *, repeat: int | None = None) -> MatplotlibFigure:
    """Draw one confusion matrix as a still picture, for MLflow artifacts.

    Args:
        result: The cell's result.
        unit: ``segment`` or ``track``.
        repeat: The repeat that the result's matrix is of; ``None`` means all of them.

    Returns:
        A Matplotlib figure with percentages of the true genre in its cells, drawn without pyplot: it belongs to no
        window, and is the caller's to save and close.

    Raises:
        EvaluationError: If the result holds no confusion matrix at that unit.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shares, genres = confusion_percent(result, unit), result["genres"]
    # 0.55 inches hold the digits of a cell, 2.4 inches the labels of the axes [?].
    side = 0.55 * len(genres) + 2.4
    figure = Figure(figsize=(side + 1.0, side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.argwhere(~np.isnan(shares)):
        share = shares[row, column]
        colour = "white" if share > 60 else "black"
        axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(genres)), labels=plain(genres), rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(genres)), labels=plain(genres))
    axes.set_xlabel("predicted genre")
    axes.set_ylabel("true genre")
    part = f"\n{dataset_name(result)}" if result["subset"] else ""
    of_what = statistic(result) if repeat is None else f"repeat {repeat}"
    title = f"{cell_of(result).name}{mark_suffix([result])}{part}\n{unit}s of the test split, {of_what}"
    axes.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes, label="share of the true genre (%)", shrink=0.8)
    return figure


def mean_curve(result: CellResult, quantity: Quantity) -> tuple[list[int], list[float | None]]:
    """Return the epochs of a result, and a quantity's mean over repeats.

    Returns:
        Epochs, and means in the quantity's unit: none where fewer than half of the repeats trained that long.
    """
    epochs, matrix = _epochs(result, quantity)
    known = (~np.isnan(matrix)).sum(axis=0)
    means = np.nansum(matrix, axis=0) / np.maximum(known, 1)
    typical = (known > 0) & (2 * known >= len(matrix))
    return epochs.tolist(), [float(mean) if keep else None for mean, keep in zip(means, typical, strict=True)]


def confusion_percent(result: CellResult, unit: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a confusion matrix in percent of the true genre.

    Returns:
        Shape ``(n_genres, n_genres)``; every row sums to 100, or is NaN for a genre that was not tested.

    Raises:
        EvaluationError: If the result holds no confusion matrix at that unit.
    """
    counts = confusion_counts(result, unit)
    totals = counts.sum(axis=1, keepdims=True)
    return np.where(totals > 0, 100.0 * counts / np.maximum(totals, 1), np.nan)


def panels(groups: Mapping[tuple[str, str], Sequence[CellResult]], *, heights: list[int], spacing_px: int) -> Figure:
    """Return an empty panel for each dataset and protocol, below each other.

    Args:
        groups: The results of each, by dataset and protocol.
        heights: Height of each panel in pixels.
        spacing_px: Pixels between two of them.
    """
    from plotly.subplots import make_subplots

    titles = [
        f"{escape_html(dataset_name(group[0]))} · {escape_html(protocol)}{mark_suffix(group)}, {statistic(group[0])}"
        for (_, protocol), group in groups.items()
    ]
    total = sum(heights) + spacing_px * (len(heights) - 1)
    figure = make_subplots(
        rows=len(groups),
        cols=1,
        subplot_titles=titles,
        row_heights=[float(height) for height in heights],
        vertical_spacing=spacing_px / total,
    )
    figure.update_annotations({"x": 0, "xanchor": "left", "font": {"size": 14}})
    # The margins above and below the panels: 90 and 70 px, as style_figure sets them.
    return style_figure(figure, height=total + 160)


def empty_figure(text: str) -> Figure:
    """Return a figure that says why there is nothing to see."""
    from plotly.graph_objects import Figure

    figure = style_figure(Figure(), height=240).add_annotation({"text": text, "showarrow": False, "font": {"size": 14}})
    return figure.update_layout(xaxis_visible=False, yaxis_visible=False)


def style_figure(figure: Figure, *, height: int) -> Figure:
    """Give a figure the style that all have: readable on light and dark pages, axes that make room for their labels."""
    figure.update_layout(
        height=height,
        template="none",
        font={"color": _TEXT, "size": 13, "family": "system-ui, sans-serif"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 20, "r": 20, "t": 90, "b": 70},
        title={"x": 0.01, "xanchor": "left"},
        hovermode="closest",
    )
    figure.update_xaxes({"automargin": True, "gridcolor": _GRID, "zeroline": False, "linecolor": _GRID})
    return figure.update_yaxes({"automargin": True, "gridcolor": _GRID, "zeroline": False, "linecolor": _GRID})


def menu(buttons: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the menu that chooses among buttons."""
    return {"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom", "font": {"color": _TEXT}}


def _leaky_label(result: CellResult, looks: Mapping[tuple[str, str], Style]) -> str:
    """Name a cell in its panel, whose title says what all of its cells have in common."""
    label = escape_html(looks[cell_of(result).model, cell_of(result).feature].label)
    return f"{label} ({LEAKY})" if result["leaky"] else label


def _repeats_trace(result: CellResult, label: str, look: Style) -> Any:
    from plotly.graph_objects import Scatter

    rows = [
        row for row in result["repeats"] if (row["split"], row["unit"], row["metric"]) == ("test", "track", "accuracy")
    ]
    return Scatter(
        x=[100 * row["value"] for row in rows],
        y=[label] * len(rows),
        customdata=[[row["repeat"], row["n"]] for row in rows],
        mode="markers",
        marker={"color": look.colour, "size": 6, "opacity": 0.35},
        meta="repeats",
        hovertemplate="repeat %{customdata[0]}: %{x:.1f} % of %{customdata[1]} tracks<extra></extra>",
    )


def _reliability_trace(result: CellResult, look: Style, *, legend: bool) -> Any:
    from plotly.graph_objects import Scatter

    bars = result["reliability"]["track"]
    shares = np.asarray([bar["n"] for bar in bars]) / sum(bar["n"] for bar in bars)
    return Scatter(
        x=[100 * bar["confidence"] for bar in bars],
        y=[100 * bar["accuracy"] for bar in bars],
        customdata=[[bar["n"]] for bar in bars],
        mode="lines+markers",
        name=escape_html(look.label),
        legendgroup=look.label,
        showlegend=legend,
        line={"color": look.colour, "dash": look.dash, "width": 1.5},
        # Areas in proportion to tracks, and none too small to be hit [?].
        marker={"color": look.colour, "size": (5 + 15 * np.sqrt(shares)).tolist(), "opacity": 0.8},
        hovertemplate=(
            f"{escape_html(look.label)}<br>sure by %{{x:.1f}} %, right in %{{y:.1f}} %<br>"
            "%{customdata[0]} tracks<extra></extra>"
        ),
    )


def _coverage_trace(result: CellResult, look: Style, *, legend: bool) -> Any:
    from plotly.graph_objects import Scatter

    rows = [row for row in threshold_rows(result) if row["test_kept"]]
    n_test = rows[-1]["test_kept"]
    label = escape_html(look.label)
    return Scatter(
        x=[100 * row["test_kept"] / n_test for row in rows],
        y=[100 * (1 - row["test_wrong"] / row["test_kept"]) for row in rows],
        customdata=[[100 * row["threshold"], row["test_kept"], row["test_wrong"]] for row in rows],
        mode="lines",
        name=label,
        legendgroup=look.label,
        showlegend=legend,
        line={"color": look.colour, "dash": look.dash, "width": 2},
        hovertemplate=(
            f"{label}<br>sure by %{{customdata[0]:.1f}} % or more: %{{customdata[1]}} tracks, %{{customdata[2]}} wrong"
            "<extra></extra>"
        ),
    )


def _interval_trace(result: CellResult, label: str, look: Style) -> Any:
    from plotly.graph_objects import Scatter

    row = summary_row(result, unit="track", metric="accuracy")
    mean, low, high = (100 * number(value) for value in (row["mean"], row["ci_low"], row["ci_high"]))
    known = not (math.isnan(low) or math.isnan(high))
    bars = {"type": "data", "symmetric": False, "thickness": 2, "width": 6, "color": look.colour}
    shown = f"<br>{low:.1f} to {high:.1f} % ({escape_html(row['interval'])})" if known else ""
    return Scatter(
        x=[mean],
        y=[label],
        error_x={**bars, "array": [high - mean], "arrayminus": [mean - low]} if known else None,
        mode="markers",
        marker={
            "color": look.colour,
            "size": 11,
            "symbol": "diamond-open" if result["leaky"] else "circle",
            "line": {"width": 2, "color": look.colour},
        },
        meta="mean",
        text=[f"<b>{label}</b><br>{mean:.1f} % {statistic(result)}{shown}"],
        hovertemplate="%{text}<extra></extra>",
    )


def _curves(result: CellResult, look: Style, *, legend: bool) -> list[Any]:
    from plotly.graph_objects import Scatter

    epochs, matrix = _epochs(result, QUANTITIES[0])
    means = mean_curve(result, QUANTITIES[0])[1]
    label = escape_html(look.label)
    line = {"color": look.colour, "dash": look.dash}
    single = len(epochs) == 1
    faint = Scatter(
        x=_joined(np.broadcast_to(epochs, matrix.shape)),
        y=_joined(matrix),
        mode="markers" if single else "lines",
        line={**line, "width": 1},
        marker={"color": look.colour, "size": 5},
        opacity=0.3,
        legendgroup=label,
        showlegend=False,
        hoverinfo="skip",
        meta="repeats",
    )
    mean = Scatter(
        x=epochs.tolist(),
        y=means,
        mode="markers" if single else "lines",
        line={**line, "width": 2.5},
        marker={"color": look.colour, "size": 9},
        name=label,
        legendgroup=label,
        showlegend=legend,
        customdata=(~np.isnan(matrix)).sum(axis=0).tolist(),
        hovertemplate=f"{label}, epoch %{{x}}: %{{y:.3~f}} (mean of %{{customdata}})<extra></extra>",
        meta="mean",
    )
    return [faint, mean]


def _epochs(
    result: CellResult, quantity: Quantity
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.float64]]]:
    """Return the epochs, and the quantity of shape ``(n_repeats, n_epochs)``, NaN where a repeat had stopped."""
    history = result["history"]
    repeats, row = np.unique([entry["repeat"] for entry in history], return_inverse=True)
    epochs, column = np.unique([entry["epoch"] for entry in history], return_inverse=True)
    matrix = np.full((len(repeats), len(epochs)), np.nan)
    matrix[row, column] = [quantity.scale * number(entry[quantity.key]) for entry in history]  # type: ignore[literal-required]
    return epochs, matrix


def _joined(matrix: np.ndarray[Any, np.dtype[Any]]) -> list[float | None]:
    """Put rows one after the other with a gap between, so that many lines need one trace."""
    values = [[*(None if math.isnan(value) else value for value in row), None] for row in matrix.tolist()]
    return [value for row in values for value in row][:-1]


def _quantity_button(quantity: Quantity, drawn: Sequence[CellResult], *, n_panels: int) -> dict[str, Any]:
    y: list[list[float | None]] = []
    for result in drawn:
        y += [_joined(_epochs(result, quantity)[1]), mean_curve(result, quantity)[1]]
    layout: dict[str, Any] = {"title.text": f"{quantity.title}: mean over repeats, each repeat faint"}
    for place in range(1, n_panels + 1):
        axis = "yaxis" if place == 1 else f"yaxis{place}"
        layout[f"{axis}.title.text"] = quantity.axis
        if quantity.upper is None:
            layout[f"{axis}.autorange"] = True
        else:
            layout[f"{axis}.range"] = [0, quantity.upper]
    return {"label": quantity.title, "method": "update", "args": [{"y": y}, layout]}


def _heatmap(result: CellResult, unit: str, *, visible: bool) -> Any:
    from plotly.graph_objects import Heatmap

    shares = confusion_percent(result, unit)
    labels = [escape_html(genre) for genre in result["genres"]]
    return Heatmap(
        z=[[None if math.isnan(share) else share for share in row] for row in shares.tolist()],
        x=labels,
        y=labels,
        customdata=confusion_counts(result, unit).tolist(),
        coloraxis="coloraxis",
        texttemplate="%{z:.0f}",
        textfont={"size": 11},
        xgap=1,
        ygap=1,
        visible=visible,
        hovertemplate=f"true %{{y}}, predicted %{{x}}<br>%{{z:.1f}} %, %{{customdata}} {unit}s<extra></extra>",
    )


def escape_html(text: str) -> str:
    """Keep Plotly from reading signs in a name as HTML."""
    return html.escape(text, quote=False)


def plain(genres: Sequence[str]) -> list[str]:
    """Keep Matplotlib from reading a dollar sign as the beginning of a formula."""
    return [genre.replace("$", r"\$") for genre in genres]
