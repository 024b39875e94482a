"""Folds within the training side, for what an estimator chooses by itself: they keep linked tracks together."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.errors import RepeatFailedError
from genre_pipeline.models.base import TrainingColumns
from genre_pipeline.splits.folds import balanced_folds

logger = logging.getLogger(__name__)


def fold_of_segments(data: TrainingColumns, n_folds: int, seed: int) -> NDArray[np.intp]:
    """Assign each segment to a fold, so that every genre is in two of them or more.

    Segments of linked tracks (same artist, same recording) share a fold. Where that would leave a genre in one fold
    alone, that genre's tracks are assigned one by one, and if it has one track, its segments.

    Args:
        data: The training segments.
        n_folds: Number of folds; fewer are used where there is less to assign.
        seed: Seed of the order of equal groups.

    Returns:
        Shape ``(n_segments,)``; codes from 0, none is left out.

    Raises:
        RepeatFailedError: If a genre has a single segment.
    """
    genres, counts = np.unique(data.targets, return_counts=True)
    if counts.min() < 2:
        raise RepeatFailedError(
            f"Genre number {genres[counts.argmin()] + 1}, in the order of their names, has a single training segment, "
            "and choosing a strength or calibrating probabilities takes at least 2 of each genre. Use shorter "
            "segments, more tracks (artists), or fewer folds."
        )
    levels = np.stack([*data.groups, np.arange(len(data.targets))])
    level_of_genre = np.zeros(genres.max() + 1, dtype=np.intp)
    while True:
        levels_used = level_of_genre[data.targets]
        codes = levels[levels_used, np.arange(len(data.targets))]
        # Codes of two levels name different things.
        _, units = np.unique(np.stack([levels_used, codes]), axis=1, return_inverse=True)
        folds = balanced_folds(units.ravel(), data.targets.astype(np.str_), n_folds=n_folds, seed=seed)
        alone = [genre for genre in genres if len(np.unique(folds[data.targets == genre])) == 1]
        if not alone:
            break
        level_of_genre[alone] += 1
    if level_of_genre.any() and data.groups:
        logger.warning(
            "The training tracks of %d of %d genres are all of one artist or recording: in the folds that choose a "
            "strength or calibrate probabilities, theirs are kept apart by track or segment.",
            *(np.count_nonzero(level_of_genre), len(genres)),
        )
    renumbered: NDArray[np.intp] = np.unique(folds, return_inverse=True)[1].ravel()
    return renumbered
