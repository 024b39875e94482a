"""Which answers are kept, worked out by hand, and what holds for any answers."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.evaluation.abstention import (
    N_THRESHOLDS,
    Confidences,
    accuracy_at_coverage,
    choose_threshold,
    count_by_threshold,
)

EXACT = settings(derandomize=True, deadline=None, max_examples=60)


@st.composite
def answers(draw):
    pairs = draw(st.lists(st.tuples(st.floats(0.1, 1.0).map(lambda x: round(x, 2)), st.booleans()), min_size=1))
    confidence, correct = zip(*pairs, strict=True)
    return Confidences(np.array(confidence), np.array(correct))


def rows_of(*counts):
    """A row for each validation count of kept and wrong answers; the test tracks are the same."""
    return [
        {
            "threshold": 1.0 - place / len(counts),
            "validation_kept": kept,
            "validation_wrong": wrong,
            "test_kept": kept,
            "test_wrong": wrong,
        }
        for place, (kept, wrong) in enumerate(counts)
    ]


@pytest.mark.parametrize(
    ("coverage", "accuracy"), [(0.2, 1.0), (0.4, 1.0), (0.6, 2 / 3), (0.8, 3 / 4), (0.81, 3 / 5), (1.0, 3 / 5)]
)
def test_the_surest_answers_count_and_a_fraction_is_one_more(coverage, accuracy):
    found = accuracy_at_coverage(
        np.array([0.5, 0.9, 0.7, 0.8, 0.6]), np.array([False, True, False, True, True]), coverage
    )
    assert found == pytest.approx(accuracy)


def test_rounding_keeps_no_answer_more():
    correct = np.arange(10) < 7
    assert accuracy_at_coverage(np.linspace(1.0, 0.1, 10), correct, 0.7) == 1.0


@EXACT
@given(some=answers(), coverage=st.floats(0.01, 1.0), data=st.data())
def test_the_order_of_answers_does_not_matter(some, coverage, data):
    order = np.array(data.draw(st.permutations(range(len(some.correct)))))
    found = accuracy_at_coverage(*some, coverage)
    assert 0.0 <= found <= 1.0
    assert accuracy_at_coverage(some.confidence[order], some.correct[order], coverage) == pytest.approx(found)


@EXACT
@given(validation=answers(), test=answers())
def test_the_curve_ends_at_the_error_rate_and_only_grows(validation, test):
    rows = count_by_threshold(validation, test)
    assert len(rows) <= N_THRESHOLDS + 1
    last = rows[-1]
    assert (last["threshold"], last["validation_kept"], last["test_kept"]) == (
        0.0,
        len(validation.correct),
        len(test.correct),
    )
    assert 1 - last["test_wrong"] / last["test_kept"] == pytest.approx(accuracy_at_coverage(*test, 1.0))
    for before, after in pairwise(rows):
        assert before["threshold"] > after["threshold"]
        assert all(before[key] <= after[key] for key in before if key != "threshold")
        assert before["test_wrong"] <= before["test_kept"]


@EXACT
@given(validation=answers(), test=answers(), max_error=st.floats(0.01, 1.0))
def test_no_more_validation_answers_are_wrong_than_is_allowed(validation, test, max_error):
    chosen = choose_threshold(count_by_threshold(validation, test), max_error)
    kept = validation.confidence >= chosen.threshold
    assert (~validation.correct[kept]).sum() <= max_error * kept.sum() + 1e-6
    sure = test.confidence >= chosen.threshold
    assert chosen.kept == pytest.approx(sure.mean())
    assert chosen.error == pytest.approx((~test.correct[sure]).mean() if sure.any() else math.nan, nan_ok=True)
    assert chosen.error_of_all == pytest.approx((~test.correct).mean())


def test_the_lowest_threshold_that_is_right_enough_is_chosen():
    # (3 + 1) / (15 + 1) is more than a fifth, (4 + 1) / (24 + 1) is not.
    chosen = choose_threshold(rows_of((9, 0), (15, 3), (24, 4), (40, 20)), 0.2)
    assert (chosen.kept, chosen.error, chosen.error_of_all) == (24 / 40, 4 / 24, 0.5)


def test_few_answers_prove_little_even_if_all_are_right():
    assert choose_threshold(rows_of((8, 0), (20, 10)), 0.1).threshold == math.inf
    assert choose_threshold(rows_of((9, 0), (20, 10)), 0.1).threshold == 1.0


def test_where_no_threshold_is_right_enough_nothing_is_kept():
    chosen = choose_threshold(rows_of((10, 5), (20, 10)), 0.2)
    assert (chosen.threshold, chosen.kept, chosen.error_of_all) == (math.inf, 0.0, 0.5)
    assert math.isnan(chosen.error)


def test_every_answer_is_kept_where_all_may_be_wrong():
    nothing_right = Confidences(np.array([0.9, 0.5]), np.array([False, False]))
    chosen = choose_threshold(count_by_threshold(nothing_right, nothing_right), 1.0)
    assert (chosen.threshold, chosen.kept, chosen.error) == (0.0, 1.0, 1.0)
