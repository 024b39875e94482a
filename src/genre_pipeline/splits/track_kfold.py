"""Stratified k-fold by track, the protocol that most papers state: artists and albums are on both sides."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from pydantic import Field

from genre_pipeline.splits.base import PROTOCOLS, Assignment, ProtocolSpec, SplitContext
from genre_pipeline.splits.folds import KFoldBlock, balanced_folds, check_divisible, n_repeats, rotate


class TrackKFoldBlock(KFoldBlock):
    """Parameters of the k-fold by track.

    Attributes:
        n_folds: Folds; ten are usual in the literature.
    """

    n_folds: int = Field(default=10, ge=3, le=100)


def split(tracks: pd.DataFrame, block: TrackKFoldBlock, context: SplitContext) -> Assignment:
    """Assign each track to one fold, with similar genre proportions, regardless of artists.

    The folds' numbers of tracks of each genre differ by at most one, and so do the totals if all tracks are assigned at
    once. Only tracks are kept together. Ingest excludes copies, unless the dataset's ``quarantine`` accepts them; then
    the audit counts them.

    Args:
        tracks: The usable tracks, sorted by track id.
        block: The protocol's parameters.
        context: The dataset and protocol.

    Raises:
        SplitError: If a genre has fewer tracks than folds.
    """
    genres = tracks["genre"].to_numpy(dtype=str)
    check_divisible(
        Counter(tracks["genre"]),
        unit="tracks",
        n_parts=block.n_folds,
        protocol=context.protocol,
        remedy=f"lower protocols.{context.protocol}.n_folds (at least 3)",
    )
    kept = context.record.places(tracks["track_id"].tolist(), 1)[0]
    folds = balanced_folds(np.arange(len(tracks)), genres, n_folds=block.n_folds, seed=block.seed, kept=kept)
    return Assignment(rotate(folds, block), folds=folds)


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
