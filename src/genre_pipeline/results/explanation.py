"""What a model saw in a track."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.cells import Cell
from genre_pipeline.features import Bins


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a model saw in a track.

    Attributes:
        cell: The cell.
        repeat: Which repeat's model; the track is on its test side.
        track_id: The track.
        genre: The track's true genre.
        answer: The predicted genre.
        target: The genre whose log odds are explained.
        method: How.
        genres: The genres.
        probabilities: Of each segment, shape ``(n_segments, n_genres)``.
        starts_s: Where each segment begins.
        segment_s: How long each is.
        bins: What the feature's bins are.
        levels: The feature, shape ``(n_bins, n_frames)``.
        contributions: In log odds of a segment, the same shape; where segments overlap, their mean.
        explained: Log odds that are explained, the mean over segments.
        residual: What of that the contributions do not sum to, the mean over segments of its size.
    """

    cell: Cell
    repeat: int
    track_id: str
    genre: str
    answer: str
    target: str
    method: str
    genres: tuple[str, ...]
    probabilities: NDArray[np.float64]
    starts_s: NDArray[np.float64]
    segment_s: float
    bins: Bins
    levels: NDArray[np.float32]
    contributions: NDArray[np.float64]
    explained: float
    residual: float
