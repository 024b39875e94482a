"""The result of a cell, and the leaderboard that sets cells side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import pandas as pd
from typing_extensions import NotRequired

from genre_pipeline.cells import Cell
from genre_pipeline.errors import EvaluationError

if TYPE_CHECKING:
    from genre_pipeline.evaluation.changes import CellChange


class CellName(TypedDict):
    """The four parts of a cell's name."""

    dataset: str
    protocol: str
    feature: str
    model: str


class SplitCounts(TypedDict):
    """How many tracks or segments each split holds (the mean over repeats, where repeats differ)."""

    train: float
    validation: float
    test: float


class SummaryRow(TypedDict):
    """A metric over all repeats; shares between 0 and 1, intervals null or NaN where there is none."""

    split: str
    unit: str
    metric: str
    mean: float
    sd: float | None
    ci_low: float | None
    ci_high: float | None
    min: float
    max: float
    n_repeats: int
    interval: str


class RepeatRow(TypedDict):
    """A metric of one repeat, over ``n`` tracks or segments."""

    repeat: int
    split: str
    unit: str
    metric: str
    value: float
    n: int


class GenreRow(TypedDict):
    """How well one genre was recognised in one repeat, over its ``n`` tracks or segments; null where undefined."""

    repeat: int
    split: str
    unit: str
    genre: str
    precision: float | None
    recall: float | None
    f1: float | None
    n: int


class ReliabilityRow(TypedDict):
    """Predictions of about equal confidence: how sure the model was on average, and how often it was right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


class EpochRow(TypedDict):
    """One epoch of one repeat: losses in nats, accuracies between 0 and 1, null where there is nothing to score."""

    repeat: int
    epoch: int
    train_loss: float | None
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float | None
    gradient_norm: float | None


class FailureRow(TypedDict):
    """A repeat that could not be trained, and why."""

    repeat: int
    seed: int
    reason: str


class Cost(TypedDict):
    """Wall-clock seconds, summed over repeats, and floating-point operations that a clip takes (null: not counted)."""

    training_s: float
    inference_s: float
    flop_per_clip: float | None


class CellResult(TypedDict):
    """Everything that the comparison needs of one cell, in plain JSON types.

    Attributes:
        cell: Dataset, protocol, feature and model.
        genres: The genres, in the order of the confusion matrices.
        design: How repeats differ: ``kfold`` (folds), ``resampled`` (independent splits) or ``seeds`` (one split).
        leaky: Whether pieces of one track, recording or artist stood on both sides, or the test split chose the model.
        artists_unknown: Share of tracks whose artist is unknown, where a reader takes artists to be apart: see
            :func:`~genre_pipeline.splits.audit.artists_unknown`. Results of before this was recorded lack it.
        split_hash: Fingerprint of the split.
        feature_hash: Fingerprint of the feature.
        subset: What part of the dataset was used, empty for all of it.
        n_repeats: Number of folds, resampled splits or seeds that were scored.
        failures: Those that could not be trained. Where all failed, there are no metrics, epochs and matrices.
        n_parameters: Trainable parameters of a network, or none for an estimator.
        n_tracks: Tracks in each split.
        n_segments: Segments in each split.
        segment_duration_s: Length of a segment, in seconds.
        summary: Metrics over repeats.
        repeats: Metrics of each repeat.
        genre_repeats: Precision, recall and F1 of each genre in each repeat.
        history: Metrics of each epoch.
        confusion: For the units ``segment`` and ``track``, counts on the test split summed over repeats: rows are
            true genres, columns predicted ones.
        reliability: For the units ``segment`` and ``track``, the bins of the reliability diagram, on the test split of
            all repeats.
        leaks: Tracks, files, audio, recordings, artists and albums found on both sides of a split.
        cost: Training and inference time.
        precision: Number format of training, for example ``float32``.
        reference: The model's paper, in one line.
        selection: Which epoch was scored: ``best validation``, ``last`` or ``best test`` (which is leaky).
        git_commit: Commit of the code that scored.
        seed: Seed of the first repeat.
    """

    cell: CellName
    genres: list[str]
    design: str
    leaky: bool
    artists_unknown: NotRequired[float]
    split_hash: str
    feature_hash: str
    subset: str
    n_repeats: int
    failures: list[FailureRow]
    n_parameters: int | None
    n_tracks: SplitCounts
    n_segments: SplitCounts
    segment_duration_s: float
    summary: list[SummaryRow]
    repeats: list[RepeatRow]
    genre_repeats: list[GenreRow]
    history: list[EpochRow]
    confusion: dict[str, list[list[int]]]
    reliability: dict[str, list[ReliabilityRow]]
    leaks: dict[str, int]
    cost: Cost
    precision: str
    reference: str
    selection: str
    git_commit: str
    seed: int


# Every column of the leaderboard with its pandas type, in order. Shares are between 0 and 1, times in seconds.
# ``since_previous`` is the verdict on what changed since the last finished run, empty where nothing was compared, and
# ``previous_difference`` that of the track accuracy.
LEADERBOARD_COLUMNS: Mapping[str, str] = {
    "dataset": "string",
    "subset": "string",
    "protocol": "string",
    "feature": "string",
    "model": "string",
    "leaky": "bool",
    "artists_unknown": "float64",
    "split": "string",
    "statistic": "string",
    "n_repeats": "int64",
    "n_failed": "int64",
    "track_accuracy_mean": "float64",
    "track_accuracy_sd": "float64",
    "track_accuracy_ci_low": "float64",
    "track_accuracy_ci_high": "float64",
    "track_accuracy_interval": "string",
    "track_accuracy_max": "float64",
    "track_balanced_accuracy_mean": "float64",
    "track_macro_f1_mean": "float64",
    "track_top_2_accuracy_mean": "float64",
    "track_log_loss_mean": "float64",
    "track_ece_mean": "float64",
    "segment_accuracy_mean": "float64",
    "since_previous": "string",
    "previous_difference": "float64",
    "chance_largest_class": "float64",
    "chance_uniform": "float64",
    "n_genres": "int64",
    "n_parameters": "Int64",
    "training_s": "float64",
    "inference_s": "float64",
    "inference_s_per_clip": "float64",
    "gflop_per_clip": "float64",
    "selection": "string",
    "split_hash": "string",
    "feature_hash": "string",
    "git_commit": "string",
}
# Every column of the table of metrics with its pandas type, in order.
METRIC_COLUMNS: Mapping[str, str] = {
    "dataset": "string",
    "subset": "string",
    "protocol": "string",
    "feature": "string",
    "model": "string",
    "leaky": "bool",
    "artists_unknown": "float64",
    "key": "string",
    "split": "string",
    "unit": "string",
    "metric": "string",
    "statistic": "string",
    "mean": "float64",
    "sd": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
    "interval": "string",
    "min": "float64",
    "max": "float64",
    "n_repeats": "int64",
    "n_failed": "int64",
    "selection": "string",
    "split_hash": "string",
    "feature_hash": "string",
    "git_commit": "string",
}

_REPEAT_WORDS = {
    "kfold": ("fold", "folds"),
    "resampled": ("split", "resampled splits"),
    "seeds": ("seed", "seeds"),
}
_PROVENANCE = ("selection", "split_hash", "feature_hash", "git_commit")
# Wide enough that no name is folded; the table itself is about 100 columns wide [?].
_TERMINAL_WIDTH = 200
_MISSING = "-"
LEAKY = "LEAKY"
# Digits of a hash that distinguish the few splits of an experiment [?]; the CSV file has all of them.
SHORT_HASH = 8
FAILED_NOTE = "repeats that could not be trained, and are in no number. The report says why."
REGRESSION_NOTE = "less accurate than in the run before, beyond the interval of the difference; see kedro compare."
UNKNOWN_NOTE = "Whether artists are on both sides cannot be checked; then numbers are inflated."
LEAKY_NOTE = "Inflated: tracks, recordings or artists on both sides, or a choice by test score."


def cell_of(result: CellResult) -> Cell:
    """Return the cell that a result belongs to."""
    return Cell(**result["cell"])


def dataset_name(result: CellResult) -> str:
    """Return the dataset's name with the part of it that was used, if not the whole.

    Example:
        >>> dataset_name({"cell": {"dataset": "gtzan"}, "subset": "6 of 10 genres"})
        'gtzan (6 of 10 genres)'
    """
    return part_name(result["cell"]["dataset"], result["subset"])


def part_name(dataset: str, subset: str) -> str:
    """Join a dataset's name and what part of it was used.

    Example:
        >>> part_name("gtzan", ""), part_name("gtzan", "6 of 10 genres")
        ('gtzan', 'gtzan (6 of 10 genres)')
    """
    return f"{dataset} ({subset})" if subset else dataset


def number(value: float | None) -> float:
    """Read a number that JSON may hold as null.

    Example:
        >>> number(0.5), number(None)
        (0.5, nan)
    """
    return math.nan if value is None else float(value)


def summary_row(result: CellResult, *, unit: str, metric: str, split: str = "test") -> SummaryRow:
    """Find a metric in a result's summary.

    Args:
        result: The cell's result.
        unit: ``segment`` or ``track``.
        metric: For example ``accuracy``.
        split: ``train``, ``validation`` or ``test``.

    Returns:
        The metric's mean, spread and interval over repeats.

    Raises:
        EvaluationError: If the summary does not hold it.
    """
    for row in result["summary"]:
        if (row["split"], row["unit"], row["metric"]) == (split, unit, metric):
            return row
    raise EvaluationError(
        f"{cell_of(result).name}: expected the metric '{metric}' of the {split} split at {unit} unit in the summary, "
        "which does not hold it. Evaluate the cell again."
    )


def statistic(result: CellResult) -> str:
    """Name what a result's numbers are averaged over.

    Raises:
        EvaluationError: If the design is unknown.

    Example:
        >>> statistic({"design": "kfold", "n_repeats": 5, "failures": []})
        'mean of 5 folds'
        >>> statistic({"design": "kfold", "n_repeats": 3, "failures": [{"repeat": 1}, {"repeat": 4}]})
        'mean of 3 of 5 folds'
    """
    design, n_repeats, n_failed = result["design"], result["n_repeats"], len(result["failures"])
    if design not in _REPEAT_WORDS:
        raise EvaluationError(f"Unknown design '{design}': expected one of {', '.join(_REPEAT_WORDS)}.")
    one, many = _REPEAT_WORDS[design]
    if n_failed:
        words = f"{n_repeats} of {n_repeats + n_failed} {many}"
        return words if n_repeats < 2 else f"mean of {words}"
    return f"one {one}" if n_repeats == 1 else f"mean of {n_repeats} {many}"


def scored(results: Iterable[CellResult]) -> list[CellResult]:
    """Return the results of which at least one repeat could be trained."""
    return [result for result in results if result["n_repeats"]]


def confusion_counts(result: CellResult, unit: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return a confusion matrix of the test split.

    Args:
        result: The cell's result.
        unit: ``segment`` or ``track``.

    Returns:
        Counts, shape ``(n_genres, n_genres)``; rows are true genres.

    Raises:
        EvaluationError: If there is none at that unit, or its shape is not the genres'.
    """
    name, n_genres = cell_of(result).name, len(result["genres"])
    if unit not in result["confusion"]:
        known = ", ".join(sorted(result["confusion"])) or "none"
        raise EvaluationError(f"{name}: no confusion matrix at unit '{unit}'. There are: {known}.")
    counts = np.asarray(result["confusion"][unit], dtype=np.int64)
    if counts.shape != (n_genres, n_genres):
        raise EvaluationError(
            f"{name}: expected a {unit} confusion matrix of {n_genres} x {n_genres} (the genres), got the shape "
            f"{counts.shape}. Evaluate the cell again."
        )
    return counts


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
        One row per cell, split, unit and metric with the columns :data:`METRIC_COLUMNS`; ``key`` is the metric's name
        in MLflow. Cells of which every repeat failed have no row.
    """
    rows = [
        {
            **result["cell"],
            **{key: result[key] for key in ("subset", "leaky", *_PROVENANCE)},  # type: ignore[literal-required]
            "artists_unknown": unknown_share(result),
            **row,
            "key": metric_key(row),
            "statistic": statistic(result),
            "n_failed": len(result["failures"]),
        }
        for result in results
        for row in result["summary"]
    ]
    return pd.DataFrame(rows, columns=list(METRIC_COLUMNS)).astype(dict(METRIC_COLUMNS))


def metric_key(row: Mapping[str, Any]) -> str:
    """Name a metric as MLflow and the tables do.

    Example:
        >>> metric_key({"split": "test", "unit": "track", "metric": "accuracy"})
        'test_track_accuracy'
    """
    return f"{row['split']}_{row['unit']}_{row['metric']}"


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


def _worth(group: Sequence[CellResult]) -> tuple[int, bool]:
    return len(group), any(result["design"] == "kfold" for result in group)


def percent(share: float, missing: str = _MISSING) -> str:
    """Show a share between 0 and 1 as a percentage with one decimal, without the sign.

    Example:
        >>> percent(0.8276), percent(float("nan"))
        ('82.8', '-')
    """
    return missing if math.isnan(share) else f"{100 * share:.1f}"


def mean_and_sd(mean: float, sd: float) -> str:
    """Show a mean and its standard deviation over repeats in percent, the mean alone where there is one repeat.

    Example:
        >>> mean_and_sd(0.75, 0.032), mean_and_sd(0.75, float("nan"))
        ('75.0 ± 3.2', '75.0')
    """
    return percent(mean) if math.isnan(sd) else f"{percent(mean)} ± {percent(sd)}"


def interval(low: float, high: float, missing: str = _MISSING) -> str:
    """Show an interval of shares in percent.

    Example:
        >>> interval(0.78, 0.883)
        '78.0 to 88.3'
    """
    return missing if math.isnan(low) or math.isnan(high) else f"{percent(low)} to {percent(high)}"


def duration(seconds: float) -> str:
    """Show a duration for people, with a precision of about one percent.

    Example:
        >>> duration(0.42), duration(75.2), duration(750), duration(9000)
        ('0.4 s', '75 s', '12.5 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(value: Any, missing: str = _MISSING) -> str:
    """Show a count with thousands separated, a mean over repeats with one decimal.

    Example:
        >>> count(1234567), count(44.5), count(None)
        ('1,234,567', '44.5', '-')
    """
    if value is None or pd.isna(value):
        return missing
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.1f}"


def common(values: pd.Series[Any]) -> str:
    """Join the distinct values of a column, in their order.

    Example:
        >>> common(pd.Series(["5 folds", "5 folds", "one fold"]))
        '5 folds, one fold'
    """
    return ", ".join(dict.fromkeys(str(value) for value in values))


def format_leaderboard(frame: pd.DataFrame) -> str:
    """Show a leaderboard in a terminal, one block per dataset and protocol, about 100 columns wide.

    Names are never cut or folded: long ones make it wider.

    Args:
        frame: What :func:`leaderboard` returned.

    Returns:
        Plain text, with a final newline.
    """
    parts: list[Any] = []
    for dataset, protocol, rows in blocks(frame):
        parts += [_heading(dataset, protocol, rows), _terminal_table(rows), ""]
    parts.append("Test split, in %; accuracy, balanced accuracy and macro-F1 of tracks, then accuracy of segments.")
    if frame["leaky"].any():
        parts.append(f"! LEAKY. {LEAKY_NOTE}")
    if any(map(unknown_share, frame.to_dict("records"))):
        parts.append(f"artists unknown: {UNKNOWN_NOTE}")
    if frame["n_failed"].any():
        parts.append(f"FAILED: {FAILED_NOTE}")
    if (frame["since_previous"] == "regression").any():
        parts.append(f"REGRESSION: {REGRESSION_NOTE}")
    return terminal_text(parts)


def terminal_text(parts: Iterable[Any], *, is_terminal: bool = False) -> str:
    """Render texts and tables of rich.

    Args:
        parts: The texts and tables, each of which begins a line.
        is_terminal: Whether they are for a terminal: with colours, and no wider than it is.

    Returns:
        Text with a final newline; plain unless it is for a terminal.
    """
    from rich.console import Console

    text = StringIO()
    console = Console(
        file=text,
        width=None if is_terminal else _TERMINAL_WIDTH,
        color_system="auto" if is_terminal else None,
        force_terminal=is_terminal,
        legacy_windows=False,
    )
    for part in parts:
        console.print(part, markup=False, highlight=False)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def terminal_table(columns: Sequence[tuple[str, bool]], rows: Iterable[Sequence[Any]]) -> Any:
    """Make a table of rich with a line below the heads.

    Args:
        columns: Head, and whether the column holds numbers, which stand to the right.
        rows: Texts, or what else rich can show.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), collapse_padding=True)
    for head, is_numeric in columns:
        table.add_column(head, justify="right" if is_numeric else "left", no_wrap=is_numeric)
    for row in rows:
        table.add_row(*row)
    return table


def blocks(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Take a leaderboard apart.

    Args:
        frame: What :func:`leaderboard` returned, or its CSV file, which does not distinguish empty from missing.

    Yields:
        The dataset's name with what part of it was used, the protocol, and the rows that belong to both.
    """
    named = frame.assign(subset=frame["subset"].astype("string").fillna(""))
    for (dataset, subset, protocol), rows in named.groupby(["dataset", "subset", "protocol"], sort=True):
        yield part_name(str(dataset), str(subset)), str(protocol), rows


def shown_numbers(row: Mapping[Any, Any]) -> list[str]:
    """Format the numbers of a leaderboard's row, as the terminal and the Markdown report show them.

    Args:
        row: A row of :func:`leaderboard`, by column.

    Returns:
        Track accuracy, its interval, balanced accuracy, macro-F1, segment accuracy, parameters and training time.
    """
    return [
        mean_and_sd(row["track_accuracy_mean"], row["track_accuracy_sd"]),
        interval(row["track_accuracy_ci_low"], row["track_accuracy_ci_high"]),
        percent(row["track_balanced_accuracy_mean"]),
        percent(row["track_macro_f1_mean"]),
        percent(row["segment_accuracy_mean"]),
        count(row["n_parameters"]),
        duration(row["training_s"]),
    ]


def _row(result: CellResult, change: CellChange | None) -> dict[str, Any]:
    """Return a row of the leaderboard; columns that are not in it become missing ones."""
    numbers = _scores(result) if result["n_repeats"] else {}
    if change is not None and change["metrics"]:
        numbers["previous_difference"] = change["metrics"][0]["difference"]
    return {
        **result["cell"],
        "leaky": result["leaky"],
        "artists_unknown": unknown_share(result),
        "split": "test",
        "statistic": statistic(result),
        "n_repeats": result["n_repeats"],
        "n_failed": len(result["failures"]),
        "since_previous": "" if change is None else change["verdict"],
        "chance_uniform": 1.0 / len(result["genres"]),
        "n_genres": len(result["genres"]),
        **numbers,
        **clip_costs(result),
        **{key: result[key] for key in ("subset", *_PROVENANCE)},  # type: ignore[literal-required]
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


def _heading(dataset: str, protocol: str, rows: pd.DataFrame) -> str:
    n_genres = common(rows["n_genres"])
    chance = common(rows["chance_largest_class"].dropna().map(percent)) or _MISSING
    splits = common(rows["split_hash"].str[:SHORT_HASH])
    facts = f"{common(rows['statistic'])}; {n_genres} genres, largest class {chance} %; split {splits}"
    unknown = [mark for mark in marks_of(rows.to_dict("records")) if mark != LEAKY]
    return f"{dataset} · {protocol}: {'; '.join([facts, *unknown])}"


def unknown_share(marked: Mapping[Any, Any]) -> float:
    """Return the share of unknown artists that a result, a split's report or a row of a table has, 0 if it lacks it."""
    share = marked.get("artists_unknown")
    return 0.0 if share is None or pd.isna(share) else float(share)


def split_marks(marked: Mapping[Any, Any]) -> list[str]:
    """Return what makes the numbers of a split doubtful.

    Args:
        marked: A result, a split's report, or a row of a table: ``leaky`` and ``artists_unknown``.

    Example:
        >>> split_marks({"leaky": True, "artists_unknown": 0.081})
        ['LEAKY', 'artists unknown: 8.1 %']
    """
    marks = [LEAKY] if marked.get("leaky") else []
    if share := unknown_share(marked):
        marks.append(f"artists unknown: {unknown_text(share)}")
    return marks


def unknown_tag(marked: Mapping[Any, Any]) -> dict[str, str]:
    """Return the tag that a run of MLflow has where artists are unknown, and nothing where none are.

    Example:
        >>> unknown_tag({"artists_unknown": 1.0}), unknown_tag({"artists_unknown": 0.0})
        ({'artists_unknown': '100 %'}, {})
    """
    share = unknown_share(marked)
    return {"artists_unknown": unknown_text(share)} if share else {}


def unknown_text(share: float) -> str:
    """Show a share of unknown artists, so that neither all nor none of them are where it is not so.

    Example:
        >>> unknown_text(1.0), unknown_text(0.9999), unknown_text(0.0001)
        ('100 %', 'over 99.9 %', 'under 0.1 %')
    """
    if share == 1.0:
        return "100 %"
    return "over 99.9 %" if share > 0.999 else "under 0.1 %" if share < 0.001 else f"{percent(share)} %"


def marks_of(group: Iterable[Mapping[Any, Any]]) -> list[str]:
    """Return what makes the numbers of a group of results, or rows, doubtful: see :func:`split_marks`."""
    return list(dict.fromkeys(mark for each in group for mark in split_marks(each)))


def mark_suffix(group: Iterable[Mapping[Any, Any]]) -> str:
    """Return what is put behind the name of what results, or rows, have in common.

    Example:
        >>> mark_suffix([{"leaky": True, "artists_unknown": 0.0}, {"leaky": False, "artists_unknown": 0.0}])
        ' (LEAKY)'
    """
    marks = marks_of(group)
    return f" ({', '.join(marks)})" if marks else ""


def failed_mark(row: Mapping[Any, Any]) -> str:
    """Return how many repeats of a row of the leaderboard could not be trained.

    Example:
        >>> failed_mark({"n_repeats": 4, "n_failed": 1}), failed_mark({"n_repeats": 5, "n_failed": 0})
        ('FAILED 1 of 5', '')
    """
    return f"FAILED {row['n_failed']} of {row['n_repeats'] + row['n_failed']}" if row["n_failed"] else ""


def regression_mark(row: Mapping[Any, Any]) -> str:
    """Return whether a row of the leaderboard became worse since the last finished run.

    Example:
        >>> regression_mark({"since_previous": "regression"}), regression_mark({"since_previous": "unchanged"})
        ('REGRESSION', '')
    """
    return "REGRESSION" if row["since_previous"] == "regression" else ""


def _marked(row: Mapping[Any, Any]) -> str:
    return " ".join(filter(None, (row["model"], "!" if row["leaky"] else "", failed_mark(row), regression_mark(row))))


def _terminal_table(rows: pd.DataFrame) -> Any:
    numbers = ("accuracy", "interval", "bal.", "F1", "seg.", "params", "training")
    return terminal_table(
        [("model", False), ("feature", False), *((name, True) for name in numbers)],
        [(_marked(row), row["feature"], *shown_numbers(row)) for row in rows.to_dict("records")],
    )
