"""How accurate a model is that learns from few labelled artists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from genre_pipeline.evaluation.bootstrap import clusters_of
from genre_pipeline.evaluation.intervals import summarise
from genre_pipeline.evaluation.metrics import TrackAverage, score, told_right
from genre_pipeline.results.tables import FEW_LABELS_COLUMNS, make_table


def most_artists(split: pd.DataFrame) -> int:
    """Return how many artists the genre with the most artists has on the training side, the largest of all repeats.

    Args:
        split: The split table. A track of unknown artist counts as one artist, and so do artists who share a recording:
            see :func:`~genre_pipeline.splits.identities.linked_groups`.
    """
    training = split[split["split"] == "train"]
    return int(training.groupby(["repeat", "genre"])["group"].nunique().max())


def draw_artists(split: pd.DataFrame, n_artists: int, *, draw: int, seed: int) -> pd.DataFrame:
    """Keep the training tracks of some artists of each genre, and the whole validation and test side.

    Args:
        split: The split table.
        n_artists: Artists of each genre in each repeat; a genre with fewer keeps all. Of an artist of several genres,
            the tracks of one may be drawn without those of another.
        draw: Number of the draw. The artists of a draw are among those of the same draw with more artists.
        seed: Seed of all draws.

    Returns:
        Some of the rows, in their order.

    Example:
        >>> sides = ["train", "train", "train", "test"]
        >>> split = pd.DataFrame({"repeat": 0, "genre": "jazz", "group": [0, 0, 1, 2], "split": sides})
        >>> draw_artists(split, 1, draw=0, seed=0).index.tolist()
        [0, 1, 3]
    """
    kept = split["split"] != "train"
    training = split[~kept]
    for repeat in training["repeat"].unique():
        generator = np.random.default_rng([seed, int(repeat), draw])
        of_repeat = training[training["repeat"] == repeat]
        for genre in sorted(of_repeat["genre"].unique()):
            of_genre = of_repeat[of_repeat["genre"] == genre]
            drawn = generator.permutation(of_genre["group"].unique())[:n_artists]
            kept[of_genre.index[of_genre["group"].isin(drawn)]] = True
    return split[kept]


def score_few_labels(
    predictions: Sequence[pd.DataFrame],
    splits: Sequence[pd.DataFrame],
    *,
    known: Mapping[str, Any],
    genres: Sequence[str],
    artists: pd.Series[str],
    average: TrackAverage = "probability",
    **design: Any,
) -> pd.DataFrame:
    """Summarise what the models of several draws of as many artists predicted.

    A repeat's accuracy, and whether a track was told right, are means over draws; repeats are then summarised as those
    of a cell are, so that of all artists the numbers are the cell's.

    Args:
        predictions: The test predictions of each draw.
        splits: The split of each draw.
        known: What is known of the cell and of the draws: see
            :data:`~genre_pipeline.results.tables.FEW_LABELS_COLUMNS`.
        genres: The genres.
        artists: Artist by track id, empty where unknown.
        average: What of a track's segments is averaged.
        **design: As for :func:`~genre_pipeline.evaluation.intervals.summarise`.

    Returns:
        One row: the accuracy of test tracks.
    """
    how: Any = {"genres": genres, "average": average}
    chosen = {"split": "test", "unit": "track", "metric": "accuracy"}
    scores = pd.concat([score(each, **how) for each in predictions])
    scores = scores[(scores[list(chosen)] == pd.Series(chosen)).all(axis=1)]
    scores = scores.groupby(["repeat", *chosen], as_index=False).agg({"value": "mean", "n": "first"})
    right = pd.concat([told_right(each, **how) for each in predictions])
    right = right[right["unit"] == "track"].groupby(["repeat", "split", "unit", "track_id"], as_index=False).mean()
    right["cluster"] = clusters_of(right["track_id"], artists)
    summary = summarise(scores, outcomes=right, **design).iloc[0]
    training = pd.concat([split[split["split"] == "train"].assign(draw=draw) for draw, split in enumerate(splits)])
    drawn = training.groupby(["draw", "repeat"])
    row = {
        **known,
        **chosen,
        "statistic": "mean over repeats of the mean over draws",
        **{key: summary[key] for key in ("mean", "sd", "ci_low", "ci_high", "interval", "n_repeats")},
        "n_draws": len(splits),
        "mean_artists": float(drawn.apply(lambda rows: len(rows[["genre", "group"]].drop_duplicates())).mean()),
        "mean_tracks": float(drawn["track_id"].nunique().mean()),
    }
    return make_table([row], FEW_LABELS_COLUMNS)
