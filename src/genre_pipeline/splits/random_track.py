"""Independent random splits by track: artists and albums are on both sides, test sets of repeats overlap."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from genre_pipeline.splits.base import PROTOCOLS, Assignment, ProtocolSpec, SplitContext
from genre_pipeline.splits.folds import check_divisible
from genre_pipeline.splits.resampling import ResampledBlock, resample


class RandomTrackBlock(ResampledBlock):
    """Parameters of the random split by track; the ratios, 80/10/10, are those of BBNN, net1 and net2 [P]."""


def n_repeats(block: RandomTrackBlock) -> int:
    """Return the number of random splits: ten by default, as in BBNN [P]."""
    return 10 if block.repeats is None else block.repeats


def split(tracks: pd.DataFrame, block: RandomTrackBlock, context: SplitContext) -> Assignment:
    """Shuffle each genre's tracks and cut them by the ratios, see :func:`~genre_pipeline.splits.resampling.resample`.

    Only tracks are kept together. Ingest excludes copies, unless the dataset's ``quarantine`` accepts them; then the
    audit counts them.

    Args:
        tracks: The usable tracks, sorted by track id.
        block: The protocol's parameters.
        context: The dataset and protocol.

    Raises:
        SplitError: If a genre has fewer than three tracks.
    """
    check_divisible(Counter(tracks["genre"]), unit="tracks", n_parts=3, protocol=context.protocol, remedy="")
    kept = context.record.places(tracks["track_id"].tolist(), n_repeats(block))
    return Assignment(resample(tracks["genre"].to_numpy(dtype=str), block, kept=kept))


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
