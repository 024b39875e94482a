"""What changed between two runs of the same cells: parameters, data, code, and what that did to the numbers.

A cell is compared with itself: the same dataset, protocol, feature and model by name. What those names stood for may
have changed meanwhile (another split, more tracks, other parameters), and is then named beside the numbers as what may
explain them. Not compared are numbers of which one is leaky, those of two splits of which one has unknown artists, and
answers out of different genres.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.bootstrap import N_RESAMPLES, resample
from genre_pipeline.evaluation.paired import compare, corrected_t_interval, on_common_tracks
from genre_pipeline.results.run_changes import (
    JUDGED,
    CellChange,
    CellRecord,
    Change,
    ChangeKind,
    ChangeVerdict,
    MetricChange,
    SessionChange,
    SessionRecord,
)

# Metrics of which less is better; of all others more is.
_LESS_IS_BETTER = ("log_loss", "ece", "brier")
_SIDES = ("test_track_", "test_segment_")
_OTHER_ENDS = ("_sd", "_ci_low", "_ci_high")


def compare_sessions(
    before: SessionRecord | None, after: SessionRecord, *, confidence: float = 0.95, n_resamples: int = N_RESAMPLES
) -> SessionChange:
    """Describe how every cell changed between two sessions.

    Args:
        before: The earlier session; ``None`` if there is none.
        after: The later one.
        confidence: Coverage of the intervals.
        n_resamples: Number of resamples.
    """
    earlier = {} if before is None else before.cells
    cells = [
        compare_records(cell, earlier.get(cell), after.cells.get(cell), confidence=confidence, n_resamples=n_resamples)
        for cell in sorted({*earlier, *after.cells})
    ]
    return SessionChange(before, after, cells)


def compare_records(
    cell: Cell,
    before: CellRecord | None,
    after: CellRecord | None,
    *,
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
) -> CellChange:
    """Describe how a cell changed from one run to another, and judge the change.

    A run is a regression if its track accuracy is lower beyond the interval of the difference. Where both runs'
    answers are known, they are compared track by track, see :func:`compare_outcomes`; else the interval of the
    difference is made of the two that were logged, see :func:`difference_of_intervals`.

    Args:
        cell: The cell.
        before: The earlier run of the cell, if there is one.
        after: The later run, if there is one.
        confidence: Coverage of the intervals.
        n_resamples: Number of resamples.

    Returns:
        What changed, and the verdict.
    """
    change: CellChange = {
        "cell": cell.name,
        "before": None if before is None else before.run_id,
        "after": None if after is None else after.run_id,
        "verdict": "new" if before is None else "gone",
        "reason": "",
        "changes": [],
        "metrics": [],
    }
    if before is None or after is None:
        return change
    change["changes"] = _changes(before, after)
    if not after.metrics:
        change["verdict"] = "failed"
    elif not before.metrics:
        change["verdict"] = "new"
    elif obstacle := _obstacle(before, after):
        change["verdict"], change["reason"] = "not comparable", obstacle
    else:
        change["metrics"] = [_metric_change(metric, before, after) for metric in _common_metrics(before, after)]
        judged = change["metrics"][0]
        if before.outcomes is not None and after.outcomes is not None:
            numbers = compare_outcomes(
                before.outcomes,
                after.outcomes,
                same_split=before.data.get("split_hash") == after.data.get("split_hash"),
                design=after.design,
                test_ratio=after.test_ratio,
                confidence=confidence,
                n_resamples=n_resamples,
            )
            judged.update(numbers or {})  # type: ignore[typeddict-item]
        change["verdict"] = judged["verdict"]
    return change


def compare_outcomes(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    same_split: bool,
    design: str,
    test_ratio: float,
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
) -> dict[str, Any] | None:
    """Compare two runs of a model on the test tracks that both predicted.

    On the same split, each track is compared with itself repeat by repeat, with the tests of
    :func:`~genre_pipeline.evaluation.paired.compare`: a difference counts that every test sees which fits the design.
    The interval is the hull of the bootstrap's and, for folds and resampled splits, of the corrected resampled t
    interval. Where the split has changed, repeats have nothing in common: each track counts with the share of its
    repeats that are right, and only the bootstrap over artists is left, which does not know how much another training
    would change.

    Args:
        before: The earlier predictions, as :func:`~genre_pipeline.evaluation.paired.track_outcomes` gives them.
        after: The later ones.
        same_split: Whether both are of one split.
        design: How the later run's repeats relate.
        test_ratio: Its test tracks over training tracks.
        confidence: Coverage of the interval; one minus it is the level of the tests.
        n_resamples: Number of resamples.

    Returns:
        ``difference``, ``ci_low``, ``ci_high``, ``basis``, ``n_tracks`` and ``verdict`` of a :class:`MetricChange`;
        nothing if no track is common.

    Example:
        >>> def answers(*right):
        ...     tracks = [f"t{number}" for number in range(len(right))]
        ...     return pd.DataFrame({"repeat": 0, "track_id": tracks, "cluster": tracks, "right": right})
        >>> numbers = compare_outcomes(answers(*[True] * 20), answers(*[False] * 12, *[True] * 8), same_split=True,
        ...                            design="seeds", test_ratio=0.25, n_resamples=999)
        >>> numbers["difference"], numbers["n_tracks"], numbers["verdict"]
        (-0.6, 20, 'regression')
    """
    compared = (
        _repeat_by_repeat(before, after, design, test_ratio, confidence, n_resamples)
        if same_split
        else _track_by_track(before, after, confidence, n_resamples)
    )
    if compared is None:
        return None
    verdict: ChangeVerdict = "no difference shown"
    if compared.is_same:
        verdict = "unchanged"
    elif math.isnan(compared.p):
        verdict = "no interval"
    elif compared.p <= 1.0 - confidence:
        verdict = "improvement" if compared.difference > 0.0 else "regression"
    return {
        "difference": compared.difference,
        "ci_low": _plain(compared.low),
        "ci_high": _plain(compared.high),
        "basis": "tracks",
        "n_tracks": compared.n_tracks,
        "verdict": verdict,
    }


def difference_of_intervals(
    before: tuple[float, float, float], after: tuple[float, float, float]
) -> tuple[float, float]:
    """Make the interval of a difference out of those of its two sides, which are taken for independent.

    With means m, and ends l and u: low = d - sqrt((m2 - l2)^2 + (u1 - m1)^2), high = d + sqrt((u2 - m2)^2 +
    (m1 - l1)^2), d = m2 - m1: the method of variance estimates recovery (Zou and Donner, "Construction of confidence
    limits about effect measures", Statistics in Medicine 27, 2008). Of runs that answer for the same tracks, which are
    hard or easy for both, it is too wide.

    Args:
        before: Mean, lower and upper end.
        after: The same of the later run.

    Returns:
        Lower and upper end of after minus before; NaN where a side has no interval.

    Example:
        >>> low, high = difference_of_intervals((0.5, 0.4, 0.6), (0.8, 0.7, 0.9))
        >>> round(low, 3), round(high, 3)
        (0.159, 0.441)
    """
    (m1, l1, u1), (m2, l2, u2) = before, after
    return m2 - m1 - math.hypot(m2 - l2, u1 - m1), m2 - m1 + math.hypot(u2 - m2, m1 - l1)


class _Compared(NamedTuple):
    """What the common tracks say of two runs."""

    difference: float
    low: float
    high: float
    p: float
    n_tracks: int
    is_same: bool


def _repeat_by_repeat(
    before: pd.DataFrame, after: pd.DataFrame, design: str, test_ratio: float, confidence: float, n_resamples: int
) -> _Compared | None:
    both = on_common_tracks(after, before)
    if both.empty:
        return None
    numbers = compare(both, design=design, test_ratio=test_ratio, confidence=confidence, n_resamples=n_resamples)
    ends = [(numbers["ci_low"], numbers["ci_high"])]
    values = both["right_a"].astype("float64") - both["right_b"].astype("float64")
    if design != "seeds":
        by_repeat = values.groupby(both["repeat"]).mean()
        ends.append(corrected_t_interval(by_repeat, test_ratio=test_ratio, confidence=confidence))
    # The hull; an interval that is not there counts for nothing.
    low, high = np.fmin.reduce([low for low, _ in ends]), np.fmax.reduce([high for _, high in ends])
    is_same = not values.any()
    return _Compared(numbers["difference"], low, high, numbers["p"], numbers["n_tracks"], is_same)


def _track_by_track(before: pd.DataFrame, after: pd.DataFrame, confidence: float, n_resamples: int) -> _Compared | None:
    shares, earlier = (table.groupby("track_id")["right"].mean() for table in (after, before))
    values = (shares - earlier).dropna()
    if values.empty:
        return None
    cluster = after.drop_duplicates("track_id").set_index("track_id")["cluster"].loc[values.index]
    resampled = resample(
        pd.DataFrame({"repeat": 0, "cluster": cluster, "value": values}), draw_repeats=False, n_resamples=n_resamples
    )
    low, high = resampled.interval(confidence)
    return _Compared(resampled.estimate, low, high, resampled.p_value(), len(values), not values.any())


def _changes(before: CellRecord, after: CellRecord) -> list[Change]:
    old_tracks, new_tracks = _tracks(before, after)
    pairs: list[tuple[ChangeKind, Mapping[str, str], Mapping[str, str]]] = [
        ("data", {**before.data, **old_tracks}, {**after.data, **new_tracks}),
        ("parameter", before.parameters, after.parameters),
        ("code", {"git_commit": before.commit}, {"git_commit": after.commit}),
    ]
    return [
        {"kind": kind, "key": key, "before": old.get(key), "after": new.get(key)}
        for kind, old, new in pairs
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _tracks(before: CellRecord, after: CellRecord) -> tuple[dict[str, str], dict[str, str]]:
    """Count the test tracks of all repeats, if both runs' answers are known, and those of only one of the two."""
    if before.outcomes is None or after.outcomes is None:
        return {}, {}
    old, new = (set(each["track_id"]) for each in (before.outcomes, after.outcomes))
    counts = {f"{len(new - old)} new": new - old, f"{len(old - new)} gone": old - new}
    differing = ", ".join(text for text, tracks in counts.items() if tracks)
    return {"tracks": f"{len(old)}"}, {"tracks": f"{len(new)} ({differing})" if differing else f"{len(new)}"}


def _obstacle(before: CellRecord, after: CellRecord) -> str:
    """Return why two runs of a cell cannot be compared, or ``None``."""
    leaky = [record.data.get("leaky") == "True" for record in (before, after)]
    if leaky[0] != leaky[1]:
        return f"the {'earlier' if leaky[0] else 'later'} one is LEAKY"
    unknown = ["artists_unknown" in record.data for record in (before, after)]
    if unknown[0] != unknown[1] and before.data.get("split_hash") != after.data.get("split_hash"):
        return f"another split, and only of the {'earlier' if unknown[0] else 'later'} one artists are unknown"
    if before.outcomes is not None and after.outcomes is not None:
        old, new = (set(record.outcomes["genre"]) for record in (before, after))  # type: ignore[index]
        if old != new:
            return f"other genres: {_listed(old - new, 'without')}{_listed(new - old, 'with')}".rstrip("; ")
    elif before.data.get("subset") != after.data.get("subset"):
        return "another part of the dataset, and not the answers for each track"
    if JUDGED not in _common_metrics(before, after):
        return f"one of them has no {JUDGED}"
    return ""


def _listed(genres: set[str], word: str) -> str:
    return f"{word} {', '.join(sorted(genres))}; " if genres else ""


def _common_metrics(before: CellRecord, after: CellRecord) -> list[str]:
    """Return the test metrics that both have, the judged one first."""
    common = [
        key
        for key in sorted({*before.metrics} & {*after.metrics})
        if key.startswith(_SIDES) and "/" not in key and not key.endswith(_OTHER_ENDS)
    ]
    return sorted(common, key=lambda key: (key != JUDGED, not key.startswith(_SIDES[0]), key))


def _metric_change(metric: str, before: CellRecord, after: CellRecord) -> MetricChange:
    old, new = (
        (
            record.metrics[metric],
            record.metrics.get(f"{metric}_ci_low", math.nan),
            record.metrics.get(f"{metric}_ci_high", math.nan),
        )
        for record in (before, after)
    )
    low, high = difference_of_intervals(old, new)
    verdict: ChangeVerdict = "no difference shown"
    if np.array_equal(old, new, equal_nan=True):
        verdict = "unchanged"
    elif math.isnan(low):
        verdict = "no interval"
    elif low > 0.0 or high < 0.0:
        grew_is_good = not metric.endswith(_LESS_IS_BETTER)
        verdict = "improvement" if (low > 0.0) == grew_is_good else "regression"
    return {
        "metric": metric,
        "before": old[0],
        "after": new[0],
        "difference": new[0] - old[0],
        "ci_low": _plain(low),
        "ci_high": _plain(high),
        "basis": "intervals",
        "n_tracks": None,
        "verdict": verdict,
    }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
