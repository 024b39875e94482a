"""Classifiers as modules: the probabilities of scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from genre_pipeline.errors import ConfigError
from genre_pipeline.exports.estimators import estimator_module
from genre_pipeline.models import MODELS, EstimatorSpec, TrainingColumns

FAMILIES = ["naive_bayes", "svm", "probe_logistic", "probe_svm", "probe_mlp", "probe_knn"]


def segments_of(n_classes, n_frames, seed):
    rng = np.random.default_rng(seed)
    targets = np.repeat(np.arange(n_classes), 20)
    segments = rng.standard_normal((len(targets), 4, n_frames)) + targets[:, None, None] * [[0.5], [-0.3], [0.0], [0.2]]
    return segments.astype(np.float32), targets


def test_every_estimator_is_tried():
    assert sorted(FAMILIES) == sorted(spec.name for spec in MODELS if isinstance(spec, EstimatorSpec))


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_probabilities_are_those_of_scikit_learn(family, n_classes):
    spec = MODELS[family]
    n_frames = 1 if n_classes == 3 else 6
    segments, targets = segments_of(n_classes, n_frames, seed=0)
    estimator = spec.fit(spec.block(), TrainingColumns(spec.summarise(segments), targets), 0)
    others, _ = segments_of(n_classes, n_frames, seed=1)
    others[0] *= 100.0
    found = estimator_module(estimator, spec.summarise)(torch.from_numpy(others)).numpy()
    np.testing.assert_allclose(found, estimator.predict_proba(spec.summarise(others)), atol=2e-6)


def test_another_classifier_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"^A classifier of the class RandomForestClassifier cannot be exported"):
        estimator_module(RandomForestClassifier(), MODELS["svm"].summarise)
