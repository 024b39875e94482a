"""Whether probabilities mean what they say: of what a model is 80 % sure of, are 80 % right?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
