"""White noise added."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from genre_pipeline.blocks import Seed
from genre_pipeline.errors import AudioError
from genre_pipeline.interventions.base import INTERVENTIONS, InterventionBlock, InterventionSpec, Waveform


class NoiseBlock(InterventionBlock):
    """Parameters of added noise.

    Attributes:
        snr_db: Power of the clip over that of the noise, in decibels.
        seed: Seed of the noise.
    """

    snr_db: float = Field(ge=-60.0, le=120.0)
    seed: Seed = 0

    @property
    def label(self) -> str:
        """A short description."""
        return f"noise at {self.snr_db:g} dB SNR"


def add_noise(waveform: Waveform, sample_rate: int, block: NoiseBlock, rng: np.random.Generator) -> Waveform:
    """Add white Gaussian noise, with a power relative to that of the whole clip.

    Raises:
        AudioError: If the clip is silent, so that the ratio is undefined.
    """
    del sample_rate
    power = float(np.mean(waveform.astype(np.float64) ** 2))
    if power == 0.0:
        raise AudioError("The clip is silent: no noise has a signal-to-noise ratio. Leave the clip out.")
    deviation = (power / 10.0 ** (block.snr_db / 10.0)) ** 0.5
    noise = rng.standard_normal(len(waveform), dtype=np.float32)
    return waveform + np.float32(deviation) * noise


INTERVENTIONS.register(InterventionSpec("noise", NoiseBlock, add_noise, version=1))
