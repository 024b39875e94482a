"""Official splits: the list that ships with a dataset or was published, repeated with different training seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from genre_pipeline.errors import SplitError
from genre_pipeline.registry import suggestion
from genre_pipeline.splits.base import (
    PROTOCOLS,
    SPLITS,
    Assignment,
    ProtocolBlock,
    ProtocolSpec,
    SplitContext,
)
from genre_pipeline.splits.folds import kept_places
from genre_pipeline.splits.identities import linked_groups


class OfficialBlock(ProtocolBlock):
    """Parameters of a list-based protocol.

    Attributes:
        list: Name of one of the dataset's official splits.
        test_part: The part of the list that tests. With ``validation``, for when only the published training and
            validation tracks are available, the list's test part is left out, and a part of training validates.
        validation_ratio: Share of the training tracks that validate, if no part of the list does. [?]
    """

    list: str
    test_part: Literal["test", "validation"] = "test"
    validation_ratio: float = Field(default=0.1, gt=0.0, lt=1.0)


def n_repeats(block: OfficialBlock) -> int:
    """Return the number of training seeds: five by default."""
    # [?] Five seeds give the t interval four degrees of freedom.
    return 5 if block.repeats is None else block.repeats


def split(tracks: pd.DataFrame, block: OfficialBlock, context: SplitContext) -> Assignment:
    """Look each track up in the list; tracks that it does not name are left out.

    Args:
        tracks: The usable tracks, sorted by track id.
        block: The protocol's parameters.
        context: The dataset, the protocol and the dataset's lists.

    Raises:
        SplitError: If the dataset has no such list, or the list has parts of other names.
    """
    parts = _parts(block, context)
    labels = np.array([parts.get(track, "") for track in tracks["track_id"]], dtype="<U10")
    training = labels == "train"
    if "validation" not in parts.values() and training.any():
        kept = context.record.places(tracks["track_id"].tolist(), 1)[0]
        labels[training] = _carve(tracks[training], kept[training], block)
    return Assignment(np.tile(labels, (n_repeats(block), 1)), listed=frozenset(parts))


def _parts(block: OfficialBlock, context: SplitContext) -> Mapping[str, str]:
    """Return the side of each listed track, by track id."""
    key = f"protocols.{context.protocol}.list"
    if block.list not in context.official:
        raise SplitError(
            f"{key}: the dataset '{context.dataset}' has no official split '{block.list}'. "
            f"{suggestion(block.list, context.official)}"
        )
    parts = context.official[block.list]
    unknown = sorted(set(parts.values()) - set(SPLITS))
    if unknown:
        raise SplitError(
            f"{key}: the list '{block.list}' of the dataset '{context.dataset}' puts tracks into "
            f"{', '.join(repr(part) for part in unknown)}; expected {', '.join(SPLITS)}. Correct the list."
        )
    if block.test_part == "test":
        return parts
    sides = {"train": "train", block.test_part: "test"}
    return {track: sides[part] for track, part in parts.items() if part in sides}


def _carve(training: pd.DataFrame, kept: NDArray[np.intp], block: OfficialBlock) -> NDArray[np.str_]:
    """Move whole artists, with all artists who share a recording, until each genre has about the wanted share.

    Artists are tried in random order, and one is moved if that brings the genres' counts closer (in L1 distance) to the
    wanted ones. If all artists of a genre are too large for that, its smallest one moves. So a genre whose artists have
    no other genre misses the wanted count by at most half of its largest artist, or its smallest artist alone moves: an
    artist of v tracks is moved only if less than v / 2 are too many afterwards, and stays only if at most v / 2 are
    missing.

    Artists on the training or validation side already (``kept``, by track) stay there, and only the others are tried. A
    track's earlier place on the test side is ignored.
    """
    _, validation, test = range(len(SPLITS))
    groups = linked_groups(training)
    settled = kept_places(groups, np.where(kept == test, -1, kept))
    counts = pd.crosstab(groups, training["genre"].to_numpy(dtype=object)).to_numpy()
    wanted = block.validation_ratio * counts.sum(axis=0)
    moved = settled == validation
    held = counts[moved].sum(axis=0).astype(np.float64)
    free = settled < 0
    for group in np.random.default_rng(block.seed).permutation(len(counts)):
        if free[group] and np.abs(held + counts[group] - wanted).sum() < np.abs(held - wanted).sum():
            moved[group] = True
            held += counts[group]
    for genre in range(counts.shape[1]):
        if not counts[moved, genre].any():
            owners = np.flatnonzero((counts[:, genre] > 0) & free)
            moved[owners[np.argsort(counts[owners].sum(axis=1), kind="stable")[:1]]] = True
    return np.where(moved[groups], "validation", "train")


PROTOCOLS.register(
    ProtocolSpec(
        name="official",
        block=OfficialBlock,
        split=split,
        promises=frozenset({"track"}),
        leaky=False,
        design="seeds",
        n_repeats=n_repeats,
    )
)
