"""Another level: louder or quieter."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from genre_pipeline.interventions.base import INTERVENTIONS, InterventionBlock, InterventionSpec, Waveform


class GainBlock(InterventionBlock):
    """Parameters of a change of level.

    Attributes:
        gain_db: How much louder, in decibels.
    """

    gain_db: float = Field(ge=-120.0, le=120.0)

    @property
    def label(self) -> str:
        """A short description."""
        return f"gain {self.gain_db:+g} dB"


def scale(waveform: Waveform, sample_rate: int, block: GainBlock, rng: np.random.Generator) -> Waveform:
    """Multiply the samples and clip them at full scale, as in any file of integer samples."""
    del sample_rate, rng
    scaled: Waveform = np.clip(waveform * np.float32(10.0 ** (block.gain_db / 20.0)), -1.0, 1.0)
    return scaled


INTERVENTIONS.register(InterventionSpec("gain", GainBlock, scale, version=1))
