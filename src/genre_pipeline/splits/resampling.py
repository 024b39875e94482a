"""What the randomly resampled protocols share: their ratios, and independent stratified draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre_pipeline.splits.base import ProtocolBlock


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


def resample(genres: NDArray[np.str_], block: ResampledBlock, *, n_repeats: int) -> NDArray[np.str_]:
    """Shuffle each genre and cut it by the ratios.

    A genre of n gives each side its ratio of n, rounded: half of one off at most, but for the one that every side gets
    in any case. Repeat i depends on the seed and i alone, so that more repeats leave the earlier ones as they were.

    Args:
        genres: Each track's or piece's genre, shape ``(n_units,)``; at least three of each genre.
        block: The seed and the ratios.
        n_repeats: Number of draws.

    Returns:
        Labels, shape ``(n_repeats, n_units)``.
    """
    labels = np.full((n_repeats, len(genres)), "train", dtype="<U10")
    for repeat, row in enumerate(labels):
        rng = np.random.default_rng([block.seed, repeat])
        for genre in np.unique(genres):
            shuffled = rng.permutation(np.flatnonzero(genres == genre))
            n_test, n_validation = _sizes(len(shuffled), block)
            row[shuffled[:n_test]] = "test"
            row[shuffled[n_test : n_test + n_validation]] = "validation"
    return labels


def _sizes(n_units: int, block: ResampledBlock) -> tuple[int, int]:
    """Return how many of a genre test and validate, leaving at least one to each side."""
    n_test = min(max(1, round(block.test_ratio * n_units)), n_units - 2)
    n_validation = min(max(1, round(block.validation_ratio * n_units)), n_units - n_test - 1)
    return n_test, n_validation
