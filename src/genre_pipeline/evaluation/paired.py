"""Is one model really better than another?

Both predicted the same tracks, so that they are compared track by track: what is easy or hard for both cancels
out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from genre_pipeline.cells import Cell
from genre_pipeline.errors import EvaluationError
from genre_pipeline.evaluation.bootstrap import N_RESAMPLES, clusters_of, resample
from genre_pipeline.evaluation.metrics import TrackAverage, told_right
from genre_pipeline.results.cell import CellResult, cell_of, unknown_share
from genre_pipeline.results.tables import PAIR_COLUMNS


def compare_pairs(
    results: Sequence[CellResult],
    predictions: Sequence[pd.DataFrame],
    *,
    artists: pd.Series[str],
    divided: Literal["track", "piece"],
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    average: TrackAverage = "probability",
) -> pd.DataFrame:
    """Compare every two cells of one dataset and protocol by their track accuracy.

    The difference is the mean over repeats of the difference of accuracies on the test tracks that both have answered
    for; its interval is that of :func:`~genre_pipeline.evaluation.bootstrap.resample`. The tests, each of "there is no
    difference":

    - ``p_bootstrap``, always: the clustered bootstrap. It knows nothing of what other training tracks would change.
    - ``p_corrected_t``, for folds and resampled splits: :func:`corrected_t_test` of the repeats' differences. It knows
      nothing of artists.
    - ``p_mcnemar``, for a single repeat: :func:`mcnemar_test`.

    ``p`` is the largest of them: a difference counts that every test sees, which is never less strict than the one test
    whose assumptions hold. ``p_holm`` is corrected for the number of pairs, and ``better`` names the cell that is
    better at the level ``1 - confidence``: ``a``, ``b``, or nothing.

    Args:
        results: The result of each cell.
        predictions: The predictions of each cell, in the same order.
        artists: Artist by track id, empty where unknown.
        divided: What the split gives to sides: tracks, or pieces of them.
        confidence: Coverage of the intervals; one minus it is the level of the tests.
        n_resamples: Number of resamples.
        average: What of a track's segments is averaged.

    Returns:
        One row a pair of cells that were trained, with the columns :data:`PAIR_COLUMNS`, in the order of the cells.
        ``only_a`` and ``only_b`` count the tracks, summed over repeats, that only one of them has right; ``n_tracks``
        counts different tracks.

    Raises:
        EvaluationError: If the cells are not of one split, or two of them share no test track.
    """
    if len({result["split_hash"] for result in results}) > 1:
        names = ", ".join(cell_of(result).name for result in results)
        raise EvaluationError(f"Expected cells of one split to compare in pairs, got several splits: {names}.")
    outcomes = [
        (result, track_outcomes(table, genres=result["genres"], artists=artists, average=average))
        for result, table in zip(results, predictions, strict=True)
        if result["n_repeats"]
    ]
    rows = []
    for (a, of_a), (b, of_b) in combinations(outcomes, 2):
        both = on_common_tracks(of_a, of_b)
        if both.empty:
            raise EvaluationError(
                f"{cell_of(a).name} and {cell_of(b).name} share no test track, but are of one split. Predict again."
            )
        sizes = [result["n_tracks" if divided == "track" else "n_segments"] for result in (a, b)]
        ratio = max(size["test"] / size["train"] for size in sizes)
        numbers = compare(both, design=a["design"], test_ratio=ratio, confidence=confidence, n_resamples=n_resamples)
        rows.append({**_names(a, b), **numbers, "confidence": confidence})
    table = pd.DataFrame(rows, columns=list(PAIR_COLUMNS))
    table["p_holm"] = holm(table["p"].astype("float64"))
    seen = table["p_holm"].to_numpy() <= 1.0 - confidence
    table["better"] = np.where(seen, np.where(table["difference"] > 0, "a", "b"), "")
    return table.astype(dict(PAIR_COLUMNS))


def on_common_tracks(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Join the predictions of two models for the tracks that both predicted.

    Args:
        a: The first model's, as :func:`track_outcomes` gives them.
        b: The second's, on the same split.

    Returns:
        One row per repeat and test track of both, with ``right_a`` and ``right_b`` in the place of ``right``.
    """
    keys = ["repeat", "track_id"]
    return a.merge(b[[*keys, "right"]], on=keys, suffixes=("_a", "_b"))


def compare(
    outcomes: pd.DataFrame,
    *,
    design: str,
    test_ratio: float,
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
) -> dict[str, Any]:
    """Compare two models on the same tracks. See :func:`compare_pairs` for what is computed.

    Args:
        outcomes: One row per ``repeat`` and ``track_id``, with its ``cluster``, and ``right_a`` and ``right_b``:
            whether each of the models is right.
        design: How the repeats relate: ``kfold``, ``resampled`` or ``seeds``.
        test_ratio: Test tracks over training tracks.
        confidence: Coverage of the interval.
        n_resamples: Number of resamples.

    Returns:
        ``difference``, ``ci_low``, ``ci_high``, the p-values by name (NaN where a test does not fit the design), ``p``,
        and the counts.
    """
    a, b = outcomes["right_a"].to_numpy(dtype=bool), outcomes["right_b"].to_numpy(dtype=bool)
    values = outcomes[["repeat", "cluster"]].assign(value=a.astype(np.float64) - b)
    by_repeat = values.groupby("repeat")["value"].mean()
    resampled = resample(values, draw_repeats=design == "seeds", n_resamples=n_resamples)
    low, high = resampled.interval(confidence)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    single = len(by_repeat) == 1
    tests = {
        "p_bootstrap": resampled.p_value(),
        "p_corrected_t": math.nan if design == "seeds" else corrected_t_test(by_repeat, test_ratio=test_ratio),
        "p_mcnemar": mcnemar_test(only_a, only_b) if single else math.nan,
    }
    return {
        "difference": resampled.estimate,
        "ci_low": low,
        "ci_high": high,
        "n_repeats": len(by_repeat),
        "n_tracks": int(outcomes["track_id"].nunique()),
        "n_clusters": resampled.n_clusters,
        "only_a": only_a,
        "only_b": only_b,
        **tests,
        "p": float(pd.Series(tests).max()),
    }


class PairVerdict(NamedTuple):
    """What a pair's tests found, from the side of one of the two.

    Attributes:
        difference: How much more accurate it is, as a share.
        word: ``better``, ``worse`` or ``no difference shown``: these tracks cannot tell.
        ci_low: Lower end of the difference's interval.
        ci_high: Upper end.
    """

    difference: float
    word: str
    ci_low: float
    ci_high: float


def verdicts(pairs: pd.DataFrame, dataset: str, protocol: str) -> dict[tuple[Cell, Cell], PairVerdict]:
    """Read a table of pairs from both sides.

    Args:
        pairs: What :func:`compare_pairs` returned, or several such tables below each other.
        dataset: The dataset.
        protocol: The protocol.

    Returns:
        For each ordered pair of cells of that dataset and protocol, what holds for the first against the second.
    """
    found = {}
    for row in pairs[(pairs["dataset"] == dataset) & (pairs["protocol"] == protocol)].to_dict("records"):
        a, b = (Cell(dataset, protocol, row[f"feature_{side}"], row[f"model_{side}"]) for side in "ab")
        words = {"a": ("better", "worse"), "b": ("worse", "better")}.get(row["better"], ("no difference shown",) * 2)
        found[a, b] = PairVerdict(row["difference"], words[0], row["ci_low"], row["ci_high"])
        found[b, a] = PairVerdict(-row["difference"], words[1], -row["ci_high"], -row["ci_low"])
    return found


def corrected_t_test(differences: ArrayLike, *, test_ratio: float) -> float:
    """Return the two-sided p-value of the corrected resampled t-test.

    t = mean / (sd * sqrt(1 / n + n_test / n_train)) with n - 1 degrees of freedom: Nadeau and Bengio, "Inference for
    the Generalization Error", Machine Learning 52, 2003. Repeats share training tracks; the plain test, without
    n_test / n_train, would find differences where there are none.

    Args:
        differences: The difference of each repeat.
        test_ratio: n_test / n_train.

    Returns:
        The p-value; NaN for a single repeat, and for equal differences other than zero, whose spread is unknown.

    Example:
        >>> round(corrected_t_test([0.02, 0.04, 0.03, 0.05, 0.01], test_ratio=0.25), 4)
        0.0474
    """
    from scipy.special import stdtr

    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        return math.nan
    mean, error = float(values.mean()), _corrected_error(values, test_ratio)
    if not error:
        return 1.0 if abs(mean) <= np.finfo(np.float64).eps else math.nan
    return 2.0 * float(stdtr(len(values) - 1, -abs(mean) / error))


def corrected_t_interval(differences: ArrayLike, *, test_ratio: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval that belongs to :func:`corrected_t_test`.

    Args:
        differences: The difference of each repeat.
        test_ratio: n_test / n_train.
        confidence: Coverage.

    Returns:
        Lower and upper end; NaN where the test has no p-value.

    Example:
        >>> low, high = corrected_t_interval([0.02, 0.04, 0.03, 0.05, 0.01], test_ratio=0.25)
        >>> round(low, 4), round(high, 4)
        (0.0006, 0.0594)
    """
    from scipy.special import stdtrit

    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        return math.nan, math.nan
    mean, error = float(values.mean()), _corrected_error(values, test_ratio)
    if not error and abs(mean) > np.finfo(np.float64).eps:
        return math.nan, math.nan
    half_width = float(stdtrit(len(values) - 1, 0.5 + confidence / 2.0)) * error
    return mean - half_width, mean + half_width


def _corrected_error(values: NDArray[np.float64], test_ratio: float) -> float:
    """Return the standard error of the mean of two or more repeats; 0 for equal values."""
    sd = float(values.std(ddof=1))
    # Equal differences can miss a deviation of zero by rounding.
    return sd * math.sqrt(1.0 / len(values) + test_ratio) if sd > np.finfo(np.float64).eps else 0.0


def mcnemar_test(only_a: int, only_b: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Of the tracks that one model alone has right, each model has half on average if there is no difference: McNemar,
    Psychometrika 12, 1947, with the binomial distribution instead of its approximation. It takes tracks for
    independent.

    Args:
        only_a: Tracks that only the first has right.
        only_b: Tracks that only the second has right.

    Returns:
        The p-value, 1 where the models never differ.

    Example:
        >>> mcnemar_test(5, 0)
        0.0625
    """
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Correct p-values for their number (Holm, Scandinavian Journal of Statistics 6, 1979).

    The k-th smallest of m is multiplied by m + 1 - k, and is never below a smaller one. Whoever calls significant what
    is then below a level makes any error at all with no more than that probability.

    Args:
        p_values: The p-values; NaN where there is none, which does not count.

    Returns:
        The corrected ones, in the same order.

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(values.shape, math.nan)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * factors))
    return corrected


def track_outcomes(
    predictions: pd.DataFrame,
    *,
    genres: Sequence[str],
    artists: pd.Series[str],
    average: TrackAverage = "probability",
) -> pd.DataFrame:
    """Return which test tracks a model predicted correctly: the input of paired comparisons.

    Args:
        predictions: The predictions of all repeats of a cell, see
            :func:`~genre_pipeline.evaluation.metrics.aggregate_to_tracks`.
        genres: The genres that the model distinguishes.
        artists: Artist by track id, empty where unknown.
        average: What of a track's segments is averaged.

    Returns:
        One row per repeat and test track: ``repeat``, ``track_id``, ``genre``, ``cluster`` (its artist, or itself) and
        ``right``.
    """
    rows = told_right(predictions, genres=genres, average=average)
    tracks = rows[(rows["split"] == "test") & (rows["unit"] == "track")].reset_index(drop=True)
    genre_of = predictions.drop_duplicates("track_id").set_index("track_id")["genre"]
    return pd.DataFrame(
        {
            "repeat": tracks["repeat"],
            "track_id": tracks["track_id"],
            "genre": tracks["track_id"].map(genre_of),
            "cluster": clusters_of(tracks["track_id"], artists),
            "right": tracks["value"] > 0.0,
        }
    )


def _names(a: CellResult, b: CellResult) -> dict[str, Any]:
    return {
        "dataset": a["cell"]["dataset"],
        "protocol": a["cell"]["protocol"],
        "subset": a["subset"],
        "leaky": a["leaky"] or b["leaky"],
        "artists_unknown": max(unknown_share(a), unknown_share(b)),
        "split_hash": a["split_hash"],
        "feature_a": a["cell"]["feature"],
        "model_a": a["cell"]["model"],
        "feature_b": b["cell"]["feature"],
        "model_b": b["cell"]["model"],
        "unit": "track",
        "metric": "accuracy",
    }
