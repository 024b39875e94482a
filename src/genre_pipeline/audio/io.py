"""Reading audio files as mono waveforms."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from typing_extensions import Self

from genre_pipeline.audio.acoustic import SAMPLE_RATES
from genre_pipeline.audio.containers import audio_parts
from genre_pipeline.audio.decoder_messages import caught_messages
from genre_pipeline.audio.parts import Part, PartFile
from genre_pipeline.errors import AudioError, SampleRateError

# [?] 0.4 s at 44.1 kHz: how much is lost before the position where a decoder gives up.
_BLOCK_SAMPLES = 16_384

# Measured [?], for use where a decoder that gives up loses everything anyway: a megabyte of numbers. Blocks of an
# eighth of that take half as long again, larger ones gain nothing. As mono, they are the chunks from which features are
# computed.
_READ_NUMBERS = 2**18

# [D] 16-bit audio at full scale 1.
_PCM_16_STEP = np.float32(2**-15)

# [?] -80 dBFS, about three steps of 16-bit audio: dither alone reaches this, music exceeds it.
SILENT_PEAK = 1e-4

# Changes the mono waveform of a whole clip, shape (n,), at the given rate in Hz.
Alteration = Callable[[NDArray[np.float32], int], NDArray[np.float32]]

_ADVICE = "Replace the file by a sound copy, or leave it out."


# [D] Above this many samples, the header's count means "unknown" (libsndfile: the largest 64-bit number).
_UNKNOWN_LENGTH = 2**62

# [?] Python passes some frames of an MP3 at a time to the decoder.
_PART_BUFFER_BYTES = 1 << 16


class _ForwardSoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A sound file that is only ever read forwards.

    ``SoundFile.read`` seeks to where it already is before and after each block. In an MP3, each seek empties the
    decoder's bit reservoir, so that samples after it come out wrong; in a FLAC stream of unstated length, it fails.
    """

    def seekable(self) -> bool:
        """Return false, so that ``read`` does not seek."""
        return False


class AudioFile:
    """An open audio file, decoded forwards and once: all of its parts, one after the other.

    The first part sets the sample rate; others are resampled to it. Output of C code to the standard error stream is
    caught meanwhile.

    Args:
        path: The file.

    Attributes:
        sample_rate: In Hz, within :data:`SAMPLE_RATES`.
        n_channels: Number of channels of the first part.
        format: Container, in libsndfile's names: ``"WAV"``, ``"FLAC"``, ``"OGG"``, ``"MP3"``...
        parts: Those that were opened so far.
        lacking_s: Seconds of the finished parts that could not be decoded.
        messages: What decoders wrote to the standard error stream.

    Raises:
        AudioError: If it cannot be read, is not audio, or of a sample rate that cannot be used. The message begins with
            the path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.parts: list[Part] = []
        self.lacking_s = 0.0
        self.messages: list[bytes] = []
        self._decoders = self._open_parts()
        self._decoder = next(self._decoders)
        self.sample_rate: int = self._decoder.samplerate
        self.n_channels: int = self._decoder.channels
        self.format: str = self.parts[0].container or self._decoder.format

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._decoders.close()

    @property
    def is_pcm_16(self) -> bool:
        """Whether samples of the part that is being decoded are stored as 16-bit whole numbers."""
        return bool(self._decoder.subtype == "PCM_16")

    def _open_parts(self) -> Generator[_ForwardSoundFile]:
        """Open the parts for decoding, each after the one before is finished."""
        try:
            with self._path.open("rb") as source, closing(audio_parts(self._path)) as parts:
                for part in parts:
                    self.parts.append(part)
                    segments = PartFile(source, part.segments, is_endless=not part.is_counted)
                    with self._open(
                        io.BufferedReader(segments, _PART_BUFFER_BYTES) if part.segments else self._path
                    ) as decoder:
                        yield decoder
        except OSError as error:
            raise AudioError(f"{self._path}: cannot be read ({error.strerror}). {_ADVICE}") from error

    def _open(self, file: Path | io.BufferedReader) -> _ForwardSoundFile:
        """Open a part of the file, or all of it, for decoding."""
        try:
            with caught_messages(self.messages):
                decoder = _ForwardSoundFile(file)
        except soundfile.LibsndfileError as error:
            # libsndfile reports "does not exist" for a file without one MPEG frame; its existence was checked before.
            reason = "Format not recognised." if "does not exist" in error.error_string else error.error_string
            raise AudioError(
                f"{self._path}: is not an audio file that libsndfile can read ({reason}) If it plays elsewhere (M4A, "
                "WMA), convert it to FLAC with ffmpeg; else leave it out."
            ) from error
        except TypeError as error:
            raise AudioError(
                f"{self._path}: holds samples without a header, of unknown rate. Convert it to WAV or FLAC."
            ) from error
        lowest, highest = SAMPLE_RATES
        if decoder.format != "RAW" and lowest <= decoder.samplerate <= highest:
            return decoder
        decoder.close()
        if decoder.format == "RAW":
            # libsndfile returns this for arbitrary bytes in a file named .au or .snd.
            raise AudioError(f"{self._path}: is not an audio file (it has no header). {_ADVICE}")
        raise SampleRateError(
            f"{self._path}: its header states a sample rate of {decoder.samplerate} Hz, and {lowest} to {highest} "
            f"can be used. {_ADVICE}"
        )

    def sample_blocks(
        self, *, block_samples: int | None = None, end_sample: int = sys.maxsize
    ) -> Iterator[NDArray[np.float32]]:
        """Decode the file from its start, in constant memory.

        Args:
            block_samples: Length of a block, except the last one of a part; ``None`` means so short that little is lost
                before the position where a decoder gives up.
            end_sample: Where to stop; nothing from there on is decoded.

        Yields:
            Blocks of shape ``(n_samples, n_channels)``, full scale 1. Parts may differ in their number of channels.

        Raises:
            AudioError: If a decoder gives up part-way, or a further part cannot be opened.
        """
        position = 0
        while True:
            blocks = self._part_blocks(block_samples or _BLOCK_SAMPLES, end_sample - position)
            if self._decoder.samplerate != self.sample_rate:
                blocks = _resampled(blocks, self._decoder.samplerate, self.sample_rate)
            for block in blocks:
                wanted = block[: end_sample - position]
                position += len(wanted)
                yield wanted
                if position == end_sample:
                    return
            following = next(self._decoders, None)
            if following is None:
                return
            self._decoder = following

    def _part_blocks(self, block_samples: int, n_wanted: int) -> Iterator[NDArray[np.float32]]:
        """Decode the open part, and record how much of it is missing if all of it is wanted."""
        decoder, part = self._decoder, self.parts[-1]
        # The same numbers as libsndfile's own conversion, in a third of the time.
        stored = "int16" if self.is_pcm_16 else "float32"
        longest = min(block_samples, max(1, _READ_NUMBERS // decoder.channels))
        # Bytes after the stated end of a FLAC stream would be read as a damaged frame, and the last block would be
        # lost.
        n_stated = decoder.frames if part.is_counted else _UNKNOWN_LENGTH
        n_readable = n_stated if decoder.samplerate != self.sample_rate else min(n_stated, n_wanted)
        n_decoded = 0
        while n_decoded < n_readable:
            try:
                with caught_messages(self.messages):
                    block = decoder.read(min(longest, n_readable - n_decoded), dtype=stored, always_2d=True)
            except soundfile.LibsndfileError as error:
                raise AudioError(f"{self._path}: decoding stopped part-way ({error.error_string}) {_ADVICE}") from error
            if not len(block):
                break
            n_decoded += len(block)
            yield block if stored == "float32" else np.multiply(block, _PCM_16_STEP, dtype=np.float32)
        n_held = part.n_samples or n_stated
        if n_held < _UNKNOWN_LENGTH:
            self.lacking_s += max(0, n_held - n_decoded) / decoder.samplerate


def open_audio(path: Path) -> AudioFile:
    """Open an audio file of any format that libsndfile knows.

    Args:
        path: The file.

    Returns:
        The open file, to be used as a context manager.

    Raises:
        AudioError: If there is no such file, it may not be read, it is not audio, or its sample rate cannot be used.
            The message begins with the path.
    """
    require_file(path)
    return AudioFile(path)


def require_file(path: Path) -> None:
    """Check that a path is a regular file (a pipe would make its reader wait for ever) that may be read.

    Raises:
        AudioError: If it is not. The message begins with the path.
    """
    try:
        if not path.exists():
            raise AudioError(f"{path}: there is no such file. Restore it, or leave it out.")
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise AudioError(f"{path}: expected an audio file, but it is {kind}. Name files, or leave it out.")
        with path.open("rb"):
            pass
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened ({error.strerror}). Make it readable, or leave it out.") from error


def read_waveform(
    path: Path | str, *, sample_rate: int, start_sample: int = 0, n_samples: int | None = None
) -> NDArray[np.float32]:
    """Read an audio file, or a clip of it, as a mono waveform at a given rate.

    Channels are averaged, then resampled by soxr at its HQ setting: the same samples as
    ``librosa.load(path, sr=sample_rate, res_type="soxr_hq")``, in less time. A clip is the same as if it had been cut
    out of the whole file's waveform before that was resampled; what follows it is not decoded.

    Args:
        path: The file, of any format that libsndfile knows.
        sample_rate: Rate of the waveform, in Hz.
        start_sample: First sample of the clip, at the file's own rate, at least 0.
        n_samples: Length of the clip at the file's own rate, at least 1; ``None`` means all that follows its start.

    Returns:
        Shape ``(n,)``, full scale 1, where ``n`` is the clip's length times the ratio of the rates, rounded up.

    Raises:
        AudioError: If the file is missing, unreadable, not audio, broken before the clip's end, empty, shorter than the
            clip, or holds numbers that are not finite.
    """
    return np.concatenate(
        list(waveform_blocks(path, sample_rate=sample_rate, start_sample=start_sample, n_samples=n_samples))
    )


def waveform_blocks(
    path: Path | str,
    *,
    sample_rate: int,
    start_sample: int = 0,
    n_samples: int | None = None,
    block_samples: int | None = None,
    alter: Alteration | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Read an audio file, or a clip of it, piece by piece, in memory that does not grow with its length.

    Args:
        path: As for :func:`read_waveform`, and so are the next three.
        sample_rate: Rate of the waveform, in Hz.
        start_sample: First sample of the clip, at the file's own rate.
        n_samples: Length of the clip at the file's own rate; ``None`` means all that follows its start.
        block_samples: How much is decoded at a time, in samples of the file's rate; ``None`` chooses the fastest.
        alter: Change of the clip at its own rate, before it is resampled; the whole clip is then in memory.

    Yields:
        Blocks of shape ``(n,)``, of differing lengths, none empty. Joined, they are what :func:`read_waveform` returns,
        to the bit.

    Raises:
        AudioError: As :func:`read_waveform`, after the blocks before the fault.
    """
    path = Path(path)
    with open_audio(path) as file:
        block_samples = block_samples or max(1, _READ_NUMBERS // file.n_channels)
        clip = _clip_blocks(path, file, start_sample, n_samples, block_samples)
        if alter is not None:
            clip = iter([alter(np.concatenate(list(clip)), file.sample_rate)])
        if file.sample_rate == sample_rate:
            yield from clip
        else:
            yield from _resampled(clip, file.sample_rate, sample_rate)


def _clip_blocks(
    path: Path, file: AudioFile, start_sample: int, n_samples: int | None, block_samples: int
) -> Iterator[NDArray[np.float32]]:
    """Yield the clip of an open file as mono blocks, and check that it is all there."""
    end_sample = sys.maxsize if n_samples is None else start_sample + n_samples
    position = 0
    for block in file.sample_blocks(block_samples=block_samples, end_sample=end_sample):
        # Forwards only (see AudioFile): audio before the clip is decoded and dropped.
        wanted = block[max(start_sample - position, 0) :]
        position += len(block)
        if not len(wanted):
            continue
        mono = downmix(wanted)
        if not (file.is_pcm_16 or all_finite(mono)):
            raise AudioError(f"{path}: expected finite samples, but it holds NaN or infinity. {_ADVICE}")
        yield mono
    if position == 0:
        raise AudioError(f"{path}: expected audio, but it holds no samples. {_ADVICE}")
    if position <= start_sample or (n_samples is not None and position < end_sample):
        wanted_part = f"from sample {start_sample} on" if n_samples is None else f"up to sample {end_sample}"
        raise AudioError(
            f"{path}: expected audio {wanted_part}, but it holds {position} samples. Ingest the dataset again."
        )


def require_sound(path: Path, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Pass the blocks of a waveform on, and check at their end that something was to be heard.

    Args:
        path: The file that they are of.
        blocks: Mono, shape ``(n,)`` each, none empty.

    Yields:
        The blocks.

    Raises:
        AudioError: If the recording is silent, as ingest understands it: its peak is below -80 dBFS.
    """
    lowest, highest = math.inf, -math.inf
    for block in blocks:
        lowest, highest = min(lowest, float(block.min())), max(highest, float(block.max()))
        yield block
    if (highest - lowest) / 2 < SILENT_PEAK:
        raise AudioError(f"{path}: it is silent, so there is nothing to classify. {_ADVICE}")


def downmix(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average the channels.

    Args:
        block: Shape ``(n_samples, n_channels)``.

    Returns:
        Shape ``(n_samples,)``: the numbers of ``block.mean(axis=1)``, for two channels in a 25th of its time.

    Example:
        >>> downmix(np.array([[0.5, 0.0], [1.0, -0.5]], dtype=np.float32)).tolist()
        [0.25, 0.25]
    """
    if block.shape[1] == 1:
        return block[:, 0]
    mono = block[:, 0] + block[:, 1]
    for channel in range(2, block.shape[1]):
        mono += block[:, channel]
    mono /= np.float32(block.shape[1])
    return mono


def all_finite(samples: NDArray[np.float32]) -> bool:
    """Return whether no sample is NaN or infinite, in a tenth of ``isfinite``'s time if their energy is finite.

    Args:
        samples: Shape ``(n_samples,)``, at least one.

    Example:
        >>> all_finite(np.float32([0.0, 1e38])), all_finite(np.float32([0.0, np.nan]))
        (True, False)
    """
    with np.errstate(all="ignore"):
        has_finite_energy = math.isfinite(np.dot(samples, samples))
    return has_finite_energy or (math.isfinite(samples.max()) and math.isfinite(samples.min()))


def _resampled(
    blocks: Iterator[NDArray[np.float32]], native_rate: int, sample_rate: int
) -> Iterator[NDArray[np.float32]]:
    """Resample a stream of blocks; the result is as long as the input times the ratio of the rates, rounded up.

    Args:
        blocks: All of shape ``(n,)``, or all of shape ``(n, n_channels)``.
        native_rate: Their rate, in Hz.
        sample_rate: The new rate, in Hz.

    Yields:
        Blocks of such shapes, none empty.
    """
    first = next(blocks, None)
    if first is None:
        return
    n_channels = first.shape[1] if first.ndim > 1 else 1
    stream = soxr.ResampleStream(native_rate, sample_rate, num_channels=n_channels, dtype="float32", quality="HQ")
    n_taken = n_given = 0
    for block in chain([first], blocks):
        n_taken += len(block)
        resampled = stream.resample_chunk(block)
        n_given += len(resampled)
        if len(resampled):
            yield resampled
    n_missing = math.ceil(n_taken * (float(sample_rate) / native_rate)) - n_given
    # soxr rounds the length to the nearest number, so there may be a sample too few or too many.
    rest = stream.resample_chunk(np.zeros((0, *first.shape[1:]), dtype=np.float32), last=True)[:n_missing]
    if n_missing:
        yield np.pad(rest, [(0, n_missing - len(rest)), *[(0, 0)] * (first.ndim - 1)])
