"""Reading audio files as mono waveforms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from genre_pipeline.errors import AudioError

# [?] 0.4 s at 44.1 kHz: what is lost before the place where a decoder gives up. Larger blocks are no faster.
_BLOCK_SAMPLES = 16_384

_ADVICE = "Replace the file by a sound copy, or remove it from the dataset."


class ForwardSoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A sound file that is only ever read forwards.

    ``SoundFile.read`` seeks to where it already is before and after each block. In an MP3, each seek empties the
    decoder's bit reservoir, so that samples after it come out wrong; in a FLAC stream of unstated length, it fails.
    """

    def seekable(self) -> bool:
        """Answer no, so that ``read`` does not seek."""
        return False

    def sample_blocks(self) -> Iterator[NDArray[np.float32]]:
        """Decode the file from start to end, in constant memory.

        Yields:
            Blocks of shape ``(n_samples, n_channels)``, full scale 1.

        Raises:
            soundfile.LibsndfileError: If the decoder gives up part-way.
        """
        while len(block := self.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)):
            yield block


def open_audio(path: Path) -> ForwardSoundFile:
    """Open an audio file of any format that libsndfile knows.

    Args:
        path: The file.

    Returns:
        The open file, to be used as a context manager.

    Raises:
        AudioError: If there is no such file, it may not be read, or it is not audio. The message begins with the path.
    """
    require_file(path)
    try:
        file = ForwardSoundFile(path)
    except soundfile.LibsndfileError as error:
        # libsndfile says "does not exist" of a file without one MPEG frame; that it exists was seen above.
        reason = "Format not recognised." if "does not exist" in error.error_string else error.error_string
        raise AudioError(f"{path}: is not an audio file that libsndfile can read ({reason}) {_ADVICE}") from error
    except TypeError as error:
        raise AudioError(
            f"{path}: holds samples without a header, of unknown rate. Convert it to WAV or FLAC."
        ) from error
    if file.format == "RAW":
        # What libsndfile makes of any bytes at all in a file named .au or .snd.
        file.close()
        raise AudioError(f"{path}: is not an audio file (it has no header). {_ADVICE}")
    return file


def require_file(path: Path) -> None:
    """Check that a path is a regular file (a pipe would make its reader wait for ever) that may be read.

    Raises:
        AudioError: If it is not. The message begins with the path.
    """
    try:
        if not path.exists():
            raise AudioError(f"{path}: there is no such file. Restore it, or ingest the dataset again.")
        if not path.is_file():
            raise AudioError(
                f"{path}: expected an audio file, but it is not a regular file. Remove it from the dataset."
            )
        with path.open("rb"):
            pass
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened ({error.strerror}). Make it readable, or remove it.") from error


def read_waveform(path: Path | str, *, sample_rate: int) -> NDArray[np.float32]:
    """Read an audio file as a mono waveform at a given rate.

    Channels are averaged, then resampled by soxr at its HQ setting: the same samples as
    ``librosa.load(path, sr=sample_rate, res_type="soxr_hq")``, in less time.

    Args:
        path: The file, of any format that libsndfile knows.
        sample_rate: Rate of the waveform, in Hz.

    Returns:
        Shape ``(n_samples,)``, full scale 1; ``n_samples`` is the file's own times the ratio of the rates, rounded up.

    Raises:
        AudioError: If the file is missing, unreadable, not audio, broken part-way, empty, or holds numbers that are
            not finite.
    """
    path = Path(path)
    with open_audio(path) as file:
        native_rate = file.samplerate
        try:
            blocks = [_downmix(block) for block in file.sample_blocks()]
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{path}: decoding stopped part-way ({error.error_string}) {_ADVICE}") from error
    if not blocks:
        raise AudioError(f"{path}: expected audio, but it holds no samples. {_ADVICE}")
    waveform = np.concatenate(blocks)
    if not np.isfinite(waveform).all():
        raise AudioError(f"{path}: expected finite samples, but it holds NaN or infinity. {_ADVICE}")
    return _resample(waveform, native_rate, sample_rate)


def _downmix(block: NDArray[np.float32]) -> NDArray[np.float32]:
    if block.shape[1] == 1:
        return block[:, 0]
    # Transposed first: the memory layout, hence the order of additions, that librosa has.
    mono: NDArray[np.float32] = block.T.mean(axis=0)
    return mono


def _resample(waveform: NDArray[np.float32], native_rate: int, sample_rate: int) -> NDArray[np.float32]:
    if native_rate == sample_rate:
        return waveform
    n_samples = math.ceil(len(waveform) * (float(sample_rate) / native_rate))
    resampled = np.asarray(soxr.resample(waveform, native_rate, sample_rate, quality="HQ"), dtype=np.float32)[
        :n_samples
    ]
    return np.pad(resampled, (0, n_samples - len(resampled)))
