"""Mel-frequency cepstral coefficients: the cosine transform of a log-mel spectrogram over its bands."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre_pipeline.errors import FeatureError
from genre_pipeline.features.analysis import Signal
from genre_pipeline.features.base import FEATURES, Bins, Features, FeatureSpec, Finish
from genre_pipeline.features.log_mel import LogMelBlock, mel_levels

if TYPE_CHECKING:
    from torch import Tensor

# Frames over which a slope is fitted: librosa's default [C].
_DELTA_WIDTH = 9


class MfccBlock(LogMelBlock):
    """Parameters of MFCCs: those of the underlying log-mel spectrogram, and two more.

    Attributes:
        n_mfcc: Number of coefficients, from the 0th, which is the loudness.
        delta_order: 0 for the coefficients alone; 1 adds their slopes; 2 adds their curvatures too. Each order adds
            ``n_mfcc`` rows.
        dtype: Type of the stored numbers. Coefficients reach 1000 in size, where float16 has steps of 0.5.
    """

    n_mfcc: int = Field(default=20, ge=1, le=8192)
    delta_order: Literal[0, 1, 2] = 0
    dtype: Literal["float16", "float32"] = "float32"

    @model_validator(mode="after")
    def _enough_bands(self) -> MfccBlock:
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc={self.n_mfcc} is greater than n_mels={self.n_mels}: there are no more of them")
        return self


def begin_mfcc(signal: Signal, block: MfccBlock) -> Finish:
    """Begin MFCCs, with slopes and curvatures if requested: shape ``(n_mfcc * (1 + delta_order), n_frames)``.

    Equal to ``librosa.feature.mfcc(S=log_mel, n_mfcc=...)``, type-2 orthonormal cosine transform, followed by
    ``librosa.feature.delta(..., width=9, order=1)`` and ``order=2``, within 1e-4 of the coefficients' size.

    Args:
        signal: The signal, before its samples.
        block: The parameters.

    Returns:
        The function that finishes the feature; it raises an error if the waveform is shorter than a frame, or too short
        for slopes.

    Example:
        >>> from genre_pipeline.features import SegmentBlock
        >>> block = MfccBlock(kind="mfcc", sample_rate=22050, hop_length=512, n_fft=2048, n_mels=128, delta_order=1,
        ...                   segment=SegmentBlock(n_frames=43, hop_frames=43))
        >>> FEATURES["mfcc"].extract(np.zeros(22050, dtype=np.float32), block).shape
        (40, 44)
    """
    collected = mel_levels(signal, block)

    def finish() -> Iterator[Features]:
        import torch

        levels = collected()
        cosines = _cosines(block.n_mels, block.n_mfcc)
        n_frames = block.frames_of(signal.n_samples)
        # There are few rows, so all frames fit into memory, even hours: slopes need neighbouring frames.
        rows = np.empty((_n_rows(block), n_frames), dtype=np.float32)
        coefficients = rows[: block.n_mfcc]
        start = 0
        for levels_db in levels.blocks():
            stop = start + len(levels_db)
            coefficients[:, start:stop] = (torch.from_numpy(levels_db) @ cosines).numpy().T
            start = stop
        _add_slopes(rows, block)
        yield rows

    return finish


@lru_cache(maxsize=16)
def _cosines(n_mels: int, n_mfcc: int) -> Tensor:
    """Return the first columns of the orthonormal cosine transform of type 2, shape ``(n_mels, n_mfcc)``, float32."""
    import torch

    bands, numbers = np.arange(n_mels)[:, None], np.arange(n_mfcc)
    cosines = np.cos(np.pi * numbers * (2 * bands + 1) / (2 * n_mels)) * np.sqrt(2.0 / n_mels)
    cosines[:, 0] = np.sqrt(1.0 / n_mels)
    return torch.from_numpy(cosines.astype(np.float32))


def _add_slopes(rows: Features, block: MfccBlock) -> None:
    """Fill the rows below the coefficients."""
    if not block.delta_order:
        return
    from scipy.signal import savgol_filter

    if rows.shape[1] < _DELTA_WIDTH:
        raise FeatureError(
            f"The waveform is too short for delta_order={block.delta_order}: expected at least {_DELTA_WIDTH} frames, "
            f"got {rows.shape[1]}. Leave the clip out, or choose delta_order=0."
        )
    coefficients = rows[: block.n_mfcc]
    for order in range(1, block.delta_order + 1):
        slopes = savgol_filter(coefficients, _DELTA_WIDTH, polyorder=order, deriv=order, axis=1, mode="interp")
        rows[order * block.n_mfcc : (order + 1) * block.n_mfcc] = slopes


def slope_fits(block: MfccBlock) -> NDArray[np.float32]:
    """Return what :func:`begin_mfcc` computes slopes with, as matrices, for an export.

    Args:
        block: The parameters.

    Returns:
        For each order, from as many successive frames as a slope is fitted to, the derivative at each of them: shape
        ``(delta_order, 9, 9)``. The middle row serves all frames but the first and the last four of a clip.
    """
    from scipy.signal import savgol_filter

    fits = [
        savgol_filter(np.eye(_DELTA_WIDTH), _DELTA_WIDTH, polyorder=order, deriv=order, axis=0, mode="interp")
        for order in range(1, block.delta_order + 1)
    ]
    return np.reshape(fits, (-1, _DELTA_WIDTH, _DELTA_WIDTH)).astype(np.float32)


def _n_rows(block: MfccBlock) -> int:
    return block.n_mfcc * (1 + block.delta_order)


def _bins(block: MfccBlock) -> Bins:
    orders = ("", " slope", " curvature")[: 1 + block.delta_order]
    return Bins("coefficient", names=tuple(f"{number}{order}" for order in orders for number in range(block.n_mfcc)))


FEATURES.register(FeatureSpec(name="mfcc", block=MfccBlock, n_bins=_n_rows, begin=begin_mfcc, version=5, bins=_bins))
