"""Read the structure of audio files from their headers, without decoding: their parts, and whether the end is missing.

Decoders are lenient. libsndfile reads a WAV, AIFF, AU, MP3 or Ogg file that was cut short as if it were whole, only the
first of several streams in a file, and nothing of a file whose size was never written. This module gives it one stream
at a time, with the right sizes.

Sources: RIFF and RF64 (EBU Tech 3306), AIFF (Apple 1989), Wave64 (Sonic Foundry), CAF (Apple), AU (Sun's ``audio.h``),
FLAC (RFC 9639), Ogg (RFC 3533).
"""

from __future__ import annotations

import os
import re
import struct
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from genre_pipeline.audio.mpeg import FIRST_FRAME_BYTES, find_frame, free_format_at, mpeg_parts, tags_end
from genre_pipeline.audio.parts import Part, Segment

# [C] Programs that write to a pipe cannot write the length: ffmpeg leaves 0xFFFFFFFF, SoX 0x7FFFFFFF less its header.
_UNKNOWN_SIZE = 0x7FFF_F000
_UNKNOWN_LONG_SIZE = 2**62

# [D] MPEG audio, and its layer III, as formats of the samples in a WAV.
_MPEG_TAGS = {0x50, 0x55}
_EXTENSIBLE_TAG = 0xFFFE

_OGG_END_OF_STREAM = 0x04
_OGG_BEGIN_OF_STREAM = 0x02

# [D] A FLAC stream's marker, and the head of its first block, the last one of its metadata or not.
_FLAC_STARTS = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")

# [D] The total of samples is the lower 36 bits of a FLAC stream's bytes 21 to 25; a frame begins with 15 bits.
_FLAC_LENGTH = 2**36 - 1
_FLAC_SYNC = re.compile(rb"\xff[\xf8\xf9]")
# [?] The last frame begins within this: with eight channels of 24 bits and 4096 samples, it has 98 kB at most.
_FLAC_TAIL_BYTES = 1 << 17
# [D] Maximum sizes of a frame's header and of a frame: 65,535 samples of eight channels of 32 bits.
_FLAC_HEAD_BYTES = 16
_FLAC_FRAME_BYTES = 1 << 21

_WINDOW_BYTES = 1 << 20

# Yields the parts of the data that begin at a position, and returns where they end: more data may follow.
_Parts = Generator[Part, None, int]
_Reader = Callable[[BinaryIO, int, int], _Parts]


def audio_parts(path: Path) -> Generator[Part]:
    """Find the parts of an audio file, each when it is needed.

    Args:
        path: The file, of any format.

    Yields:
        The parts: at least one. For a format without stated sizes, or a damaged file, the file itself.

    Raises:
        OSError: If the file cannot be read.
    """
    parts = _parts(path)
    # A damaged Ogg page may leave nothing.
    yield next(parts, Part())
    yield from parts


def _parts(path: Path) -> Generator[Part]:
    with path.open("rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        start = tags_end(file, 0)
        if start >= n_bytes:
            # [D] Whatever length the tag states, its own header has 10 bytes.
            start = min(10, n_bytes)
        try:
            reader = _reader_at(file, start)
            if reader is None:
                yield from _mp3_parts(file, start, n_bytes)
            while reader is not None:
                start = yield from reader(file, start, n_bytes)
                reader = _reader_at(file, start)
        except (struct.error, IndexError):
            yield replace(_rest(start, n_bytes), cut="its header is cut")


def _rest(start: int, n_bytes: int) -> Part:
    """Return a file's content from a position on, unchanged."""
    return Part(segments=((start, n_bytes),) if start else ())


def _reader_at(file: BinaryIO, start: int) -> _Reader | None:
    """Return the reader of the format that begins at a position of a file."""
    file.seek(start)
    return _READERS.get(file.read(4))


def _mp3_parts(file: BinaryIO, start: int, n_bytes: int) -> Iterator[Part]:
    """Yield the streams of an MP3, which has no magic number; for anything else, the file itself."""
    is_free = free_format_at(file, start)
    first = start if is_free else find_frame(file, start, n_bytes, last_start=start + FIRST_FRAME_BYTES)
    if first is None:
        yield Part()
        return
    for part in mpeg_parts(file, first, n_bytes):
        # The usual output of encoders: libsndfile opens it directly.
        is_usual = first == start and part.is_counted and part.segments == ((start, n_bytes),)
        yield replace(part, segments=()) if is_usual else part


@dataclass(frozen=True)
class _Chunks:
    """How a format lays out its chunks.

    Attributes:
        order: Byte order, in :mod:`struct`'s signs.
        size: Type of a chunk's size, likewise.
        data: Name of the chunk with the samples.
        first: Where the chunks begin.
        preface: Bytes of that chunk before the samples.
        align: Multiple to which sizes are rounded up.
        counts_header: Whether a size includes the chunk's header.
    """

    order: str
    size: str
    data: bytes
    first: int = 12
    preface: int = 0
    align: int = 2
    counts_header: bool = False

    @property
    def header(self) -> struct.Struct:
        """A chunk's name and size."""
        return struct.Struct(f"{self.order}{len(self.data)}s{self.size}")

    def next_at(self, body: int, size: int) -> int:
        """Return where the chunk after one begins."""
        size -= self.header.size if self.counts_header else 0
        return min(body + -(-max(size, 0) // self.align) * self.align, sys.maxsize)


_W64_GUID = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_CHUNKS = {
    b"RIFF": _Chunks("<", "I", b"data"),
    b"RF64": _Chunks("<", "I", b"data"),
    b"RIFX": _Chunks(">", "I", b"data"),
    b"FORM": _Chunks(">", "I", b"SSND", preface=8),
    b"caff": _Chunks(">", "Q", b"data", first=8, preface=4, align=1),
    b"riff": _Chunks("<", "Q", b"data" + _W64_GUID, first=40, align=8, counts_header=True),
}


class _Samples(NamedTuple):
    """The chunk that the samples of a file are in.

    Attributes:
        body: Where it begins, after its header.
        size: Its stated length.
        unknown: Sizes from this on mean that the size is unknown.
        size_at: Where the size is stated, and its type.
        size_type: Its type, in :mod:`struct`'s signs.
        is_mpeg: Whether they are MPEG audio.
    """

    body: int
    size: int
    unknown: int
    size_at: int
    size_type: str
    is_mpeg: bool


def _find_samples(file: BinaryIO, chunks: _Chunks, position: int) -> _Samples | None:
    """Find the chunk of the samples, from some position of a file on; ``None`` if there is none."""
    is_mpeg = False
    long_size_at = long_size = 0
    while True:
        file.seek(position)
        header = file.read(chunks.header.size)
        if len(header) < chunks.header.size:
            return None
        name, size = chunks.header.unpack(header)
        body = position + len(header)
        if name == chunks.data:
            break
        if name == b"ds64":
            long_size_at = body + 8
            (long_size,) = struct.unpack("<8xQ", file.read(16))
        elif name == b"fmt " and chunks.order == "<":
            is_mpeg = _is_mpeg(file.read(26))
        position = chunks.next_at(body, size)
    if size >= _UNKNOWN_SIZE and long_size_at:
        return _Samples(body, long_size, _UNKNOWN_LONG_SIZE, long_size_at, "Q", is_mpeg)
    unknown = _UNKNOWN_SIZE if chunks.size == "I" else _UNKNOWN_LONG_SIZE
    return _Samples(body, size, unknown, body - struct.calcsize(chunks.size), chunks.size, is_mpeg)


def _chunk_parts(file: BinaryIO, start: int, n_bytes: int) -> _Parts:
    """Yield a file in chunks: RIFF and its relatives, AIFF, CAF."""
    file.seek(start)
    chunks = _CHUNKS[file.read(4)]
    samples = _find_samples(file, chunks, start + chunks.first)
    if samples is None:
        yield _rest(start, n_bytes)
        return n_bytes
    sound = samples.body + chunks.preface
    extra = chunks.preface + (chunks.header.size if chunks.counts_header else 0)
    stated = max(samples.size - extra, 0)
    n_there = n_bytes - sound
    next_chunk = chunks.next_at(samples.body, samples.size)
    is_stated = stated <= n_there or samples.size < samples.unknown
    if not stated:
        # If only chunks follow an empty one, it is empty. Otherwise the size was never written.
        is_stated = _chain_end(file, chunks, next_chunk, n_bytes) == n_bytes
    n_stated = stated if is_stated else n_there
    n_sound = min(n_there, n_stated)
    end = _chain_end(file, chunks, next_chunk, n_bytes) if is_stated and stated <= n_there else n_bytes
    is_joined = end < n_bytes and _reader_at(file, end) is not None
    # libsndfile would read data after the samples of a Wave64 as samples.
    stop = sound + n_sound if chunks.counts_header else end
    part = Part(
        segments=((start, stop),) if start or stop < n_bytes else (),
        n_bytes=n_sound,
        n_missing=n_stated - n_sound,
        n_left=0 if is_joined else n_bytes - end,
    )
    if samples.is_mpeg:
        yield from _mpeg_in_wav(file, part, sound, sound + n_sound)
    elif n_sound == stated:
        yield part
    else:
        right = min(n_sound + extra, 2 ** (8 * struct.calcsize(samples.size_type)) - 1)
        size = struct.pack(f"{chunks.order}{samples.size_type}", right)
        yield replace(part, segments=_patched(start, stop, samples.size_at, size))
    return end if is_joined else n_bytes


def _is_mpeg(fmt: bytes) -> bool:
    (tag,) = struct.unpack_from("<H", fmt)
    if tag == _EXTENSIBLE_TAG and len(fmt) > 25:
        (tag,) = struct.unpack_from("<H", fmt, 24)
    return tag in _MPEG_TAGS


def _mpeg_in_wav(file: BinaryIO, whole: Part, start: int, end: int) -> Iterator[Part]:
    """Yield the MPEG audio in a WAV as if it were a separate file."""
    first = find_frame(file, start, end)
    parts = [whole] if first is None else list(mpeg_parts(file, first, end))
    parts[-1] = replace(parts[-1], n_missing=whole.n_missing, n_left=parts[-1].n_left + whole.n_left)
    yield from (replace(part, container="WAV") for part in parts)


def _patched(start: int, end: int, at: int, content: bytes) -> tuple[Segment, ...]:
    """Return a range of a file with replaced bytes at one position."""
    return ((start, at), content, (at + len(content), end))


def _chain_end(file: BinaryIO, chunks: _Chunks, position: int, end: int) -> int:
    """Return where a series of chunks ends that begins at a position: the file's end, if nothing else follows."""
    while position < end:
        position = tags_end(file, position)
        header = file.read(chunks.header.size)
        if len(header) < chunks.header.size:
            # [?] So few bytes are a truncated chunk or padding.
            return end
        name, size = chunks.header.unpack(header)
        after = chunks.next_at(position + len(header), size)
        if header[:4] in _READERS or not all(32 <= byte < 127 for byte in name[:4]) or after > end + chunks.align:
            return position
        position = after
    return end


def _au_parts(file: BinaryIO, start: int, n_bytes: int) -> _Parts:
    """Yield an AU file."""
    file.seek(start)
    head = file.read(12)
    order = "<" if head.startswith(b"dns.") else ">"
    offset, size = struct.unpack(f"{order}4x2I", head)
    sound = start + offset
    n_there = max(n_bytes - sound, 0)
    n_stated = n_there if size == 0 or size >= _UNKNOWN_SIZE else size
    n_sound = min(n_stated, n_there)
    end = tags_end(file, sound + n_sound)
    n_left = max(n_bytes - end, 0)
    is_joined = n_left > 0 and _reader_at(file, end) is not None
    is_whole = n_sound == size and not start and not is_joined
    yield Part(
        segments=()
        if is_whole
        else _patched(start, sound + n_sound if is_joined else n_bytes, start + 8, struct.pack(f"{order}I", n_sound)),
        n_bytes=n_sound,
        n_missing=n_stated - n_sound,
        n_left=0 if is_joined else n_left,
    )
    return end if is_joined else n_bytes


def _flac_parts(file: BinaryIO, start: int, n_bytes: int) -> _Parts:
    """Yield a FLAC stream."""
    file.seek(start)
    streaminfo = file.read(26)
    n_stated = int.from_bytes(streaminfo[21:26], "big") & _FLAC_LENGTH
    block_samples = int.from_bytes(streaminfo[8:10], "big")
    n_samples, end = _last_flac_frame(file, max(start, n_bytes - _FLAC_TAIL_BYTES), n_bytes, block_samples, n_stated)
    if n_stated >= n_samples > 0 and end == n_bytes:
        # libFLAC does not read beyond the stated length, so the next stream can be searched for afterwards.
        yield _rest(start, n_bytes)
        return _find_flac(file, start + 1, n_bytes)
    after = _find_flac(file, start + 1, n_bytes)
    n_samples, end = _last_flac_frame(file, start, after, block_samples, n_stated)
    follows = tags_end(file, end)
    is_joined = follows < after and _reader_at(file, follows) is not None
    if 0 < n_stated < n_samples:
        segments = _patched(start, end, start + 21, bytes([streaminfo[21] & 0xF0, 0, 0, 0, 0]))
    else:
        segments = ((start, end),) if start or end < n_bytes else ()
    yield Part(segments=segments, n_bytes=end - start, n_left=0 if is_joined else max(after - follows, 0))
    return follows if is_joined else after


def _last_flac_frame(file: BinaryIO, start: int, end: int, block_samples: int, n_stated: int) -> tuple[int, int]:
    """Find the last frame of a FLAC stream: preferably one that ends where the stream should.

    Args:
        file: The file.
        start: Where the backward search stops.
        end: Where the stream ends at the latest.
        block_samples: Length of a frame, if all have the same length.
        n_stated: How many samples the stream states, 0 if none.

    Returns:
        The number of samples up to its end, 0 if there is no frame; and where it ends, ``end`` if it is truncated.
    """
    last = 0, end
    for at, n_samples in _flac_frames(file, start, end, block_samples):
        # Data after the stream may look like a frame by chance.
        if n_samples == n_stated or not n_stated:
            return n_samples, _end_of_flac_frame(file, at, end)
        last = last if last[0] else (n_samples, _end_of_flac_frame(file, at, end))
    return last


def _flac_frames(file: BinaryIO, start: int, end: int, block_samples: int) -> Iterator[tuple[int, int]]:
    """Yield where each frame begins and how many samples there are up to its end, the last frame first."""
    while end > start:
        first = max(start, end - _FLAC_TAIL_BYTES)
        file.seek(first)
        window = file.read(end - first + _FLAC_HEAD_BYTES)
        for match in reversed(list(_FLAC_SYNC.finditer(window, 0, end - first + 1))):
            n_samples = _flac_frame_end(window[match.start() : match.start() + _FLAC_HEAD_BYTES], block_samples)
            if n_samples:
                yield first + match.start(), n_samples
        end = first


def _end_of_flac_frame(file: BinaryIO, start: int, end: int) -> int:
    """Return where a frame ends by its checksum: at the end, or where tags or a known format follow, if possible."""
    file.seek(start)
    ends = [start + at for at in _crc_16_ends(file.read(min(end - start, _FLAC_FRAME_BYTES)))]
    # Elsewhere the checksum matches by chance once in 65,536 bytes.
    if end in ends:
        return end
    known = (each for each in ends if (after := tags_end(file, each)) >= end or _reader_at(file, after) is not None)
    return next(known, ends[0] if ends else end)


def _flac_frame_end(head: bytes, block_samples: int) -> int:
    """Return the number of samples from the stream's start to a frame's end, 0 if there is no frame."""
    # [D] The number of the frame or of its first sample is coded like a UTF-8 character, in up to 7 bytes.
    n_coded = max(1, 8 - (head[4] ^ 0xFF).bit_length()) if len(head) == _FLAC_HEAD_BYTES else 0
    size_code, rate_code = (head[2] >> 4, head[2] & 0x0F) if n_coded else (0, 0)
    if not 1 <= n_coded <= 7 or size_code == 0 or rate_code == 15:
        return 0
    number = head[4] & (0x7F >> n_coded if n_coded > 1 else 0x7F)
    for byte in head[5 : 4 + n_coded]:
        number = number << 6 | byte & 0x3F
    at = 4 + n_coded
    n_size = {6: 1, 7: 2}.get(size_code, 0)
    if n_size:
        size = int.from_bytes(head[at : at + n_size], "big") + 1
    else:
        size = 192 if size_code == 1 else 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    at += n_size + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if _crc_8(head[:at]) != head[at]:
        return 0
    return (number if head[1] & 1 else number * block_samples) + size


def _crc_8(content: bytes) -> int:
    """Return the checksum of a FLAC frame's header."""
    crc = 0
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x07 if crc & 0x80 else 0)) & 0xFF
    return crc


def _crc_16_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = crc << 1 ^ (0x8005 if crc & 0x8000 else 0)
        table.append(crc & 0xFFFF)
    return tuple(table)


_CRC_16 = _crc_16_table()


def _crc_16_ends(content: bytes) -> list[int]:
    """Return the possible lengths of a FLAC frame: those at which the checksum at its end is right."""
    crc = 0
    ends = []
    for at, byte in enumerate(content, 1):
        crc = (crc << 8 & 0xFFFF) ^ _CRC_16[crc >> 8 ^ byte]
        if not crc:
            ends.append(at)
    return ends


def _find_flac(file: BinaryIO, start: int, end: int) -> int:
    """Return where the next FLAC stream begins; the end if there is none."""
    overlap = len(_FLAC_STARTS[0]) - 1
    while start < end:
        file.seek(start)
        window = file.read(_WINDOW_BYTES)
        found = [place for each in _FLAC_STARTS if (place := window.find(each)) >= 0]
        if found:
            return start + min(found)
        start += max(1, len(window) - overlap)
    return end


def _ogg_parts(file: BinaryIO, start: int, n_bytes: int) -> _Parts:
    """Yield the links of an Ogg file's chain; most files have one."""
    links: list[int] = []
    position = end = start
    flags = n_left = 0
    is_cut = False
    while position < n_bytes:
        file.seek(position)
        head = file.read(27 + 255)
        if head[:4] != b"OggS":
            after_tags = tags_end(file, position)
            after = _find_ogg_page(file, after_tags, n_bytes)
            n_left += after - min(after_tags, n_bytes)
            position = after
            continue
        n_lacing = head[26] if len(head) > 26 else 0
        size = 27 + n_lacing + sum(head[27 : 27 + n_lacing])
        is_cut = len(head) < 27 or position + size > n_bytes
        if is_cut:
            break
        # The streams of one link begin together.
        if head[5] & _OGG_BEGIN_OF_STREAM and not (links and flags & _OGG_BEGIN_OF_STREAM):
            links.append(position)
        flags = head[5]
        position += size
        end, n_left = position, 0
    cut = "" if flags & _OGG_END_OF_STREAM and not is_cut else "its last Ogg page is missing or cut"
    if len(links) < 2 and start == 0 and not n_left:
        yield Part(n_bytes=end, cut=cut)
        return n_bytes
    for link, after in zip(links, [*links[1:], end], strict=False):
        part = Part(segments=((link, after),), n_bytes=after - link)
        yield part if after < end else replace(part, n_left=n_left, cut=cut)
    return n_bytes


def _find_ogg_page(file: BinaryIO, start: int, end: int) -> int:
    """Return where the next Ogg page begins; the end if there is none."""
    while start < end:
        file.seek(start)
        window = file.read(_WINDOW_BYTES)
        if (place := window.find(b"OggS\0")) >= 0:
            return start + place
        start += max(1, len(window) - 4)
    return end


_READERS: dict[bytes, _Reader] = {
    **dict.fromkeys(_CHUNKS, _chunk_parts),
    b".snd": _au_parts,
    b"dns.": _au_parts,
    b"fLaC": _flac_parts,
    b"OggS": _ogg_parts,
}
