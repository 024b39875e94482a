"""Constant-Q transform: frequency bins equally spaced in pitch, all with the same number of periods."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre_pipeline.features.analysis import Precision, Signal, Spectra, Spectrum
from genre_pipeline.features.base import FEATURES, Bins, Features, FeatureSpec, Finish
from genre_pipeline.features.spectrum import FilterBank, LevelBlock, Levels, check_bank

if TYPE_CHECKING:
    from torch import Tensor

# C1 [C]: librosa's lowest bin, 45 semitones below A4.
_C1_HZ = 440.0 * 2.0 ** (-45 / 12)
# Width of a Hann window's main lobe, in bins of its own length [C]: the extent of a filter beyond its centre.
_HANN_BANDWIDTH = 1.5
# Measured [?]: twice as many, or half, take longer.
_GROUP_FILTERS = 6


class CqtBlock(LevelBlock):
    """Parameters of a constant-Q transform. Where a default is given, it is librosa's [C].

    Attributes:
        hop_length: Distance between successive frames, in samples: a multiple of ``2 ** (n_octaves - 1)``, because each
            octave below the highest is computed at half the rate of the one above it.
        n_octaves: Number of octaves.
        bins_per_octave: Bins in each of them.
        f_min_hz: Centre of the lowest bin; C1 by default.
        filter_scale: Length of the filters, relative to that which just separates neighbouring bins.
        sparsity: Share of each filter's spectrum that is left out, from its smallest values. librosa's 0.01 differs by
            0.66 dB (mean) from the exact transform; 0 is closest, and takes longer.
        precision: Precision of the transform.
    """

    n_octaves: int = Field(ge=1, le=12)
    # A bin of one cent [?].
    bins_per_octave: int = Field(ge=2, le=1200)
    # [?] Lower bound: far below hearing; upper bound: half the greatest sample rate [D].
    f_min_hz: float = Field(default=_C1_HZ, ge=1.0, le=96_000.0)
    filter_scale: float = Field(default=1.0, ge=0.01, le=100.0)
    sparsity: float = Field(default=0.01, ge=0.0, lt=1.0)
    precision: Precision = "single"

    @model_validator(mode="after")
    def _hop_can_be_halved(self) -> CqtBlock:
        multiple = 2 ** (self.n_octaves - 1)
        if self.hop_length % multiple:
            raise ValueError(
                f"hop_length={self.hop_length} is not a multiple of {multiple}, as n_octaves={self.n_octaves} requires"
            )
        return self

    @model_validator(mode="after")
    def _filters_lie_below_nyquist(self) -> CqtBlock:
        if self.highest_hz > self.sample_rate / 2:
            raise ValueError(
                f"{self.n_octaves} octaves from f_min_hz={self.f_min_hz:g} reach up to {self.highest_hz:.0f} Hz, "
                f"beyond half the sample rate, {self.sample_rate / 2:g} Hz: choose fewer octaves"
            )
        return self

    @model_validator(mode="after")
    def _filters_fit(self) -> CqtBlock:
        # For the lowest octave, which has the longest filters, at its own rate or a higher one.
        rate = self.sample_rate / 2 ** (self.n_octaves - 1)
        n_samples = math.ceil(rate / (self.f_min_hz * self.relative_bandwidth))
        check_bank(
            self.bins_per_octave,
            n_samples,
            f"bins_per_octave={self.bins_per_octave}, f_min_hz={self.f_min_hz:g}, "
            f"filter_scale={self.filter_scale:g} and n_octaves={self.n_octaves}",
        )
        return self

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return self.n_octaves * self.bins_per_octave

    @property
    def highest_hz(self) -> float:
        """Upper edge of the highest filter."""
        centre_hz = self.f_min_hz * 2.0 ** ((self.n_bins - 1) / self.bins_per_octave)
        return float(centre_hz * (1.0 + 0.5 * _HANN_BANDWIDTH * self.relative_bandwidth))

    @property
    def relative_bandwidth(self) -> float:
        """Bandwidth of a filter, relative to its centre: one over its length in periods."""
        step = 4.0 ** (1.0 / self.bins_per_octave)
        return float((step - 1.0) / (step + 1.0) / self.filter_scale)


class _Octave(NamedTuple):
    """One octave's filters.

    Attributes:
        factor: Ratio of the rate of the octave above (for the highest octave, of the waveform) to this one's.
        spectrum: The spectra that the filters are applied to.
        filters: The filters.
        energy_gains: Factors of the responses' energies, shape ``(bins_per_octave,)``.
    """

    factor: int
    spectrum: Spectrum
    filters: FilterBank
    energy_gains: Tensor


@lru_cache(maxsize=16)
def _octaves(block: CqtBlock) -> tuple[_Octave, ...]:
    """Plan the octaves, from the highest to the lowest, as ``librosa.cqt`` does at every call."""
    import torch

    frequencies_hz = block.f_min_hz * 2.0 ** (np.arange(block.n_bins) / block.bins_per_octave)
    first_factor = 2 ** _n_early_halvings(block)
    first_rate = block.sample_rate / first_factor
    octaves = []
    for index in range(block.n_octaves):
        rate = first_rate / 2**index
        stop = block.n_bins - index * block.bins_per_octave
        centres_hz = frequencies_hz[stop - block.bins_per_octave : stop]
        lengths = rate / (centres_hz * block.relative_bandwidth)
        filters = _filters(centres_hz / rate, lengths)
        n_fft = filters.shape[1]
        spectra = np.fft.fft(filters * (lengths[:, None] / n_fft), axis=1)[:, : 1 + n_fft // 2]
        sparse = _without_smallest(spectra, block.sparsity).astype(np.complex64)
        # librosa's gain of the filters, in its precision, so that the weights are rounded alike.
        weights = (sparse * np.sqrt(2.0**index)).astype(np.complex64)
        octaves.append(
            _Octave(
                factor=first_factor if index == 0 else 2,
                spectrum=Spectrum(
                    n_fft, n_fft, "boxcar", block.hop_length // first_factor // 2**index, block.precision
                ),
                filters=FilterBank(weights, _GROUP_FILTERS),
                # The filter's length at the first rate, by which librosa divides.
                energy_gains=torch.from_numpy((0.5**index / lengths).astype(np.float32)),
            )
        )
    return tuple(octaves)


def _filters(frequencies: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Return windowed complex tones, each of a sum of magnitudes of 1: ``librosa.filters.wavelet``.

    Args:
        frequencies: Centres, in cycles a sample.
        lengths: Lengths, in samples; need not be whole.

    Returns:
        Shape ``(n_filters, n_fft)``, each filter centred, ``n_fft`` the next power of two.
    """
    n_fft = 2 ** int(np.ceil(np.log2(lengths.max())))
    filters = np.zeros((len(lengths), n_fft), dtype=np.complex64)
    for row, frequency, length in zip(filters, frequencies, lengths, strict=True):
        times = np.arange(-length // 2, length // 2)
        tone = np.exp(2j * np.pi * frequency * times) * np.hanning(len(times) + 1)[:-1]
        start = (n_fft - len(times)) // 2
        row[start : start + len(times)] = tone / np.abs(tone).sum()
    return filters


def _without_smallest(rows: NDArray[np.complex128], share: float) -> NDArray[np.complex128]:
    """Return rows without the smallest values that together make up a share of it: ``librosa.util.sparsify_rows``."""
    sizes = np.abs(rows)
    ordered = np.sort(sizes, axis=1)
    sums = np.cumsum(ordered / ordered.sum(axis=1, keepdims=True), axis=1)
    least = np.take_along_axis(ordered, np.argmax(sums >= share, axis=1)[:, None], axis=1)
    return np.where(sizes >= least, rows, 0.0)


def _n_early_halvings(block: CqtBlock) -> int:
    """Return how often the rate may be halved before the highest octave, by librosa's rule."""
    by_filters = int(np.ceil(np.log2(block.sample_rate / 2 / block.highest_hz))) - 2
    n_twos = (block.hop_length & -block.hop_length).bit_length() - 1
    return max(0, min(by_filters, n_twos - block.n_octaves + 1))


def begin_cqt(signal: Signal, block: CqtBlock) -> Finish:
    """Begin a constant-Q transform: levels in dB, shape ``(n_bins, n_frames)``, the lowest bin first.

    Equal to ``librosa.amplitude_to_db(abs(librosa.cqt(waveform, sr=..., hop_length=..., fmin=..., n_bins=...,
    bins_per_octave=...)))`` within 2e-3 dB for 99.9 % of the values of music and noise: Brown's transform by
    Schörkhuber and Klapuri's recursion (2010), an octave at a time, each at half the rate of the one above. The filters
    are computed once instead of at each call. Transforms are in single precision, so values some 80 dB below a frame's
    loudest differ by more.

    Args:
        signal: The signal, before its samples.
        block: The parameters.

    Returns:
        The function that finishes the feature; it raises an error if the waveform is shorter than a filter of the
        highest octave.

    Example:
        >>> from genre_pipeline.features import SegmentBlock
        >>> block = CqtBlock(kind="cqt", sample_rate=22050, hop_length=512, n_octaves=7, bins_per_octave=12,
        ...                  segment=SegmentBlock(n_frames=43, hop_frames=43))
        >>> FEATURES["cqt"].extract(np.zeros(22050, dtype=np.float32), block).shape
        (84, 44)
    """
    octaves = _octaves(block)
    levels = [Levels(block, len(octaves)) for _ in octaves]
    rate = signal
    for octave, octave_levels in zip(octaves, levels, strict=True):
        rate = rate if octave.factor == 1 else rate.decimated(octave.factor)
        rate.on_spectra(octave.spectrum, _filtered_into(octave_levels, octave), is_filtered=True)

    def finish() -> Iterator[Features]:
        signal.require(octaves[0].factor * octaves[0].spectrum.n_fft)
        greatest = max(octave_levels.greatest for octave_levels in levels)
        n_left = block.frames_of(signal.n_samples)
        for blocks in zip(*(octave_levels.blocks(greatest) for octave_levels in reversed(levels)), strict=False):
            # Rounding up at each halving may give the lower octaves one frame more.
            n_frames = min(n_left, *(len(each) for each in blocks))
            n_left -= n_frames
            yield np.concatenate([each[:n_frames] for each in blocks], axis=1).T

    return finish


def _filtered_into(levels: Levels, octave: _Octave) -> Callable[[Spectra], None]:
    def receive(spectra: Spectra) -> None:
        gained = octave.filters.energies(spectra, octave.energy_gains)
        levels.append(gained, is_compiled=spectra.is_compiled)

    return receive


def _n_bins(block: CqtBlock) -> int:
    return block.n_bins


def _bins(block: CqtBlock) -> Bins:
    return Bins("frequency", block.f_min_hz * 2.0 ** (np.arange(block.n_bins) / block.bins_per_octave))


FEATURES.register(FeatureSpec(name="cqt", block=CqtBlock, n_bins=_n_bins, begin=begin_cqt, version=4, bins=_bins))
