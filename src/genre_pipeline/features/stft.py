"""Short-time Fourier transform: the magnitude of each frequency bin, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from genre_pipeline.features.analysis import Frames, Precision, Signal
from genre_pipeline.features.base import FEATURES, Bins, Features, FeatureSpec, Finish
from genre_pipeline.features.spectrum import LevelBlock, Levels, SpectralBlock


class StftBlock(LevelBlock, SpectralBlock):
    """Parameters of an STFT magnitude. Where a default is given, it is librosa's [C].

    Attributes:
        scale: ``db``, or ``linear`` magnitudes, which ignore ``amin``, ``ref`` and ``top_db``.
        precision: Precision of the transform. The default agrees with librosa; ``single`` takes half the time, and can
            share transforms with other features.
    """

    scale: Literal["db", "linear"] = "db"
    precision: Precision = "double"


def begin_stft(signal: Signal, block: StftBlock) -> Finish:
    """Begin an STFT magnitude, shape ``(1 + n_fft // 2, n_frames)``.

    Equal to ``librosa.amplitude_to_db(abs(librosa.stft(waveform, n_fft=..., hop_length=..., win_length=...)))`` within
    2e-3 dB, or to the magnitudes themselves within 1e-6 of the greatest. In single precision, bins 80 dB below the
    loudest of their frame differ by up to 5e-3 dB.

    Args:
        signal: The signal, before its samples.
        block: The parameters.

    Returns:
        The function that finishes the feature; it raises an error if the waveform is shorter than a frame.

    Example:
        >>> import numpy as np
        >>> from genre_pipeline.features import SegmentBlock
        >>> block = StftBlock(kind="stft", sample_rate=22050, hop_length=331, n_fft=1024, win_length=661,
        ...                   segment=SegmentBlock(n_frames=66, hop_frames=66))
        >>> FEATURES["stft"].extract(np.zeros(22050, dtype=np.float32), block).shape
        (513, 67)
    """
    collected: Levels | Frames
    if block.scale == "db":
        collected = levels = Levels(block)
        signal.on_spectra(
            block.spectrum, lambda spectra: levels.append(spectra.energies, is_compiled=spectra.is_compiled)
        )
    else:
        collected = magnitudes = Frames()
        signal.on_spectra(block.spectrum, lambda spectra: magnitudes.append(spectra.magnitudes.cpu().numpy()))

    def finish() -> Iterator[Features]:
        signal.require(block.n_fft)
        for frames in collected.blocks():
            yield frames.T

    return finish


def _n_bins(block: StftBlock) -> int:
    return 1 + block.n_fft // 2


def _bins(block: StftBlock) -> Bins:
    return Bins("frequency", np.arange(_n_bins(block)) * block.sample_rate / block.n_fft)


FEATURES.register(FeatureSpec(name="stft", block=StftBlock, n_bins=_n_bins, begin=begin_stft, version=4, bins=_bins))
