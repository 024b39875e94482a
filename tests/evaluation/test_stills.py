"""Stills show what the figures show."""

import numpy as np
import plotly.io
import pytest
from plotly.graph_objects import Bar, Figure

from genre_pipeline.errors import EvaluationError
from genre_pipeline.evaluation.protocol_gap import protocol_gaps
from genre_pipeline.evaluation.ranking import rank_models
from genre_pipeline.evaluation.reproduction import compare_with_papers
from genre_pipeline.reporting import figures
from genre_pipeline.reporting.cost_figure import cost_comparison
from genre_pipeline.reporting.gap_figure import gap_comparison
from genre_pipeline.reporting.ranking_figure import critical_difference_diagram
from genre_pipeline.reporting.reproduction_figure import paper_comparison
from genre_pipeline.reporting.stills import draw_still


def still_of(figure):
    """Draw a figure as the pipeline does, which reads it from its JSON file."""
    still = draw_still(plotly.io.from_json(figure.to_json()))
    still.draw_without_rendering()
    return still


def texts(axes, key):
    return [label.get_text() for label in getattr(axes, f"get_{key}ticklabels")()]


def test_every_figure_can_be_drawn(results, make_result):
    pair = make_result(dataset="gtzan", protocol="random_track", model="net1", feature="log_mel_256")
    drawn = {
        "curves": figures.learning_curves(results),
        "reliability": figures.reliability_diagrams(results),
        "coverage": figures.risk_coverage(results),
        "ranks": critical_difference_diagram(rank_models(results)),
        "costs": cost_comparison(results),
        "papers": paper_comparison(compare_with_papers([pair], kinds={})),
        "gaps": gap_comparison(protocol_gaps(results), looks=figures.styles(results)),
    }
    panels = {name: still_of(figure).axes for name, figure in drawn.items()}
    assert {name: len(axes) for name, axes in panels.items()} == {
        "curves": 4,
        "reliability": 4,
        "coverage": 4,
        "ranks": 1,
        "costs": 4,
        "papers": 1,
        "gaps": 2,
    }
    assert texts(panels["ranks"][0], "y")[1:] == ["net2", "net1", "crnn_gru", "svm"]
    assert panels["costs"][0].get_xscale() == "log"
    assert "random_segment\n(LEAKY)" in texts(panels["gaps"][0], "y")
    assert panels["gaps"][0].yaxis_inverted()
    assert panels["papers"][0].get_xlim() == (70.0, 101.0)


def test_accuracies_are_where_they_are_on_the_page(results):
    still = still_of(figures.accuracy_comparison(results))
    first = still.axes[0]
    assert first.get_title(loc="left").startswith("demo · artist_kfold, mean of 5 folds; dotted: largest genre")
    assert texts(first, "y") == ["svm", "crnn_gru", "net1", "net2"]
    points = {
        (round(float(x), 1), round(float(y))) for line in first.lines for x, y in zip(*line.get_data(), strict=True)
    }
    assert {(80.0, 3), (75.0, 2), (70.0, 1), (62.0, 0)} <= points
    _, _, (bar,) = first.containers[0].lines
    ends = np.sort(bar.get_segments()[0][:, 0])
    assert ends == pytest.approx([77.2, 82.8], abs=0.05)
    assert first.get_xlim() == (0.0, 100.0)
    assert first.get_xlabel() == "track accuracy (%)"


def test_the_matrix_is_the_one_that_the_page_shows_first(results):
    figure = figures.confusion_matrices(results)
    (axes,) = still_of(figure).axes
    (image,) = axes.images
    assert np.allclose(image.get_array(), np.asarray(figure.data[0].z, dtype=float))
    assert texts(axes, "y") == results[0]["genres"]
    assert len(axes.texts) == 36


def test_a_legend_names_each_model_once(results):
    (legend,) = still_of(figures.learning_curves(results)).legends
    assert sorted(text.get_text() for text in legend.get_texts()) == ["crnn_gru", "net1", "net2", "svm"]


def test_signs_of_formulas_and_of_html_are_only_signs(make_result):
    still = still_of(figures.accuracy_comparison([make_result(model="a<b>$x$&c")]))
    assert texts(still.axes[0], "y") == [r"a<b>\$x\$&c"]


def test_a_figure_without_anything_says_so():
    still = still_of(figures.empty_figure("Nothing was trained."))
    assert [text.get_text() for text in still.axes[0].texts] == ["Nothing was trained."]


def test_other_kinds_of_figures_are_refused():
    with pytest.raises(EvaluationError, match="scatters and heat maps .* got a 'bar'"):
        draw_still(Figure(Bar(x=[1], y=[2]), layout={"height": 100}))
