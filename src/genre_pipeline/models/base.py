"""Models: networks and estimators that turn segments of a feature into scores for genres."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from genre_pipeline.blocks import Block
from genre_pipeline.registry import Pretraining, Registry

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


@dataclass(frozen=True)
class InputShape:
    """Shape of one segment.

    Attributes:
        n_bins: Frequency bins or coefficients.
        n_frames: Frames.
    """

    n_bins: int
    n_frames: int


class GenreNetwork(nn.Module, ABC):
    """Base of the neural networks: segments in, logits out, no softmax inside.

    Attributes:
        n_experts: Number of experts; 0 for a network without experts.
    """

    n_experts: int = 0

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Score segments.

        Args:
            features: Segments, shape ``(batch, n_bins, n_frames)``.

        Returns:
            Logits, shape ``(batch, n_classes)``.
        """

    def training_logits(self, features: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG002
        """Score segments for the loss of a training step; the scores of :meth:`forward` unless the loss needs more.

        Args:
            features: Segments, shape ``(batch, n_bins, n_frames)``.
            targets: Indices of the genres, shape ``(batch,)``, which a large-margin loss makes harder to reach.

        Returns:
            Logits, shape ``(batch, n_classes)``.
        """
        logits: Tensor = self(features)
        return logits

    def auxiliary_loss(self) -> Tensor | None:
        """Return what is added to the mean loss of the segments that were scored last; ``None`` for nothing."""
        return None

    def begin_training(self, batches: Iterable[Tensor], targets: Tensor) -> None:
        """Fit what no step trains, once before the first step.

        Args:
            batches: The training segments, shape ``(batch, n_bins, n_frames)`` each.
            targets: Their genres, shape ``(n_segments,)``.
        """

    def begin_step(self, epoch: int, progress: float) -> None:
        """Set the progress of the training before each step, for annealing or for freezing after some epochs.

        Args:
            epoch: The epoch, from 1.
            progress: Share of all planned steps that are done, from 0 to 1.
        """

    def load_pretrained(self) -> None:
        """Take over pretrained weights before a training; nothing unless the architecture names some.

        They are in every checkpoint, which needs no other file.

        Raises:
            ConfigError: If they are missing or altered.
        """

    def split(self) -> tuple[Callable[[Tensor], Tensor], GenreNetwork] | None:
        """Divide the network where training begins to change it; ``None`` if it changes all of it.

        Returns:
            The beginning, which no step changes: from segments to shape ``(batch, n_bins, n_frames)``; the rest, which
            shares its layers with this network and scores what the beginning gives.
        """
        return None

    def rate_factors(self) -> dict[str, float]:
        """Return the factor of the step size for some parameters, by name as in ``named_parameters``; at most 1."""
        return {}

    def choices(self) -> Tensor | None:
        """Return the expert of each segment of the last batch, shape ``(batch,)``; ``None`` without experts."""
        return None

    def l2_coefficients(self) -> dict[str, float]:
        """Return the L2 coefficient of each penalised parameter, by name as in ``named_parameters``.

        A coefficient ``c`` adds ``c * sum(w ** 2)`` to the loss, like Keras' ``l2(c)``.
        """
        return {}


# Functions with names, like those of features.
def _nothing(_block: Any) -> None:
    """Need nothing, or be made of nothing pretrained."""


@dataclass(frozen=True)
class NetworkSpec:
    """A family of neural networks.

    Attributes:
        name: Registered name, used as ``family`` in YAML.
        block: Class of its architecture parameters.
        build: Makes the network, initialised from torch's global random state.
        reference: The paper, in one line.
        version: Raise it when the network's numbers change, so that checkpoints are made again.
        require: Checks that what a training needs beside its data, such as weights, is there; raises
            :class:`~genre_pipeline.errors.ConfigError` before any work if not.
        pretraining: What is to know of the pretrained network that the parameters choose; ``None`` if there is none.
        expects: Parameters that a feature must have, because weights were trained on it; ``None`` if any will do.
    """

    name: str
    block: type[Block]
    build: Callable[[Any, InputShape, int], GenreNetwork]
    reference: str
    version: int
    require: Callable[[Any], None] = _nothing
    pretraining: Callable[[Any], Pretraining | None] = _nothing
    expects: Callable[[Any], Mapping[str, object] | None] = _nothing


@dataclass(frozen=True, eq=False)
class TrainingColumns:
    """What an estimator is fitted to.

    Attributes:
        columns: One vector per segment, shape ``(n_segments, n_columns)``.
        targets: Class indices, shape ``(n_segments,)``.
        groups: What folds of the segments must keep together, the widest first (linked tracks, then tracks): codes,
            shape ``(n_segments,)`` each. Nothing if empty.
    """

    columns: NDArray[np.float64]
    targets: NDArray[np.int64]
    groups: tuple[NDArray[np.int64], ...] = ()


@dataclass(frozen=True)
class EstimatorSpec:
    """A family of scikit-learn classifiers.

    Attributes:
        name: Registered name, used as ``family`` in YAML.
        block: Class of its parameters.
        fit: Fits an estimator, from its block, the training segments and a seed. It must offer ``predict_proba``.
        summarise: From segments, shape ``(n_segments, n_bins, n_frames)``, to one vector per segment, shape
            ``(n_segments, n_columns)``.
        reference: The paper, in one line.
        version: Raise it when the estimator's numbers change, so that checkpoints are made again.
    """

    name: str
    block: type[Block]
    fit: Callable[[Any, TrainingColumns, int], BaseEstimator]
    summarise: Callable[[NDArray[np.float32]], NDArray[np.float64]]
    reference: str
    version: int


ModelSpec = NetworkSpec | EstimatorSpec
MODELS: Registry[ModelSpec] = Registry("model family", package="genre_pipeline.models")
