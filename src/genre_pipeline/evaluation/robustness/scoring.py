"""What a change of the test audio costs: accuracy after it, against that before, on the same tracks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from genre_pipeline.evaluation.bootstrap import N_RESAMPLES, clusters_of
from genre_pipeline.evaluation.metrics import TrackAverage, aggregate_to_tracks
from genre_pipeline.evaluation.paired import compare, holm
from genre_pipeline.interventions import Intervention
from genre_pipeline.results.cell import CellResult, row_of
from genre_pipeline.results.tables import ROBUSTNESS_COLUMNS


def score_robustness(
    result: CellResult,
    before: pd.DataFrame,
    after: Mapping[str, pd.DataFrame],
    interventions: Mapping[str, Intervention],
    *,
    artists: pd.Series[str],
    confidence: float = 0.95,
    average: TrackAverage = "probability",
    n_resamples: int = N_RESAMPLES,
) -> pd.DataFrame:
    """Compare a cell's predictions of changed test tracks with those of the same tracks unchanged.

    Models, repeats and tracks are the same before and after, so that :func:`~genre_pipeline.evaluation.paired.compare`
    applies, with its interval and tests; ``p_holm`` is corrected for the number of interventions, and ``is_changed``
    says whether it is at most ``1 - confidence``.

    Args:
        result: The cell's result.
        before: The cell's predictions.
        after: Its predictions of changed tracks, by intervention.
        interventions: The interventions, by name.
        artists: Artist by track id, empty where unknown.
        confidence: Coverage of the intervals.
        average: How tracks are scored, as in :func:`~genre_pipeline.evaluation.metrics.aggregate_to_tracks`.
        n_resamples: Number of resamples.

    Returns:
        One row per intervention, with the columns :data:`ROBUSTNESS_COLUMNS`. ``accuracy_before`` is that of the tracks
        which could be changed; ``n_left_out`` counts, over repeats, those which could not, or became shorter than one
        segment; ``same_answer`` is the share of tracks for which the predicted genre is the same as before, right or
        wrong; ``accuracy_of_all`` is the cell's accuracy on all of its test tracks.

    Raises:
        EvaluationError: If predictions cannot be scored.
    """
    known = _answers(before, result["genres"], average)
    rows = []
    for name, predictions in after.items():
        answers = _answers(predictions, result["genres"], average)
        both = known.add_suffix("_before").join(answers.add_suffix("_after"), how="inner")
        numbers = {
            "n_left_out": len(known) - len(both),
            "accuracy_of_all": _mean_over_repeats(known["right"]),
            **_compare(both, result, artists, confidence=confidence, n_resamples=n_resamples),
        }
        names = {"intervention": name, "label": interventions[name].block.label, "unit": "track", "metric": "accuracy"}
        rows.append({**row_of(result), **names, **numbers})
    table = pd.DataFrame(rows, columns=list(ROBUSTNESS_COLUMNS)).assign(confidence=confidence)
    table["p_holm"] = holm(table["p"].astype("float64"))
    table["is_changed"] = table["p_holm"] <= 1.0 - confidence
    return table.astype(dict(ROBUSTNESS_COLUMNS))


def _answers(predictions: pd.DataFrame, genres: list[str], average: TrackAverage) -> pd.DataFrame:
    """Return what is said of each test track and whether that is right, by repeat and track."""
    test = predictions[predictions["split"] == "test"]
    if test.empty:
        index = pd.MultiIndex.from_arrays([[], []], names=["repeat", "track_id"])
        return pd.DataFrame({"answer": pd.Series(dtype=object), "right": pd.Series(dtype=bool)}, index=index)
    columns = ["repeat", "split", "track_id", "genre", *(f"p_{genre}" for genre in genres)]
    tracks = aggregate_to_tracks(test[columns], average)
    probabilities = tracks[[f"p_{genre}" for genre in genres]].to_numpy(dtype=np.float64)
    answers = np.asarray(genres, dtype=object)[probabilities.argmax(axis=1)]
    right = answers == tracks["genre"].to_numpy(dtype=object)
    return tracks[["repeat", "track_id"]].assign(answer=answers, right=right).set_index(["repeat", "track_id"])


def _compare(
    both: pd.DataFrame, result: CellResult, artists: pd.Series[str], *, confidence: float, n_resamples: int
) -> dict[str, Any]:
    if both.empty:
        return {**dict.fromkeys(("n_repeats", "n_tracks", "n_clusters"), 0), "p": math.nan}
    outcomes = both.reset_index().rename(columns={"right_after": "right_a", "right_before": "right_b"})
    outcomes["cluster"] = clusters_of(outcomes["track_id"], artists)
    ratio = result["n_tracks"]["test"] / result["n_tracks"]["train"]
    compared = compare(
        outcomes, design=result["design"], test_ratio=ratio, confidence=confidence, n_resamples=n_resamples
    )
    return {
        **{key: value for key, value in compared.items() if key in ROBUSTNESS_COLUMNS},
        "accuracy": _mean_over_repeats(both["right_after"]),
        "accuracy_before": _mean_over_repeats(both["right_before"]),
        "same_answer": _mean_over_repeats(both["answer_after"] == both["answer_before"]),
    }


def _mean_over_repeats(values: pd.Series[bool]) -> float:
    """Return the mean over repeats of each repeat's mean over tracks."""
    return float(values.astype("float64").groupby("repeat").mean().mean())
