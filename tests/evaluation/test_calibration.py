"""The calibration error is zero for honest probabilities, and what can be worked out by hand for others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from genre_pipeline.evaluation.calibration import (
    N_BINS,
    TEMPERATURES,
    expected_calibration_error,
    fit_temperature,
    reliability,
    temper,
)

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


@st.composite
def probabilities(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, n_genres = draw(st.integers(1, 30)), draw(st.integers(2, 6))
    return rng.dirichlet([draw(st.sampled_from([0.05, 0.3, 3.0]))] * n_genres, size=n)


@EXACT
@given(given_probabilities=probabilities(), temperature=st.floats(*TEMPERATURES))
def test_no_temperature_changes_the_answer(given_probabilities, temperature):
    tempered = temper(given_probabilities, temperature)
    best = given_probabilities.argmax(axis=1)
    assert (tempered[np.arange(len(best)), best] == tempered.max(axis=1)).all()
    np.testing.assert_allclose(tempered.sum(axis=1), 1.0)


@EXACT
@given(given_probabilities=probabilities())
def test_a_temperature_of_one_leaves_probabilities_as_they_are(given_probabilities):
    np.testing.assert_allclose(temper(given_probabilities, 1.0), given_probabilities, atol=1e-6)


def test_a_temperature_divides_logits():
    logits = np.random.default_rng(0).normal(size=(5, 4))
    np.testing.assert_allclose(temper(softmax(logits, axis=1), 2.5), softmax(logits / 2.5, axis=1), rtol=1e-12)


@pytest.mark.parametrize(
    ("n_right", "temperature"), [(9, 1.0), (8, np.log(9) / np.log(4)), (6, np.log(9) / np.log(1.5))]
)
def test_the_fitted_confidence_of_two_genres_is_the_share_that_is_right(n_right, temperature):
    sure = np.tile([0.9, 0.1], (10, 1))
    found = fit_temperature(sure, (np.arange(10) >= n_right).astype(int))
    assert found == pytest.approx(temperature, rel=1e-4)
    assert temper(sure, found)[0, 0] == pytest.approx(n_right / 10, rel=1e-4)


@EXACT
@given(given_probabilities=probabilities(), data=st.data())
def test_the_fitted_temperature_has_the_least_log_loss(given_probabilities, data):
    n, n_genres = given_probabilities.shape
    targets = np.array(data.draw(st.lists(st.integers(0, n_genres - 1), min_size=n, max_size=n)))

    def loss(temperature):
        return -np.log(temper(given_probabilities, temperature)[np.arange(n), targets]).mean()

    found = fit_temperature(given_probabilities, targets)
    assert TEMPERATURES[0] <= found <= TEMPERATURES[1]
    assert all(loss(found) <= loss(other) + 1e-4 for other in np.geomspace(*TEMPERATURES, 25))


def test_tracks_that_are_all_right_or_all_wrong_give_a_finite_temperature():
    sure = np.tile([0.9, 0.1], (3, 1))
    assert fit_temperature(sure, np.zeros(3, dtype=int)) == pytest.approx(TEMPERATURES[0], rel=1e-3)
    assert fit_temperature(sure, np.ones(3, dtype=int)) == pytest.approx(TEMPERATURES[1], rel=1e-3)
