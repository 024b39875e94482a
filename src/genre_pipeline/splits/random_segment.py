"""Random splits of pieces of tracks: every track is on both sides. LEAKY: exists to measure the inflation."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from pydantic import Field

from genre_pipeline.splits.base import PROTOCOLS, Assignment, ProtocolSpec, SplitContext, piece_keys
from genre_pipeline.splits.folds import check_divisible
from genre_pipeline.splits.resampling import ResampledBlock, resample


class RandomSegmentBlock(ResampledBlock):
    """Parameters of the random split by segment, with which MusicNeXt was tested.

    Attributes:
        segment_s: Length of the pieces in seconds. [P]
        test_ratio: Share of each genre's pieces that test. [P]
        validation_ratio: Share of each genre's pieces that validate. The paper has none; then the test side would have
            to choose the epoch. [?]
    """

    segment_s: float = Field(default=3.0, gt=0.0, le=86_400.0)
    test_ratio: float = Field(default=0.2, gt=0.0, lt=1.0)


def n_repeats(block: RandomSegmentBlock) -> int:
    """Return the number of random splits: five by default."""
    # [?] The paper does not state the number of splits.
    return 5 if block.repeats is None else block.repeats


def split(tracks: pd.DataFrame, block: RandomSegmentBlock, context: SplitContext) -> Assignment:
    """Cut each track into pieces, shuffle each genre's and cut them by the ratios.

    The last piece of a track extends to its end. A feature's segment belongs to the piece that holds its centre, so
    features of other segment lengths can be split in the same way.

    Args:
        tracks: The usable tracks, sorted by track id.
        block: The protocol's parameters.
        context: The dataset and protocol.

    Raises:
        SplitError: If a genre has fewer than three pieces.
    """
    duration_s = tracks["duration_s"].to_numpy(dtype=np.float64)
    counts = np.maximum(1, duration_s // block.segment_s).astype(np.intp)
    row = np.repeat(np.arange(len(tracks)), counts)
    index = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    end_s = np.where(index + 1 == counts[row], duration_s[row], (index + 1) * block.segment_s)
    pieces = pd.DataFrame({"row": row, "start_s": index * block.segment_s, "end_s": end_s})
    genres = tracks["genre"].to_numpy(dtype=str)[row]
    check_divisible(
        Counter(genres.tolist()),
        unit=f"pieces of {block.segment_s:g} s",
        n_parts=3,
        protocol=context.protocol,
        remedy=f"lower protocols.{context.protocol}.segment_s",
    )
    keys = piece_keys(tracks["track_id"].to_numpy()[row], pieces["start_s"])
    return Assignment(resample(genres, block, kept=context.record.places(keys, n_repeats(block))), pieces=pieces)


PROTOCOLS.register(
    ProtocolSpec(
        name="random_segment",
        block=RandomSegmentBlock,
        split=split,
        promises=frozenset(),
        leaky=True,
        design="resampled",
        n_repeats=n_repeats,
        only_by_name=True,
    )
)
