"""How to make an old file of a new one that differs in its tags: where the audio lies in both, and the other bytes."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# [?] Bytes that are compared at a time.
_BLOCK = 2**16
# [?] Differences that are so close together are one: each takes some bytes to describe.
_GAP = 16

Bytes = NDArray[np.uint8]


class Patch(NamedTuple):
    """How to make an old file of a new one.

    Attributes:
        size: Size of the old file in bytes.
        cut: Up to here the old file is laid on the beginning of the new one, from here on on its end.
        places: Where the old file differs from what it lies on: begin and length of each run.
        content: The old file's bytes there, joined, compressed, in base 85.
    """

    size: int
    cut: int
    places: list[tuple[int, int]]
    content: str


def make_patch(old: Path, new: Path) -> Patch:
    """Describe a file by another one.

    A change of tags changes their block, some numbers in headers, and how far from the file's beginning lies what
    follows. So nearly all of the old file is in the new one, as far from its beginning or as far from its end.

    Args:
        old: The file to describe, not empty.
        new: The other one, not empty.
    """
    before, after = _mapped(old), _mapped(new)
    shift = len(after) - len(before)
    blocks = [(start, min(start + _BLOCK, len(before))) for start in range(0, len(before), _BLOCK)]
    on_begin, on_end = (
        np.array([np.count_nonzero(_differs(before, after, block, by)) for block in blocks]) for by in (0, shift)
    )
    best = _best_cut(on_begin, on_end)
    around = (max(0, best - 1) * _BLOCK, min(len(before), (best + 1) * _BLOCK))
    cut = around[0] + _best_cut(*(_differs(before, after, around, by) for by in (0, shift)))
    different: list[NDArray[np.intp]] = []
    for start, end in blocks:
        is_begin = np.arange(start, end) < cut
        lies_on = (_differs(before, after, (start, end), by) for by in (0, shift))
        different.append(start + np.flatnonzero(np.where(is_begin, *lies_on)))
    places = list(_runs(np.concatenate(different)))
    content = b"".join(before[start : start + length].tobytes() for start, length in places)
    return Patch(len(before), cut, places, base64.b85encode(zlib.compress(content)).decode())


def apply_patch(new: Path, patch: Patch, place: Path) -> None:
    """Make the old file of the new one.

    Args:
        new: The new file, as it was when the patch was made.
        patch: What :func:`make_patch` returned.
        place: Where the old file is written.
    """
    after = _mapped(new)
    content = zlib.decompress(base64.b85decode(patch.content))
    with place.open("wb") as file:
        file.write(after[: patch.cut].data)
        tail = after[max(0, len(after) - (patch.size - patch.cut)) :]
        file.seek(patch.size - len(tail))
        file.write(tail.data)
        position = 0
        for start, length in patch.places:
            file.seek(start)
            file.write(content[position : position + length])
            position += length
        file.truncate(patch.size)


def _mapped(path: Path) -> Bytes:
    return np.memmap(path, dtype=np.uint8, mode="r")


def _differs(before: Bytes, after: Bytes, block: tuple[int, int], shift: int) -> NDArray[np.bool_]:
    """Return for each byte of a block of a file whether it differs from what it lies on in another one."""
    start, end = block
    differs = np.ones(end - start, dtype=np.bool_)
    first, last = max(start, -shift), min(end, len(after) - shift)
    if first < last:
        differs[first - start : last - start] = before[first:last] != after[first + shift : last + shift]
    return differs


def _best_cut(on_begin: NDArray[np.generic], on_end: NDArray[np.generic]) -> int:
    """Return up to where to lay a file on the beginning of another one so that the fewest bytes differ."""
    before_cut, before_cut_on_end = (
        np.concatenate([[0], np.cumsum(each, dtype=np.int64)]) for each in (on_begin, on_end)
    )
    return int((before_cut - before_cut_on_end).argmin())


def _runs(places: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Yield begin and length of each run of places, gaps that are not worth a run of their own included."""
    if len(places):
        for run in np.split(places, np.flatnonzero(np.diff(places) > _GAP) + 1):
            yield int(run[0]), int(run[-1] - run[0] + 1)
