"""What a protocol is: a rule that says, for each repeat, on which side of the split a track stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from genre_pipeline.blocks import Block
from genre_pipeline.registry import Registry

SPLITS = ("train", "validation", "test")

Promise = Literal["track", "audio", "artist"]
Design = Literal["kfold", "resampled", "seeds"]


class ProtocolBlock(Block):
    """Parameters that every protocol has.

    Attributes:
        kind: Registered name of the protocol.
        seed: Seed of everything random in the split.
        repeats: How often models are trained and tested; none for the protocol's own number.
    """

    kind: str
    # scikit-learn takes seeds of 32 bits.
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    repeats: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class SplitContext:
    """What a protocol may need besides the tracks.

    Attributes:
        dataset: The dataset's name.
        protocol: The protocol's name in the YAML; messages name its parameters by ``protocols.<name>``.
        official: The lists that ship with the dataset: name to track id to ``train``, ``validation`` or ``test``.
    """

    dataset: str
    protocol: str
    official: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Assignment:
    """A protocol's decision.

    Attributes:
        labels: ``train``, ``validation``, ``test``, or ``""`` for a track left out; shape ``(n_repeats, n_tracks)``.
        listed: The track ids that the protocol knows by name, whether the dataset has them or not.
    """

    labels: NDArray[np.str_]
    listed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ProtocolSpec:
    """A kind of protocol.

    Attributes:
        name: Registered name, used as ``kind`` in YAML.
        block: Class of its parameters.
        split: Assigns tracks, sorted by track id and free of quarantined ones, to the sides of each repeat. Raises
            :class:`~genre_pipeline.errors.SplitError` where they are too few.
        promises: What never stands on two sides of one repeat. What is not promised is only counted.
        leaky: Whether recordings or artists stand on two sides by design.
        design: How repeats relate, which decides the confidence interval: ``kfold`` (disjoint test folds),
            ``resampled`` (independent, overlapping test sets) or ``seeds`` (one split, another training seed).
        n_repeats: Number of repeats, from the block.
    """

    name: str
    block: type[ProtocolBlock]
    split: Callable[[pd.DataFrame, Any, SplitContext], Assignment]
    promises: frozenset[Promise]
    leaky: bool
    design: Design
    n_repeats: Callable[[Any], int]


PROTOCOLS: Registry[ProtocolSpec] = Registry("protocol kind", package="genre_pipeline.splits")


def artist_keys(tracks: pd.DataFrame) -> pd.Series[str]:
    """Return each track's artist in one spelling: lower case, single spaces; ``""`` where unknown.

    Example:
        >>> artist_keys(pd.DataFrame({"artist": ["Bob  Marley", "bob marley ", ""]})).tolist()
        ['bob marley', 'bob marley', '']
    """
    spelt = [" ".join(artist.split()).casefold() for artist in tracks["artist"]]
    return pd.Series(spelt, index=tracks.index, dtype="string")


def artist_groups(tracks: pd.DataFrame) -> NDArray[np.intp]:
    """Number the tracks' artists; a track of unknown artist is a group of its own.

    Returns:
        Codes from 0, shape ``(n_tracks,)``, in order of appearance.

    Example:
        >>> tracks = pd.DataFrame({"track_id": ["a", "b", "c", "d"], "artist": ["X", "", "X", ""]})
        >>> artist_groups(tracks).tolist()
        [0, 1, 0, 2]
    """
    keys = artist_keys(tracks)
    owners = [("artist", key) if key else ("track", track) for key, track in zip(keys, tracks["track_id"], strict=True)]
    codes: dict[tuple[str, str], int] = {}
    return np.array([codes.setdefault(owner, len(codes)) for owner in owners], dtype=np.intp)
