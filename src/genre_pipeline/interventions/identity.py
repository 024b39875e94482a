"""No change: the control, whose differences must all be zero."""

from __future__ import annotations

import numpy as np

from genre_pipeline.interventions.base import INTERVENTIONS, InterventionBlock, InterventionSpec, Waveform


class IdentityBlock(InterventionBlock):
    """Parameters of the identity: none."""

    @property
    def label(self) -> str:
        """A short description."""
        return "nothing (control)"


def leave(waveform: Waveform, sample_rate: int, block: IdentityBlock, rng: np.random.Generator) -> Waveform:
    """Return the clip unchanged."""
    del sample_rate, block, rng
    return waveform


INTERVENTIONS.register(InterventionSpec("identity", IdentityBlock, leave, version=1))
