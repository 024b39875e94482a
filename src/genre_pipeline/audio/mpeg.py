"""Find the frames of MPEG audio (layers I to III) without decoding: how much sound there is, and where.

Most MP3s state it: their encoder put the number of frames into the first one. For others libsndfile divides the file's
size by the first frames' bitrate, and never decodes more samples than that. If two MP3s were joined, it uses only the
first one's number.

Sources: the frame header (ISO/IEC 11172-3 and 13818-3; MPEG 2.5 by Fraunhofer), the Xing/Info header and the VBRI
header that encoders put into the first frame, ID3v2.4, ID3v1, and APEv2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from genre_pipeline.audio.parts import Part

# [D] By version (MPEG 1, 2 and 2.5) and layer, in kbit/s, from index 1 on.
_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = (44_100, 48_000, 32_000)

# [D] A frame begins with eleven set bits; a valid version and layer set more.
_SYNC = re.compile(rb"\xff[\xe2-\xe7\xf2-\xff]")

# [D] Up to the number of frames in a Xing/Info or VBRI header.
_HEAD_BYTES = 56

# [?] In a chain: other bytes do not look by chance like so many headers, each at the place that the one before states.
_CHAIN = 3

# [?] How far after its tags a file's first frame is searched for: the zero padding of players and editors is shorter.
FIRST_FRAME_BYTES = 1 << 16

# [?] mpg123 decodes nothing of a stream of one frame, and drops the decoder's delay from a stream of a few frames.
_LEAST_FRAMES = 3

_WINDOW_BYTES = 1 << 13


class _Frame(NamedTuple):
    """Content of a frame's header.

    Attributes:
        n_bytes: The frame's length.
        n_samples: Its samples in each channel.
        stream: The fields that all frames of a stream share.
        xing_at: Where its Xing or Info header would begin.
    """

    n_bytes: int
    n_samples: int
    stream: tuple[int, int, int, bool]
    xing_at: int


@lru_cache(maxsize=1024)
def _parse(header: bytes) -> _Frame | None:
    """Read the four bytes of a frame's header; ``None`` if they are not a header, or of unstated ("free") bitrate."""
    if len(header) < 4 or not _SYNC.match(header):
        return None
    version = {3: 1, 2: 2, 0: 25}.get(header[1] >> 3 & 3)
    layer = 4 - (header[1] >> 1 & 3)
    bitrate_index, rate_index = header[2] >> 4, header[2] >> 2 & 3
    if version is None or layer == 4 or bitrate_index in {0, 15} or rate_index == 3:
        return None
    is_mpeg1 = version == 1
    bitrate = 1000 * _BITRATES[min(version, 2), layer][bitrate_index - 1]
    rate = _SAMPLE_RATES[rate_index] // {1: 1, 2: 2, 25: 4}[version]
    padding = header[2] >> 1 & 1
    n_samples = 384 if layer == 1 else 576 if layer == 3 and not is_mpeg1 else 1152
    n_bytes = (12 * bitrate // rate + padding) * 4 if layer == 1 else n_samples // 8 * bitrate // rate + padding
    is_mono = header[3] >> 6 == 3
    side_bytes = (17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17)
    return _Frame(n_bytes, n_samples, (version, layer, rate, is_mono), 4 + side_bytes)


def tags_end(file: BinaryIO, start: int) -> int:
    """Return where the ID3 and APE tags at a position of a file end; that position if there are none.

    Args:
        file: The file; it is left at the returned place.
        start: Where to look.
    """
    while True:
        file.seek(start)
        head = file.read(16)
        if head.startswith(b"ID3") and len(head) > 9:
            size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
            start += 10 + size + (10 if head[5] & 0x10 else 0)
        elif head.startswith(b"TAG"):
            start += 227 if head.startswith(b"TAG+") else 128
        elif head.startswith(b"APETAGEX"):
            start += 32 + int.from_bytes(head[12:16], "little")
        else:
            file.seek(start)
            return start


def find_frame(file: BinaryIO, start: int, end: int, *, last_start: int | None = None) -> int | None:
    """Return the start of the first frame that is followed by others without a gap, or by the end; else ``None``.

    Args:
        file: The file.
        start: Where to look first.
        end: Where the frames end at the latest.
        last_start: Where to stop looking; ``None`` means the end.
    """
    stop = end if last_start is None else min(end, last_start)
    while start < stop:
        file.seek(start)
        window = file.read(min(_WINDOW_BYTES, stop - start + 3))
        for match in _SYNC.finditer(window):
            if _begins_chain(file, start + match.start(), end):
                return start + match.start()
        start += max(1, len(window) - 3)
        if len(window) < 4:
            return None
    return None


def _begins_chain(file: BinaryIO, position: int, end: int) -> bool:
    stream = None
    for _ in range(_CHAIN):
        file.seek(position)
        frame = _parse(file.read(4))
        if frame is None or (stream is not None and frame.stream != stream):
            return False
        stream = frame.stream
        position += frame.n_bytes
        if position == end:
            return True
    return True


def free_format_at(file: BinaryIO, start: int) -> bool:
    """Return whether a frame of unstated ("free") bitrate begins there; only a decoder can find its end."""
    file.seek(start)
    header = bytearray(file.read(4))
    if len(header) < 4 or header[2] >> 4:
        return False
    header[2] |= 0x10
    return _parse(bytes(header)) is not None


class _Stated(NamedTuple):
    """The stream's numbers of frames and bytes, from the first frame's header, 0 where not stated."""

    n_frames: int
    n_bytes: int
    is_xing: bool


def _stated(head: bytes, frame: _Frame) -> _Stated | None:
    """Read the Xing, Info or VBRI header in a frame; ``None`` if it has sound instead."""
    if len(head) < _HEAD_BYTES:
        return None
    tag = head[frame.xing_at :]
    if tag[:4] in {b"Xing", b"Info"} and frame.stream[1] == 3:
        numbers = iter((tag[8:12], tag[12:16]))
        n_frames, n_bytes = (int.from_bytes(next(numbers), "big") if tag[7] & flag else 0 for flag in (1, 2))
        return _Stated(n_frames, n_bytes, is_xing=True)
    if head[36:40] == b"VBRI":
        return _Stated(int.from_bytes(head[50:54], "big"), int.from_bytes(head[46:50], "big"), is_xing=False)
    return None


@dataclass
class _Run:
    """Collects the frames of one stream."""

    frame: _Frame
    n_stated: int = 0
    is_counted: bool = False
    n_frames: int = 0
    n_bytes: int = 0
    n_left: int = 0
    n_missing: int = 0
    ranges: list[list[int]] = field(default_factory=list)

    def add(self, start: int, n_bytes: int) -> None:
        """Add a frame's bytes."""
        if self.ranges and self.ranges[-1][1] == start:
            self.ranges[-1][1] += n_bytes
        else:
            self.ranges.append([start, start + n_bytes])
        self.n_bytes += n_bytes

    def part(self) -> Part:
        """Return them as a part of the file."""
        n_frames = 0 if self.is_counted else max(self.n_frames, self.n_stated)
        return Part(
            segments=tuple((start, end) for start, end in self.ranges),
            n_bytes=self.n_bytes,
            n_missing=self.n_missing,
            n_left=self.n_left,
            n_samples=n_frames * self.frame.n_samples,
            is_counted=self.is_counted,
        )


def mpeg_parts(file: BinaryIO, start: int, end: int) -> Iterator[Part]:
    """Yield the streams of MPEG audio between two places of a file, one that states its length at once.

    Args:
        file: The file.
        start: Where the first frame begins.
        end: Where the file ends, or the chunk of a WAV that the frames are in.
    """
    file.seek(start)
    head = file.read(_HEAD_BYTES)
    frame = _parse(head[:4])
    if frame is None:
        yield Part(segments=((start, end),), n_bytes=end - start, is_counted=False)
        return
    stated = _stated(head, frame)
    # Some encoders do not count the header's own frame, others pad the file.
    stated_end = start + stated.n_bytes if stated and stated.is_xing and stated.n_frames else start
    if stated_end > start and tags_end(file, stated_end) >= end - 2 * frame.n_bytes:
        yield Part(segments=((start, end),), n_bytes=end - start)
        # libsndfile stops after so many frames; whether there are more is checked only if a reader gets there.
        yield from (run.part() for run in _runs(file, start, end)[1:])
        return
    yield from (run.part() for run in _runs(file, start, end))


def _runs(file: BinaryIO, position: int, end: int) -> list[_Run]:
    """Step from frame to frame."""
    runs: list[_Run] = []
    n_left = n_missing = 0
    is_chained = False
    while position < end:
        file.seek(position)
        head = file.read(_HEAD_BYTES)
        frame = _parse(head[:4])
        is_next = is_chained and frame is not None and frame.stream == runs[-1].frame.stream
        if frame is None or not (is_next or _begins_chain(file, position, end)):
            is_chained = False
            after = tags_end(file, position)
            if after == position:
                after = find_frame(file, position + 1, end) or end
                n_left += after - position
            position = after
            continue
        if position + frame.n_bytes > end:
            n_missing = position + frame.n_bytes - end
            break
        is_chained = True
        stated = _stated(head, frame)
        if stated is not None or not runs or frame.stream != runs[-1].frame.stream or _is_full(runs[-1]):
            runs.append(_Run(frame))
        run = runs[-1]
        if stated is None:
            run.add(position, frame.n_bytes)
            run.n_frames += 1
        else:
            run.n_stated = stated.n_frames
            run.is_counted = stated.is_xing and stated.n_frames > 0
            if run.is_counted:
                run.add(position, frame.n_bytes)
        position += frame.n_bytes
    kept = [run for run in runs if run.n_frames >= _LEAST_FRAMES or run.is_counted] or runs[:1]
    if kept:
        kept[-1].n_left = n_left + sum(run.n_bytes for run in runs if run not in kept)
        kept[-1].n_missing = n_missing
    return kept


def _is_full(run: _Run) -> bool:
    return run.is_counted and run.n_frames >= run.n_stated
