"""Log-mel spectrogram: the energy in bands that are equally wide on the mel scale, in decibels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre_pipeline.features.analysis import Signal, Spectra
from genre_pipeline.features.base import FEATURES, Bins, Features, FeatureSpec, Finish
from genre_pipeline.features.spectrum import FilterBank, LevelBlock, Levels, SpectralBlock, check_bank

if TYPE_CHECKING:
    from torch import Tensor

MelScale = Literal["slaney", "htk"]

# Measured [?]: half as many take twice as long, twice as many gain nothing.
_GROUP_BANDS = 8


class MelBlock(SpectralBlock):
    """Parameters of the energies in mel bands. Where a default is given, it is librosa's [C].

    Attributes:
        n_mels: Number of mel bands. If bands are narrower than the spectrum's bins, some hold no bin and stay at the
            floor. Such empty bands belong to the feature (512 bands with frames of 1024) and are not a fault.
        f_min_hz: Lower edge of the lowest band.
        f_max_hz: Upper edge of the highest band; ``None`` means half the sample rate.
        mel_scale: ``slaney`` (linear below 1 kHz, logarithmic above) or ``htk`` (logarithmic).
        power: Exponent of the magnitude: 2 for energy, 1 for magnitude.
    """

    # [?] 64 times as many bands as usual.
    n_mels: int = Field(ge=1, le=8192)
    # Half the greatest sample rate [D].
    f_min_hz: float = Field(default=0.0, ge=0.0, le=96_000.0)
    f_max_hz: float | None = Field(default=None, gt=0.0, le=96_000.0)
    mel_scale: MelScale = "slaney"
    power: float = Field(default=2.0, gt=0.0, le=10.0)

    @model_validator(mode="after")
    def _bank_fits(self) -> MelBlock:
        check_bank(self.n_mels, 1 + self.n_fft // 2, f"n_mels={self.n_mels} with n_fft={self.n_fft}")
        return self

    @model_validator(mode="after")
    def _band_exists(self) -> MelBlock:
        nyquist_hz = self.sample_rate / 2
        f_max_hz = nyquist_hz if self.f_max_hz is None else self.f_max_hz
        if not self.f_min_hz < f_max_hz <= nyquist_hz:
            raise ValueError(
                f"f_min_hz={self.f_min_hz:g} must lie below f_max_hz={f_max_hz:g}, and that at most at half the "
                f"sample rate, {nyquist_hz:g} Hz"
            )
        return self

    @property
    def bands(self) -> MelBands:
        """The parameters of the energies in the bands."""
        return MelBands(
            sample_rate=self.sample_rate,
            n_fft=self.n_fft,
            n_mels=self.n_mels,
            f_min_hz=self.f_min_hz,
            f_max_hz=self.sample_rate / 2 if self.f_max_hz is None else self.f_max_hz,
            scale=self.mel_scale,
            power=self.power,
        )


class LogMelBlock(LevelBlock, MelBlock):
    """Parameters of a log-mel spectrogram: those of the mel bands, and of their levels."""


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

    Equal to ``librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min_hz, fmax=f_max_hz, htk=scale
    == "htk")``, but without a warning about filters that hold no bin.

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


class MelBands(NamedTuple):
    """The parameters of energies in mel bands, given the spectra; the fields are those of :class:`MelBlock`."""

    sample_rate: int
    n_fft: int
    n_mels: int
    f_min_hz: float
    f_max_hz: float
    scale: MelScale
    power: float

    def energies(self, spectra: Spectra) -> Tensor:
        """Return the energy in each band, shape ``(n_frames, n_mels)``, float32, computed once for given spectra.

        Do not change the energies. With ``power`` 1 they are magnitudes.
        """
        return spectra.derived(self, self._compute)

    def _compute(self, spectra: Spectra) -> Tensor:
        if self.power == 2.0:
            return _filters(self).of_energies(spectra)
        return _filters(self)(spectra.magnitudes.pow(self.power), is_compiled=spectra.is_compiled)


@lru_cache(maxsize=64)
def _filters(bands: MelBands) -> FilterBank:
    bank = mel_bank(
        sample_rate=bands.sample_rate,
        n_fft=bands.n_fft,
        n_mels=bands.n_mels,
        f_min_hz=bands.f_min_hz,
        f_max_hz=bands.f_max_hz,
        scale=bands.scale,
    )
    return FilterBank(bank, _GROUP_BANDS)


def mel_levels(signal: Signal, block: LogMelBlock) -> Callable[[], Levels]:
    """Collect a signal's log-mel levels.

    Args:
        signal: The signal, before its samples.
        block: The parameters.

    Returns:
        A function that returns the levels after the last sample; it raises a
        :class:`~genre_pipeline.errors.FeatureError` if there were fewer samples than a frame has.
    """
    bands, levels = block.bands, Levels(block)
    signal.on_spectra(
        block.spectrum,
        lambda spectra: levels.append(bands.energies(spectra), is_compiled=spectra.is_compiled),
        is_filtered=bands.power == 2.0,
    )

    def collected() -> Levels:
        signal.require(block.n_fft)
        return levels

    return collected


def begin_log_mel(signal: Signal, block: LogMelBlock) -> Finish:
    """Begin a log-mel spectrogram: levels, shape ``(n_mels, n_frames)``; in dB without ``gain``.

    Equal to ``librosa.power_to_db(librosa.feature.melspectrogram(y=waveform, sr=..., n_fft=..., hop_length=...,
    n_mels=...), top_db=...)`` within 2e-3 dB, down to 80 dB of energy below the loudest band of a frame. Lower bands
    (of a pure tone, without ``top_db``) are lost in the rounding of single precision; librosa's, in double precision,
    are not. Silence gives the floor everywhere, never NaN.

    Args:
        signal: The signal, before its samples.
        block: The parameters.

    Returns:
        The function that finishes the feature; it raises an error if the waveform is shorter than a frame.

    Example:
        >>> from genre_pipeline.features import SegmentBlock
        >>> block = LogMelBlock(kind="log_mel", sample_rate=22050, hop_length=512, n_fft=1024, n_mels=40,
        ...                     segment=SegmentBlock(n_frames=128, hop_frames=64))
        >>> levels_db = FEATURES["log_mel"].extract(np.zeros(22050, dtype=np.float32), block)
        >>> levels_db.shape, float(levels_db.max())
        ((40, 44), -100.0)
    """
    collected = mel_levels(signal, block)

    def finish() -> Iterator[Features]:
        for levels_db in collected().blocks():
            yield levels_db.T

    return finish


def _n_mels(block: LogMelBlock) -> int:
    return block.n_mels


def _bins(block: LogMelBlock) -> Bins:
    bands = block.bands
    low, high = (mel_from_hz(edge_hz, bands.scale) for edge_hz in (bands.f_min_hz, bands.f_max_hz))
    return Bins("frequency", hz_from_mel(np.linspace(low, high, bands.n_mels + 2), bands.scale)[1:-1])


FEATURES.register(
    FeatureSpec(name="log_mel", block=LogMelBlock, n_bins=_n_mels, begin=begin_log_mel, version=5, bins=_bins)
)
