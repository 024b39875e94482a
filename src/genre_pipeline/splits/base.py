"""Protocols: rules that assign each track to a side of the split in each repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import override

from genre_pipeline.blocks import Block, Repeats, parse_block, registered
from genre_pipeline.registry import Registry
from genre_pipeline.splits.records import SplitRecord

SPLITS = ("train", "validation", "test")

Promise = Literal["track", "file", "audio", "recording", "artist"]
Design = Literal["kfold", "resampled", "seeds"]
Growth = Literal["keep", "resplit"]


class ProtocolBlock(Block):
    """Parameters that every protocol has.

    Attributes:
        kind: Registered name of the protocol.
        seed: Seed of everything random in the split.
        repeats: How often models are trained and tested; ``None`` means the protocol's own number.
        promises: What must not be on two sides, in addition to the promises of the protocol's kind; a split that breaks
            a promise is an error.
        growth: What to do with tracks that were split before. With ``keep`` they stay on their sides, and only new ones
            are assigned; ``resplit`` splits all tracks again.
    """

    kind: str
    # [?] 32 bits: the seeds that every random generator accepts.
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    repeats: Repeats | None = None
    promises: tuple[Promise, ...] = ()
    growth: Growth = "keep"

    @classmethod
    @override
    def parse(cls, values: object, *, key: str) -> ProtocolBlock:
        """Check the values as the block of their kind."""
        return parse_block(registered(PROTOCOLS, values, key=key).block, values, key=key)


@dataclass(frozen=True)
class SplitContext:
    """What a protocol may need in addition to the tracks.

    Attributes:
        dataset: The dataset's name.
        protocol: The protocol's name in the YAML; messages name its parameters by ``protocols.<name>``.
        official: The lists that ship with the dataset: name to track id to ``train``, ``validation`` or ``test``.
        record: Earlier places of tracks, or of pieces by their :func:`piece_keys`. A protocol changes a place only if
            it must.
    """

    dataset: str
    protocol: str
    official: Mapping[str, Mapping[str, str]]
    record: SplitRecord = field(default_factory=SplitRecord)


def piece_keys(track_ids: Iterable[str], start_s: Iterable[float]) -> list[str]:
    """Name pieces of tracks.

    Example:
        >>> piece_keys(["a", "a"], [0.0, 3.0])
        ['a@0', 'a@3']
    """
    return [f"{track}@{start:g}" for track, start in zip(track_ids, start_s, strict=True)]


def side_codes(labels: NDArray[np.str_]) -> NDArray[np.intp]:
    """Number sides by their position in :data:`SPLITS`; -1 if left out.

    Example:
        >>> side_codes(np.array([["train", "", "test"]])).tolist()
        [[0, -1, 2]]
    """
    codes = np.full(labels.shape, -1, dtype=np.intp)
    for code, side in enumerate(SPLITS):
        codes[labels == side] = code
    return codes


@dataclass(frozen=True)
class Assignment:
    """A protocol's decision.

    Attributes:
        labels: ``train``, ``validation``, ``test``, or ``""`` if left out; shape ``(n_repeats, n_tracks)``, or
            ``(n_repeats, n_pieces)``.
        listed: The track ids that the protocol's list names, whether the dataset has them or not.
        pieces: If tracks are divided, one row per piece: ``row`` (the track's position in the table), ``start_s`` and
            ``end_s``; sorted by ``row`` and ``start_s``. ``None`` if every track is on one side as a whole.
        folds: Each track's fold, from 0, shape ``(n_tracks,)``, if the labels follow from folds. Then a track keeps its
            fold when the dataset grows; otherwise it keeps its side in each repeat.
    """

    labels: NDArray[np.str_]
    listed: frozenset[str] = frozenset()
    pieces: pd.DataFrame | None = None
    folds: NDArray[np.intp] | None = None

    @property
    def places(self) -> NDArray[np.intp]:
        """The place that each track or piece keeps, shape ``(n_deals, n_units)``; -1 if left out."""
        return side_codes(self.labels) if self.folds is None else self.folds[None]


@dataclass(frozen=True)
class ProtocolSpec:
    """A kind of protocol.

    Attributes:
        name: Registered name, used as ``kind`` in YAML.
        block: Class of its parameters.
        split: Assigns tracks, sorted by track id and without quarantined ones, to the sides of each repeat. Raises
            :class:`~genre_pipeline.errors.SplitError` if there are too few.
        promises: What is never on two sides of one repeat; a block may add to it. Everything else is only counted.
        leaky: Whether recordings or artists are on two sides by design.
        design: How repeats relate, which decides the confidence interval: ``kfold`` (disjoint test folds),
            ``resampled`` (independent, overlapping test sets) or ``seeds`` (one split, another training seed).
        n_repeats: Number of repeats, from the block.
        only_by_name: Whether a protocol of this kind must have the kind's name, so that it is never used unknowingly
            and the name is in every file, row and tag.
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
