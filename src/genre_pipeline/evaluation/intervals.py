"""How sure a number is: mean, standard deviation and confidence interval over the repeats of a protocol."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from genre_pipeline.errors import EvaluationError
from genre_pipeline.evaluation.bootstrap import resample
from genre_pipeline.evaluation.calibration import TEMPERATURES
from genre_pipeline.registry import suggestion

Design = Literal["kfold", "resampled", "seeds"]

CORRECTED_T = "corrected resampled t"
PLAIN_T = "t"
CLUSTERED = "clustered bootstrap"
WILSON = "wilson"
NO_INTERVAL = "none"

_DESIGNS = {"kfold": CORRECTED_T, "resampled": CORRECTED_T, "seeds": PLAIN_T}
_COLUMNS = ["repeat", "split", "unit", "metric", "value", "n"]
# Where the values of a metric end; a metric that is not here has no ends.
_BOUNDS = {
    "accuracy": (0.0, 1.0),
    "accuracy_at_80_coverage": (0.0, 1.0),
    "accuracy_at_95_coverage": (0.0, 1.0),
    "balanced_accuracy": (0.0, 1.0),
    "brier": (0.0, 2.0),
    "calibrated_brier": (0.0, 2.0),
    "calibrated_ece": (0.0, 1.0),
    "calibrated_log_loss": (0.0, math.inf),
    "ece": (0.0, 1.0),
    "macro_f1": (0.0, 1.0),
    "top_2_accuracy": (0.0, 1.0),
    "log_loss": (0.0, math.inf),
    "temperature": TEMPERATURES,
}


def summarise(
    scores: pd.DataFrame,
    *,
    design: Design,
    n_train_tracks: float,
    n_test_tracks: float,
    outcomes: pd.DataFrame | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Summarise scores over repeats.

    Repeats of a ``kfold`` or ``resampled`` design share training tracks, so that their plain variance is too small. The
    corrected resampled t interval is mean +- t(n - 1) * sd * sqrt(1 / n + n_test / n_train): Nadeau and Bengio,
    "Inference for the Generalization Error", Machine Learning 52, 2003; for k-fold see Bouckaert and Frank, PAKDD 2004.
    Repeats of a ``seeds`` design get the plain t interval, mean +- t(n - 1) * sd / sqrt(n): it covers what the training
    seed changes, and not what another choice of test tracks would.

    An accuracy is never shown as surer than the tested tracks and their artists allow: the widest interval of these is
    shown. The t interval, unless repeats are seeds and ``outcomes`` are given. With ``outcomes``, the bootstrap over
    artists, and over seeds: :func:`~genre_pipeline.evaluation.bootstrap.resample`. The Wilson score interval of the
    mean (Wilson, JASA 22, 1927), which takes tracks for independent, and counts the test tracks of all repeats, or of
    one where repeats are seeds that test the same tracks; segments of one track are not independent, so that it counts
    tracks for segments too. A single repeat has no interval for the other metrics.

    Args:
        scores: One row per number: ``repeat``, ``split``, ``unit``, ``metric``, ``value``, ``n``, as
            :func:`~genre_pipeline.evaluation.metrics.score` gives.
        design: How the repeats relate.
        n_train_tracks: Training tracks of a repeat; the mean where repeats differ.
        n_test_tracks: Test tracks of a repeat; the mean where repeats differ.
        outcomes: What was predicted correctly, one row per ``repeat``, ``split``, ``unit`` and track or segment:
            ``cluster`` (its artist) and ``value`` (0 or 1).
        confidence: Coverage of the interval, between 0 and 1.

    Returns:
        One row per ``split``, ``unit`` and ``metric``, sorted by them, with ``mean``, ``sd`` (of the sample, NaN for a
        single repeat), ``ci_low`` and ``ci_high`` (NaN where there is no interval; within the metric's bounds),
        ``min``, ``max``, ``n_repeats`` and ``interval``, the method's name.

    Raises:
        EvaluationError: If the scores are empty, lack columns or are not finite, a metric has two values for one
            repeat, or an argument is out of range.

    Example:
        >>> scores = pd.DataFrame({"repeat": [0, 1], "split": "test", "unit": "track", "metric": "accuracy",
        ...                        "value": [0.75, 0.85], "n": 20})
        >>> row = summarise(scores, design="seeds", n_train_tracks=80, n_test_tracks=20).iloc[0]
        >>> print(f"{row['mean']:.2f}, {row['ci_low']:.2f} to {row['ci_high']:.2f}: {row['interval']}")
        0.80, 0.16 to 1.00: t
    """
    _check(scores, design, n_train_tracks, n_test_tracks, confidence)
    groups = scores.groupby(["split", "unit", "metric"], observed=True)
    summary = groups["value"].agg(mean="mean", sd="std", min="min", max="max", n_repeats="count").reset_index()
    single = (summary["n_repeats"] == 1).to_numpy()

    extra = n_test_tracks / n_train_tracks if _DESIGNS[design] == CORRECTED_T else 0.0
    half_width = _t_half_width(summary, extra, confidence)
    summary["ci_low"], summary["ci_high"] = summary["mean"] - half_width, summary["mean"] + half_width
    summary["interval"] = np.where(single, NO_INTERVAL, _DESIGNS[design])
    if outcomes is not None and design == "seeds":
        # The spread of two or three seeds gives a t interval of any width, and knows nothing of other tracks.
        summary.loc[summary["metric"] == "accuracy", ["ci_low", "ci_high"]] = math.nan
    if outcomes is not None:
        _widen_by_artists(summary, outcomes, design, confidence)
    _widen_accuracies(summary, _tested_tracks(scores, design), confidence)
    for metric, (lowest, highest) in _BOUNDS.items():
        rows = summary["metric"] == metric
        summary.loc[rows, ["ci_low", "ci_high"]] = summary.loc[rows, ["ci_low", "ci_high"]].clip(lowest, highest)
    order = ["split", "unit", "metric", "mean", "sd", "ci_low", "ci_high", "min", "max", "n_repeats", "interval"]
    return summary[order].astype({"n_repeats": "int64", "interval": "string"})


def wilson_interval(proportion: float, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a binomial proportion (Wilson, JASA 22, 1927).

    Args:
        proportion: The proportion observed, between 0 and 1.
        n: Number of independent trials.
        confidence: Coverage of the interval.

    Returns:
        Lower and upper bound, within 0 and 1.

    Example:
        >>> low, high = wilson_interval(0.5, 10)
        >>> round(low, 4), round(high, 4)
        (0.2366, 0.7634)
    """
    from scipy.special import ndtri

    z = float(ndtri(0.5 + confidence / 2.0))
    shrink = 1.0 + z**2 / n
    centre = (proportion + z**2 / (2.0 * n)) / shrink
    half_width = z / shrink * math.sqrt(proportion * (1.0 - proportion) / n + z**2 / (4.0 * n**2))
    # Rounding may put an end that is 0 or 1 on the wrong side of the proportion.
    return max(0.0, min(proportion, centre - half_width)), min(1.0, max(proportion, centre + half_width))


class Estimate(NamedTuple):
    """A number and the ends of its interval, NaN where there is none."""

    value: float
    low: float
    high: float


def difference(a: Estimate, b: Estimate) -> Estimate:
    """Return the difference of two estimates of different samples, with its interval.

    The ends are d - sqrt((a - a_low)^2 + (b_high - b)^2) and d + sqrt((a_high - a)^2 + (b - b_low)^2), which keeps
    intervals that are not symmetric as they are: Zou and Donner, Statistics in Medicine 27, 2008; for two proportions
    with Wilson intervals it is method 10 of Newcombe, Statistics in Medicine 17, 1998. It takes the estimates for
    independent; where they rise and fall together, as two protocols on one collection do, it is too wide rather than
    too narrow.

    Args:
        a: The one.
        b: What is subtracted.

    Returns:
        The difference; without an interval if one of the two has none.

    Example:
        >>> low, high = wilson_interval(56 / 70, 70), wilson_interval(48 / 80, 80)
        >>> [round(end, 4) for end in difference(Estimate(56 / 70, *low), Estimate(48 / 80, *high))]
        [0.2, 0.0524, 0.3339]
    """
    value = a.value - b.value
    down = math.hypot(a.value - a.low, b.high - b.value)
    up = math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, value - down, value + up)


def _tested_tracks(scores: pd.DataFrame, design: Design) -> dict[str, int]:
    """Return the number of tracks that an accuracy rests on, by split."""
    tracks = scores[(scores["unit"] == "track") & (scores["metric"] == "accuracy")].groupby("split", observed=True)["n"]
    return {str(split): int(n) for split, n in (tracks.min() if design == "seeds" else tracks.sum()).items()}


def _widen_by_artists(summary: pd.DataFrame, outcomes: pd.DataFrame, design: Design, confidence: float) -> None:
    """Replace an accuracy's t interval by the clustered bootstrap where that is wider or the only one."""
    for (split, unit), rows in outcomes.groupby(["split", "unit"], observed=True):
        low, high = resample(rows, draw_repeats=design == "seeds").interval(confidence)
        chosen = (summary["split"] == split) & (summary["unit"] == unit) & (summary["metric"] == "accuracy")
        _widen(summary, summary.index[chosen], low, high, CLUSTERED)


def _widen(summary: pd.DataFrame, rows: pd.Index[int], low: float, high: float, name: str) -> None:
    if math.isnan(low):
        return
    narrower = ~(summary["ci_high"][rows] - summary["ci_low"][rows] >= high - low)
    summary.loc[rows[narrower], ["ci_low", "ci_high"]] = low, high
    summary.loc[rows[narrower], "interval"] = name


def _widen_accuracies(summary: pd.DataFrame, n_tracks: dict[str, int], confidence: float) -> None:
    """Replace an accuracy's interval by the Wilson interval where that is wider or the only one."""
    for row in summary.index[summary["metric"] == "accuracy"]:
        split, accuracy = str(summary["split"][row]), float(summary["mean"][row])
        if split not in n_tracks:
            raise EvaluationError(
                f"The scores of the split '{split}' have no accuracy of the unit 'track', whose number of tracks an "
                "interval needs. Score segments and tracks together."
            )
        low, high = wilson_interval(accuracy, n_tracks[split], confidence=confidence)
        _widen(summary, pd.Index([row]), low, high, WILSON)


def _t_half_width(summary: pd.DataFrame, extra_variance: float, confidence: float) -> pd.Series[float]:
    """Return half the t interval's width; NaN for a single repeat, which has no standard deviation."""
    from scipy.special import stdtrit

    n_repeats = summary["n_repeats"].astype(np.float64)
    quantile = stdtrit((n_repeats - 1.0).clip(lower=1.0).to_numpy(), 0.5 + confidence / 2.0)
    half_width: pd.Series[float] = summary["sd"] * np.sqrt(1.0 / n_repeats + extra_variance) * quantile
    return half_width


def _check(scores: pd.DataFrame, design: str, n_train_tracks: float, n_test_tracks: float, confidence: float) -> None:
    if design not in _DESIGNS:
        raise EvaluationError(f"Unknown design of repeats '{design}'. {suggestion(design, _DESIGNS)}")
    if n_train_tracks <= 0 or n_test_tracks <= 0:
        raise EvaluationError(
            f"Expected numbers of training and test tracks above 0, got {n_train_tracks} and {n_test_tracks}."
        )
    if not 0.0 < confidence < 1.0:
        raise EvaluationError(f"Expected a confidence between 0 and 1, got {confidence}.")
    missing = [column for column in _COLUMNS if column not in scores.columns]
    if missing:
        raise EvaluationError(f"The scores lack the columns {', '.join(missing)}; expected {', '.join(_COLUMNS)}.")
    if scores.empty:
        raise EvaluationError("The scores are empty: there is nothing to summarise. Score predictions first.")
    if not np.isfinite(scores["value"].to_numpy(dtype=np.float64)).all():
        bad = scores[~np.isfinite(scores["value"])].iloc[0]
        raise EvaluationError(
            f"The {bad['metric']} of repeat {bad['repeat']} ({bad['split']}, {bad['unit']}) is not finite: "
            f"{bad['value']}. Evaluate again."
        )
    doubled = scores[scores.duplicated(["repeat", "split", "unit", "metric"])]
    if len(doubled):
        bad = doubled.iloc[0]
        raise EvaluationError(
            f"The {bad['metric']} of repeat {bad['repeat']} ({bad['split']}, {bad['unit']}) is there twice; expected "
            "one value. Summarise one cell at a time."
        )
