"""A shorter excerpt of the clip."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from genre_pipeline.errors import AudioError
from genre_pipeline.interventions.base import INTERVENTIONS, InterventionBlock, InterventionSpec, Waveform


class ExcerptBlock(InterventionBlock):
    """Parameters of a shorter excerpt.

    Attributes:
        duration_s: How much is kept, from the clip's middle.
    """

    duration_s: float = Field(gt=0.0, le=86_400.0)

    @property
    def label(self) -> str:
        """A short description."""
        return f"middle {self.duration_s:g} s"


def cut_out(waveform: Waveform, sample_rate: int, block: ExcerptBlock, rng: np.random.Generator) -> Waveform:
    """Keep the middle.

    Raises:
        AudioError: If the clip is not longer than the excerpt.
    """
    del rng
    n_kept = round(block.duration_s * sample_rate)
    if len(waveform) <= n_kept:
        raise AudioError(
            f"The clip of {len(waveform) / sample_rate:.2f} s is no longer than the excerpt of {block.duration_s:g} s."
        )
    start = (len(waveform) - n_kept) // 2
    return waveform[start : start + n_kept]


INTERVENTIONS.register(InterventionSpec("excerpt", ExcerptBlock, cut_out, version=1))
