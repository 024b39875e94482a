"""What the headers of audio files promise, read without decoding: whether the file's end is there.

Decoders are lenient: libsndfile reads a WAV, AIFF, AU, MP3 or Ogg file that was cut short as if it were whole.

Sources: RIFF and RF64 (EBU Tech 3306), AIFF (Apple 1989), AU (Sun's ``audio.h``), Ogg (RFC 3533), the MPEG audio frame
header (ISO/IEC 11172-3), ID3v2.4, and the Xing/Info header that encoders put into the first frame of an MP3.
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import BinaryIO

# [C] Programs that write to a pipe cannot know the length: ffmpeg leaves 0xFFFFFFFF, SoX 0x7FFFFFFF less its header.
_UNKNOWN_SIZE = 0x7FFF_F000

# [D] A page has at most 27 + 255 bytes of header and 255 lacing values of 255 bytes (RFC 3533).
_MAX_OGG_PAGE = 27 + 255 + 255 * 255
_OGG_END_OF_STREAM = 0x04

# [D] A decoder drops the encoder's delay (at most 1,105 samples) and the padding of the last frame (at most two frames'
# worth), and some encoders count the header's own frame: four frames at most.
_MP3_SLACK = 4 * 1152

# [?] Where an MP3's first frame is looked for, after its tags.
_MP3_WINDOW = 4096


def truncation(path: Path, container: str, n_samples: int) -> str:
    """Say what an audio file lacks of what its headers promise.

    Args:
        path: The file.
        container: Its format, in libsndfile's names: ``"WAV"``, ``"MP3"``...
        n_samples: How many samples a channel the decoder found.

    Returns:
        What is missing, as a phrase; empty if nothing is, or the format makes no promise.
    """
    with path.open("rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        try:
            if container == "OGG":
                return "" if _ogg_ends(file, n_bytes) else "its last Ogg page is missing or cut"
            if container == "MP3":
                promised = _mp3_samples(file)
                return f"its header promises {promised} samples" if n_samples < promised - _MP3_SLACK else ""
            end = _DATA_END[container](file) if container in _DATA_END else 0
        except (struct.error, IndexError):
            return "its header is cut"
    return f"its last {end - n_bytes} bytes are missing" if end > n_bytes else ""


def _chunk_data_end(file: BinaryIO) -> int:
    """Return where the samples of a RIFF, RIFX, RF64 or AIFF file end, 0 if the file does not say."""
    order = "<" if file.read(12)[:4] in {b"RIFF", b"RF64"} else ">"
    long_size = 0
    while len(header := file.read(8)) == 8:
        name, size = struct.unpack(f"{order}4sI", header)
        start = file.tell()
        if name == b"ds64":
            (long_size,) = struct.unpack("<8xQ", file.read(16))
        if name in {b"data", b"SSND"}:
            if size >= _UNKNOWN_SIZE:
                size = long_size
            return start + size if size else 0
        file.seek(start + size + size % 2)
    return 0


def _au_data_end(file: BinaryIO) -> int:
    """Return where the samples of an AU file end, 0 if the file does not say."""
    head = file.read(12)
    start, size = struct.unpack("<4x2I" if head.startswith(b"dns.") else ">4x2I", head)
    return start + size if size < _UNKNOWN_SIZE else 0


_DATA_END = {
    "WAV": _chunk_data_end,
    "WAVEX": _chunk_data_end,
    "RF64": _chunk_data_end,
    "AIFF": _chunk_data_end,
    "AU": _au_data_end,
}


def _ogg_ends(file: BinaryIO, n_bytes: int) -> bool:
    """Whether an Ogg file's last page is whole and marked as the last one."""
    file.seek(max(0, n_bytes - _MAX_OGG_PAGE))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    n_lacing = page[26]
    size = 27 + n_lacing + sum(page[27 : 27 + n_lacing])
    return len(page) >= size and bool(page[5] & _OGG_END_OF_STREAM)


def _mp3_samples(file: BinaryIO) -> int:
    """Return the number of samples that an MP3's Xing or Info header states, 0 if it has none."""
    file.seek(_id3_end(file))
    window = file.read(_MP3_WINDOW)
    # [D] A frame begins with eleven bits set.
    sync = re.search(rb"\xff[\xe0-\xff]", window)
    if sync is None:
        return 0
    start = sync.start()
    is_mpeg1 = window[start + 1] & 0x18 == 0x18
    is_mono = window[start + 3] & 0xC0 == 0xC0
    # [D] The tag follows the frame header (4 bytes) and the side information, whose length these two bits set.
    tag = window[start + 4 + ((17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17)) :]
    if tag[:4] not in {b"Xing", b"Info"} or not tag[7] & 1:
        return 0
    return int.from_bytes(tag[8:12], "big") * (1152 if is_mpeg1 else 576)


def _id3_end(file: BinaryIO) -> int:
    """Return where the ID3v2 tags at a file's start end."""
    end = 0
    while (head := file.read(10))[:3] == b"ID3":
        size = sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        end += 10 + size + (10 if head[5] & 0x10 else 0)
        file.seek(end)
    return end
