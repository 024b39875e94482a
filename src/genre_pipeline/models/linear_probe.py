"""A linear probe: a linear classifier on given embeddings.

To compare embeddings of pretrained models on equal terms, use the weakest reasonable classifier: G. Alain and Y.
Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, ICLR 2017 workshop. The probe uses no
validation or test tracks: cross-validation within the training side chooses the regularisation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre_pipeline.blocks import Block, Positive
from genre_pipeline.errors import TrainingError
from genre_pipeline.models.base import MODELS, EstimatorSpec

if TYPE_CHECKING:
    from sklearn.model_selection import GridSearchCV

_REFERENCE = (
    "G. Alain and Y. Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, ICLR Workshop 2017"
)


class LinearProbeBlock(Block):
    """Parameters of the linear probe.

    Attributes:
        strengths: Inverse regularisation strengths to try, scikit-learn's ``C`` [?].
        n_folds: Folds of the cross-validation on the training side that chooses between them, by log loss; no more
            than the smallest genre has segments [?].
        max_iterations: Most iterations of the solver [?].
    """

    strengths: tuple[Positive, ...] = Field(default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0), min_length=1, max_length=100)
    n_folds: int = Field(default=5, ge=2, le=1000)
    max_iterations: int = Field(default=2000, ge=1, le=1_000_000)


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


def build_linear_probe(block: LinearProbeBlock, targets: NDArray[np.int64], seed: int) -> GridSearchCV:
    """Make the probe: standardised columns, multinomial logistic regression.

    Args:
        block: Its parameters.
        targets: Training targets, shape ``(n_segments,)``; they limit the folds.
        seed: Seed of the folds.

    Returns:
        The unfitted estimator.

    Raises:
        TrainingError: If a genre has a single segment, which no fold can leave out.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes, counts = np.unique(targets, return_counts=True)
    if counts.min() < 2:
        raise TrainingError(
            f"Genre number {classes[counts.argmin()]} has a single training segment, and choosing the regularisation "
            "of the linear probe takes at least 2 of each genre. Use more tracks, or fewer folds."
        )
    return GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=block.max_iterations)),
        {"logisticregression__C": list(block.strengths)},
        scoring="neg_log_loss",
        cv=StratifiedKFold(min(block.n_folds, int(counts.min())), shuffle=True, random_state=seed),
    )


MODELS.register(
    EstimatorSpec(
        name="linear_probe",
        block=LinearProbeBlock,
        build=build_linear_probe,
        summarise=average_frames,
        reference=_REFERENCE,
        version=1,
    )
)
