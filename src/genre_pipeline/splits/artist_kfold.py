"""Stratified k-fold by artist: no artist is in both training and test."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from genre_pipeline.splits.base import PROTOCOLS, Assignment, ProtocolSpec, SplitContext
from genre_pipeline.splits.folds import KFoldBlock, balanced_folds, check_divisible, n_repeats, rotate
from genre_pipeline.splits.identities import linked_groups


def split(tracks: pd.DataFrame, block: KFoldBlock, context: SplitContext) -> Assignment:
    """Assign each artist to one fold, with similar genre proportions in all folds.

    A track whose artist is unknown counts as an artist of its own. Artists who share a recording (or its bytes, or its
    samples) stay together: the same music under another name would also be a leak. The artist filter is that of
    Pampalk, Flexer and Widmer (ISMIR 2005); :func:`~genre_pipeline.splits.folds.balanced_folds` states how even the
    folds are.

    Args:
        tracks: The usable tracks, sorted by track id.
        block: The protocol's parameters.
        context: The dataset and protocol.

    Raises:
        SplitError: If a genre has fewer artists than folds.
    """
    groups, genres = linked_groups(tracks), tracks["genre"].to_numpy(dtype=str)
    check_divisible(
        Counter(genre for _, genre in set(zip(groups.tolist(), genres.tolist(), strict=True))),
        unit="artists (a track of unknown artist counts as one, and so do artists who share a recording)",
        n_parts=block.n_folds,
        protocol=context.protocol,
        remedy=f"lower protocols.{context.protocol}.n_folds (at least 3)",
    )
    kept = context.record.places(tracks["track_id"].tolist(), 1)[0]
    folds = balanced_folds(groups, genres, n_folds=block.n_folds, seed=block.seed, kept=kept)
    return Assignment(rotate(folds, block), folds=folds)


PROTOCOLS.register(
    ProtocolSpec(
        name="artist_kfold",
        block=KFoldBlock,
        split=split,
        promises=frozenset({"track", "file", "audio", "recording", "artist"}),
        leaky=False,
        design="kfold",
        n_repeats=n_repeats,
    )
)
