"""The classical estimators."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError, TrainingError
from genre_pipeline.models import MODELS, EstimatorSpec, TrainingColumns
from genre_pipeline.models.classical import NaiveBayesBlock, SvmBlock, summarise_frames

ESTIMATORS = sorted(spec.name for spec in MODELS if isinstance(spec, EstimatorSpec))


def blobs(n_each, n_classes, n_columns=4):
    generator = np.random.default_rng(0)
    targets = np.repeat(np.arange(n_classes), n_each)
    columns = generator.normal(size=(len(targets), n_columns)) + 3.0 * targets[:, None]
    return columns, targets


def test_the_registered_estimators():
    assert ESTIMATORS == ["naive_bayes", "probe_knn", "probe_logistic", "probe_mlp", "probe_svm", "svm"]


@settings(derandomize=True, deadline=None, max_examples=20)
@given(slope=st.floats(-8, 8), offset=st.floats(-8, 8), n_frames=st.integers(2, 30))
def test_statistics_of_a_ramp(slope, offset, n_frames):
    ramp = (offset + slope * np.arange(n_frames)).astype(np.float32)
    statistics = summarise_frames(np.stack([ramp, np.full_like(ramp, offset)])[None])
    spread = abs(slope) * np.sqrt((n_frames**2 - 1) / 12)
    expected = [offset + slope * (n_frames - 1) / 2, offset, spread, 0, slope, 0, 0, 0]
    np.testing.assert_allclose(statistics[0], expected, atol=1e-3)


def test_a_single_frame_is_a_summary_already():
    frames = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    np.testing.assert_array_equal(summarise_frames(frames), frames[..., 0])


@pytest.mark.parametrize("family", ESTIMATORS)
@pytest.mark.parametrize("n_classes", [2, 5])
def test_estimators_learn_separable_classes(family, n_classes):
    columns, targets = blobs(8, n_classes)
    spec = MODELS[family]
    estimator = spec.fit(spec.block(), TrainingColumns(columns, targets), 0)
    probabilities = estimator.predict_proba(columns)
    assert probabilities.shape == (len(targets), n_classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert (probabilities.argmax(axis=1) == targets).mean() > 0.9


@pytest.mark.parametrize("family", ESTIMATORS)
def test_the_same_seed_gives_the_same_probabilities(family):
    columns, targets = blobs(6, 3)
    spec = MODELS[family]
    first, second = (spec.fit(spec.block(), TrainingColumns(columns, targets), 5) for _ in range(2))
    assert np.array_equal(first.predict_proba(columns), second.predict_proba(columns))


def test_calibration_makes_do_with_two_segments_of_a_genre():
    columns, targets = blobs(2, 3)
    estimator = MODELS["svm"].fit(SvmBlock(), TrainingColumns(columns, targets), 0)
    assert estimator.predict_proba(columns).shape == (6, 3)


def test_a_genre_with_one_segment_cannot_be_calibrated():
    with pytest.raises(TrainingError, match="Genre number 2, in the order of their names, has a single"):
        MODELS["svm"].fit(SvmBlock(), TrainingColumns(np.zeros((5, 2)), np.array([0, 0, 1, 2, 2])), 0)


@pytest.mark.parametrize("values", [{"c": 0}, {"gamma": -1.0}, {"gamma": "wide"}, {"n_calibration_folds": 1}])
def test_svm_parameters_out_of_range_are_refused(values):
    with pytest.raises(ConfigError, match=rf"architecture\.{next(iter(values))}"):
        parse_block(SvmBlock, values, key="architecture")


def test_naive_bayes_smoothing_cannot_be_negative():
    with pytest.raises(ConfigError, match="var_smoothing"):
        parse_block(NaiveBayesBlock, {"var_smoothing": -1.0}, key="architecture")
