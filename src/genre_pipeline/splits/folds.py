"""Shared by the k-fold protocols: their block, balanced folds, their rotation, and a check of the genres."""

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


def balanced_folds(
    groups: NDArray[np.intp],
    genres: NDArray[np.str_],
    *,
    n_folds: int,
    seed: int,
    kept: NDArray[np.intp] | None = None,
) -> NDArray[np.intp]:
    """Assign each group of tracks to one fold, so that every genre is spread evenly over the folds.

    Groups are assigned by size, the largest first, then by genre, in random order if equal. Each goes to the fold where
    it adds least to the sum, over genres and folds, of the squared share of the genre in the fold; if equal, to the
    smaller fold. It is the longest-processing-time rule of Graham (SIAM J. Appl. Math. 17, 1969) for several genres at
    once. A group with tracks that have a fold already goes to the fold of most of them, before any other group is
    assigned.

    Three bounds hold for any tracks, if none has a fold yet. With c the tracks of a genre in a fold, v those in a
    group, N all of them and k folds:

    - Where no group has tracks of two genres, the folds' c differ by at most the largest v of the genre: each group
      goes to the fold that holds least of it.
    - If moreover every group is a single track, the folds' totals differ by at most one: a genre goes round all folds,
      and the remainder goes to the smallest.
    - In any case the sum over genres and folds of (c / N - 1 / k)^2 is at most (1 - 1 / k) times the sum over genres
      and groups of (v / N)^2. That is the average of random folds, and no choice of the rule is worse than the
      average of its choices (the method of conditional expectations).

    If the folds already hold tracks, the first difference afterwards is at most its old value or the largest new v, and
    the last sum grows by at most this bound for the new groups alone.

    Args:
        groups: Each track's group, from 0, shape ``(n_tracks,)``.
        genres: Each track's genre, shape ``(n_tracks,)``.
        n_folds: Number of folds.
        seed: Seed of the order of equal groups.
        kept: Each track's fold so far, -1 if none, shape ``(n_tracks,)``.

    Returns:
        Each track's fold, from 0, shape ``(n_tracks,)``.

    Example:
        >>> balanced_folds(np.array([0, 0, 1, 2]), np.array(["jazz"] * 4), n_folds=2, seed=0).tolist()
        [0, 0, 1, 1]
    """
    _, genre_codes, totals = np.unique(genres, return_inverse=True, return_counts=True)
    counts = np.zeros((groups.max() + 1, len(totals)), dtype=np.int64)
    np.add.at(counts, (groups, genre_codes), 1)
    weights = 1.0 / totals.astype(np.float64) ** 2
    shuffled = np.random.default_rng(seed).permutation(len(counts))
    held = np.zeros((n_folds, len(totals)), dtype=np.int64)
    fold_of_group = np.full(len(counts), -1, dtype=np.intp) if kept is None else kept_places(groups, kept)
    settled = np.flatnonzero(fold_of_group >= 0)
    np.add.at(held, fold_of_group[settled], counts[settled])
    shuffled = shuffled[fold_of_group[shuffled] < 0]
    for group in shuffled[np.lexsort((counts.argmax(axis=1)[shuffled], -counts.sum(axis=1)[shuffled]))]:
        added = np.zeros(n_folds)
        # One genre after another, so that every machine sums in the same order.
        for genre in np.flatnonzero(counts[group]):
            added += held[:, genre] * (weights[genre] * counts[group, genre])
        fold = np.lexsort((held.sum(axis=1), added))[0]
        held[fold] += counts[group]
        fold_of_group[group] = fold
    return fold_of_group[groups]


def kept_places(groups: NDArray[np.intp], places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Give each group the place of most of its tracks, so that as few as possible move when groups are joined.

    Args:
        groups: Each track's group, from 0, shape ``(n_tracks,)``.
        places: Each track's place so far, -1 if none, shape ``(n_tracks,)``.

    Returns:
        Each group's place, the lowest of equally common ones, -1 if no track has one; shape ``(n_groups,)``.

    Example:
        >>> kept_places(np.array([0, 0, 0, 1, 2, 2]), np.array([4, 1, 1, -1, 3, 2])).tolist()
        [1, -1, 2]
    """
    settled = places >= 0
    pairs, sizes = np.unique(np.stack([groups[settled], places[settled]]), axis=1, return_counts=True)
    # The most common place of a group is written last, and the lowest of equally common ones.
    order = np.lexsort((-pairs[1], sizes))
    of_group = np.full(groups.max() + 1, -1, dtype=np.intp)
    of_group[pairs[0, order]] = pairs[1, order]
    return of_group


def rotate(fold_of_track: NDArray[np.intp], block: KFoldBlock) -> NDArray[np.str_]:
    """In repeat i, test on fold i and validate on the next one.

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
    """Check that each genre has enough units for every part.

    Args:
        counts: Genre to number of units.
        unit: Name of the units, in the plural: ``"artists"``.
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
        f"{f', or {remedy}' if remedy else ''}. If 'genre-pipeline train' wrote the experiment, run it again: it "
        "chooses genres and folds anew."
    )
