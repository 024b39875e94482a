"""The parts of an audio file that a decoder reads."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO

Segment = bytes | tuple[int, int]
"""Bytes, or start and end of a range in a file."""

# [?] A terabyte. At the lowest bitrate of an MP3, 8 kbit/s, that is 30 years.
_ENDLESS = 2**40

# [D] mpg123 looks for an ID3v1 tag there, and treats a shorter file as not seekable.
_ID3V1_BYTES = 128


@dataclass(frozen=True)
class Part:
    """A stream that a decoder reads from start to end. Most files have one; joined files have several.

    Attributes:
        segments: Segments that the decoder gets, in order, instead of the file; empty for the file itself.
        container: The file's format, in libsndfile's names, if the decoder names the part differently.
        n_bytes: Bytes of sound; 0 if not counted.
        n_missing: Bytes that its header states but that are missing.
        n_left: Unidentified bytes within or after it.
        n_samples: Samples in each channel that it holds, counted without decoding; 0 if only the decoder reports it.
        is_counted: Whether the decoder can determine the number of samples. Otherwise libsndfile would estimate it for
            an MP3, and stop there.
        cut: What else is missing, as a phrase.
    """

    segments: tuple[Segment, ...] = ()
    container: str = ""
    n_bytes: int = 0
    n_missing: int = 0
    n_left: int = 0
    n_samples: int = 0
    is_counted: bool = True
    cut: str = ""


class PartFile(io.RawIOBase):
    """Segments of a file as a file of their own, for libsndfile.

    Args:
        file: The whole file, opened only for this. If it cannot be read further, this file ends.
        segments: What this file consists of.
        is_endless: Whether to report an impossible length, so that an estimate from it never ends before the file.
    """

    def __init__(self, file: BinaryIO, segments: Sequence[Segment], *, is_endless: bool = False) -> None:
        self._file = file
        self._segments = segments
        sizes = [len(each) if isinstance(each, bytes) else each[1] - each[0] for each in segments]
        self._starts = [0, *accumulate(sizes)]
        self._size = _ENDLESS if is_endless else self._starts[-1]
        self._position = 0

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to another position, also beyond the end."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer from one segment at a time."""
        if self._position == _ENDLESS - _ID3V1_BYTES:
            buffer[:_ID3V1_BYTES] = bytes(min(_ID3V1_BYTES, len(buffer)))
            return min(_ID3V1_BYTES, len(buffer))
        index = bisect_right(self._starts, self._position) - 1
        if index >= len(self._segments):
            return 0
        segment, offset = self._segments[index], self._position - self._starts[index]
        n_wanted = min(len(buffer), self._starts[index + 1] - self._position)
        if isinstance(segment, bytes):
            content = segment[offset : offset + n_wanted]
        else:
            try:
                self._file.seek(segment[0] + offset)
                content = self._file.read(n_wanted)
            except OSError:
                # Unreadable data count as missing, as when libsndfile reads the file itself.
                return 0
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)
