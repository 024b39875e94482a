"""Short-time spectra of a waveform, in blocks of frames: the ground that the spectral features stand on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.errors import FeatureError

if TYPE_CHECKING:
    from torch import Tensor

# Measured [?]: larger blocks no longer gain speed, and one block of 2048-point spectra stays under 5 MB.
BLOCK_FRAMES = 256


def check_waveform(waveform: NDArray[np.float32], *, min_samples: int) -> None:
    """Refuse a waveform that no feature can be computed from.

    Args:
        waveform: Mono samples, expected shape ``(n_samples,)``.
        min_samples: The fewest samples that are enough.

    Raises:
        FeatureError: If it is not one-dimensional, too short, or holds NaN or infinite samples.

    Example:
        >>> check_waveform(np.zeros(10, dtype=np.float32), min_samples=2048)
        Traceback (most recent call last):
        ...
        genre_pipeline.errors.FeatureError: The waveform is too short: expected at least 2048 samples, got 10. ...
    """
    if waveform.ndim != 1:
        raise FeatureError(
            f"The waveform has the wrong shape: expected mono, (n_samples,), got {waveform.shape}. Downmix it first."
        )
    if len(waveform) < min_samples:
        raise FeatureError(
            f"The waveform is too short: expected at least {min_samples} samples, got {len(waveform)}. "
            "Leave the clip out (quarantine 'too_short'), or use shorter frames."
        )
    if not np.isfinite(waveform).all():
        n_bad = int(np.count_nonzero(~np.isfinite(waveform)))
        raise FeatureError(
            f"The waveform holds {n_bad} samples that are NaN or infinite. "
            "Repair the file, or leave the clip out (quarantine 'non_finite')."
        )


@lru_cache(maxsize=16)
def _padded_window(window: str, win_length: int, n_fft: int) -> Tensor:
    """Return a periodic window, shape ``(n_fft,)``, float32, with zeros around it where it is shorter than a frame."""
    import torch
    from scipy.signal import get_window

    padded = np.zeros(n_fft)
    start = (n_fft - win_length) // 2
    padded[start : start + win_length] = get_window(window, win_length, fftbins=True)
    return torch.from_numpy(padded.astype(np.float32))


def spectrum_blocks(
    waveform: NDArray[np.float32], *, n_fft: int, win_length: int, window: str, hop_length: int
) -> Iterator[tuple[slice, Tensor]]:
    """Transform a waveform frame by frame, a block of frames at a time, so that memory does not grow with it.

    Frames are centred on the multiples of ``hop_length``, the waveform being continued by zeros: the transpose of
    ``librosa.stft(waveform, n_fft=n_fft, hop_length=hop_length, win_length=win_length, window=window)``, in single
    precision throughout (librosa transforms in double precision, which takes three times as long).

    Args:
        waveform: Mono samples, shape ``(n_samples,)``, float32. Not changed.
        n_fft: Length of a frame, in samples; even.
        win_length: Length of the window, in samples; centred in the frame.
        window: Name of the window, as scipy knows it.
        hop_length: Distance between successive frames, in samples.

    Yields:
        The frames' numbers, and their spectra, shape ``(n, 1 + n_fft // 2)``, complex64.
    """
    import torch

    padded = np.zeros(len(waveform) + n_fft, dtype=np.float32)
    padded[n_fft // 2 : n_fft // 2 + len(waveform)] = waveform
    frames = torch.from_numpy(padded).unfold(0, n_fft, hop_length)
    weights = _padded_window(window, win_length, n_fft)
    for start in range(0, len(frames), BLOCK_FRAMES):
        block = slice(start, min(start + BLOCK_FRAMES, len(frames)))
        yield block, torch.fft.rfft(frames[block] * weights)
