"""Probes: simple classifiers on given embeddings, to compare encoders on equal terms.

G. Alain and Y. Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, ICLR 2017 workshop. A probe
uses no validation or test tracks: its strength is chosen by accuracy in folds of the training side that keep artists'
segments together. Every encoder gets the same grid.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre_pipeline.blocks import Block, Positive
from genre_pipeline.models.base import MODELS, EstimatorSpec, TrainingColumns
from genre_pipeline.models.classical import calibrated
from genre_pipeline.models.inner_folds import fold_of_segments

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

_REFERENCE = (
    "G. Alain and Y. Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, ICLR Workshop 2017"
)


# [?] More than any training side has segments.
NumberOfNeighbours = Annotated[int, Field(ge=1, le=10**12)]


class ProbeBlock(Block):
    """Parameters of every probe.

    Attributes:
        n_folds: Folds of the training side in which the strength is chosen; each keeps linked tracks together [?].
    """

    n_folds: int = Field(default=5, ge=2, le=1000)


class LogisticProbeBlock(ProbeBlock):
    """Parameters of the logistic regression.

    Attributes:
        strengths: Inverse regularisation strengths to try, scikit-learn's ``C``; of equally good ones the first [?].
        n_folds: Folds of the training side in which the strength is chosen; each keeps linked tracks together [?].
        max_iterations: Most iterations of the solver [?].
    """

    strengths: tuple[Positive, ...] = Field(default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0), min_length=1, max_length=100)
    max_iterations: int = Field(default=2000, ge=1, le=1_000_000)


class SvmProbeBlock(ProbeBlock):
    """Parameters of the support vector machine with a Gaussian kernel, as wide as there are columns.

    Attributes:
        penalties: Penalties of training errors to try, scikit-learn's ``C``; of equally good ones the first [?].
        n_folds: Folds of the training side in which the penalty is chosen, and then the probabilities are fitted; they
            keep linked tracks together, and then tracks [?].
    """

    penalties: tuple[Positive, ...] = Field(default=(0.3, 1.0, 3.0, 10.0), min_length=1, max_length=100)


class MlpProbeBlock(ProbeBlock):
    """Parameters of the network of one hidden layer.

    Attributes:
        decays: Penalties of squared weights to try, scikit-learn's ``alpha``; of equally good ones the first [?].
        n_folds: Folds of the training side in which the decay is chosen; each keeps linked tracks together [?].
        n_hidden: Units of the hidden layer [?].
        n_epochs: Most epochs of Adam; training also ends when the loss stops falling [?].
    """

    decays: tuple[Positive, ...] = Field(default=(10.0, 1.0, 0.1), min_length=1, max_length=100)
    n_hidden: int = Field(default=128, ge=1, le=100_000)
    n_epochs: int = Field(default=200, ge=1, le=1_000_000)


class KnnProbeBlock(ProbeBlock):
    """Parameters of the nearest neighbours.

    Attributes:
        neighbours: Numbers of neighbours to try, no more than there are segments; of equally good ones the first [?].
        n_folds: Folds of the training side in which the number is chosen; each keeps linked tracks together [?].
    """

    neighbours: tuple[NumberOfNeighbours, ...] = Field(default=(100, 30, 10, 3, 1), min_length=1, max_length=100)


def average_frames(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Describe each segment by the mean over its frames.

    Args:
        features: Segments, shape ``(n_segments, n_bins, n_frames)``.

    Returns:
        Shape ``(n_segments, n_bins)``.

    Example:
        >>> average_frames(np.array([[[0.0, 2.0], [4.0, 4.0]]], dtype=np.float32)).tolist()
        [[1.0, 4.0]]
    """
    means: NDArray[np.float64] = features.mean(axis=-1, dtype=np.float64)
    return means


def fit_logistic(block: LogisticProbeBlock, data: TrainingColumns, seed: int) -> BaseEstimator:
    """Fit a multinomial logistic regression on standardised columns.

    Args:
        block: Its parameters.
        data: The training segments.
        seed: Seed of the folds.

    Raises:
        TrainingError: If a genre has a single segment, which no fold can leave out.
    """
    from sklearn.linear_model import LogisticRegression

    folds = fold_of_segments(data, block.n_folds, seed)
    return _chosen(LogisticRegression(max_iter=block.max_iterations), {"C": block.strengths}, data, folds)


def fit_svm(block: SvmProbeBlock, data: TrainingColumns, seed: int) -> Pipeline:
    """Fit a support vector machine on standardised columns, then its probabilities by Platt's sigmoid.

    Args:
        block: Its parameters.
        data: The training segments.
        seed: Seed of the folds.

    Raises:
        TrainingError: If a genre has a single segment, which no fold can leave out.
    """
    from sklearn.svm import SVC

    machine = _chosen(SVC(), {"C": block.penalties}, data, fold_of_segments(data, block.n_folds, seed))[-1]
    return calibrated(SVC(C=machine.C), data, block.n_folds, seed)


def fit_mlp(block: MlpProbeBlock, data: TrainingColumns, seed: int) -> BaseEstimator:
    """Fit a network of one hidden layer on standardised columns.

    Args:
        block: Its parameters.
        data: The training segments.
        seed: Seed of the folds, of the initial weights and of the order of the segments.

    Raises:
        TrainingError: If a genre has a single segment, which no fold can leave out.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier((block.n_hidden,), max_iter=block.n_epochs, random_state=seed)
    with warnings.catch_warnings():
        # The number of epochs is part of the recipe.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _chosen(network, {"alpha": block.decays}, data, fold_of_segments(data, block.n_folds, seed))


def fit_knn(block: KnnProbeBlock, data: TrainingColumns, seed: int) -> BaseEstimator:
    """Fit nearest neighbours on standardised columns; a genre's probability is its share of the neighbours.

    Args:
        block: Its parameters.
        data: The training segments.
        seed: Seed of the folds.

    Raises:
        TrainingError: If a genre has a single segment, which no fold can leave out.
    """
    from sklearn.neighbors import KNeighborsClassifier

    folds = fold_of_segments(data, block.n_folds, seed)
    fewest = len(folds) - int(np.bincount(folds).max())
    possible = tuple(dict.fromkeys(min(each, fewest) for each in block.neighbours))
    # By comparison with all: the index of a tree is no file format.
    return _chosen(KNeighborsClassifier(algorithm="brute"), {"n_neighbors": possible}, data, folds)


def _chosen(
    classifier: BaseEstimator, grid: Mapping[str, Sequence[Any]], data: TrainingColumns, folds: NDArray[np.intp]
) -> Pipeline:
    """Return the classifier on standardised columns, fitted to all of them with the strength of the best accuracy."""
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    search = GridSearchCV(
        Pipeline([("scale", StandardScaler()), ("classify", classifier)]),
        {f"classify__{name}": list(values) for name, values in grid.items()},
        scoring="accuracy",
        cv=PredefinedSplit(folds),
    )
    fitted: Pipeline = search.fit(data.columns, data.targets).best_estimator_
    return fitted


for _name, _block, _fit in (
    ("probe_logistic", LogisticProbeBlock, fit_logistic),
    ("probe_svm", SvmProbeBlock, fit_svm),
    ("probe_mlp", MlpProbeBlock, fit_mlp),
    ("probe_knn", KnnProbeBlock, fit_knn),
):
    MODELS.register(
        EstimatorSpec(name=_name, block=_block, fit=_fit, summarise=average_frames, reference=_REFERENCE, version=1)
    )
