"""Segments with their targets, and how they are scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genre_pipeline.errors import TrainingError
from genre_pipeline.models import InputShape

NormalisationKind = Literal["none", "per_segment", "training"]

# [?] Far below any audible change of level, far above the rounding errors of a constant bin.
_MIN_DEVIATION = 1e-5


@dataclass(frozen=True, eq=False)
class SegmentSet:
    """The segments of one split.

    Attributes:
        features: Segments, shape ``(n_segments, n_bins, n_frames)``, float32.
        targets: Index of each segment's genre, shape ``(n_segments,)``, int64.
        groups: What folds within the split keep together: see :class:`~genre_pipeline.models.TrainingColumns`.

    Raises:
        TrainingError: If shapes or types do not fit, or a feature is not finite.
    """

    features: NDArray[np.float32]
    targets: NDArray[np.int64]
    groups: tuple[NDArray[np.int64], ...] = ()

    def __post_init__(self) -> None:
        if self.features.ndim != 3 or self.features.dtype != np.float32:
            raise TrainingError(
                "Segments must be float32 with the axes (segment, bin, frame), got "
                f"{self.features.dtype} with shape {self.features.shape}."
            )
        if self.targets.shape != self.features.shape[:1] or self.targets.dtype != np.int64:
            raise TrainingError(
                f"{len(self.features)} segments need as many int64 targets, got {self.targets.dtype} with shape "
                f"{self.targets.shape}."
            )
        # A sum is finite only if all its terms are; unlike isfinite it needs no second array.
        if not np.isfinite(self.features.sum(dtype=np.float64)):
            broken = int((~np.isfinite(self.features).all(axis=(1, 2))).argmax())
            raise TrainingError(
                f"The features of segment number {broken} are not all finite; its audio or the stored feature is "
                "damaged. Delete the feature store and run again."
            )

    def __len__(self) -> int:
        """Return the number of segments."""
        return len(self.features)

    @property
    def shape(self) -> InputShape:
        """Shape of one segment."""
        return InputShape(n_bins=self.features.shape[1], n_frames=self.features.shape[2])


def as_tensor(array: NDArray[np.float32]) -> Tensor:
    """Return the array as a tensor, sharing its memory if it is writable (torch supports no other kind)."""
    return torch.from_numpy(array) if array.flags.writeable else torch.tensor(array)


@dataclass(frozen=True, eq=False)
class Normalisation:
    """How segments are scaled before a model gets them.

    Attributes:
        kind: ``none``; ``per_segment`` (each segment to zero mean and unit deviation); ``training`` (each bin, with
            the statistics of the training split).
        mean: Mean of each bin, shape ``(n_bins, 1)``, for ``training``.
        deviation: Standard deviation of each bin, shape ``(n_bins, 1)``, for ``training``.
    """

    kind: NormalisationKind
    mean: Tensor = field(default_factory=lambda: torch.zeros(0, 1))
    deviation: Tensor = field(default_factory=lambda: torch.ones(0, 1))

    @classmethod
    def fit(cls, kind: NormalisationKind, features: Tensor) -> Normalisation:
        """Compute the statistics that the scaling needs.

        Args:
            kind: The kind of scaling.
            features: The training split's segments, shape ``(n_segments, n_bins, n_frames)``.

        Returns:
            The scaling. A bin that never changes is shifted but not scaled.
        """
        if kind != "training":
            return cls(kind)
        deviation, mean = torch.std_mean(features, dim=(0, 2), correction=0)
        return cls(kind, mean[:, None], _safe(deviation)[:, None])

    def __call__(self, features: Tensor) -> Tensor:
        """Scale segments, shape ``(n_segments, n_bins, n_frames)``."""
        if self.kind == "none":
            return features
        if self.kind == "per_segment":
            deviation, mean = torch.std_mean(features, dim=(1, 2), correction=0, keepdim=True)
            return (features - mean) / _safe(deviation)
        return (features - self.mean) / self.deviation

    def to(self, device: torch.device) -> Normalisation:
        """Return the same scaling with its statistics on a device."""
        return Normalisation(self.kind, self.mean.to(device), self.deviation.to(device))

    def state(self) -> dict[str, Tensor]:
        """Return the statistics by name, for a checkpoint."""
        return {"mean": self.mean.cpu(), "deviation": self.deviation.cpu()}

    @classmethod
    def from_state(cls, kind: NormalisationKind, state: Mapping[str, Tensor]) -> Normalisation:
        """Rebuild the scaling from :meth:`state`."""
        return cls(kind, state["mean"], state["deviation"])


def _safe(deviation: Tensor) -> Tensor:
    return torch.where(deviation > _MIN_DEVIATION, deviation, torch.ones_like(deviation))
