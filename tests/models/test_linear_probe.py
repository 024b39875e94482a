"""The linear probe."""

import numpy as np
import pytest

from genre_pipeline.blocks import parse_block
from genre_pipeline.cells import Cell
from genre_pipeline.errors import ConfigError, TrainingError
from genre_pipeline.features.embeddings import EmbeddingsBlock
from genre_pipeline.models.linear_probe import LinearProbeBlock, average_frames, build_linear_probe
from genre_pipeline.training import SegmentSet, parse_model, train_repeat

N_DIMS = 12


def embeddings(n_each, *, n_classes=3, spread=1.0, seed=0):
    generator = np.random.default_rng(seed)
    targets = np.tile(np.arange(n_classes), n_each)
    centres = 4.0 * np.eye(n_classes, N_DIMS)
    return centres[targets] + spread * generator.normal(size=(len(targets), N_DIMS)), targets


def test_frames_are_averaged():
    frames = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(average_frames(frames), frames.mean(axis=2), atol=1e-6)


def test_noise_wants_more_regularisation_than_signal():
    chosen = {}
    for name, spread in (("signal", 0.5), ("noise", 40.0)):
        columns, targets = embeddings(20, spread=spread)
        probe = build_linear_probe(LinearProbeBlock(), targets, 0).fit(columns, targets)
        chosen[name] = probe.best_params_["logisticregression__C"]
    assert chosen["noise"] <= 0.01 < chosen["signal"]


def test_it_is_the_logistic_regression_of_the_chosen_strength():
    columns, targets = embeddings(10)
    probe = build_linear_probe(LinearProbeBlock(strengths=(0.1,)), targets, 0).fit(columns, targets)
    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    model = probe.best_estimator_[-1]
    logits = scaled @ model.coef_.T + model.intercept_
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probe.predict_proba(columns), expected, atol=1e-9)


def test_two_segments_of_a_genre_are_enough_and_one_is_not():
    columns, targets = embeddings(2)
    assert build_linear_probe(LinearProbeBlock(), targets, 0).fit(columns, targets).predict(columns).shape == (6,)
    with pytest.raises(TrainingError, match="Genre number 2 has a single training segment"):
        build_linear_probe(LinearProbeBlock(), np.array([0, 0, 1, 1, 2]), 0)


@pytest.mark.parametrize("values", [{"strengths": []}, {"strengths": [0.0]}, {"n_folds": 1}, {"max_iterations": 0}])
def test_parameters_out_of_range_are_refused(values):
    with pytest.raises(ConfigError, match=rf"architecture\.{next(iter(values))}"):
        parse_block(LinearProbeBlock, values, key="architecture")


def test_a_trained_probe_survives_the_disk(tmp_path):
    def segments(seed):
        columns, targets = embeddings(12, seed=seed)
        return SegmentSet(columns[:, :, None].astype(np.float32), targets.astype(np.int64))

    feature = EmbeddingsBlock(kind="embeddings", path=tmp_path, n_dims=N_DIMS)
    model = parse_model("linear_probe", {"family": "linear_probe", "feature": "embeddings"})
    checkpoint = train_repeat(
        cell=Cell("demo", "artist_kfold", "embeddings", "linear_probe"),
        repeat=0,
        seed=0,
        genres=("blues", "jazz", "rock"),
        feature=feature,
        model=model,
        train=segments(0),
        validation=segments(1),
        inputs="0123456789abcdef",
        leaky=False,
        folder=tmp_path / "repeat_00",
    )
    test = segments(2)
    probabilities = checkpoint.predictor().predict_probabilities(test.features)
    assert (probabilities.argmax(axis=1) == test.targets).mean() > 0.9
