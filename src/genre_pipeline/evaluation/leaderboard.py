"""Cells side by side: the leaderboard, the table of all metrics, and which cells may be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.errors import EvaluationError
from genre_pipeline.results.cell import (
    CellResult,
    GenreRow,
    cell_of,
    confusion_counts,
    metric_key,
    number,
    row_of,
    scored,
    statistic,
    summary_row,
    threshold_rows,
    unknown_share,
)
from genre_pipeline.results.run_changes import CellChange
from genre_pipeline.results.tables import LEADERBOARD_COLUMNS, METRIC_COLUMNS, make_table


def leaderboard(results: Sequence[CellResult], changes: Sequence[CellChange] = ()) -> pd.DataFrame:
    """Set cells side by side.

    Args:
        results: One result per cell.
        changes: What became of cells since the last finished run, as far as that is known.

    Returns:
        One row per cell with the columns :data:`LEADERBOARD_COLUMNS`, sorted by dataset, protocol, then falling track
        accuracy. All metrics are of the test split.

    Raises:
        EvaluationError: If there is no result, a cell comes twice, or a metric is missing.
    """
    if not results:
        raise EvaluationError("There is no result to compare: expected at least one evaluated cell. Run `evaluate`.")
    names = [cell_of(result).name for result in results]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise EvaluationError(f"Expected one result per cell, got several of {', '.join(twice)}.")
    known = {change["cell"]: change for change in changes}
    rows = pd.DataFrame(
        [_row(result, known.get(cell_of(result).name)) for result in results], columns=list(LEADERBOARD_COLUMNS)
    )
    order = ["dataset", "protocol", "track_accuracy_mean", "model", "feature"]
    rows = rows.sort_values(order, ascending=[True, True, False, True, True], ignore_index=True)
    return rows.astype(dict(LEADERBOARD_COLUMNS))


def metric_table(results: Sequence[CellResult]) -> pd.DataFrame:
    """Write down every metric of every cell, each with everything that says what it is.

    Args:
        results: One result per cell.

    Returns:
        One row per cell, split, unit and metric with the columns :data:`METRIC_COLUMNS`; ``key`` is the metric's name.
        Cells of which every repeat failed have no row.
    """
    rows = [{**row_of(result), **row, "key": metric_key(row)} for result in results for row in result["summary"]]
    return make_table(rows, METRIC_COLUMNS)


def by_setting(results: Sequence[CellResult]) -> dict[tuple[str, str], list[CellResult]]:
    """Group results whose numbers may be set side by side; what has no numbers is left out.

    Returns:
        Dataset and protocol, in alphabetical order, to their results in the leaderboard's order.

    Raises:
        EvaluationError: As :func:`leaderboard`.
    """
    by_name = {cell_of(result): result for result in scored(results)}
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for row in leaderboard(results).itertuples():
        cell = Cell(str(row.dataset), str(row.protocol), str(row.feature), str(row.model))
        if cell in by_name:
            groups.setdefault((cell.dataset, cell.protocol), []).append(by_name[cell])
    return groups


def honest_results(results: Sequence[CellResult]) -> dict[str, list[CellResult]]:
    """Choose for each dataset the protocol that measures models honestly, and leave out what is leaky.

    Of several, it is the one with most models, then the one that tests every track (folds), then the first by name.

    Returns:
        Dataset to the results of its protocol, best first. A dataset with nothing but leaky results is not there.

    Raises:
        EvaluationError: As :func:`leaderboard`.
    """
    chosen: dict[str, list[CellResult]] = {}
    for (dataset, _), group in by_setting(results).items():
        honest = [result for result in group if not result["leaky"]]
        if honest and _worth(honest) > _worth(chosen.get(dataset, [])):
            chosen[dataset] = honest
    return chosen


def leading_result(results: Sequence[CellResult]) -> CellResult | None:
    """Choose the most accurate cell of a dataset: among the honest results, if there are any.

    Args:
        results: The results on one dataset.

    Returns:
        Its result; ``None`` where no repeat of any cell could be trained.

    Raises:
        EvaluationError: As :func:`leaderboard`.
    """
    groups = [*honest_results(results).values(), *by_setting(results).values()]
    return next((group[0] for group in groups if group), None)


def describe_leader(result: CellResult, audits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is to know of the cell whose model is used.

    Args:
        result: Its result.
        audits: The report of each split of its dataset.

    Returns:
        ``cell`` (its name), ``genres``, ``leaky``, ``artists_unknown``, ``statistic``, ``design``, ``test_ratio`` (test
        over training tracks, or pieces where the split divides tracks), ``segment_duration_s``, ``thresholds`` (of the
        confidence, see :class:`~genre_pipeline.results.cell.ThresholdRow`), and of the test tracks ``accuracy``,
        ``ci_low`` and ``ci_high``.
    """
    audit = next(each for each in audits if each["split_hash"] == result["split_hash"])
    sizes = result["n_tracks" if audit["unit"] == "track" else "n_segments"]
    row = summary_row(result, unit="track", metric="accuracy")
    copied = ("genres", "leaky", "design", "segment_duration_s")
    return {
        "cell": cell_of(result).name,
        **{key: result[key] for key in copied},  # type: ignore[literal-required]
        "thresholds": threshold_rows(result),
        "artists_unknown": unknown_share(result),
        "statistic": statistic(result),
        "test_ratio": sizes["test"] / sizes["train"],
        "accuracy": row["mean"],
        "ci_low": row["ci_low"],
        "ci_high": row["ci_high"],
    }


def _worth(group: Sequence[CellResult]) -> tuple[int, bool]:
    return len(group), any(result["design"] == "kfold" for result in group)


def genre_means(result: CellResult, *, unit: str = "track", split: str = "test") -> pd.DataFrame:
    """Average each genre's precision, recall and F1 over the repeats in which they are defined.

    Args:
        result: The cell's result.
        unit: ``segment`` or ``track``.
        split: ``validation`` or ``test``.

    Returns:
        ``precision``, ``recall`` and ``f1`` by genre, in the result's order; NaN where no repeat defines them.
    """
    rows = pd.DataFrame(result["genre_repeats"], columns=list(GenreRow.__annotations__))
    chosen = rows[(rows["unit"] == unit) & (rows["split"] == split)]
    numbers = chosen.astype(dict.fromkeys(("precision", "recall", "f1"), "float64")).groupby("genre")
    return numbers[["precision", "recall", "f1"]].mean().reindex(result["genres"])


def chance_levels(result: CellResult) -> tuple[float, float]:
    """Return the accuracies of two classifiers that do not listen.

    Returns:
        The share of the largest genre among the test tracks (always answering that genre), and one over the number
        of genres (answering at random).

    Raises:
        EvaluationError: If no test track was scored.
    """
    per_genre = confusion_counts(result, "track").sum(axis=1)
    if not per_genre.sum():
        raise EvaluationError(f"{cell_of(result).name}: the confusion matrix holds no test track.")
    return float(per_genre.max() / per_genre.sum()), 1.0 / len(per_genre)


def _row(result: CellResult, change: CellChange | None) -> dict[str, Any]:
    """Return a row of the leaderboard; columns that are not in it become missing ones."""
    numbers = _scores(result) if result["n_repeats"] else {}
    if change is not None and change["metrics"]:
        numbers["previous_difference"] = change["metrics"][0]["difference"]
    return {
        **row_of(result),
        "split": "test",
        "since_previous": "" if change is None else change["verdict"],
        "chance_uniform": 1.0 / len(result["genres"]),
        "n_genres": len(result["genres"]),
        **numbers,
        **clip_costs(result),
    }


def _scores(result: CellResult) -> dict[str, Any]:
    accuracy = summary_row(result, unit="track", metric="accuracy")
    return {
        **{f"track_accuracy_{key}": number(accuracy[key]) for key in ("mean", "sd", "ci_low", "ci_high")},
        "track_accuracy_interval": accuracy["interval"],
        "track_accuracy_max": number(accuracy["max"]),
        **{
            f"track_{metric}_mean": number(summary_row(result, unit="track", metric=metric)["mean"])
            for metric in ("balanced_accuracy", "macro_f1", "top_2_accuracy", "log_loss", "ece")
        },
        "segment_accuracy_mean": number(summary_row(result, unit="segment", metric="accuracy")["mean"]),
        "chance_largest_class": chance_levels(result)[0],
    }


def clip_costs(result: CellResult) -> dict[str, float]:
    """Return a cell's costs: training all repeats, and predicting a clip.

    Returns:
        ``n_parameters``, ``training_s``, ``inference_s`` (both of all repeats), ``inference_s_per_clip`` (every repeat
        predicted its validation and test tracks) and ``gflop_per_clip``; NaN for what is not counted.
    """
    cost, n_tracks = result["cost"], result["n_tracks"]
    n_answers = result["n_repeats"] * (n_tracks["validation"] + n_tracks["test"])
    return {
        "n_parameters": number(result["n_parameters"]),
        "training_s": cost["training_s"],
        "inference_s": cost["inference_s"],
        "inference_s_per_clip": cost["inference_s"] / n_answers if n_answers else math.nan,
        "gflop_per_clip": number(cost["flop_per_clip"]) / 1e9,
    }
