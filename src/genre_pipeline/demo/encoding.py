"""Audio files whose bytes depend only on the samples."""

from __future__ import annotations

from pathlib import Path

from genre_pipeline.demo.synthesis import Waveform

# libsndfile's names of container and coding by file suffix.
ENCODINGS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}

# libsndfile 1.2.2 overflows its stack when it is given minutes of Ogg Vorbis at once (seen here with one minute).
_BLOCK_LENGTH = 1 << 16

# Ogg's page header (RFC 3533, section 6): offsets of the stream's serial number, the checksum and the segment count.
_SERIAL, _CHECKSUM, _N_SEGMENTS = slice(14, 18), slice(22, 26), 26


def write_audio(path: Path, waveform: Waveform, sample_rate: int) -> None:
    """Encode a waveform by the path's suffix: WAV and FLAC with 16 bits, Ogg Vorbis or MP3 at libsndfile's quality.

    Args:
        path: The file; its suffix is ``.wav``, ``.flac``, ``.ogg`` or ``.mp3``.
        waveform: Shape (n_channels, n_samples), within [-1, 1].
        sample_rate: Samples per second.

    Raises:
        KeyError: If the suffix is none of these.
    """
    import soundfile

    container, coding = ENCODINGS[path.suffix]
    with soundfile.SoundFile(
        path, "w", samplerate=sample_rate, channels=len(waveform), format=container, subtype=coding
    ) as file:
        for start in range(0, waveform.shape[1], _BLOCK_LENGTH):
            file.write(waveform[:, start : start + _BLOCK_LENGTH].T)
    if path.suffix == ".ogg":
        path.write_bytes(with_ogg_serial(path.read_bytes(), 0))


def with_ogg_serial(stream: bytes, serial: int) -> bytes:
    """Replace the serial number of an Ogg stream's pages, which libsndfile draws from the clock.

    Args:
        stream: The bytes of an Ogg file with one logical stream.
        serial: The number, 32 bits.

    Returns:
        The same stream, with the pages' checksums corrected.
    """
    pages = bytearray(stream)
    start = 0
    while start < len(pages):
        n_segments = pages[start + _N_SEGMENTS]
        header_end = start + _N_SEGMENTS + 1 + n_segments
        end = header_end + sum(pages[start + _N_SEGMENTS + 1 : header_end])
        page = pages[start:end]
        page[_SERIAL] = serial.to_bytes(4, "little")
        page[_CHECKSUM] = bytes(4)
        page[_CHECKSUM] = _ogg_checksum(page).to_bytes(4, "little")
        pages[start:end] = page
        start = end
    return bytes(pages)


def _ogg_checksum(page: bytes | bytearray) -> int:
    checksum = 0
    for byte in page:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ _CHECKSUMS[checksum >> 24 ^ byte]
    return checksum


def _checksum_table() -> tuple[int, ...]:
    """Return the checksums of all bytes, with the polynomial 0x04C11DB7 of RFC 3533."""
    table = []
    for byte in range(256):
        remainder = byte << 24
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x04C11DB7 if remainder & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(remainder)
    return tuple(table)


_CHECKSUMS = _checksum_table()
