"""The calibration error is zero for honest probabilities, and what can be worked out by hand for others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.evaluation.calibration import N_BINS, expected_calibration_error, reliability

EXACT = settings(derandomize=True, deadline=None, max_examples=40)
CONFIDENCES = st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=50)


def test_bins_are_closed_above_and_empty_ones_are_left_out():
    bars = reliability(np.array([0.0, 0.25, 0.2500001, 1.0]), np.array([True, False, True, True]), n_bins=4)
    assert bars["low"].tolist() == [0.0, 0.25, 0.75]
    assert bars["high"].tolist() == [0.25, 0.5, 1.0]
    assert bars["n"].tolist() == [2, 1, 1]
    assert bars["accuracy"].tolist() == [0.5, 1.0, 1.0]
    assert bars["confidence"].tolist() == pytest.approx([0.125, 0.2500001, 1.0])


def test_a_model_that_is_always_sure_and_never_right_is_as_wrong_as_can_be():
    assert expected_calibration_error(np.ones(7), np.zeros(7, dtype=bool)) == 1.0


def test_bins_are_weighted_by_what_they_hold():
    confidences, correct = np.array([0.9, 0.9, 0.9, 0.5]), np.array([True, True, True, True])
    assert expected_calibration_error(confidences, correct) == pytest.approx((3 * 0.1 + 0.5) / 4)


def test_honest_probabilities_have_almost_no_error():
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.1, 1.0, 50_000)
    assert expected_calibration_error(confidences, rng.uniform(size=50_000) < confidences) < 0.02
    assert expected_calibration_error(confidences, rng.uniform(size=50_000) < confidences**2) > 0.1


@EXACT
@given(predictions=CONFIDENCES, data=st.data())
def test_the_error_is_bounded_and_does_not_depend_on_order(predictions, data):
    def error(pairs):
        confidences, correct = zip(*pairs, strict=True)
        return expected_calibration_error(np.array(confidences), np.array(correct))

    confidences, correct = map(np.array, zip(*predictions, strict=True))
    assert abs(correct.mean() - confidences.mean()) - 1e-9 <= error(predictions) <= 1.0
    assert error(data.draw(st.permutations(predictions))) == pytest.approx(error(predictions))
    assert len(reliability(confidences, correct)) <= N_BINS
