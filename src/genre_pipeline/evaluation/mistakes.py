"""The mistakes of a cell that are worth listening to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.metrics import TrackAverage, aggregate_to_tracks
from genre_pipeline.results.mistakes import CellMistakes, ClipPlace, Mistake

# [?] As many as a person listens to.
N_MISTAKES = 4
N_PAIRS = 3


def find_mistakes(
    cell: Cell,
    predictions: pd.DataFrame,
    *,
    genres: Sequence[str],
    segments: pd.DataFrame,
    tracks: pd.DataFrame,
    root: Path,
    average: TrackAverage = "probability",
) -> CellMistakes:
    """Find the test tracks that a cell's models were most sure of and wrong about, and what they most confuse.

    Args:
        cell: The cell.
        predictions: The predictions of all repeats.
        genres: The genres.
        segments: The segment table, for the segments' times.
        tracks: The track table, for the tracks' files.
        root: The dataset's root folder, which the tracks' paths are relative to.
        average: How tracks are scored, as in :func:`~genre_pipeline.evaluation.metrics.aggregate_to_tracks`.

    Returns:
        At most four mistakes, no track twice and still without pictures, and at most three pairs of genres. ``tracks``
        is still empty.

    Raises:
        EvaluationError: If the predictions lack columns.
    """
    test = predictions[predictions["split"] == "test"]
    answers = predicted_genres(test, genres, average)
    wrong = answers[answers["answer"] != answers["genre"]]
    worst = wrong.drop_duplicates("track_id").head(N_MISTAKES)
    times = segments.set_index("segment_id")
    files = tracks.set_index("track_id")
    return {
        "cell": {key: getattr(cell, key) for key in ("dataset", "protocol", "feature", "model")},
        "n_wrong": len(wrong),
        "n_tracks": len(answers),
        "mistakes": [_mistake(row, test, times, files, root) for row in worst.to_dict("records")],
        "pairs": _pairs(wrong, answers["genre"].value_counts()),
        "tracks": [],
    }


def predicted_genres(test: pd.DataFrame, genres: Sequence[str], average: TrackAverage) -> pd.DataFrame:
    """Return each test track of each repeat with the predicted genre and its probability, the highest first.

    Args:
        test: The predictions for the test tracks.
        genres: The genres.
        average: How tracks are scored.
    """
    columns = [f"p_{genre}" for genre in genres]
    if test.empty:
        found = ["repeat", "track_id", "genre", "answer", "probability", "true_probability"]
        return pd.DataFrame(columns=[*found, *columns])
    means = aggregate_to_tracks(test, average)
    probabilities = means[columns].to_numpy(dtype=np.float64)
    places = np.arange(len(means))
    answer = probabilities.argmax(axis=1)
    truth = pd.Index(genres).get_indexer(pd.Index(means["genre"]))
    answers = means[["repeat", "track_id", "genre", *columns]].assign(
        answer=np.asarray(genres, dtype=object)[answer],
        probability=probabilities[places, answer],
        true_probability=probabilities[places, truth],
    )
    return answers.sort_values(["probability", "track_id"], ascending=[False, True], kind="stable")


def clip_place(clip: Mapping[Any, Any], root: Path) -> ClipPlace:
    """Return where a track's audio is: ``path``, ``start_s`` and ``duration_s``.

    Args:
        clip: Its row of the track table.
        root: The dataset's root folder.
    """
    rate = int(clip["sample_rate"])
    return {
        "path": str(root / str(clip["path"])),
        "start_s": int(clip["start_sample"]) / rate,
        "duration_s": int(clip["n_samples"]) / rate,
    }


def segment_centres(placed: pd.DataFrame) -> pd.Series[float]:
    """Return the middle of segments within their clip, in seconds.

    Args:
        placed: Their rows of the segment table.
    """
    return placed["start_s"] + placed["duration_s"] / 2


def _pairs(wrong: pd.DataFrame, totals: pd.Series[int]) -> list[dict[str, Any]]:
    pairs = [(str(genre), str(answer), rows) for (genre, answer), rows in wrong.groupby(["genre", "answer"], sort=True)]
    return [
        {
            "genre": genre,
            "answer": answer,
            "n": len(rows),
            "share": len(rows) / int(totals[genre]),
            "examples": rows["track_id"].drop_duplicates().head(N_MISTAKES).astype(str).tolist(),
        }
        for genre, answer, rows in sorted(pairs, key=lambda pair: -len(pair[2]))[:N_PAIRS]
    ]


def _mistake(row: dict[Any, Any], test: pd.DataFrame, times: pd.DataFrame, files: pd.DataFrame, root: Path) -> Mistake:
    own = test[(test["repeat"] == row["repeat"]) & (test["track_id"] == row["track_id"])]
    place = clip_place(files.loc[row["track_id"]], root)
    return {
        "repeat": int(row["repeat"]),
        "track_id": str(row["track_id"]),
        "genre": str(row["genre"]),
        "answer": str(row["answer"]),
        "probability": float(row["probability"]),
        "p_genre": float(row["true_probability"]),
        "times_s": segment_centres(times.loc[own["segment_id"]]).round(3).tolist(),
        "answer_over_time": own[f"p_{row['answer']}"].round(4).tolist(),
        "genre_over_time": own[f"p_{row['genre']}"].round(4).tolist(),
        **place,
        "picture": None,
        "fault": "",
    }
