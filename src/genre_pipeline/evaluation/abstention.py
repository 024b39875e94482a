"""Which answers to keep when a model may say that it is not sure: those above a threshold of its confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.results.cell import ThresholdRow

# Thresholds that are counted, evenly spaced in the share of the validation tracks that they keep [?].
N_THRESHOLDS = 100


class Confidences(NamedTuple):
    """How sure a model was of some tracks, and whether it was right.

    Attributes:
        confidence: The probability of each predicted genre.
        correct: Whether each prediction is right.
    """

    confidence: NDArray[np.float64]
    correct: NDArray[np.bool_]


def accuracy_at_coverage(confidences: NDArray[np.float64], correct: NDArray[np.bool_], coverage: float) -> float:
    """Return the accuracy of the surest answers.

    Args:
        confidences: The probability of each predicted genre.
        correct: Whether each prediction is right.
        coverage: The share of the answers that is kept, above 0; a fraction of an answer counts as a whole one. Of
            answers that are equally sure, some of which are kept, each is as likely to be.

    Example:
        >>> sure, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True])
        >>> accuracy_at_coverage(sure, right, 0.5), accuracy_at_coverage(sure, right, 1.0)
        (1.0, 0.75)
        >>> accuracy_at_coverage(np.array([0.9, 0.5, 0.5]), np.array([True, True, False]), 0.6)
        0.75
    """
    # Rounding may lift 0.8 * 10 above 8.
    n_kept = math.ceil(round(coverage * len(confidences), 9))
    last = np.sort(confidences)[-n_kept]
    surer, equal = confidences > last, confidences == last
    n_right = correct[surer].sum() + (n_kept - surer.sum()) * correct[equal].mean()
    return float(n_right / n_kept)


def count_by_threshold(validation: Confidences, test: Confidences) -> list[ThresholdRow]:
    """Count the answers that thresholds keep, and how many of them are wrong: a risk-coverage curve.

    El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 11, 2010.

    Args:
        validation: The validation tracks, which choose the thresholds.
        test: The test tracks.

    Returns:
        A row per threshold, the highest first. An answer is kept if its confidence is not below it. The last threshold
        is zero, and keeps all.

    Example:
        >>> sure, right = np.array([0.9, 0.8]), np.array([True, False])
        >>> rows = count_by_threshold(Confidences(sure, right), Confidences(sure - 0.05, right))
        >>> [(row["threshold"], row["validation_kept"], row["test_kept"], row["test_wrong"]) for row in rows]
        [(0.9, 1, 0, 0), (0.8, 2, 1, 0), (0.0, 2, 2, 1)]
    """
    falling = np.sort(validation.confidence)[::-1]
    kept = -(-np.arange(1, N_THRESHOLDS + 1) * len(falling) // N_THRESHOLDS)
    thresholds = [*dict.fromkeys(falling[kept - 1].tolist()), 0.0]

    def count(answers: Confidences, threshold: float) -> tuple[int, int]:
        keeps = answers.confidence >= threshold
        return int(keeps.sum()), int((keeps & ~answers.correct).sum())

    rows: list[ThresholdRow] = []
    for threshold in thresholds:
        (validation_kept, validation_wrong), (test_kept, test_wrong) = (
            count(answers, threshold) for answers in (validation, test)
        )
        rows.append(
            {
                "threshold": threshold,
                "validation_kept": validation_kept,
                "validation_wrong": validation_wrong,
                "test_kept": test_kept,
                "test_wrong": test_wrong,
            }
        )
    return rows


class Abstention(NamedTuple):
    """When a model is not sure, and what that was worth.

    Attributes:
        max_error: The share of its kept answers that may be wrong.
        threshold: The confidence below which it is not sure; infinite if no threshold reaches that.
        kept: Share of the test tracks whose answer is kept.
        error: Share of these that are wrong; NaN if there are none.
        error_of_all: Share of all test tracks that are wrong.
    """

    max_error: float
    threshold: float
    kept: float
    error: float
    error_of_all: float


def choose_threshold(rows: Sequence[ThresholdRow], max_error: float) -> Abstention:
    """Choose the threshold that keeps the most answers and lets few enough of them be wrong.

    Of the validation tracks, with one more that is kept and wrong: with few answers, none wrong proves little (the
    correction of Angelopoulos et al., "Conformal Risk Control", ICLR 2024). The test tracks have no say, and measure
    what the threshold is worth.

    Args:
        rows: What :func:`count_by_threshold` returned.
        max_error: The share of the kept answers that may be wrong.

    Example:
        >>> validation = Confidences(np.linspace(1.0, 0.1, 10), np.arange(10) < 6)
        >>> test = Confidences(np.array([0.9, 0.5, 0.3]), np.array([True, False, False]))
        >>> rows = count_by_threshold(validation, test)
        >>> chosen = choose_threshold(rows, 0.25)
        >>> round(chosen.threshold, 1), round(chosen.kept, 3), chosen.error, round(chosen.error_of_all, 3)
        (0.4, 0.667, 0.5, 0.667)
        >>> choose_threshold(rows, 0.1).threshold
        inf
    """
    # Rounding may put 0.29 * 100 below 29.
    reached = [row for row in rows if (row["validation_wrong"] + 1) / (row["validation_kept"] + 1) <= max_error + 1e-9]
    n_test, error_of_all = rows[-1]["test_kept"], rows[-1]["test_wrong"] / rows[-1]["test_kept"]
    if not reached:
        return Abstention(max_error, math.inf, 0.0, math.nan, error_of_all)
    row = reached[-1]
    error = row["test_wrong"] / row["test_kept"] if row["test_kept"] else math.nan
    return Abstention(max_error, row["threshold"], row["test_kept"] / n_test, error, error_of_all)
