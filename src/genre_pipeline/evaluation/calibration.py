"""Whether probabilities mean what they say: of what a model is 80 % sure of, are 80 % right?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

# The smallest probability that counts: float32 softmax underflows to zero. [D] float32 epsilon
MIN_PROBABILITY = float(np.finfo(np.float32).eps)
# Temperatures that are tried. [?] A handful of validation tracks, all right, would ask for zero.
TEMPERATURES = (0.2, 20.0)
# [P] Guo et al. 2017, section 4.
N_BINS = 15


def reliability(confidences: NDArray[np.float64], correct: NDArray[np.bool_], *, n_bins: int = N_BINS) -> pd.DataFrame:
    """Count how often predictions of about equal confidence are right: the bars of a reliability diagram.

    Bin m of M holds the confidences in ((m - 1) / M, m / M]: Guo, Pleiss, Sun and Weinberger, "On Calibration of
    Modern Neural Networks", ICML 2017.

    Args:
        confidences: The probability of each predicted genre, between 0 and 1.
        correct: Whether each prediction is right.
        n_bins: Number of bins of equal width.

    Returns:
        One row for each bin that holds something: ``low`` and ``high`` (its ends), ``n``, ``confidence`` (the mean) and
        ``accuracy``.

    Example:
        >>> bars = reliability(np.array([0.9, 1.0, 0.4]), np.array([True, False, False]), n_bins=2)
        >>> bars[["high", "n", "accuracy"]].to_dict("list")
        {'high': [0.5, 1.0], 'n': [1, 2], 'accuracy': [0.0, 0.5]}
    """
    ends = np.linspace(0.0, 1.0, n_bins + 1)
    bins = np.searchsorted(ends[1:-1], confidences)
    table = pd.DataFrame({"bin": bins, "confidence": confidences, "accuracy": correct.astype(np.float64)})
    bars = table.groupby("bin").agg(
        n=("accuracy", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    )
    filled = bars.index.to_numpy()
    bars.insert(0, "low", ends[filled])
    bars.insert(1, "high", ends[filled + 1])
    return bars.reset_index(drop=True)


def expected_calibration_error(
    confidences: NDArray[np.float64], correct: NDArray[np.bool_], *, n_bins: int = N_BINS
) -> float:
    """Return how far confidence and accuracy are apart: sum over bins of n_m / n * abs(accuracy_m - confidence_m).

    Few predictions make it too large even for a perfectly calibrated model, because each bin's accuracy is uncertain.

    Args:
        confidences: See :func:`reliability`.
        correct: See :func:`reliability`.
        n_bins: See :func:`reliability`.

    Returns:
        The expected calibration error (Guo et al. 2017, equation 3), between 0 and 1.

    Example:
        >>> expected_calibration_error(np.array([0.75, 0.75]), np.array([True, False]))
        0.25
    """
    bars = reliability(confidences, correct, n_bins=n_bins)
    gaps = (bars["accuracy"] - bars["confidence"]).abs()
    return float((gaps * bars["n"]).sum() / bars["n"].sum())


def log_probabilities(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return natural logarithms; a probability below the float32 epsilon counts as that."""
    logarithms: NDArray[np.float64] = np.log(np.maximum(probabilities, MIN_PROBABILITY))
    return logarithms


def fit_temperature(probabilities: NDArray[np.float64], targets: NDArray[np.intp]) -> float:
    """Find the temperature by which probabilities explain the true genres best: Guo et al. 2017, section 4.2.

    It minimises the log loss, which is convex in one over the temperature.

    Args:
        probabilities: Shape ``(n, n_genres)``; one below the float32 epsilon counts as that.
        targets: The true genre of each row, as a column of ``probabilities``.

    Returns:
        The temperature, within :data:`TEMPERATURES`: above 1 for a model that is too sure of itself.

    Example:
        >>> sure = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
        >>> round(fit_temperature(sure, np.array([0, 0, 1, 0])), 2)
        2.0
    """
    from scipy.optimize import minimize_scalar

    logarithms = log_probabilities(probabilities)
    of_target = logarithms[np.arange(len(targets)), targets]

    def log_loss(exponent: float) -> float:
        return float((logsumexp(exponent * logarithms, axis=1) - exponent * of_target).mean())

    low, high = TEMPERATURES
    found = minimize_scalar(log_loss, bounds=(1.0 / high, 1.0 / low), method="bounded", options={"xatol": 1e-6})
    return 1.0 / float(found.x)


def temper(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Divide the logarithms of probabilities by a temperature: p ** (1 / temperature), scaled to a sum of one.

    The order of the genres stays. For the softmax of logits, it is the softmax of the logits over the temperature.

    Args:
        probabilities: Shape ``(n, n_genres)``; one below the float32 epsilon counts as that.
        temperature: Above 1 it takes sureness away, below 1 it adds some.

    Example:
        >>> temper(np.array([[0.8, 0.2]]), 2.0).round(3).tolist()
        [[0.667, 0.333]]
    """
    tempered: NDArray[np.float64] = softmax(log_probabilities(probabilities) / temperature, axis=1)
    return tempered
