"""What the k-fold protocols share: their block, the rotation of folds, and the check that genres can be divided."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre_pipeline.errors import SplitError
from genre_pipeline.splits.base import ProtocolBlock


class KFoldBlock(ProtocolBlock):
    """Parameters of a k-fold protocol.

    Attributes:
        n_folds: Folds; at least three, because one tests, one validates and the others train.
    """

    # [?] Five folds keep 60 % of the tracks for training and need five artists a genre.
    n_folds: int = Field(default=5, ge=3, le=100)

    @model_validator(mode="after")
    def _repeats_fit(self) -> KFoldBlock:
        if self.repeats is not None and self.repeats > self.n_folds:
            raise ValueError(
                f"repeats={self.repeats} is greater than n_folds={self.n_folds}; each repeat tests another fold"
            )
        return self


def n_repeats(block: KFoldBlock) -> int:
    """Return how many folds are tested: all, or the first ``repeats``."""
    return block.n_folds if block.repeats is None else block.repeats


def rotate(fold_of_track: NDArray[np.intp], block: KFoldBlock) -> NDArray[np.str_]:
    """Let fold i test and the next one validate in repeat i.

    Args:
        fold_of_track: Each track's fold, from 0, shape ``(n_tracks,)``.
        block: The protocol's parameters.

    Returns:
        Labels, shape ``(n_repeats, n_tracks)``.

    Example:
        >>> rotate(np.array([0, 1, 2]), KFoldBlock(kind="demo", n_folds=3, repeats=2)).tolist()
        [['test', 'validation', 'train'], ['train', 'test', 'validation']]
    """
    test_fold = np.arange(n_repeats(block))[:, None]
    validation_fold = (test_fold + 1) % block.n_folds
    rest = np.where(fold_of_track == validation_fold, "validation", "train")
    return np.where(fold_of_track == test_fold, "test", rest)


def check_divisible(counts: Mapping[str, int], *, unit: str, n_parts: int, protocol: str, remedy: str) -> None:
    """Make sure that each genre has something for every part.

    Args:
        counts: Genre to number of units.
        unit: What is counted, in the plural: ``"artists"``.
        n_parts: Parts to fill.
        protocol: The protocol's name.
        remedy: What to change in the protocol, as an imperative clause; may be empty.

    Raises:
        SplitError: If a genre has fewer units than parts; names every such genre in one message.
    """
    short = {genre: n for genre, n in sorted(counts.items()) if n < n_parts}
    if not short:
        return
    found = ", ".join(f"'{genre}' has {n}" for genre, n in short.items())
    raise SplitError(
        f"protocols.{protocol} needs at least {n_parts} {unit} of each genre, but {found}. "
        f"Add music, leave {'that genre' if len(short) == 1 else 'those genres'} out (the dataset's 'genres')"
        f"{f', or {remedy}' if remedy else ''}."
    )
