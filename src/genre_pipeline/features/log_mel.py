"""Log-mel spectrogram: the energy in bands that are equally wide on the mel scale, in decibels."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre_pipeline.features.base import FEATURES, FeatureBlock, FeatureSpec
from genre_pipeline.features.spectrum import check_waveform, spectrum_blocks

if TYPE_CHECKING:
    from torch import Tensor

MelScale = Literal["slaney", "htk"]

# Measured [?]: fewer bands at a time call the matrix product more often, more of them multiply more zeros.
_GROUP_BANDS = 32


class LogMelBlock(FeatureBlock):
    """Parameters of a log-mel spectrogram. Where a default is given, it is librosa's [C].

    Attributes:
        n_fft: Length of a frame, in samples; even, so that frames lie centred on multiples of ``hop_length``.
        win_length: Length of the window, in samples, centred in the frame; none for the whole frame.
        window: Shape of the window, periodic.
        n_mels: Number of mel bands. Where bands are narrower than the spectrum's bins, some hold no bin and stay at
            the floor: an empty band is part of such a feature (512 bands with frames of 1024), not a fault.
        f_min_hz: Lower edge of the lowest band.
        f_max_hz: Upper edge of the highest band; none for half the sample rate.
        mel_scale: ``slaney`` (linear below 1 kHz, logarithmic above) or ``htk`` (logarithmic).
        power: Exponent of the magnitude: 2 for energy, 1 for magnitude.
        amin: Least energy that is told from silence: the floor under the logarithm.
        ref: The energy of 0 dB: ``one``, or the clip's greatest (``max``).
        top_db: Range kept below the clip's greatest value; none for all of it.
    """

    n_fft: int = Field(ge=2, multiple_of=2)
    win_length: int | None = Field(default=None, ge=1)
    window: Literal["hann", "hamming", "blackman"] = "hann"
    n_mels: int = Field(ge=1)
    f_min_hz: float = Field(default=0.0, ge=0.0)
    f_max_hz: float | None = Field(default=None, gt=0.0)
    mel_scale: MelScale = "slaney"
    power: float = Field(default=2.0, gt=0.0)
    # The lower bound [D] is a number that single precision still tells from zero.
    amin: float = Field(default=1e-10, ge=1e-37)
    ref: Literal["one", "max"] = "one"
    top_db: float | None = Field(default=80.0, ge=0.0)

    @model_validator(mode="after")
    def _window_fits(self) -> LogMelBlock:
        if self.win_length is not None and self.win_length > self.n_fft:
            raise ValueError(f"win_length={self.win_length} is greater than n_fft={self.n_fft}")
        return self

    @model_validator(mode="after")
    def _band_exists(self) -> LogMelBlock:
        nyquist_hz = self.sample_rate / 2
        f_max_hz = nyquist_hz if self.f_max_hz is None else self.f_max_hz
        if not self.f_min_hz < f_max_hz <= nyquist_hz:
            raise ValueError(
                f"f_min_hz={self.f_min_hz:g} must lie below f_max_hz={f_max_hz:g}, and that at most at half the "
                f"sample rate, {nyquist_hz:g} Hz"
            )
        return self


# Slaney's scale [C]: linear up to 1 kHz in steps of 200/3 Hz, then 27 equal steps in the logarithm for a factor 6.4.
_SLANEY_STEP_HZ = 200.0 / 3.0
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_LOG_STEP = float(np.log(6.4)) / 27.0


def mel_from_hz(frequency_hz: float, scale: MelScale) -> float:
    """Return the mel number of a frequency.

    Args:
        frequency_hz: The frequency.
        scale: Slaney's (Auditory Toolbox, 1998) or HTK's (``2595 log10(1 + f / 700)``).

    Example:
        >>> mel_from_hz(200.0, "slaney")
        3.0
    """
    if scale == "htk":
        return float(2595.0 * np.log10(1.0 + frequency_hz / 700.0))
    if frequency_hz < _SLANEY_BREAK_HZ:
        return frequency_hz / _SLANEY_STEP_HZ
    octaves = float(np.log(frequency_hz / _SLANEY_BREAK_HZ))
    return _SLANEY_BREAK_HZ / _SLANEY_STEP_HZ + octaves / _SLANEY_LOG_STEP


def hz_from_mel(mels: NDArray[np.float64], scale: MelScale) -> NDArray[np.float64]:
    """Return the frequencies of mel numbers: the inverse of :func:`mel_from_hz`.

    Example:
        >>> hz_from_mel(np.array([3.0, 15.0, 42.0]), "slaney").round(6).tolist()
        [200.0, 1000.0, 6400.0]
    """
    if scale == "htk":
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    break_mel = _SLANEY_BREAK_HZ / _SLANEY_STEP_HZ
    above = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * np.maximum(mels - break_mel, 0.0))
    return np.where(mels < break_mel, _SLANEY_STEP_HZ * mels, above)


def mel_bank(
    *, sample_rate: int, n_fft: int, n_mels: int, f_min_hz: float, f_max_hz: float, scale: MelScale
) -> NDArray[np.float32]:
    """Return triangular filters of unit area whose corners are equally spaced in mel.

    Equal to ``librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min_hz, fmax=f_max_hz,
    htk=scale == "htk")``, but silent about filters that hold no bin.

    Args:
        sample_rate: Rate of the waveform, in Hz.
        n_fft: Length of a frame, in samples.
        n_mels: Number of bands.
        f_min_hz: Lower edge of the lowest band.
        f_max_hz: Upper edge of the highest band.
        scale: The mel scale.

    Returns:
        Filters, shape ``(n_mels, 1 + n_fft // 2)``, in 1/Hz.
    """
    bins_hz = np.arange(1 + n_fft // 2) * sample_rate / n_fft
    corners = np.linspace(mel_from_hz(f_min_hz, scale), mel_from_hz(f_max_hz, scale), n_mels + 2)
    corners_hz = hz_from_mel(corners, scale)[:, None]
    lower, centre, upper = corners_hz[:-2], corners_hz[1:-1], corners_hz[2:]
    rising = (bins_hz - lower) / (centre - lower)
    falling = (upper - bins_hz) / (upper - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    filters: NDArray[np.float32] = (triangles * 2.0 / (upper - lower)).astype(np.float32)
    return filters


class _BandGroup(NamedTuple):
    """Neighbouring filters, without the columns that are zero in all of them."""

    bands: slice
    columns: slice
    weights: Tensor


@lru_cache(maxsize=16)
def _band_groups(block: LogMelBlock) -> tuple[_BandGroup, ...]:
    import torch

    bank = mel_bank(
        sample_rate=block.sample_rate,
        n_fft=block.n_fft,
        n_mels=block.n_mels,
        f_min_hz=block.f_min_hz,
        f_max_hz=block.sample_rate / 2 if block.f_max_hz is None else block.f_max_hz,
        scale=block.mel_scale,
    )
    bank = bank.repeat(2 if _is_squared(block) else 1, axis=1)
    groups = []
    for first in range(0, block.n_mels, _GROUP_BANDS):
        bands = slice(first, min(first + _GROUP_BANDS, block.n_mels))
        used = np.flatnonzero(bank[bands].any(axis=0))
        if len(used):
            columns = slice(int(used[0]), int(used[-1]) + 1)
            weights = torch.from_numpy(np.ascontiguousarray(bank[bands, columns].T))
            groups.append(_BandGroup(bands, columns, weights))
    return tuple(groups)


def _is_squared(block: LogMelBlock) -> bool:
    return block.power == 2.0


def mel_energies(waveform: NDArray[np.float32], block: LogMelBlock) -> Tensor:
    """Return the energy in each mel band.

    The squared real and imaginary parts lie side by side, so for ``power`` 2 the filters are applied to both at once,
    each filter's columns being written twice: no pass over the spectrum is needed to add them up.

    Args:
        waveform: Mono samples, shape ``(n_samples,)``, float32, at ``block.sample_rate``. Not changed.
        block: The parameters.

    Returns:
        Energies, shape ``(n_frames, n_mels)``, float32.

    Raises:
        FeatureError: If the waveform is shorter than a frame, not mono, or not finite.
    """
    import torch

    check_waveform(waveform, min_samples=block.n_fft)
    energies = torch.zeros(block.n_frames(len(waveform)), block.n_mels)
    for frames, spectra in spectrum_blocks(
        waveform,
        n_fft=block.n_fft,
        win_length=block.win_length or block.n_fft,
        window=block.window,
        hop_length=block.hop_length,
    ):
        if _is_squared(block):
            powers = torch.view_as_real(spectra).flatten(1).square_()
        else:
            powers = spectra.abs().pow_(block.power)
        for group in _band_groups(block):
            energies[frames, group.bands] = powers[:, group.columns] @ group.weights
    return energies


def log_mel(waveform: NDArray[np.float32], block: LogMelBlock) -> NDArray[np.float32]:
    """Compute a log-mel spectrogram.

    Equal to ``librosa.power_to_db(librosa.feature.melspectrogram(y=waveform, sr=..., n_fft=..., hop_length=...,
    n_mels=...), top_db=...)`` within 2e-3 dB, as far as 80 dB of energy below the loudest band of a frame. Still lower
    bands (of a pure tone, with ``top_db`` none) drown in the rounding of single precision; librosa's, in double
    precision, do not.

    Args:
        waveform: Mono samples, shape ``(n_samples,)``, float32, at ``block.sample_rate``. Not changed.
        block: The parameters.

    Returns:
        Levels in dB, shape ``(n_mels, n_frames)``, float32. Silence gives the floor everywhere, never NaN.

    Raises:
        FeatureError: If the waveform is shorter than a frame, not mono, or not finite.

    Example:
        >>> from genre_pipeline.features import SegmentBlock
        >>> block = LogMelBlock(kind="log_mel", sample_rate=22050, hop_length=512, n_fft=1024, n_mels=40,
        ...                     segment=SegmentBlock(n_frames=128, hop_frames=64))
        >>> levels_db = log_mel(np.zeros(22050, dtype=np.float32), block)
        >>> levels_db.shape, float(levels_db.max())
        ((40, 44), -100.0)
    """
    energies = mel_energies(waveform, block)
    reference = float(energies.max()) if block.ref == "max" else 1.0
    levels_db = energies.clamp_(min=block.amin).log10_().mul_(10.0)
    levels_db -= 10.0 * float(np.log10(max(block.amin, reference)))
    if block.top_db is not None:
        levels_db.clamp_(min=float(levels_db.max()) - block.top_db)
    levels: NDArray[np.float32] = levels_db.numpy().T
    return levels


def _n_mels(block: LogMelBlock) -> int:
    return block.n_mels


FEATURES.register(FeatureSpec(name="log_mel", block=LogMelBlock, n_bins=_n_mels, extract=log_mel, version=1))
