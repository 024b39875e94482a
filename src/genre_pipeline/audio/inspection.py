"""Inspect audio files: their properties, hashes to find copies, and faults."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.audio.acoustic import AcousticMeter
from genre_pipeline.audio.decoder_messages import summarise_messages
from genre_pipeline.audio.io import SILENT_PEAK, AudioFile, downmix, open_audio, require_file
from genre_pipeline.audio.tags import read_tags
from genre_pipeline.errors import AudioError, SampleRateError
from genre_pipeline.stages import stage

INSPECTION_VERSION = 5
"""Raise it when the same file gets another description, so that stored inspections are repeated."""

# [?] -40 dBFS: a shift that shows in the lowest bins of a spectrogram; three of 397 GTZAN clips have more.
MAX_DC_OFFSET = 0.01

# [?] -0.01 dBFS. A clipped wave stays there for several samples; a single full-scale sample is only loud.
CLIP_LEVEL = 0.999
CLIP_RUN = 4

# [?] One sample in a thousand. Fewer are common in mastered music and harmless; none of 397 GTZAN clips has more.
MAX_CLIPPED = 1e-3

# [D] No integer format holds a greater number. Greater floats, from a damaged file, would dominate a whole dataset.
MAX_SAMPLE = 2.0**32

# [?] How much may be missing from a file that counts as whole: about a frame of a spectrogram, and at most a hundredth
# of a short clip. Programs that count a header or a chunk too much state some 0.1 ms more than there is.
MAX_LACKING_S = 0.05
MAX_LACKING_SHARE = 0.01

_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class AudioFacts:
    """Facts about an audio file that was read and decoded from start to end.

    Numbers are 0 and texts empty if the file could not be read that far.

    Attributes:
        duration_s: Length of what could be decoded, in seconds.
        sample_rate: In Hz.
        n_channels: Number of channels.
        n_samples: Samples in each channel that could be decoded.
        format: Container, in libsndfile's names: ``"WAV"``, ``"FLAC"``, ``"OGG"``, ``"MP3"``...
        n_bytes: Size of the file.
        content_hash: MD5 of the file's bytes (the hash in which datasets publish their checksums), hexadecimal.
        audio_hash: BLAKE2b (128 bits) of the sample rate and the decoded samples, averaged over channels and rounded
            to 16 bits: equal for a WAV and a FLAC of the same recording. Empty if nothing could be decoded.
        acoustic: Acoustic fingerprint (see :mod:`~genre_pipeline.audio.acoustic`): similar for all files of a
            recording. Empty if it is silent, steady or shorter than 1.2 s.
        faults: Names of its faults, from :data:`genre_pipeline.datasets.base.Fault`.
        detail: One line for each fault, in the same order.
        tag_genre: What its tags say, see :func:`~genre_pipeline.audio.tags.read_tags`.
        tag_artist: Likewise.
        tag_title: Likewise.
        tag_album: Likewise.
    """

    duration_s: float = 0.0
    sample_rate: int = 0
    n_channels: int = 0
    n_samples: int = 0
    format: str = ""
    n_bytes: int = 0
    content_hash: str = ""
    audio_hash: str = ""
    acoustic: bytes = b""
    faults: tuple[str, ...] = ()
    detail: str = ""
    tag_genre: str = ""
    tag_artist: str = ""
    tag_title: str = ""
    tag_album: str = ""


@stage(version=INSPECTION_VERSION)
def inspect_audio(path: Path | str) -> AudioFacts:
    """Read and decode a file from start to end, in constant memory, and return its faults.

    A bad file raises nothing; its faults are returned. They are ``unreadable`` (cannot be opened, or is not audio),
    ``unusable_rate``, ``truncated`` (less audio than its headers state, or decoding stops part-way), ``wrong_size`` (so
    little is missing that it counts as whole), ``left_over`` (it holds bytes that are not decoded), ``empty``,
    ``silent`` (after averaging its channels), ``non_finite``, ``clipped``, ``dc_offset`` and ``decoder_warning``.

    Args:
        path: The file.

    Returns:
        What was found.
    """
    path = Path(path)
    facts = AudioFacts()
    try:
        require_file(path)
        n_bytes, content_hash = _hash_bytes(path)
        tags = read_tags(path)
        facts = AudioFacts(
            n_bytes=n_bytes,
            content_hash=content_hash,
            tag_genre=tags["genre"],
            tag_artist=tags["artist"],
            tag_title=tags["title"],
            tag_album=tags["album"],
        )
        if n_bytes == 0:
            return _with_faults(facts, [("empty", "the file has no bytes")])
        with open_audio(path) as file:
            return _measured(facts, path, file)
    except SampleRateError as error:
        return _with_faults(facts, [("unusable_rate", str(error).removeprefix(f"{path}: "))])
    except (AudioError, OSError) as error:
        return _with_faults(facts, [("unreadable", str(error).removeprefix(f"{path}: "))])


def _with_faults(facts: AudioFacts, faults: list[tuple[str, str]]) -> AudioFacts:
    names = tuple(name for name, _ in faults)
    return replace(facts, faults=names, detail="\n".join(" ".join(detail.split()) for _, detail in faults))


def _hash_bytes(path: Path) -> tuple[int, str]:
    digest = hashlib.md5(usedforsecurity=False)
    n_bytes = 0
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
            n_bytes += len(chunk)
    return n_bytes, digest.hexdigest()


def _measured(facts: AudioFacts, path: Path, file: AudioFile) -> AudioFacts:
    """Decode an open file from start to end and add the findings."""
    meter = _Meter(file.sample_rate)
    broken = ""
    try:
        for block in file.sample_blocks():
            meter.add(block)
    except AudioError as error:
        broken = f"after {meter.n_samples / file.sample_rate:.1f} s, {str(error).removeprefix(f'{path}: ')}"
    facts = replace(
        facts,
        duration_s=meter.n_samples / file.sample_rate,
        sample_rate=file.sample_rate,
        n_channels=file.n_channels,
        n_samples=meter.n_samples,
        format=file.format,
        audio_hash=meter.audio_hash,
        acoustic=meter.acoustic(),
    )
    faults = _structural_faults(facts.duration_s, file, broken)
    if meter.n_samples:
        faults += meter.faults()
    elif not faults:
        faults = [("empty", "the file has no samples")]
    if messages := summarise_messages(file.messages):
        warning = f"the decoder warns: {messages}"
        if faults and faults[0][0] == "truncated":
            # One damage should not count as two faults.
            faults[0] = ("truncated", f"{faults[0][1]}; {warning}")
        else:
            faults.append(("decoder_warning", warning))
    return _with_faults(facts, faults)


def _structural_faults(duration_s: float, file: AudioFile, broken: str) -> list[tuple[str, str]]:
    """Describe missing audio of a file, and data in it that are not audio.

    Args:
        duration_s: How much could be decoded.
        file: The file, decoded to its end.
        broken: Why decoding stopped before its end, as a phrase.
    """
    n_bytes = sum(part.n_bytes for part in file.parts)
    seconds_per_byte = duration_s / n_bytes if n_bytes else 0.0
    n_missing = sum(part.n_missing for part in file.parts)
    lacking_s = file.lacking_s + n_missing * seconds_per_byte
    cut = broken or "; ".join(part.cut for part in file.parts if part.cut)
    faults = []
    if cut or n_missing or file.lacking_s:
        missing = [cut] if cut else []
        if n_missing:
            missing.append(f"its last {n_missing} bytes are missing")
        if file.lacking_s and not broken:
            missing.append(f"{np.ceil(100 * file.lacking_s) / 100:.2f} s less than it states or holds could be decoded")
        is_whole = not cut and duration_s and lacking_s <= min(MAX_LACKING_S, MAX_LACKING_SHARE * duration_s)
        faults.append(("wrong_size" if is_whole else "truncated", "; ".join(missing)))
    if n_left := sum(part.n_left for part in file.parts):
        left = f"{n_left} bytes belong to no part of it and are left out"
        faults.append(("left_over", f"{left} ({n_left * seconds_per_byte:.1f} s, if they were sound like the rest)"))
    return faults


class _Meter:
    """Statistics of the samples so far."""

    def __init__(self, sample_rate: int) -> None:
        self.n_samples = 0
        self._lowest = np.inf
        self._highest = -np.inf
        self._sum = 0.0
        self._n_clipped = 0
        self._n_non_finite = 0
        self._end_of_last: NDArray[np.bool_] | None = None
        self._acoustic = AcousticMeter(sample_rate)
        self._digest = hashlib.blake2b(f"{sample_rate}:".encode(), digest_size=16)

    def add(self, block: NDArray[np.float32]) -> None:
        """Add a block of shape ``(n_samples, n_channels)``."""
        self.n_samples += len(block)
        is_finite = np.abs(block) <= MAX_SAMPLE
        if not is_finite.all():
            self._n_non_finite += int((~is_finite).sum())
            block = np.where(is_finite, block, np.float32(0))
        mono = downmix(block)
        self._lowest = min(self._lowest, float(mono.min()))
        self._highest = max(self._highest, float(mono.max()))
        self._sum += float(mono.sum(dtype=np.float64))
        self._digest.update(np.rint(mono * 32_768).clip(-32_768, 32_767).astype("<i2").tobytes())
        is_full = np.abs(block) >= CLIP_LEVEL
        if is_full.any():
            self._count_clipped(is_full)
        else:
            self._end_of_last = None
        self._acoustic.add(mono)

    def _count_clipped(self, is_full: NDArray[np.bool_]) -> None:
        """Count the samples that end a run of ``CLIP_RUN`` full-scale ones, runs across blocks included."""
        before = self._end_of_last
        if before is None or before.shape[1] != is_full.shape[1]:
            before = np.zeros((CLIP_RUN - 1, is_full.shape[1]), dtype=bool)
        is_full = np.concatenate([before, is_full])
        self._end_of_last = is_full[-(CLIP_RUN - 1) :]
        n_ends = len(is_full) - (CLIP_RUN - 1)
        runs = np.logical_and.reduce([is_full[shift : shift + n_ends] for shift in range(CLIP_RUN)])
        self._n_clipped += int(runs.any(axis=1).sum())

    @property
    def audio_hash(self) -> str:
        return self._digest.hexdigest() if self.n_samples else ""

    def acoustic(self) -> bytes:
        """Return the acoustic fingerprint, once all samples were added."""
        return self._acoustic.finish()

    def faults(self) -> list[tuple[str, str]]:
        """Return the faults of the samples (there must be some), each with the measured value."""
        found = []
        peak = (self._highest - self._lowest) / 2
        offset = self._sum / self.n_samples
        clipped = self._n_clipped / self.n_samples
        if self._n_non_finite:
            found.append(("non_finite", f"{self._n_non_finite} samples are NaN, infinite, or beyond {MAX_SAMPLE:,.0f}"))
        if peak < SILENT_PEAK:
            level = f"{20 * np.log10(peak):.0f} dBFS" if peak else "nothing at all"
            found.append(("silent", f"the peak of the averaged channels is {level}"))
        if clipped > MAX_CLIPPED:
            found.append(("clipped", f"{clipped:.2%} of the samples are cut off at full scale"))
        if abs(offset) > MAX_DC_OFFSET:
            found.append(("dc_offset", f"the mean sample is {offset:+.3f} of full scale"))
        return found
