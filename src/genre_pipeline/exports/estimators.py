"""Fitted scikit-learn classifiers as PyTorch modules, from segments to probabilities, in double precision as there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genre_pipeline.errors import ConfigError
from genre_pipeline.models.classical import summarise_frames
from genre_pipeline.models.probes import average_frames


class MeanOfFrames(nn.Module):
    """See :func:`~genre_pipeline.models.probes.average_frames`."""

    def forward(self, segments: Tensor) -> Tensor:
        """Return shape ``(n_segments, n_bins)`` for shape ``(n_segments, n_bins, n_frames)``."""
        return segments.double().mean(dim=2)


class MomentsOfFrames(nn.Module):
    """See :func:`~genre_pipeline.models.classical.summarise_frames`."""

    def forward(self, segments: Tensor) -> Tensor:
        """Return shape ``(n_segments, 4 * n_bins)`` for shape ``(n_segments, n_bins, n_frames)``."""
        if segments.shape[2] == 1:
            return segments[:, :, 0].double()
        changes = segments[:, :, 1:] - segments[:, :, :-1]
        moments = [*self._moments(segments), *self._moments(changes)]
        return torch.cat(moments, dim=1).double()

    @staticmethod
    def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
        mean = values.mean(dim=2, keepdim=True)
        return mean[:, :, 0], (values - mean).square().mean(dim=2).sqrt()


class Linear(nn.Module):
    """Columns times weights, plus a bias: standardised columns, and every layer of a classifier.

    Args:
        weight: Shape ``(n_columns, n_outputs)``.
        bias: Shape ``(n_outputs,)``.
    """

    def __init__(self, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
        super().__init__()
        self.weight, self.bias = _constant(weight), _constant(bias)

    def forward(self, columns: Tensor) -> Tensor:
        """Return shape ``(n_segments, n_outputs)``."""
        return columns @ self.weight + self.bias


class Scaled(nn.Module):
    """Standardised columns: scikit-learn's ``StandardScaler``."""

    def __init__(self, scaler: Any) -> None:
        super().__init__()
        self.mean, self.scale = _constant(scaler.mean_), _constant(scaler.scale_)

    def forward(self, columns: Tensor) -> Tensor:
        """Return the same shape, ``(n_segments, n_columns)``."""
        return (columns - self.mean) / self.scale


class Softmax(nn.Module):
    """Scores as probabilities; of a single score, those of two classes."""

    def forward(self, scores: Tensor) -> Tensor:
        """Return shape ``(n_segments, n_classes)``."""
        if scores.shape[1] == 1:
            scores = torch.cat([torch.zeros_like(scores), scores], dim=1)
        return scores.softmax(dim=1)


class NaiveBayes(nn.Module):
    """scikit-learn's ``GaussianNB``."""

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        self.mean, self.variance = _constant(estimator.theta_), _constant(estimator.var_)
        constants = np.log(estimator.class_prior_) - 0.5 * np.log(2.0 * np.pi * estimator.var_).sum(axis=1)
        self.constants = _constant(constants)

    def forward(self, columns: Tensor) -> Tensor:
        """Return log-likelihoods, shape ``(n_segments, n_classes)``."""
        distances = ((columns[:, None] - self.mean).square() / self.variance).sum(dim=2)
        return self.constants - 0.5 * distances


class Neighbours(nn.Module):
    """scikit-learn's ``KNeighborsClassifier``: a class's probability is its share of the nearest training segments."""

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        self._n_neighbours = int(estimator.n_neighbors)
        columns = np.asarray(estimator._fit_X, dtype=np.float64)  # what it keeps has no public name
        self.columns, self.squares = _constant(columns.T), _constant((columns**2).sum(axis=1))
        self.classes = _constant(np.eye(len(estimator.classes_))[estimator._y])

    def forward(self, columns: Tensor) -> Tensor:
        """Return probabilities, shape ``(n_segments, n_classes)``."""
        distances = self.squares - 2.0 * columns @ self.columns
        nearest = distances.topk(self._n_neighbours, dim=1, largest=False).indices
        return self.classes[nearest].mean(dim=1)


class SupportVectors(nn.Module):
    """scikit-learn's ``SVC`` with a Gaussian kernel: the votes of its pairs of classes, as ``decision_function``."""

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        self._gamma, self._n_classes = float(estimator._gamma), len(estimator.classes_)
        self.vectors = _constant(estimator.support_vectors_.T)
        self.squares = _constant((estimator.support_vectors_**2).sum(axis=1))
        self.weights = _constant(self._pairwise_weights(estimator))
        self.intercepts = _constant(estimator.intercept_)
        pairs = [(one, other) for one in range(self._n_classes) for other in range(one + 1, self._n_classes)]
        signs = np.zeros((len(pairs), self._n_classes))
        for place, (one, other) in enumerate(pairs):
            signs[place, one], signs[place, other] = 1.0, -1.0
        self.signs = _constant(signs)

    @staticmethod
    def _pairwise_weights(estimator: Any) -> NDArray[np.float64]:
        """Return the weight of each vector in the score of each pair, shape ``(n_vectors, n_pairs)``.

        Vectors are sorted by class, and row ``r`` of ``dual_coef_`` holds each one's weight against the ``r``-th of the
        other classes.
        """
        if len(estimator.classes_) == 2:
            return np.asarray(estimator.dual_coef_, dtype=np.float64).T
        ends = np.concatenate([[0], np.cumsum(estimator.n_support_)])
        columns = []
        for one in range(len(estimator.classes_)):
            for other in range(one + 1, len(estimator.classes_)):
                column = np.zeros(len(estimator.support_vectors_))
                mine, theirs = slice(ends[one], ends[one + 1]), slice(ends[other], ends[other + 1])
                column[mine] = estimator.dual_coef_[other - 1, mine]
                column[theirs] = estimator.dual_coef_[one, theirs]
                columns.append(column)
        return np.stack(columns, axis=1)

    def forward(self, columns: Tensor) -> Tensor:
        """Return scores, shape ``(n_segments, n_classes)``; a single column of two classes."""
        distances = columns.square().sum(dim=1, keepdim=True) + self.squares - 2.0 * columns @ self.vectors
        scores = (-self._gamma * distances).exp() @ self.weights + self.intercepts
        if self._n_classes == 2:
            return scores
        confidences = scores @ self.signs
        votes = torch.where(scores >= 0.0, 1.0, -1.0).double() @ self.signs
        # A class is in all pairs with the others: (votes won - votes lost + others) / 2 votes are won.
        won = 0.5 * (votes + (self._n_classes - 1))
        return won + confidences / (3.0 * (confidences.abs() + 1.0))


class Sigmoids(nn.Module):
    """scikit-learn's ``CalibratedClassifierCV`` of one machine: a sigmoid per class, made to sum to one."""

    def __init__(self, machine: nn.Module, calibrators: Any) -> None:
        super().__init__()
        self.machine = machine
        self.slopes = _constant(np.array([each.a_ for each in calibrators]))
        self.offsets = _constant(np.array([each.b_ for each in calibrators]))

    def forward(self, columns: Tensor) -> Tensor:
        """Return probabilities, shape ``(n_segments, n_classes)``."""
        shares = (-(self.slopes * self.machine(columns) + self.offsets)).sigmoid()
        if shares.shape[1] == 1:
            return torch.cat([1.0 - shares, shares], dim=1)
        total = shares.sum(dim=1, keepdim=True)
        # As scikit-learn: where no class has a share, all are as probable.
        return torch.where(total > 0.0, shares / torch.where(total > 0.0, total, 1.0), 1.0 / shares.shape[1])


def _constant(values: NDArray[np.floating]) -> Tensor:
    return nn.Buffer(torch.from_numpy(np.array(values, dtype=np.float64)))


def _logistic(estimator: Any) -> nn.Module:
    return nn.Sequential(Linear(estimator.coef_.T, estimator.intercept_), Softmax())


def _network(estimator: Any) -> nn.Module:
    layers: list[nn.Module] = []
    for weight, bias in zip(estimator.coefs_, estimator.intercepts_, strict=True):
        layers += [Linear(weight, bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1], Softmax())


def _calibrated(estimator: Any) -> nn.Module:
    (fitted,) = estimator.calibrated_classifiers_
    return Sigmoids(SupportVectors(fitted.estimator), fitted.calibrators)


def _pipeline(estimator: Any) -> nn.Module:
    return nn.Sequential(*(_module(step) for _, step in estimator.steps))


_MODULES: dict[str, Callable[[Any], nn.Module]] = {
    "CalibratedClassifierCV": _calibrated,
    "GaussianNB": lambda estimator: nn.Sequential(NaiveBayes(estimator), Softmax()),
    "KNeighborsClassifier": Neighbours,
    "LogisticRegression": _logistic,
    "MLPClassifier": _network,
    "Pipeline": _pipeline,
    "StandardScaler": Scaled,
}
_SUMMARIES: dict[Callable[..., Any], type[nn.Module]] = {
    average_frames: MeanOfFrames,
    summarise_frames: MomentsOfFrames,
}


def _module(estimator: Any) -> nn.Module:
    kind = type(estimator).__name__
    if kind not in _MODULES:
        raise ConfigError(
            f"A classifier of the class {kind} cannot be exported; expected one of {', '.join(_MODULES)}. Choose "
            "another cell: --params predict.cell=NAME"
        )
    return _MODULES[kind](estimator)


def estimator_module(estimator: Any, summarise: Callable[..., Any]) -> nn.Module:
    """Make the module of a fitted classifier.

    Args:
        estimator: The classifier.
        summarise: How segments become columns, of its :class:`~genre_pipeline.models.EstimatorSpec`.

    Returns:
        From segments, shape ``(n_segments, n_bins, n_frames)``, to probabilities, shape ``(n_segments, n_classes)``.

    Raises:
        ConfigError: If such a classifier cannot be exported.
    """
    if summarise not in _SUMMARIES:
        raise ConfigError(
            f"A classifier on {summarise.__name__} cannot be exported. Choose another cell: --params predict.cell=NAME"
        )
    return nn.Sequential(_SUMMARIES[summarise](), _module(estimator)).eval()
