"""Stratified k-fold by track, the protocol most papers claim: artists and albums stand on both sides."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from pydantic import Field

from genre_pipeline.splits.base import PROTOCOLS, Assignment, ProtocolSpec, SplitContext
from genre_pipeline.splits.folds import KFoldBlock, check_divisible, n_repeats, rotate


class TrackKFoldBlock(KFoldBlock):
    """Parameters of the k-fold by track.

    Attributes:
        n_folds: Folds; ten are usual in the literature.
    """

    n_folds: int = Field(default=10, ge=3, le=100)


def split(tracks: pd.DataFrame, block: TrackKFoldBlock, context: SplitContext) -> Assignment:
    """Give each track one fold, keeping the genres' proportions alike, whoever plays.

    Args:
        tracks: The usable tracks, sorted by track id.
        block: The protocol's parameters.
        context: The dataset and protocol.

    Raises:
        SplitError: If a genre has fewer tracks than folds.
    """
    from sklearn.model_selection import StratifiedKFold

    genres = tracks["genre"].to_numpy(dtype=str)
    check_divisible(
        Counter(tracks["genre"]),
        unit="tracks",
        n_parts=block.n_folds,
        protocol=context.protocol,
        remedy=f"lower protocols.{context.protocol}.n_folds (at least 3)",
    )
    folds = np.empty(len(tracks), dtype=np.intp)
    divided = StratifiedKFold(block.n_folds, shuffle=True, random_state=block.seed).split(genres, genres)
    for fold, (_, members) in enumerate(divided):
        folds[members] = fold
    return Assignment(rotate(folds, block))


PROTOCOLS.register(
    ProtocolSpec(
        name="track_kfold",
        block=TrackKFoldBlock,
        split=split,
        promises=frozenset({"track"}),
        leaky=True,
        design="kfold",
        n_repeats=n_repeats,
    )
)
