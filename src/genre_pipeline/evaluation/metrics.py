"""Numbers from predictions: per repeat, per split, for segments and for whole tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from genre_pipeline.errors import EvaluationError
from genre_pipeline.evaluation.abstention import Confidences, accuracy_at_coverage
from genre_pipeline.evaluation.calibration import (
    MIN_PROBABILITY,
    expected_calibration_error,
    fit_temperature,
    log_probabilities,
    reliability,
    temper,
)
from genre_pipeline.registry import suggestion

Unit = Literal["segment", "track"]
# How the scores of a track's segments become the track's: the mean of their probabilities, or of their logits.
TrackAverage = Literal["probability", "logit"]
UNITS: tuple[Unit, ...] = ("segment", "track")

# Metrics that a temperature changes.
_CALIBRATED = ("brier", "ece", "log_loss")
# [?] Probabilities stored as float16 miss a sum of one by less than this.
_SUM_TOLERANCE = 5e-3
_KEYS = ["repeat", "split", "track_id", "genre"]


def aggregate_to_tracks(predictions: pd.DataFrame, average: TrackAverage = "probability") -> pd.DataFrame:
    """Average the segments of each track.

    The mean of probabilities has the same largest element as the sum that net1 and net2 take. The softmax of the mean
    logits is the geometric mean of the probabilities, scaled to a sum of one: logits are the logarithms of
    probabilities but for one constant a segment, which the softmax takes out. A single segment that is sure against a
    genre then weighs more.

    Args:
        predictions: One row per repeat and segment: ``repeat``, ``split``, ``track_id``, ``genre`` (the true one) and
            a probability column ``p_<genre>`` per genre.
        average: What is averaged: ``probability`` or ``logit``; a probability below the float32 epsilon counts as that.

    Returns:
        One row per repeat, split and track, sorted by them, with the same columns but ``segment_id``.

    Raises:
        EvaluationError: If columns are missing, or a track has two true genres.

    Example:
        >>> segments = pd.DataFrame({"repeat": 0, "split": "test", "track_id": "a", "segment_id": ["a#000", "a#001"],
        ...                          "genre": "jazz", "p_jazz": [0.5, 1.0], "p_rock": [0.5, 0.0]})
        >>> aggregate_to_tracks(segments)[["track_id", "p_jazz", "p_rock"]].to_dict("list")
        {'track_id': ['a'], 'p_jazz': [0.75], 'p_rock': [0.25]}
        >>> aggregate_to_tracks(segments, "logit")["p_rock"].round(5).tolist()
        [0.00035]
    """
    _check_columns(predictions, _KEYS)
    probabilities = [column for column in predictions.columns if column.startswith("p_")]
    if not probabilities:
        raise EvaluationError("The predictions have no probability column: expected one 'p_<genre>' per genre.")
    scores = predictions.astype(dict.fromkeys(probabilities, np.float64))
    if average == "logit":
        scores[probabilities] = log_probabilities(scores[probabilities].to_numpy())
    tracks = scores.groupby(_KEYS, as_index=False, observed=True)[probabilities].mean()
    if average == "logit":
        tracks[probabilities] = softmax(tracks[probabilities].to_numpy(), axis=1)
    doubled = tracks["track_id"][tracks.duplicated(["repeat", "split", "track_id"])]
    if len(doubled):
        raise EvaluationError(
            f"The predictions give the track '{doubled.iloc[0]}' two true genres in one split; expected one. "
            "Evaluate again from the split table."
        )
    return tracks


def score(predictions: pd.DataFrame, *, genres: Sequence[str], average: TrackAverage = "probability") -> pd.DataFrame:
    """Score predictions for segments and for tracks.

    The metrics: ``accuracy``; ``accuracy_at_80_coverage`` and ``accuracy_at_95_coverage``, the accuracy of the surest
    80 % and 95 % (:func:`~genre_pipeline.evaluation.abstention.accuracy_at_coverage`); ``balanced_accuracy``, the mean
    recall of the genres that are among the targets;
    ``macro_f1``, the mean F1 of all ``genres``, zero for one that is neither there nor predicted; ``log_loss``, the
    mean negative natural logarithm of the true genre's probability, which counts as at least the float32 epsilon;
    ``top_2_accuracy``, how often the true genre is among the two most probable ones; ``ece``, the expected calibration
    error (:func:`~genre_pipeline.evaluation.calibration.expected_calibration_error`); ``brier``, the mean over units of
    the squared differences between probabilities and truth, summed over genres, between 0 and 2.

    Args:
        predictions: See :func:`aggregate_to_tracks`.
        genres: The genres that the model distinguishes, at least two.
        average: What of a track's segments is averaged.

    Returns:
        One row per number, sorted by ``repeat``, ``split``, ``unit`` (``segment`` or ``track``) and ``metric``, with
        ``value`` and ``n``, the number of units that it was computed from.

    Raises:
        EvaluationError: If the predictions are empty, lack columns, have probabilities that are not finite, not within
            0 and 1 or do not sum to one, or name a genre that is not among ``genres``.

    Example:
        >>> segments = pd.DataFrame({"repeat": 0, "split": "test", "track_id": ["a", "b"], "genre": ["jazz", "rock"],
        ...                          "segment_id": ["a#000", "b#000"], "p_jazz": [0.9, 0.6], "p_rock": [0.1, 0.4]})
        >>> scores = score(segments, genres=["jazz", "rock"])
        >>> scores[(scores["unit"] == "track") & (scores["metric"] == "accuracy")]["value"].tolist()
        [0.5]
    """
    rows = [
        (*key, metric, function(targets, probabilities), len(targets))
        for key, targets, probabilities in _groups(predictions, genres, average)
        for metric, function in _metrics(genres).items()
    ]
    return _score_table(rows)


def score_calibrated(
    predictions: pd.DataFrame, *, genres: Sequence[str], average: TrackAverage = "probability"
) -> pd.DataFrame:
    """Fit a temperature to the validation tracks of each repeat, and score the repeat's test tracks with it.

    It works on a track's probabilities, after segments are averaged: these are what is shown of a track. A temperature
    of segments would change which genre has the highest mean, and so the accuracy; and segments of one track are right
    or wrong together.

    Args:
        predictions: See :func:`aggregate_to_tracks`.
        genres: The genres that the model distinguishes.
        average: What of a track's segments is averaged.

    Returns:
        Rows as those of :func:`score`, of the unit ``track``: ``calibrated_brier``, ``calibrated_ece`` and
        ``calibrated_log_loss`` of the test split, and of the validation split ``temperature``.

    Raises:
        EvaluationError: See :func:`score`; or if a repeat has no validation tracks.
    """
    functions = {f"calibrated_{name}": each for name, each in _metrics(genres).items() if name in _CALIBRATED}
    tracks = aggregate_to_tracks(_checked(predictions, genres), average)
    rows: list[tuple[int, str, str, str, float, int]] = []
    for key, of_repeat in tracks.groupby("repeat"):
        repeat, sides = int(str(key)), dict(list(of_repeat.groupby("split", observed=True)))
        if "validation" not in sides:
            raise EvaluationError(
                f"The predictions of repeat {repeat} have no 'validation' split to fit a temperature to. Predict the "
                "validation tracks."
            )
        known = sides["validation"]
        temperature = fit_temperature(
            _probabilities(known, genres), pd.Index(genres).get_indexer(pd.Index(known["genre"]))
        )
        rows.append((repeat, "validation", "track", "temperature", temperature, len(known)))
        if "test" in sides:
            targets = sides["test"]["genre"].to_numpy(dtype=str)
            tempered = temper(_probabilities(sides["test"], genres), temperature)
            rows += [
                (repeat, "test", "track", name, function(targets, tempered), len(targets))
                for name, function in functions.items()
            ]
    return _score_table(rows)


def confidences_of(
    predictions: pd.DataFrame, split: str, *, genres: Sequence[str], average: TrackAverage = "probability"
) -> Confidences:
    """Return how sure a model was of each track of a split, over all repeats, and whether it was right.

    Args:
        predictions: See :func:`aggregate_to_tracks`.
        split: The split.
        genres: The genres that the model distinguishes.
        average: What of a track's segments is averaged.

    Raises:
        EvaluationError: If the predictions are not valid, see :func:`score`, or have no such split.
    """
    rows = _rows_of(predictions, split, genres, "track", average)
    probabilities = _probabilities(rows, genres)
    return Confidences(probabilities.max(axis=1), _correct(rows["genre"].to_numpy(dtype=str), probabilities, genres))


def score_genres(
    predictions: pd.DataFrame, *, genres: Sequence[str], average: TrackAverage = "probability"
) -> pd.DataFrame:
    """Score each genre by itself, for segments and for tracks.

    Args:
        predictions: See :func:`aggregate_to_tracks`.
        genres: The genres that the model distinguishes, at least two.
        average: What of a track's segments is averaged.

    Returns:
        One row per ``repeat``, ``split``, ``unit`` and ``genre``, sorted by them: ``precision`` (the share of what was
        taken for the genre that is of it; NaN if nothing was), ``recall`` (the share of the genre that was found; NaN
        if nothing is of it), ``f1`` (their harmonic mean; NaN if both are), and ``n``, the number of units of it.

    Raises:
        EvaluationError: See :func:`score`.

    Example:
        >>> segments = pd.DataFrame({"repeat": 0, "split": "test", "track_id": ["a", "b"], "genre": ["jazz", "rock"],
        ...                          "segment_id": ["a#000", "b#000"], "p_jazz": [0.9, 0.6], "p_rock": [0.1, 0.4]})
        >>> jazz = score_genres(segments, genres=["jazz", "rock"]).iloc[0]
        >>> print(jazz["genre"], jazz["precision"], jazz["recall"], jazz["n"])
        jazz 0.5 1.0 1
    """
    from sklearn.metrics import precision_recall_fscore_support

    names = np.asarray(genres)
    tables = []
    for (repeat, split, unit), targets, probabilities in _groups(predictions, genres, average):
        precision, recall, f1, n = precision_recall_fscore_support(
            targets, names[probabilities.argmax(axis=1)], labels=names, zero_division=np.nan
        )
        columns = {"genre": names, "precision": precision, "recall": recall, "f1": f1, "n": n}
        tables.append(pd.DataFrame({"repeat": repeat, "split": split, "unit": unit, **columns}))
    scores = pd.concat(tables).astype(
        {"repeat": "int64", "split": "string", "unit": "string", "genre": "string", "n": "int64"}
    )
    return scores.sort_values(["repeat", "split", "unit", "genre"], ignore_index=True)


def reliability_of(
    predictions: pd.DataFrame, *, genres: Sequence[str], unit: Unit, average: TrackAverage = "probability"
) -> pd.DataFrame:
    """Count how often predictions of about equal confidence are right in the test split, over all repeats.

    Args:
        predictions: See :func:`aggregate_to_tracks`.
        genres: The genres that the model distinguishes.
        unit: What is counted.
        average: What of a track's segments is averaged.

    Returns:
        See :func:`~genre_pipeline.evaluation.calibration.reliability`.

    Raises:
        EvaluationError: See :func:`confusion`.
    """
    rows = _rows_of(predictions, "test", genres, unit, average)
    probabilities = _probabilities(rows, genres)
    correct = _correct(rows["genre"].to_numpy(dtype=str), probabilities, genres)
    return reliability(probabilities.max(axis=1), correct)


def told_right(
    predictions: pd.DataFrame, *, genres: Sequence[str], average: TrackAverage = "probability"
) -> pd.DataFrame:
    """Return for each segment and track of every repeat and split whether its prediction was right.

    Args:
        predictions: See :func:`aggregate_to_tracks`.
        genres: The genres that the model distinguishes.
        average: What of a track's segments is averaged.

    Returns:
        ``repeat``, ``split``, ``unit``, ``track_id`` and ``value`` (0 or 1), one row per segment, then per track.

    Raises:
        EvaluationError: See :func:`score`.
    """
    checked = _checked(predictions, genres)
    tables: dict[Unit, pd.DataFrame] = {"segment": checked, "track": aggregate_to_tracks(checked, average)}
    return pd.concat(
        [
            rows[["repeat", "split", "track_id"]].assign(
                unit=unit,
                value=_correct(rows["genre"].to_numpy(dtype=str), _probabilities(rows, genres), genres).astype(float),
            )
            for unit, rows in tables.items()
        ],
        ignore_index=True,
    )


def confusion(
    predictions: pd.DataFrame, *, genres: Sequence[str], unit: Unit, average: TrackAverage = "probability"
) -> NDArray[np.int64]:
    """Count what was taken for what in the test split, over all repeats.

    Args:
        predictions: See :func:`aggregate_to_tracks`.
        genres: The genres, in the order of rows and columns.
        unit: What is counted.
        average: What of a track's segments is averaged.

    Returns:
        Counts, shape ``(n_genres, n_genres)``: rows are the true genres, columns the predicted ones.

    Raises:
        EvaluationError: If the predictions are not valid, see :func:`score`, or have no test split.

    Example:
        >>> segments = pd.DataFrame({"repeat": 0, "split": "test", "track_id": ["a", "b"], "genre": ["jazz", "rock"],
        ...                          "segment_id": ["a#000", "b#000"], "p_jazz": [0.9, 0.6], "p_rock": [0.1, 0.4]})
        >>> confusion(segments, genres=["jazz", "rock"], unit="track").tolist()
        [[1, 0], [1, 0]]
    """
    from sklearn.metrics import confusion_matrix

    rows = _rows_of(predictions, "test", genres, unit, average)
    predicted = np.asarray(genres)[_probabilities(rows, genres).argmax(axis=1)]
    matrix: NDArray[np.int64] = confusion_matrix(rows["genre"].to_numpy(dtype=str), predicted, labels=list(genres))
    return matrix


def _score_table(rows: Sequence[tuple[int, str, str, str, float, int]]) -> pd.DataFrame:
    scores = pd.DataFrame(rows, columns=["repeat", "split", "unit", "metric", "value", "n"])
    scores = scores.astype({"repeat": "int64", "split": "string", "unit": "string", "metric": "string", "n": "int64"})
    return scores.sort_values(["repeat", "split", "unit", "metric"], ignore_index=True)


def _groups(
    predictions: pd.DataFrame, genres: Sequence[str], average: TrackAverage
) -> Iterator[tuple[tuple[int, str, Unit], NDArray[np.str_], NDArray[np.float64]]]:
    """Yield repeat, split and unit with the targets and probabilities that belong to them."""
    checked = _checked(predictions, genres)
    tables: dict[Unit, pd.DataFrame] = {"segment": checked, "track": aggregate_to_tracks(checked, average)}
    for unit, table in tables.items():
        for (repeat, split), group in table.groupby(["repeat", "split"], observed=True):
            yield (
                (int(str(repeat)), str(split), unit),
                group["genre"].to_numpy(dtype=str),
                _probabilities(group, genres),
            )


def _rows_of(
    predictions: pd.DataFrame, split: str, genres: Sequence[str], unit: Unit, average: TrackAverage
) -> pd.DataFrame:
    checked = _checked(predictions, genres)
    rows = checked[checked["split"] == split]
    if rows.empty:
        found = ", ".join(sorted(set(checked["split"])))
        raise EvaluationError(
            f"The predictions have no '{split}' split to count, only: {found}. Predict the {split} tracks."
        )
    return rows if unit == "segment" else aggregate_to_tracks(rows, average)


def _correct(targets: NDArray[np.str_], probabilities: NDArray[np.float64], genres: Sequence[str]) -> NDArray[np.bool_]:
    return np.asarray(np.asarray(genres)[probabilities.argmax(axis=1)] == targets)


def _metrics(genres: Sequence[str]) -> dict[str, Callable[[NDArray[np.str_], NDArray[np.float64]], float]]:
    """Return each metric as a function of targets and probabilities, in the order of ``genres``."""
    from sklearn.metrics import accuracy_score, f1_score, log_loss, recall_score

    names = np.asarray(genres)

    def accuracy(targets: NDArray[np.str_], probabilities: NDArray[np.float64]) -> float:
        return float(accuracy_score(targets, names[probabilities.argmax(axis=1)]))

    def balanced_accuracy(targets: NDArray[np.str_], probabilities: NDArray[np.float64]) -> float:
        # balanced_accuracy_score gives the same number, but warns of predicted genres without targets.
        predicted = names[probabilities.argmax(axis=1)]
        return float(recall_score(targets, predicted, labels=np.unique(targets), average="macro"))

    def macro_f1(targets: NDArray[np.str_], probabilities: NDArray[np.float64]) -> float:
        predicted = names[probabilities.argmax(axis=1)]
        return float(f1_score(targets, predicted, labels=names, average="macro", zero_division=0.0))

    def clipped_log_loss(targets: NDArray[np.str_], probabilities: NDArray[np.float64]) -> float:
        order = np.argsort(names)
        clipped = np.maximum(probabilities[:, order], MIN_PROBABILITY)
        return float(log_loss(targets, clipped / clipped.sum(axis=1, keepdims=True), labels=names[order]))

    def top_2_accuracy(targets: NDArray[np.str_], probabilities: NDArray[np.float64]) -> float:
        # top_k_accuracy_score gives the same number, but refuses two genres, and takes the last of equal ones.
        best = names[np.argsort(-probabilities, axis=1, kind="stable")[:, :2]]
        return float((best == targets[:, None]).any(axis=1).mean())

    def ece(targets: NDArray[np.str_], probabilities: NDArray[np.float64]) -> float:
        return expected_calibration_error(probabilities.max(axis=1), _correct(targets, probabilities, genres))

    def at_coverage(coverage: float, targets: NDArray[np.str_], probabilities: NDArray[np.float64]) -> float:
        return accuracy_at_coverage(probabilities.max(axis=1), _correct(targets, probabilities, genres), coverage)

    def brier(targets: NDArray[np.str_], probabilities: NDArray[np.float64]) -> float:
        return float(((probabilities - (targets[:, None] == names)) ** 2).sum(axis=1).mean())

    return {
        "accuracy": accuracy,
        "accuracy_at_80_coverage": partial(at_coverage, 0.8),
        "accuracy_at_95_coverage": partial(at_coverage, 0.95),
        "balanced_accuracy": balanced_accuracy,
        "brier": brier,
        "ece": ece,
        "log_loss": clipped_log_loss,
        "macro_f1": macro_f1,
        "top_2_accuracy": top_2_accuracy,
    }


def _checked(predictions: pd.DataFrame, genres: Sequence[str]) -> pd.DataFrame:
    """Return the predictions' needed columns, valid."""
    if len(set(genres)) != len(genres) or len(genres) < 2:
        raise EvaluationError(f"Expected two or more different genres to score, got: {', '.join(genres) or 'none'}.")
    columns = [*_KEYS, *(f"p_{genre}" for genre in genres)]
    _check_columns(predictions, columns)
    if predictions.empty:
        raise EvaluationError("The predictions are empty: there is nothing to score. Predict first.")
    for genre in predictions["genre"].unique():
        if genre not in genres:
            raise EvaluationError(
                f"The predictions have the true genre '{genre}', which the model does not know. "
                f"{suggestion(str(genre), genres)}"
            )
    _check_probabilities(predictions, _probabilities(predictions, genres))
    return predictions[columns]


def _check_columns(predictions: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in predictions.columns]
    if missing:
        found = ", ".join(map(str, predictions.columns))
        raise EvaluationError(
            f"The predictions lack the columns {', '.join(missing)}; they have {found}. They were made by something "
            "else, or for other genres: predict again."
        )


def _check_probabilities(predictions: pd.DataFrame, probabilities: NDArray[np.float64]) -> None:
    faults = {
        "are not finite": ~np.isfinite(probabilities).all(axis=1),
        "are not between 0 and 1": ((probabilities < 0.0) | (probabilities > 1.0 + _SUM_TOLERANCE)).any(axis=1),
        "do not sum to one": np.abs(probabilities.sum(axis=1) - 1.0) > _SUM_TOLERANCE,
    }
    for fault, rows in faults.items():
        if rows.any():
            first = predictions.iloc[int(np.flatnonzero(rows)[0])]
            raise EvaluationError(
                f"The probabilities of {int(rows.sum())} predictions {fault}; the first is of the track "
                f"'{first['track_id']}' in repeat {first['repeat']}. Did the training diverge? See its log."
            )


def _probabilities(predictions: pd.DataFrame, genres: Sequence[str]) -> NDArray[np.float64]:
    return predictions[[f"p_{genre}" for genre in genres]].to_numpy(dtype=np.float64)
