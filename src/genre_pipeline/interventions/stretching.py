"""Tempo without pitch, and pitch without tempo.

By Signalsmith Stretch, through python-stretch: a phase vocoder that keeps onsets together. librosa's does not (it moves
a click to its grid of frames, up to 16 ms away). Rubber Band, through pedalboard, is under the GPL, unlike this
project.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, field_validator

from genre_pipeline.errors import ConfigError
from genre_pipeline.interventions.base import INTERVENTIONS, InterventionBlock, InterventionSpec, Waveform


class TempoBlock(InterventionBlock):
    """Parameters of another tempo.

    Attributes:
        percent: How much faster, in per cent; negative for slower.
    """

    percent: float = Field(ge=-50.0, le=100.0)

    @property
    def label(self) -> str:
        """A short description."""
        return f"tempo {self.percent:+g} %"


class PitchBlock(InterventionBlock):
    """Parameters of another pitch.

    Attributes:
        n_semitones: How much higher, in equal-tempered semitones; negative for lower.
    """

    n_semitones: float = Field(ge=-24.0, le=24.0)

    @field_validator("n_semitones")
    @classmethod
    def _some_change(cls, value: float) -> float:
        if value == 0.0:
            raise ValueError("nothing is shifted; the intervention of that kind is 'identity'")
        return value

    @property
    def label(self) -> str:
        """A short description."""
        return f"pitch {self.n_semitones:+g} semitone{'' if abs(self.n_semitones) == 1 else 's'}"


def change_tempo(waveform: Waveform, sample_rate: int, block: TempoBlock, rng: np.random.Generator) -> Waveform:
    """Play faster or slower at the same pitch; the clip becomes shorter or longer.

    Raises:
        ConfigError: If python-stretch is not installed.
    """
    del rng
    stretch = _stretch(sample_rate)
    stretch.setTimeFactor(1.0 + block.percent / 100.0)
    return _processed(stretch, waveform)


def change_pitch(waveform: Waveform, sample_rate: int, block: PitchBlock, rng: np.random.Generator) -> Waveform:
    """Play higher or lower at the same tempo, every frequency by the same factor.

    Raises:
        ConfigError: If python-stretch is not installed.
    """
    del rng
    stretch = _stretch(sample_rate)
    stretch.setTransposeSemitones(block.n_semitones)
    return _processed(stretch, waveform)


def _stretch(sample_rate: int) -> Any:
    try:
        from python_stretch import Signalsmith
    except ImportError as error:
        raise ConfigError(
            "robustness.interventions: tempo and pitch need the package python-stretch, which has no wheel for this "
            "machine. Install it (pip install python-stretch; it needs a C++ compiler and CMake), or leave them out."
        ) from error
    stretch = Signalsmith.Stretch()
    stretch.preset(1, sample_rate)
    return stretch


def _processed(stretch: Any, waveform: Waveform) -> Waveform:
    # It accepts only writable arrays.
    processed: Waveform = stretch.process(waveform[None].copy())[0]
    return processed


INTERVENTIONS.register(InterventionSpec("tempo", TempoBlock, change_tempo, version=1))
INTERVENTIONS.register(InterventionSpec("pitch", PitchBlock, change_pitch, version=1))
