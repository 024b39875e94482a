"""Stratified k-fold by artist: nobody is heard in training and in the test."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from genre_pipeline.splits.base import PROTOCOLS, Assignment, ProtocolSpec, SplitContext, artist_groups
from genre_pipeline.splits.folds import KFoldBlock, check_divisible, n_repeats, rotate


def split(tracks: pd.DataFrame, block: KFoldBlock, context: SplitContext) -> Assignment:
    """Give each artist one fold, keeping the genres' proportions alike.

    A track of unknown artist counts as an artist of its own. The artist filter is that of Pampalk, Flexer and
    Widmer (ISMIR 2005); the assignment is scikit-learn's ``StratifiedGroupKFold``.

    Args:
        tracks: The usable tracks, sorted by track id.
        block: The protocol's parameters.
        context: The dataset and protocol.

    Raises:
        SplitError: If a genre has fewer artists than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    groups = artist_groups(tracks)
    check_divisible(
        Counter(genre for _, genre in set(zip(groups.tolist(), tracks["genre"], strict=True))),
        unit="artists (a track of unknown artist counts as one)",
        n_parts=block.n_folds,
        protocol=context.protocol,
        remedy=f"lower protocols.{context.protocol}.n_folds (at least 3)",
    )
    # Shuffled here: scikit-learn 1.7, when it shuffles, forgets which group has which genres.
    shuffled = np.random.default_rng(block.seed).permutation(groups.max() + 1)[groups]
    folds = np.empty(len(tracks), dtype=np.intp)
    genres = tracks["genre"].to_numpy(dtype=str)
    for fold, (_, members) in enumerate(StratifiedGroupKFold(block.n_folds).split(genres, genres, shuffled)):
        folds[members] = fold
    return Assignment(rotate(folds, block))


PROTOCOLS.register(
    ProtocolSpec(
        name="artist_kfold",
        block=KFoldBlock,
        split=split,
        promises=frozenset({"track", "audio", "artist"}),
        leaky=False,
        design="kfold",
        n_repeats=n_repeats,
    )
)
