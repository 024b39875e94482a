"""What a feature is: a frozen specification and a function from a waveform to a time-frequency array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre_pipeline.blocks import Block
from genre_pipeline.registry import Registry


class SegmentBlock(Block):
    """How a clip's feature is cut into segments of one length.

    Attributes:
        n_frames: Frames in a segment.
        hop_frames: Distance between the starts of neighbouring segments; less than ``n_frames`` makes them overlap.
    """

    n_frames: int = Field(ge=1)
    hop_frames: int = Field(ge=1)


class FeatureBlock(Block):
    """Parameters that every feature has.

    Attributes:
        kind: Registered name of the extractor.
        sample_rate: Rate that the waveform is resampled to, in Hz.
        hop_length: Distance between successive frames, in samples.
        segment: How clips are cut.
        normalisation: Scaling of the segments that a model sees: ``none``; ``per_segment`` (zero mean and unit
            variance over the segment); ``training`` (mean and standard deviation of each bin over the training
            split only).
        dtype: Type of the stored numbers.
    """

    kind: str
    sample_rate: int = Field(ge=1000, le=192_000)
    hop_length: int = Field(ge=1)
    segment: SegmentBlock
    normalisation: Literal["none", "per_segment", "training"] = "none"
    dtype: Literal["float16", "float32"] = "float16"

    @model_validator(mode="after")
    def _segment_hop_covers(self) -> FeatureBlock:
        if self.segment.hop_frames > self.segment.n_frames:
            raise ValueError(
                f"segment.hop_frames={self.segment.hop_frames} is greater than segment.n_frames="
                f"{self.segment.n_frames}, which would leave gaps between segments"
            )
        return self

    def n_frames(self, n_samples: int) -> int:
        """Return the number of frames of a waveform: frames are centred on multiples of ``hop_length``."""
        return 1 + n_samples // self.hop_length


@dataclass(frozen=True)
class FeatureSpec:
    """A kind of feature.

    Attributes:
        name: Registered name, used as ``kind`` in YAML.
        block: Class of its parameters.
        n_bins: Height of the feature, from its parameters.
        extract: From a mono waveform, shape ``(n_samples,)``, float32, at the block's sample rate, to an array of
            shape ``(n_bins, n_frames)``, float32. Called from several threads at once. Raises
            :class:`~genre_pipeline.errors.FeatureError` where the waveform cannot give the feature.
        version: Raised whenever the extractor's numbers change, so that stored features are made anew.
    """

    name: str
    block: type[FeatureBlock]
    n_bins: Callable[[Any], int]
    extract: Callable[[NDArray[np.float32], Any], NDArray[np.float32]]
    version: int


FEATURES: Registry[FeatureSpec] = Registry("feature kind", package="genre_pipeline.features")
