"""Classical baselines on summary statistics: a support vector machine and Gaussian naive Bayes.

LGNet's comparison names both without their settings; the settings here are scikit-learn's defaults [?]. They expect
cepstral coefficients, whose means, deviations and changes describe timbre in a few numbers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from genre_pipeline.blocks import Block, NotNegative, Positive
from genre_pipeline.models.base import MODELS, EstimatorSpec, TrainingColumns
from genre_pipeline.models.inner_folds import fold_of_segments

if TYPE_CHECKING:
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import Pipeline
    from sklearn.svm import SVC

_REFERENCE = "G. Tzanetakis and P. Cook, Musical genre classification of audio signals, IEEE TSAP 10(5), 2002"


class SvmBlock(Block):
    """Parameters of the support vector machine with a Gaussian kernel.

    Attributes:
        c: Penalty of training errors [?].
        gamma: Width of the kernel: a number, ``scale`` (one over the number of columns times their variance) or
            ``auto`` (one over the number of columns) [?].
        n_calibration_folds: Folds of the cross-validation that fits the probabilities; each keeps a track's
            segments together [?].
    """

    c: Positive = 1.0
    gamma: Positive | Literal["scale", "auto"] = "scale"
    n_calibration_folds: int = Field(default=5, ge=2, le=1000)


class NaiveBayesBlock(Block):
    """Parameters of Gaussian naive Bayes.

    Attributes:
        var_smoothing: Share of the largest variance that is added to every variance [?].
    """

    var_smoothing: NotNegative = 1e-9


def summarise_frames(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Describe each segment by the mean and the standard deviation of its coefficients and of their changes.

    Args:
        features: Segments, shape ``(n_segments, n_bins, n_frames)``.

    Returns:
        Shape ``(n_segments, 4 * n_bins)``: means, standard deviations, then both for the first difference between
        neighbouring frames. For segments of a single frame (hand-made statistics, already a summary), that frame, shape
        ``(n_segments, n_bins)``.

    Example:
        >>> summarise_frames(np.array([[[0.0, 2.0, 4.0]]], dtype=np.float32)).round(3).tolist()
        [[2.0, 1.633, 2.0, 0.0]]
    """
    if features.shape[-1] == 1:
        return features[..., 0].astype(np.float64)
    changes = np.diff(features, axis=-1)
    statistics = [features.mean(axis=-1), features.std(axis=-1), changes.mean(axis=-1), changes.std(axis=-1)]
    # In float64, because newer releases of scikit-learn compute in the input's type.
    return np.concatenate(statistics, axis=1).astype(np.float64)


def fit_svm(block: SvmBlock, data: TrainingColumns, seed: int) -> Pipeline:
    """Fit the support vector machine: standardised columns, Gaussian kernel, probabilities by Platt's sigmoid.

    Args:
        block: Its parameters.
        data: The training segments.
        seed: Seed of the calibration's folds.

    Raises:
        TrainingError: If a genre has a single segment, so that its probabilities cannot be calibrated.
    """
    from sklearn.svm import SVC

    return calibrated(SVC(C=block.c, gamma=block.gamma), data, block.n_calibration_folds, seed)


def calibrated(machine: SVC, data: TrainingColumns, n_folds: int, seed: int) -> Pipeline:
    """Fit a support vector machine on standardised columns, then its probabilities.

    Args:
        machine: The unfitted machine.
        data: The training segments.
        n_folds: Folds in which the sigmoid is fitted to scores of segments whose tracks the machine has not seen. They
            may share artists: where a genre has two or three, scores of unseen ones are so poor that a sigmoid fitted
            to them can fall where it should rise.
        seed: Seed of the folds.

    Raises:
        TrainingError: If a genre has a single segment.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import PredefinedSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # One machine is fitted on everything; the folds only serve to fit the sigmoid on scores of unseen segments.
    by_track = replace(data, groups=data.groups[1:])
    folds = PredefinedSplit(fold_of_segments(by_track, n_folds, seed))
    sigmoids = CalibratedClassifierCV(machine, method="sigmoid", ensemble=False, cv=folds)
    fitted: Pipeline = make_pipeline(StandardScaler(), sigmoids).fit(data.columns, data.targets)
    return fitted


def fit_naive_bayes(block: NaiveBayesBlock, data: TrainingColumns, _seed: int) -> GaussianNB:
    """Fit Gaussian naive Bayes.

    Args:
        block: Its parameters.
        data: The training segments.
    """
    from sklearn.naive_bayes import GaussianNB

    fitted: GaussianNB = GaussianNB(var_smoothing=block.var_smoothing).fit(data.columns, data.targets)
    return fitted


MODELS.register(
    EstimatorSpec(name="svm", block=SvmBlock, fit=fit_svm, summarise=summarise_frames, reference=_REFERENCE, version=2)
)
MODELS.register(
    EstimatorSpec(
        name="naive_bayes",
        block=NaiveBayesBlock,
        fit=fit_naive_bayes,
        summarise=summarise_frames,
        reference=_REFERENCE,
        version=1,
    )
)
