"""Near duplicates: tracks that hold the same recording, with any encoding and any cut.

All pairs of 100,000 tracks are too many to compare. As in Haitsma and Kalker's search (see
:mod:`~genre_pipeline.audio.acoustic`), some codes of a copy are free of errors: tracks are compared where they share a
code, and only if the neighbouring codes are similar too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.audio.acoustic import CODE_BITS, CODES_PER_S, count_codes, unpack_codes
from genre_pipeline.stages import stage

COPIES_VERSION = 1
"""Raise it when the same fingerprints give other pairs, so that stored pairs are found again."""
MIN_SIMILARITY = 0.8
"""[?] Copies of real music reach 0.90 and more, different music up to 0.62 (docs/adr/009-acoustic-fingerprints.md)."""

MIN_OVERLAP_S = 5.0
"""Of the codes; the audio's is 1.2 s longer. [?] Similarities over 5 s scatter by 0.028, over 20 s by 0.016."""

_MIN_CODES = round(MIN_OVERLAP_S * CODES_PER_S)
# [?] In both tracks together, half of the bits that music has in that time: a tone that hardly changes is no evidence.
_MIN_BITS = _MIN_CODES * CODE_BITS // 2

# [D] A code compares moments five frames apart; these are the comparisons after and before it.
_NEIGHBOUR = 5

# [?] Each track is compared with this many of the next tracks that share a code; copies share dozens of codes.
_MAX_PARTNERS = 64

# [?] Some 300 MB at a time.
_PASS_CODES = 1 << 22


@dataclass(frozen=True, order=True)
class NearDuplicate:
    """Two tracks that hold the same recording.

    Attributes:
        one: Id of the track that sorts first.
        other: Id of the other track.
        similarity: Dice's coefficient of the set bits in the overlapping parts of their fingerprints: 0.5 by chance, 1
            if equal. Unlike the share of equal bits, it ignores zeros, which silence has too and which are no evidence.
        offset_s: Where the other track begins within the first one, in seconds; negative if before it.
    """

    one: str
    other: str
    similarity: float
    offset_s: float


@dataclass(frozen=True)
class _Codes:
    """The codes of all tracks, one after the other, with zeros between, so that no code is beside another track's.

    Attributes:
        codes: All of them.
        tracks: The track of each, as an index.
        starts: Where each track's codes begin.
        lengths: How many there are.
    """

    codes: NDArray[np.uint32]
    tracks: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def join(cls, fingerprints: Sequence[bytes]) -> _Codes:
        lengths = np.array([count_codes(fingerprint) for fingerprint in fingerprints], dtype=np.int64)
        starts = np.cumsum(lengths + _NEIGHBOUR) - lengths
        codes = np.zeros(lengths.sum() + (len(lengths) + 1) * _NEIGHBOUR, dtype=np.uint32)
        tracks = np.zeros(len(codes), dtype=np.int32)
        for track, (fingerprint, start, length) in enumerate(zip(fingerprints, starts, lengths, strict=True)):
            codes[start : start + length] = unpack_codes(fingerprint)
            tracks[start : start + length] = track
        return cls(codes, tracks, starts, lengths)


@stage(version=COPIES_VERSION)
def find_near_duplicates(
    track_ids: Sequence[str], fingerprints: Sequence[bytes], *, threshold: float = MIN_SIMILARITY
) -> list[NearDuplicate]:
    """Find the pairs of tracks that hold the same recording.

    Two tracks do if the similarity of their fingerprints is at least ``threshold`` at some offset at which they overlap
    by ``MIN_OVERLAP_S`` or more. They must have a code in common there, as all tested copies had. If many tracks share
    a code, each is compared only with the next 64, so copies of one recording are linked, but not every pair.

    Args:
        track_ids: Distinct ids.
        fingerprints: Of each track, from :class:`~genre_pipeline.audio.AudioFacts`; empty if there is none.
        threshold: The lowest similarity of a pair.

    Returns:
        The pairs, sorted by their ids, each with its best offset. The order of the tracks makes no difference.

    Raises:
        AudioError: If a fingerprint is of another version.
    """
    order = sorted(range(len(track_ids)), key=track_ids.__getitem__)
    index = _Codes.join([fingerprints[place] for place in order])
    found = []
    for (one, other), offsets in groupby(_candidates(index, threshold), key=lambda candidate: candidate[:2]):
        similarity, _, offset = max(
            (_similarity(index, one, other, offset), -abs(offset), offset) for *_, offset in offsets
        )
        if similarity >= threshold:
            names = track_ids[order[one]], track_ids[order[other]]
            found.append(NearDuplicate(*names, similarity, offset / CODES_PER_S))
    return found


def _candidates(index: _Codes, threshold: float) -> list[tuple[int, int, int]]:
    """Return candidate pairs of tracks, each with an offset in codes, sorted and distinct."""
    longest = int(index.lengths.max(initial=0)) + 1
    n_tracks = len(index.lengths)
    found = [np.zeros(0, dtype=np.int64)]
    for one, other in _hits(index, round((1 - threshold) * 2 * CODE_BITS)):
        one_track, other_track = index.tracks[one].astype(np.int64), index.tracks[other].astype(np.int64)
        offset = (one - index.starts[one_track]) - (other - index.starts[other_track])
        # One number for each candidate, which sorts many times faster than three.
        found.append(np.unique((one_track * n_tracks + other_track) * (2 * longest) + offset + longest))
    pairs, offsets = np.divmod(np.unique(np.concatenate(found)), 2 * longest)
    ones, others = np.divmod(pairs, max(n_tracks, 1))
    return list(zip(ones.tolist(), others.tolist(), (offsets - longest).tolist(), strict=True))


def _hits(index: _Codes, max_errors: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield positions in two tracks, the smaller one first, with the same code and similar neighbouring codes."""
    n_passes = -(-len(index.codes) // _PASS_CODES)
    bounds = np.linspace(1, 1 << CODE_BITS, n_passes + 1, dtype=np.int64)
    for lowest, beyond in pairwise(bounds):
        places = np.flatnonzero((index.codes >= lowest) & (index.codes < beyond))
        places = places[np.argsort(index.codes[places], kind="stable")]
        codes, tracks = index.codes[places], index.tracks[places]
        before, after = index.codes[places - _NEIGHBOUR], index.codes[places + _NEIGHBOUR]
        first = np.arange(len(places))
        for distance in range(1, _MAX_PARTNERS + 1):
            first = first[: np.searchsorted(first, len(places) - distance)]
            first = first[codes[first] == codes[first + distance]]
            if not len(first):
                break
            second = first + distance
            n_errors = np.bitwise_count(before[first] ^ before[second]) + np.bitwise_count(after[first] ^ after[second])
            alike = (n_errors <= max_errors) & (tracks[first] != tracks[second])
            yield places[first[alike]], places[second[alike]]


def _similarity(index: _Codes, one: int, other: int, offset: int) -> float:
    """Return the share of the bits set in either of two tracks that are set in both; 0 if they hardly overlap.

    Args:
        index: All codes.
        one: A track.
        other: Another one.
        offset: Where the other begins in the first, in codes.
    """
    begin, end = max(offset, 0), min(int(index.lengths[one]), int(index.lengths[other]) + offset)
    first = index.codes[index.starts[one] + begin : index.starts[one] + end]
    second = index.codes[index.starts[other] + begin - offset : index.starts[other] + end - offset]
    n_set = int(np.bitwise_count(first).sum(dtype=np.int64) + np.bitwise_count(second).sum(dtype=np.int64))
    if len(first) < _MIN_CODES or n_set < _MIN_BITS:
        return 0.0
    return 2 * int(np.bitwise_count(first & second).sum(dtype=np.int64)) / n_set
