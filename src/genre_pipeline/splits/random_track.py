"""Independent random splits by track: artists and albums stand on both sides, test sets of repeats overlap."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from genre_pipeline.splits.base import PROTOCOLS, Assignment, ProtocolBlock, ProtocolSpec, SplitContext
from genre_pipeline.splits.folds import check_divisible


class RandomTrackBlock(ProtocolBlock):
    """Parameters of the random split by track; the ratios are those of BBNN, net1 and net2 [P].

    Attributes:
        validation_ratio: Share of each genre's tracks that validate.
        test_ratio: Share of each genre's tracks that test.
    """

    validation_ratio: float = Field(default=0.1, gt=0.0, lt=1.0)
    test_ratio: float = Field(default=0.1, gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _something_trains(self) -> RandomTrackBlock:
        if self.validation_ratio + self.test_ratio >= 1.0:
            raise ValueError(
                f"validation_ratio={self.validation_ratio} and test_ratio={self.test_ratio} leave nothing to train on; "
                "their sum must be less than 1"
            )
        return self


def n_repeats(block: RandomTrackBlock) -> int:
    """Return the number of random splits: ten unless asked otherwise, as in BBNN [P]."""
    return 10 if block.repeats is None else block.repeats


def split(tracks: pd.DataFrame, block: RandomTrackBlock, context: SplitContext) -> Assignment:
    """Shuffle each genre's tracks and cut them by the ratios, rounded; each side gets at least one.

    Repeat i depends on the seed and i alone, so that more repeats leave the earlier ones as they were.

    Args:
        tracks: The usable tracks, sorted by track id.
        block: The protocol's parameters.
        context: The dataset and protocol.

    Raises:
        SplitError: If a genre has fewer than three tracks.
    """
    genres = tracks["genre"].to_numpy(dtype=str)
    counts = Counter(tracks["genre"])
    check_divisible(counts, unit="tracks", n_parts=3, protocol=context.protocol, remedy="")
    labels = np.full((n_repeats(block), len(tracks)), "train", dtype="<U10")
    for repeat, row in enumerate(labels):
        rng = np.random.default_rng([block.seed, repeat])
        for genre in sorted(counts):
            shuffled = rng.permutation(np.flatnonzero(genres == genre))
            n_test, n_validation = _sizes(len(shuffled), block)
            row[shuffled[:n_test]] = "test"
            row[shuffled[n_test : n_test + n_validation]] = "validation"
    return Assignment(labels)


def _sizes(n_tracks: int, block: RandomTrackBlock) -> tuple[int, int]:
    """Return how many of a genre's tracks test and validate, leaving at least one to each side."""
    n_test = min(max(1, round(block.test_ratio * n_tracks)), n_tracks - 2)
    n_validation = min(max(1, round(block.validation_ratio * n_tracks)), n_tracks - n_test - 1)
    return n_test, n_validation


PROTOCOLS.register(
    ProtocolSpec(
        name="random_track",
        block=RandomTrackBlock,
        split=split,
        promises=frozenset({"track"}),
        leaky=True,
        design="resampled",
        n_repeats=n_repeats,
    )
)
