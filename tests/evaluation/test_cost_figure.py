"""Quality against cost."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre_pipeline.reporting.cost_figure import COSTS, cost_comparison, costs_and_quality, pareto_front


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=12))
def test_the_front_is_what_no_other_point_beats(points):
    front = pareto_front([(float(cost), float(quality)) for cost, quality in points])

    def beaten(point):
        return any(other != point and other[0] <= point[0] and other[1] >= point[1] for other in points)

    assert {points[index] for index in front} == {point for point in points if not beaten(point)}
    assert [points[index][0] for index in front] == sorted(points[index][0] for index in front)


def test_what_is_not_counted_is_on_no_front():
    assert pareto_front([(math.nan, 0.9), (1.0, 0.5), (2.0, math.nan)]) == [1]


def test_costs_are_those_of_a_clip(make_result):
    result = make_result(n_parameters=1000, n_repeats=5)
    values = {kind.key: costs_and_quality([result], kind)[0] for kind in COSTS}
    # Five repeats answered for 24 validation and 24 test tracks each, in 0.8 s each.
    assert values["inference_s_per_clip"] == (pytest.approx(0.8 / 48), pytest.approx(0.75))
    assert values["gflop_per_clip"][0] == pytest.approx(2e6 / 1e9)
    assert values["n_parameters"][0] == 1000
    assert math.isnan(costs_and_quality([make_result(n_parameters=None)], COSTS[2])[0][0])


def test_the_figure_has_a_panel_a_setting_a_front_and_a_menu(results):
    figure = cost_comparison(results)
    fronts = [trace for trace in figure.data if trace.meta == "front"]
    cells = [trace for trace in figure.data if trace.meta == "cell"]
    assert (len(fronts), len(cells)) == (4, 16)
    # All four take the same time, so that the best of them beats the others.
    assert fronts[0].y == pytest.approx((80.0,))
    assert cells[0].error_y.array == pytest.approx((2.77,), abs=0.01)
    assert {trace.marker.symbol for trace in cells} == {"circle", "diamond-open"}
    labels = [button.label for button in figure.layout.updatemenus[0].buttons]
    assert labels == ["Inference time", "Training time", "Parameters", "Operations"]
    changes, layout = figure.layout.updatemenus[0].buttons[2].args
    assert changes["x"][0] == pytest.approx([300_000, 900_000])
    assert changes["y"][0] == pytest.approx([70.0, 80.0])
    assert changes["x"][4] == [None]
    assert layout["xaxis4.title.text"] == "trainable parameters"


def test_nothing_trained_is_said(make_result):
    result = make_result()
    result["n_repeats"] = 0
    assert cost_comparison([result]).layout.annotations[0].text == "No model could be trained."
