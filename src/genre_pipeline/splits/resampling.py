"""Shared by the randomly resampled protocols: their ratios, and independent stratified draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre_pipeline.splits.base import SPLITS, ProtocolBlock


class ResampledBlock(ProtocolBlock):
    """Parameters of random splits by ratio.

    Attributes:
        validation_ratio: Share of each genre that validates.
        test_ratio: Share of each genre that tests.
    """

    validation_ratio: float = Field(default=0.1, gt=0.0, lt=1.0)
    test_ratio: float = Field(default=0.1, gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _something_trains(self) -> ResampledBlock:
        if self.validation_ratio + self.test_ratio >= 1.0:
            raise ValueError(
                f"validation_ratio={self.validation_ratio} and test_ratio={self.test_ratio} leave nothing to train on; "
                "their sum must be less than 1"
            )
        return self


def resample(genres: NDArray[np.str_], block: ResampledBlock, *, kept: NDArray[np.intp]) -> NDArray[np.str_]:
    """Shuffle each genre and cut it by the ratios.

    From a genre of n, each side gets its ratio of n, rounded, and at least one. Repeat i depends only on the seed and
    i, so more repeats do not change the earlier ones.

    Units with a side keep it; the others fill up the sides, the test side first. So after additions a genre's test side
    has its full size, and its validation side is at most one short.

    Args:
        genres: Each track's or piece's genre, shape ``(n_units,)``; at least three of each genre.
        block: The seed and the ratios.
        kept: Each unit's side in each draw so far, as its position in :data:`~genre_pipeline.splits.base.SPLITS`, -1 if
            none; shape ``(n_repeats, n_units)``.

    Returns:
        Labels, shape ``(n_repeats, n_units)``.
    """
    labels = np.full(kept.shape, "train", dtype="<U10")
    for repeat, row in enumerate(labels):
        rng = np.random.default_rng([block.seed, repeat])
        for code, side in enumerate(SPLITS):
            row[kept[repeat] == code] = side
        for genre in np.unique(genres):
            shuffled = rng.permutation(np.flatnonzero(genres == genre))
            sizes = _sizes(len(shuffled), block)
            fresh = shuffled[kept[repeat, shuffled] < 0]
            for side, size in zip(("test", "validation"), sizes, strict=True):
                n_missing = max(0, size - np.count_nonzero(row[shuffled] == side))
                row[fresh[:n_missing]] = side
                fresh = fresh[n_missing:]
    return labels


def _sizes(n_units: int, block: ResampledBlock) -> tuple[int, int]:
    """Return how many of a genre test and validate, leaving at least one to each side."""
    n_test = min(max(1, round(block.test_ratio * n_units)), n_units - 2)
    n_validation = min(max(1, round(block.validation_ratio * n_units)), n_units - n_test - 1)
    return n_test, n_validation
