"""Trained models as functions: segments in, genre probabilities out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genre_pipeline.errors import CheckpointError, FeatureError
from genre_pipeline.models import EstimatorSpec, GenreNetwork, InputShape
from genre_pipeline.training.devices import place
from genre_pipeline.training.memory import kept_memory
from genre_pipeline.training.segments import Normalisation, as_tensor

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

# [?] Enough to keep a device busy, small enough for its memory.
_BATCH_SIZE = 64
# [?] Numbers in a batch on a processor: with more, the maps of large networks no longer fit its caches (`python
# benchmarks/bench_inference.py`, docs/performance.md).
_N_VALUES_CPU = 700_000


class Predictor(ABC):
    """A trained model.

    Args:
        shape: Shape of one segment, as in training.
        normalisation: How segments are scaled.
    """

    def __init__(self, shape: InputShape, normalisation: Normalisation) -> None:
        self.shape = shape
        self.normalisation = normalisation

    def predict_probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of each genre for each segment.

        Args:
            features: Segments, shape ``(n_segments, n_bins, n_frames)``, not normalised.

        Returns:
            Shape ``(n_segments, n_classes)``, each row summing to 1.

        Raises:
            CheckpointError: If the segments do not have the shape that the model was trained on.
            FeatureError: If they hold numbers that are not finite.
        """
        expected = (self.shape.n_bins, self.shape.n_frames)
        if features.ndim != 3 or features.shape[1:] != expected:
            raise CheckpointError(
                f"The model was trained on segments of {expected[0]} bins and {expected[1]} frames and got an array "
                f"of shape {features.shape}; extract the feature that the checkpoint's card describes."
            )
        if not np.isfinite(features).all():
            raise FeatureError(
                "The feature is not finite everywhere: the samples may be far louder than full scale (1). Normalise "
                "the file, or leave it out."
            )
        return self._probabilities(np.ascontiguousarray(features, dtype=np.float32))

    @abstractmethod
    def _probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]: ...


class NetworkPredictor(Predictor):
    """A network in evaluation mode and float32.

    Attributes:
        network: The network.
    """

    def __init__(
        self, network: GenreNetwork, shape: InputShape, normalisation: Normalisation, device: torch.device
    ) -> None:
        super().__init__(shape, normalisation.to(device))
        self.network = place(network, device)
        self._device = device

    def _probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        with kept_memory(self._device):
            logits = compute_logits(self.network, self.normalisation, as_tensor(features), self._device)
        return logits.cpu().double().softmax(dim=1).numpy()


class EstimatorPredictor(Predictor):
    """A fitted scikit-learn classifier.

    Attributes:
        estimator: The classifier.
        spec: Its family.
    """

    def __init__(
        self, estimator: BaseEstimator, spec: EstimatorSpec, shape: InputShape, normalisation: Normalisation
    ) -> None:
        super().__init__(shape, normalisation)
        self.estimator = estimator
        self.spec = spec

    def _probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(
            self.estimator.predict_proba(summarise(self.spec, self.normalisation, features)), dtype=np.float64
        )


@torch.inference_mode()
def compute_logits(
    network: GenreNetwork, normalisation: Normalisation, features: Tensor, device: torch.device
) -> Tensor:
    """Score segments in evaluation mode and float32, batch by batch.

    Args:
        network: The network, on the device; it is left in evaluation mode.
        normalisation: How segments are scaled, on the device.
        features: Segments, shape ``(n_segments, n_bins, n_frames)``, anywhere.
        device: Where to compute.

    Returns:
        Logits, shape ``(n_segments, n_classes)``, on the device.
    """
    network.eval()
    return torch.cat([network(normalisation(batch.to(device))) for batch in in_batches(features, device)])


def in_batches(segments: Tensor, device: torch.device) -> tuple[Tensor, ...]:
    """Split segments into batches: of 64, or on a processor smaller if that is faster.

    Args:
        segments: Shape ``(n_segments, ...)``, anywhere.
        device: Where they will be computed.

    Returns:
        The batches, in order; the last may be smaller.

    Example:
        >>> [len(batch) for batch in in_batches(torch.zeros(9, 128, 646), torch.device("cpu"))]
        [8, 1]
    """
    n_at_once = _BATCH_SIZE
    if device.type == "cpu":
        n_at_once = min(n_at_once, max(1, _N_VALUES_CPU // segments.shape[1:].numel()))
    return torch.split(segments, n_at_once)


def summarise(spec: EstimatorSpec, normalisation: Normalisation, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scale segments and turn each into a vector, batch by batch.

    Args:
        spec: The family, which defines how.
        normalisation: How segments are scaled.
        features: Segments, shape ``(n_segments, n_bins, n_frames)``.

    Returns:
        Shape ``(n_segments, n_columns)``.
    """
    batches = torch.split(as_tensor(features), _BATCH_SIZE)
    return np.concatenate([spec.summarise(normalisation(batch).numpy()) for batch in batches])
