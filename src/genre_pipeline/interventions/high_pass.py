"""Low frequencies removed.

People hear nothing below 20 Hz, but in GTZAN that range identifies genres: F. Rodríguez-Algarra, B. L. Sturm and H.
Maruri-Aguilar, "Analysing Scattering-Based Music Content Analysis Systems: Where's the Music?", ISMIR 2016.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from genre_pipeline.errors import AudioError
from genre_pipeline.interventions.base import INTERVENTIONS, InterventionBlock, InterventionSpec, Waveform


class HighPassBlock(InterventionBlock):
    """Parameters of a Butterworth high-pass filter.

    Attributes:
        cutoff_hz: Frequency at which it attenuates by 3 dB.
        order: Its order: below the cut-off it attenuates by 6 dB per octave times the order. [?]
    """

    cutoff_hz: float = Field(gt=0.0, le=96_000.0)
    order: int = Field(default=4, ge=1, le=20)

    @property
    def label(self) -> str:
        """A short description."""
        return f"high-pass {self.cutoff_hz:g} Hz"


def filter_low(waveform: Waveform, sample_rate: int, block: HighPassBlock, rng: np.random.Generator) -> Waveform:
    """Filter once, forwards, as second-order sections in double precision.

    Raises:
        AudioError: If the cut-off is beyond half of the clip's sample rate.
    """
    from scipy.signal import butter, sosfilt

    del rng
    if block.cutoff_hz >= sample_rate / 2:
        raise AudioError(
            f"The high-pass filter's cutoff_hz={block.cutoff_hz:g} must be below half of the clip's {sample_rate} Hz."
        )
    sections = butter(block.order, block.cutoff_hz, btype="highpass", fs=sample_rate, output="sos")
    filtered: Waveform = sosfilt(sections, waveform.astype(np.float64)).astype(np.float32)
    return filtered


INTERVENTIONS.register(InterventionSpec("high_pass", HighPassBlock, filter_low, version=1))
