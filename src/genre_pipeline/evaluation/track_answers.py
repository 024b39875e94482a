"""What a cell's models said of each test track, and which training tracks are closest to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.evaluation.metrics import TrackAverage
from genre_pipeline.evaluation.mistakes import clip_place, predicted_genres, segment_centres
from genre_pipeline.results.mistakes import TrackAnswer
from genre_pipeline.stores.store import FeatureStore

# [?] As many as a person listens to.
N_CLOSEST = 3


def answer_tracks(
    predictions: pd.DataFrame,
    *,
    genres: Sequence[str],
    segments: pd.DataFrame,
    tracks: pd.DataFrame,
    root: Path,
    average: TrackAverage = "probability",
) -> list[TrackAnswer]:
    """Say what a cell's models predicted for each test track.

    Args:
        predictions: The predictions of all repeats.
        genres: The genres.
        segments: The segment table, for the segments' times.
        tracks: The track table.
        root: The dataset's root folder, which the tracks' paths are relative to.
        average: How tracks are scored, as in :func:`~genre_pipeline.evaluation.metrics.aggregate_to_tracks`.

    Returns:
        One answer per track, sorted by track id: probabilities are means over the repeats that tested it. ``closest``
        is still empty.

    Raises:
        EvaluationError: If the predictions lack columns.
    """
    test = predictions[predictions["split"] == "test"]
    if test.empty:
        return []
    columns = [f"p_{genre}" for genre in genres]
    means = predicted_genres(test, genres, average)
    repeats = means.assign(is_right=means["answer"] == means["genre"]).sort_index().groupby("track_id", sort=True)
    over_repeats = repeats[columns].mean()
    counts = repeats["is_right"].agg(["size", "sum"])
    over_time = test.groupby(["track_id", "segment_id"], sort=True, as_index=False)[columns].mean()
    placed = segments.set_index("segment_id").loc[over_time["segment_id"], ["start_s", "duration_s"]]
    over_time["time_s"] = segment_centres(placed).to_numpy()
    timelines = dict(tuple(over_time.sort_values(["track_id", "time_s"], kind="stable").groupby("track_id")))
    clips = tracks.set_index("track_id").loc[over_repeats.index]
    genre_of = dict(zip(means["track_id"], means["genre"], strict=True))
    answers: list[TrackAnswer] = []
    for track_id, clip in zip(over_repeats.index, clips.to_dict("records"), strict=True):
        probabilities = over_repeats.loc[track_id].to_numpy()
        answer, genre, timeline = genres[int(probabilities.argmax())], str(genre_of[track_id]), timelines[track_id]
        place = clip_place(clip, root)
        answers.append(
            {
                **place,
                "track_id": str(track_id),
                "genre": genre,
                "answer": answer,
                "title": " · ".join(str(clip[key]) for key in ("artist", "title") if pd.notna(clip[key]) and clip[key]),
                "n_repeats": int(counts.loc[track_id, "size"]),
                "n_right": int(counts.loc[track_id, "sum"]),
                "probabilities": probabilities.round(4).tolist(),
                "times_s": timeline["time_s"].round(3).tolist(),
                "answer_over_time": timeline[f"p_{answer}"].round(4).tolist(),
                "genre_over_time": timeline[f"p_{genre}"].round(4).tolist(),
                "closest": [],
            }
        )
    return answers


def find_closest(answers: list[TrackAnswer], *, split: pd.DataFrame, store: FeatureStore) -> list[TrackAnswer]:
    """Add to each track the training tracks that are closest to it, of the first repeat that tests it.

    Args:
        answers: The test tracks.
        split: The cell's split table.
        store: The feature. A track is described by the mean and standard deviation of each bin over time, scaled to
            unit variance over the training tracks.

    Returns:
        The same answers, each with at most three ``closest``: track id and genre, the closest first. Under a leaky
        protocol the track itself may be among them.
    """
    first = split[split["split"] == "test"].groupby("track_id")["repeat"].min()
    stored = set(store.index["track_id"])
    known = sorted(stored.intersection(split["track_id"]))
    vectors = {track_id: describe_frames(store.read(track_id)) for track_id in known}
    by_repeat: dict[int, list[TrackAnswer]] = {}
    for answer in answers:
        if answer["track_id"] in vectors:
            by_repeat.setdefault(int(first[answer["track_id"]]), []).append(answer)
    for repeat, tested in by_repeat.items():
        training = split[(split["repeat"] == repeat) & (split["split"] == "train")].drop_duplicates("track_id")
        training = training[training["track_id"].isin(stored)].sort_values("track_id")
        if training.empty:
            continue
        pairs = training[["track_id", "genre"]].astype(str).to_numpy().tolist()
        found = _nearest(
            np.stack([vectors[track_id] for track_id in training["track_id"]]),
            np.stack([vectors[answer["track_id"]] for answer in tested]),
        )
        for answer, places in zip(tested, found, strict=True):
            answer["closest"] = [pairs[place] for place in places]
    return answers


def describe_frames(frames: NDArray[np.floating]) -> NDArray[np.float64]:
    """Describe a track by the mean and standard deviation over time of each bin of its feature.

    Args:
        frames: Shape ``(n_bins, n_frames)``.

    Returns:
        Shape ``(2 * n_bins,)``.

    Example:
        >>> describe_frames(np.array([[0.0, 2.0], [4.0, 4.0]])).tolist()
        [1.0, 4.0, 1.0, 0.0]
    """
    return np.concatenate([frames.mean(axis=1, dtype=np.float64), frames.std(axis=1, dtype=np.float64)])


class FramesDescription:
    """Describes a feature that comes block by block as :func:`describe_frames` does the whole."""

    def __init__(self) -> None:
        self._n_frames = 0
        self._means = self._squares = np.zeros(1)

    def add(self, frames: NDArray[np.floating]) -> None:
        """Take the next block, shape ``(n_bins, n)``.

        By the rule of Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance", 1983: sums of squares
        would lose small deviations from large means.
        """
        n_new, n_old = frames.shape[1], self._n_frames
        means, deviations = np.split(describe_frames(frames), 2)
        shift = means - self._means if n_old else np.zeros_like(means)
        self._n_frames = n_old + n_new
        self._means = means - shift * (n_old / self._n_frames)
        self._squares = self._squares + n_new * deviations**2 + shift**2 * (n_old * n_new / self._n_frames)

    @property
    def vector(self) -> NDArray[np.float64]:
        """The description so far, shape ``(2 * n_bins,)``."""
        return np.concatenate([self._means, np.sqrt(self._squares / self._n_frames)])


def spread(descriptions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what to divide descriptions by for distances: their standard deviations, 1 where they do not vary."""
    scale: NDArray[np.float64] = descriptions.std(axis=0)
    return np.where(scale == 0.0, 1.0, scale)


def _nearest(training: NDArray[np.float64], tested: NDArray[np.float64]) -> NDArray[np.int64]:
    from sklearn.neighbors import NearestNeighbors

    scale = spread(training)
    search = NearestNeighbors(n_neighbors=min(N_CLOSEST, len(training)), algorithm="brute").fit(training / scale)
    found: NDArray[np.int64] = search.kneighbors(tested / scale, return_distance=False)
    return found
