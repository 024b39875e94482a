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

Promise = Literal["track", "file", "audio", "recording", "artist"]
Design = Literal["kfold", "resampled", "seeds"]


class ProtocolBlock(Block):
    """Parameters that every protocol has.

    Attributes:
        kind: Registered name of the protocol.
        seed: Seed of everything random in the split.
        repeats: How often models are trained and tested; none for the protocol's own number.
        promises: What must not stand on two sides, besides what the kind of protocol promises by itself; a split that
            breaks it is an error.
    """

    kind: str
    # [?] 32 bits: what every random generator takes.
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    repeats: int | None = Field(default=None, ge=1)
    promises: tuple[Promise, ...] = ()


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
        labels: ``train``, ``validation``, ``test``, or ``""`` for what is left out; shape ``(n_repeats, n_tracks)``, or
            ``(n_repeats, n_pieces)``.
        listed: The track ids that the protocol knows by name, whether the dataset has them or not.
        pieces: Where tracks are divided, one row a piece: ``row`` (the track's position in the table), ``start_s`` and
            ``end_s``; sorted by ``row`` and ``start_s``. None where every track stands on one side as a whole.
    """

    labels: NDArray[np.str_]
    listed: frozenset[str] = frozenset()
    pieces: pd.DataFrame | None = None


@dataclass(frozen=True)
class ProtocolSpec:
    """A kind of protocol.

    Attributes:
        name: Registered name, used as ``kind`` in YAML.
        block: Class of its parameters.
        split: Assigns tracks, sorted by track id and free of quarantined ones, to the sides of each repeat. Raises
            :class:`~genre_pipeline.errors.SplitError` where they are too few.
        promises: What never stands on two sides of one repeat; a block may add to it. What is not promised is only
            counted.
        leaky: Whether recordings or artists stand on two sides by design.
        design: How repeats relate, which decides the confidence interval: ``kfold`` (disjoint test folds),
            ``resampled`` (independent, overlapping test sets) or ``seeds`` (one split, another training seed).
        n_repeats: Number of repeats, from the block.
        only_by_name: Whether a protocol of this kind must bear the kind's name, so that nobody uses it unknowingly and
            every file, row and tag says it.
    """

    name: str
    block: type[ProtocolBlock]
    split: Callable[[pd.DataFrame, Any, SplitContext], Assignment]
    promises: frozenset[Promise]
    leaky: bool
    design: Design
    n_repeats: Callable[[Any], int]
    only_by_name: bool = False


PROTOCOLS: Registry[ProtocolSpec] = Registry("protocol kind", package="genre_pipeline.splits")
