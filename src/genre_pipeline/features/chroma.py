"""Chroma: the energy of each pitch class, summed over octaves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre_pipeline.errors import FeatureError
from genre_pipeline.features.analysis import Frames, Signal, Spectra
from genre_pipeline.features.base import FEATURES, Bins, Features, FeatureSpec, Finish
from genre_pipeline.features.spectrum import SpectralBlock, check_bank

if TYPE_CHECKING:
    from torch import Tensor


# [?] Six times the spectra of a 30-s clip at a hop of 512: they are in memory, and a worker should stay below 500 MB.
MAX_TUNED_BYTES = 2**25
# Where pitches are looked for, and the height of the least peak, relative to the highest one: librosa's [C].
_LOWEST_PITCH_HZ = 150.0
_HIGHEST_PITCH_HZ = 4000.0
_LEAST_PEAK = 0.1


class ChromaBlock(SpectralBlock):
    """Parameters of a chromagram.

    Attributes:
        n_chroma: Pitch classes in an octave.
        tuning: How far the music is from A4 = 440 Hz, in classes; ``None`` estimates it from the clip. An estimate
            needs all of the clip's spectra at once, so it is limited to clips of a few minutes.
    """

    # A class of one cent [?].
    n_chroma: int = Field(default=12, ge=1, le=1200)
    tuning: float | None = Field(default=None, ge=-0.5, lt=0.5)

    @model_validator(mode="after")
    def _bank_fits(self) -> ChromaBlock:
        check_bank(self.n_chroma, 1 + self.n_fft // 2, f"n_chroma={self.n_chroma} with n_fft={self.n_fft}")
        return self


def begin_chroma(signal: Signal, block: ChromaBlock) -> Finish:
    """Begin a chromagram, shape ``(n_chroma, n_frames)``, C first; the strongest class of each frame is 1.

    Equal to ``librosa.feature.chroma_stft(y=waveform, sr=..., n_fft=..., hop_length=..., n_chroma=..., tuning=...)``
    within 1e-4. A silent frame is 0 in every class.

    Args:
        signal: The signal, before its samples.
        block: The parameters.

    Returns:
        The function that finishes the feature; it raises an error if the waveform is shorter than a frame, or too long
        for an estimate of its tuning.

    Example:
        >>> from genre_pipeline.features import SegmentBlock
        >>> block = ChromaBlock(kind="chroma", sample_rate=22050, hop_length=512, n_fft=2048, tuning=0.0,
        ...                     segment=SegmentBlock(n_frames=43, hop_frames=43))
        >>> a4 = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050).astype(np.float32)
        >>> chroma = FEATURES["chroma"].extract(a4, block)
        >>> chroma.shape, int(chroma.mean(axis=1).argmax())
        ((12, 44), 9)
    """
    tuning = block.tuning
    if tuning is None:
        return _begin_tuned(signal, block)
    frames = Frames()
    signal.on_spectra(block.spectrum, lambda spectra: frames.append(_chroma(spectra.energies, block, tuning)))

    def finish() -> Iterator[Features]:
        signal.require(block.n_fft)
        for chroma in frames.blocks():
            yield chroma.T

    return finish


def _begin_tuned(signal: Signal, block: ChromaBlock) -> Finish:
    frames = Frames()
    max_frames = MAX_TUNED_BYTES // (4 * (1 + block.n_fft // 2))
    max_samples = max_frames * block.hop_length

    def receive(spectra: Spectra) -> None:
        if signal.n_samples <= max_samples:
            frames.append(spectra.energies.cpu().numpy())

    signal.on_spectra(block.spectrum, receive)

    def finish() -> Iterator[Features]:
        import torch

        signal.require(block.n_fft)
        if signal.n_samples > max_samples:
            raise FeatureError(
                f"The waveform is too long for an estimate of its tuning: expected at most {max_samples} samples "
                f"({max_samples / block.sample_rate:.0f} s), got {signal.n_samples}. Give the tuning (0.0 for A4 = "
                "440 Hz), set segment.own_s to transform it piece by piece, or use an excerpt."
            )
        blocks = list(frames.blocks())
        energies = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        tuning = estimate_tuning(energies.T, sample_rate=block.sample_rate, n_chroma=block.n_chroma)
        yield _chroma(torch.from_numpy(energies), block, tuning).T

    return finish


def estimate_tuning(energies: NDArray[np.float32], *, sample_rate: int, n_chroma: int) -> float:
    """Estimate how far music is from A4 = 440 Hz: ``librosa.estimate_tuning``, but 0 for silence without a warning.

    Args:
        energies: Squared magnitudes, shape ``(n_bins, n_frames)``.
        sample_rate: Rate of the waveform, in Hz.
        n_chroma: Pitch classes in an octave.

    Returns:
        The deviation, from -0.5 to 0.5 classes.
    """
    import librosa

    pitches_hz, strengths = _peaks(energies.T, sample_rate)
    if not len(pitches_hz):
        return 0.0
    strong = strengths >= np.median(strengths)
    return float(librosa.pitch_tuning(pitches_hz[strong], bins_per_octave=n_chroma))


def _peaks(energies: NDArray[np.float32], sample_rate: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Find the peaks of spectra, in no order: the numbers of ``librosa.piptrack``, which computes them of all bins.

    Args:
        energies: Shape ``(n_frames, n_bins)``.
        sample_rate: Rate of the waveform, in Hz.

    Returns:
        Frequencies, in Hz, and heights.
    """
    n_fft = 2 * (energies.shape[1] - 1)
    bins_hz = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    first, stop = np.searchsorted(bins_hz, [_LOWEST_PITCH_HZ, min(_HIGHEST_PITCH_HZ, sample_rate / 2)])
    least = np.float32(_LEAST_PEAK) * energies.max(axis=1, keepdims=True)
    frames, bins = np.nonzero(energies[:, first:stop] > least)
    bins += first
    before, height, after = (energies[frames, bins + offset] for offset in (-1, 0, 1))
    is_peak = (height > before) & (height >= after)
    bins, before, height, after = bins[is_peak], before[is_peak], height[is_peak], after[is_peak]
    # The vertex of the parabola through three points, in librosa's precisions.
    curvature = (after + before) - 2.0 * height.astype(np.float64)
    slope = (after - before) / 2
    is_near = np.abs(slope) < np.abs(curvature)
    shifts = np.where(is_near, -slope / np.where(is_near, curvature, 1.0), 0.0).astype(np.float32)
    pitches_hz = ((bins + shifts) * float(sample_rate) / n_fft).astype(np.float32)
    return pitches_hz, (height + np.float32(0.5) * slope * shifts).astype(np.float32)


@lru_cache(maxsize=64)
def _bank(block: ChromaBlock, tuning: float) -> Tensor:
    import librosa
    import torch

    bank = librosa.filters.chroma(sr=block.sample_rate, n_fft=block.n_fft, tuning=tuning, n_chroma=block.n_chroma)
    return torch.from_numpy(np.ascontiguousarray(bank.T, dtype=np.float32))


def _chroma(energies: Tensor, block: ChromaBlock, tuning: float) -> Features:
    chroma = energies @ _bank(block, tuning).to(energies.device)
    greatest = chroma.amax(dim=1, keepdim=True)
    # As in librosa: numbers below single precision's normal range are not scaled up.
    tiny = float(np.finfo(np.float32).tiny)
    normalised: Features = chroma.div_(greatest.masked_fill_(greatest < tiny, 1.0)).cpu().numpy()
    return normalised


def _n_chroma(block: ChromaBlock) -> int:
    return block.n_chroma


def _bins(block: ChromaBlock) -> Bins:
    names = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
    return Bins("pitch class", names=names if block.n_chroma == len(names) else ())


FEATURES.register(
    FeatureSpec(name="chroma", block=ChromaBlock, n_bins=_n_chroma, begin=begin_chroma, version=2, bins=_bins)
)
