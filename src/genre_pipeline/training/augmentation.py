"""Random changes of the training segments, drawn for each batch; validation and test segments are never changed.

All work on normalised features, on their device, and use torch's global random state, which training seeds.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from genre_pipeline.blocks import Block, NotNegative

# [?] Wide bands, as of tone controls.
_N_CURVE_POINTS = 6


class AugmentationBlock(Block):
    """Changes of training segments; none by default.

    Attributes:
        time_reversal: Probability that a segment is played backwards: MusicNeXt's "horizontal flip" [P].
        shift_frames: Greatest number of frames by which a segment is shifted in time, cyclically.
        crop_frames: Greatest number of frames that are cut off at one end and replaced by zeros at the other: a random
            crop of the segment with zeros around it (K. He et al., CVPR 2016, section 4.2, on images).
        gain: Standard deviation of a constant that is added to a whole segment; on a scale in decibels it is a gain.
        filtering: Standard deviation of a random curve over the bins that is added to a whole segment, straight between
            six random points; on a scale in decibels it is an equaliser (FilterAugment's linear type, H. Nam, S.-H. Kim
            and Y.-H. Park, ICASSP 2022).
        noise: Standard deviation of noise that is added to each number.
        n_time_masks: Number of masked stretches of frames: SpecAugment (D. S. Park et al., Interspeech 2019).
        max_time_mask: Greatest length of such a stretch, in frames.
        n_frequency_masks: Number of masked stretches of bins.
        max_frequency_mask: Greatest length of such a stretch, in bins.
        mixup: Parameter of the beta distribution from which the share of the second of two mixed segments is drawn (H.
            Zhang, M. Cisse, Y. N. Dauphin and D. Lopez-Paz, mixup, ICLR 2018); 0 disables it.
    """

    time_reversal: float = Field(default=0.0, ge=0.0, le=1.0)
    shift_frames: int = Field(default=0, ge=0, le=10_000_000)
    crop_frames: int = Field(default=0, ge=0, le=10_000_000)
    gain: NotNegative = 0.0
    filtering: NotNegative = 0.0
    noise: NotNegative = 0.0
    n_time_masks: int = Field(default=0, ge=0, le=1000)
    max_time_mask: int = Field(default=20, ge=1, le=10_000_000)
    n_frequency_masks: int = Field(default=0, ge=0, le=1000)
    max_frequency_mask: int = Field(default=16, ge=1, le=2**20)
    mixup: float = Field(default=0.0, ge=0.0, le=1000.0)


def augment(features: Tensor, block: AugmentationBlock) -> Tensor:
    """Change segments in every way except mixing them.

    Args:
        features: Normalised segments, shape ``(batch, n_bins, n_frames)``. Not changed.
        block: The changes.

    Returns:
        Segments of the same shape; the same tensor if nothing is done.
    """
    if block.time_reversal:
        is_reversed = _uniform(features) < block.time_reversal
        features = torch.where(is_reversed[:, None, None], features.flip(2), features)
    if block.shift_frames:
        features = _shifted(features, block.shift_frames)
    if block.crop_frames:
        features = _cropped(features, block.crop_frames)
    if block.gain:
        features = features + block.gain * torch.randn(len(features), 1, 1, device=features.device)
    if block.filtering:
        features = features + block.filtering * _curves(features)
    if block.noise:
        features = features + block.noise * torch.randn_like(features)
    for _ in range(block.n_time_masks):
        features = _masked(features, block.max_time_mask, axis=2)
    for _ in range(block.n_frequency_masks):
        features = _masked(features, block.max_frequency_mask, axis=1)
    return features


def mix(features: Tensor, alpha: float) -> tuple[Tensor, Tensor, float]:
    """Mix each segment of a batch with another one (mixup).

    Args:
        features: Segments, shape ``(batch, n_bins, n_frames)``. Not changed.
        alpha: Parameter of the beta distribution.

    Returns:
        The mixed segments; the row that each was mixed with; the share of the first, at least one half.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    share = max(share, 1.0 - share)
    partners = torch.randperm(len(features), device=features.device)
    return share * features + (1.0 - share) * features[partners], partners, share


def _curves(features: Tensor) -> Tensor:
    """Return a random curve over the bins for each segment, shape ``(batch, n_bins, 1)``."""
    points = torch.randn(len(features), 1, _N_CURVE_POINTS, device=features.device)
    curves = functional.interpolate(points, size=features.shape[1], mode="linear", align_corners=True)
    return curves.transpose(1, 2)


def _uniform(features: Tensor) -> Tensor:
    return torch.rand(len(features), device=features.device)


def _shifted(features: Tensor, limit: int) -> Tensor:
    """Shift each segment cyclically by its own number of frames."""
    sources = _moved_frames(features, limit) % features.shape[2]
    return features.gather(2, sources[:, None, :].expand_as(features))


def _cropped(features: Tensor, limit: int) -> Tensor:
    """Shift each segment by its own number of frames; frames that leave at one end are lost."""
    padded = functional.pad(features, (limit, limit))
    sources = _moved_frames(features, limit) + limit
    return padded.gather(2, sources[:, None, :].expand_as(features))


def _moved_frames(features: Tensor, limit: int) -> Tensor:
    """Return the source index of each frame of each segment after a shift by ``-limit`` to ``limit`` frames."""
    moves = torch.randint(-limit, limit + 1, (len(features), 1), device=features.device)
    return torch.arange(features.shape[2], device=features.device) - moves


def _masked(features: Tensor, limit: int, *, axis: int) -> Tensor:
    """Set a stretch along an axis to zero, the mean of normalised features; each segment gets its own."""
    size = features.shape[axis]
    lengths = (_uniform(features) * (min(limit, size) + 1)).floor()
    starts = (_uniform(features) * (size - lengths + 1)).floor()
    places = torch.arange(size, device=features.device)
    is_masked = (places >= starts[:, None]) & (places < (starts + lengths)[:, None])
    shape = (len(features), 1, size) if axis == 2 else (len(features), size, 1)
    return features.masked_fill(is_masked.view(shape), 0.0)
