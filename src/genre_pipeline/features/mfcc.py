"""Mel-frequency cepstral coefficients: the cosine transform of a log-mel spectrogram over its bands."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre_pipeline.errors import FeatureError
from genre_pipeline.features.base import FEATURES, FeatureSpec
from genre_pipeline.features.log_mel import LogMelBlock, log_mel

# Frames that a slope is fitted over: librosa's default [C].
_DELTA_WIDTH = 9


class MfccBlock(LogMelBlock):
    """Parameters of MFCCs: those of the log-mel spectrogram below them, and two more.

    Attributes:
        n_mfcc: Number of coefficients, from the 0th, which is the loudness.
        delta_order: 0 for the coefficients alone; 1 adds their slopes; 2 adds their curvatures too. Each order adds
            ``n_mfcc`` rows.
        dtype: Type of the stored numbers. Coefficients reach 1000 in size, where float16 has steps of 0.5.
    """

    n_mfcc: int = Field(default=20, ge=1)
    delta_order: Literal[0, 1, 2] = 0
    dtype: Literal["float16", "float32"] = "float32"

    @model_validator(mode="after")
    def _enough_bands(self) -> MfccBlock:
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc={self.n_mfcc} is greater than n_mels={self.n_mels}: there are no more of them")
        return self


def mfcc(waveform: NDArray[np.float32], block: MfccBlock) -> NDArray[np.float32]:
    """Compute MFCCs, with their slopes and curvatures where asked for.

    Equal to ``librosa.feature.mfcc(S=log_mel, n_mfcc=...)``, type-2 orthonormal cosine transform, followed by
    ``librosa.feature.delta(..., width=9, order=1)`` and ``order=2``.

    Args:
        waveform: Mono samples, shape ``(n_samples,)``, float32, at ``block.sample_rate``. Not changed.
        block: The parameters.

    Returns:
        Coefficients, shape ``(n_mfcc * (1 + delta_order), n_frames)``, float32.

    Raises:
        FeatureError: If the waveform is shorter than a frame, not mono, not finite, or too short for slopes.

    Example:
        >>> from genre_pipeline.features import SegmentBlock
        >>> block = MfccBlock(kind="mfcc", sample_rate=22050, hop_length=512, n_fft=2048, n_mels=128, delta_order=1,
        ...                   segment=SegmentBlock(n_frames=43, hop_frames=43))
        >>> mfcc(np.zeros(22050, dtype=np.float32), block).shape
        (40, 44)
    """
    from scipy.fft import dct
    from scipy.signal import savgol_filter

    coefficients = dct(log_mel(waveform, block), type=2, norm="ortho", axis=0)[: block.n_mfcc]
    n_frames = coefficients.shape[1]
    if block.delta_order and n_frames < _DELTA_WIDTH:
        raise FeatureError(
            f"The waveform is too short for delta_order={block.delta_order}: expected at least {_DELTA_WIDTH} frames, "
            f"got {n_frames}. Leave the clip out, or choose delta_order=0."
        )
    deltas = [
        savgol_filter(coefficients, _DELTA_WIDTH, polyorder=order, deriv=order, axis=1, mode="interp")
        for order in range(1, block.delta_order + 1)
    ]
    rows: NDArray[np.float32] = np.concatenate([coefficients, *deltas], dtype=np.float32)
    return rows


def _n_rows(block: MfccBlock) -> int:
    return block.n_mfcc * (1 + block.delta_order)


FEATURES.register(FeatureSpec(name="mfcc", block=MfccBlock, n_bins=_n_rows, extract=mfcc, version=1))
