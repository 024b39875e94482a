"""Attributions: completeness, and functions whose contributions are known."""

import numpy as np
import pytest
import torch

from genre_pipeline.errors import CheckpointError
from genre_pipeline.training.attribution import (
    attribute_by_occlusion,
    attribute_network,
    integrated_gradients,
    log_odds,
)
from tiny_music import make_tiny_music, train_tiny


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="module")
def features(music):
    return music.data().segment_set(0, "test").features


@pytest.fixture(scope="module")
def network(music, tmp_path_factory):
    return train_tiny(music, tmp_path_factory.mktemp("net") / "repeat_00").predictor(device="cpu")


@pytest.fixture(scope="module")
def estimator(music, tmp_path_factory):
    return train_tiny(music, tmp_path_factory.mktemp("nb") / "repeat_00", model="naive_bayes").predictor()


class TestIntegratedGradients:
    def test_a_linear_functions_contributions_are_its_terms(self):
        rng = torch.Generator().manual_seed(0)
        weights, inputs, baselines = (torch.randn(3, 4, 5, generator=rng, dtype=torch.float64) for _ in range(3))
        found = integrated_gradients(lambda x: (weights[: len(x)] * x).sum(dim=(1, 2)), inputs, baselines, n_steps=1)
        assert np.allclose(found.contributions, weights * (inputs - baselines))

    def test_a_product_is_shared_evenly(self):
        # f = x y from the origin: both integrals are x y / 2.
        inputs = torch.tensor([[3.0, 5.0]], dtype=torch.float64)
        found = integrated_gradients(lambda x: x[:, 0] * x[:, 1], inputs, torch.zeros_like(inputs), n_steps=2)
        assert np.allclose(found.contributions, [[7.5, 7.5]])
        assert np.allclose(found.explained, [15.0])

    @pytest.mark.parametrize("n", [1, 65])
    def test_contributions_sum_to_the_difference(self, n):
        inputs = torch.linspace(-2.0, 2.0, 3 * n, dtype=torch.float64).reshape(n, 3)
        found = integrated_gradients(lambda x: x.tanh().exp().prod(dim=1), inputs, 0 * inputs - 1, n_steps=20)
        assert np.allclose(found.contributions.sum(axis=1), found.explained, atol=1e-9)
        assert np.allclose(found.explained, inputs.tanh().exp().prod(dim=1) - np.exp(3 * np.tanh(-1.0)))


class TestNetworks:
    def test_contributions_sum_to_what_the_network_says_more_than_of_the_baseline(self, network, features):
        found = attribute_network(network, features, 1, n_steps=128)
        p = network.predict_probabilities(features)[:, 1]
        mean = network.normalisation.mean.numpy()
        p_baseline = network.predict_probabilities(np.broadcast_to(mean, features.shape))[:, 1]
        expected = np.log(p / (1 - p)) - np.log(p_baseline / (1 - p_baseline))
        assert found.contributions.shape == features.shape
        assert np.allclose(found.explained, expected, atol=1e-3)
        # Completeness, up to the kinks of rectifiers and the maxima of pooling.
        assert np.abs(found.contributions.sum(axis=(1, 2)) - expected).max() < 0.02 * np.abs(expected).max() + 0.01

    def test_a_network_on_numbers_as_they_are_begins_from_the_least(self, network, features, monkeypatch):
        from genre_pipeline.training.segments import Normalisation

        monkeypatch.setattr(network, "normalisation", Normalisation("none"))
        found = attribute_network(network, features, 0, n_steps=2)
        silence = np.broadcast_to(features.min(axis=(1, 2), keepdims=True), features.shape)
        loud, quiet = (network.predict_probabilities(each)[:, 0] for each in (features, silence))
        assert np.allclose(found.explained, np.log(loud / (1 - loud)) - np.log(quiet / (1 - quiet)), atol=1e-3)
        assert (found.contributions[features == silence] == 0).all()

    def test_the_network_is_as_it_was(self, network, features):
        before = network.predict_probabilities(features)
        attribute_network(network, features, 1, n_steps=2)
        assert np.array_equal(network.predict_probabilities(features), before)
        assert all(parameter.grad is None for parameter in network.network.parameters())


class TestOcclusion:
    def test_only_what_the_model_hears_counts(self, estimator, features):
        class OneBin:
            """Sure of the first class as far as the mean of its bins 2 and 3 in the first half goes."""

            def predict_probabilities(self, segments):
                p = 1 / (1 + np.exp(-segments[:, 2:4, :8].mean(axis=(1, 2))))
                return np.stack([p, 1 - p], axis=1)

        # Both halves are constant, the second the quieter.
        segments = np.zeros((2, 8, 16), dtype=np.float32)
        segments[:, :, :8] = 2.0
        found = attribute_by_occlusion(OneBin(), segments, 0, n_rows=4, n_columns=2)
        heard = np.zeros((8, 16), dtype=bool)
        heard[2:4, :8] = True
        # From 2 to the least, 0: a loss of 2, over 16 numbers.
        assert np.allclose(found.contributions[:, heard], 2 / 16)
        assert np.allclose(found.contributions[:, ~heard], 0.0)
        assert np.allclose(found.explained, 2.0)

    def test_a_single_frame_is_masked_by_the_least_of_all_segments(self):
        class FirstBin:
            """Sure of the first class as far as the first bin goes."""

            def predict_probabilities(self, segments):
                p = 1 / (1 + np.exp(-segments[:, 0, 0]))
                return np.stack([p, 1 - p], axis=1)

        segments = np.array([[[1.0], [5.0]], [[3.0], [9.0]]], dtype=np.float32)
        found = attribute_by_occlusion(FirstBin(), segments, 0, n_rows=2, n_columns=4)
        assert np.allclose(found.contributions, [[[0.0], [0.0]], [[2.0], [0.0]]])
        assert np.allclose(found.explained, [0.0, 2.0])

    def test_any_model_can_be_explained(self, estimator, network, features):
        for model in (estimator, network):
            found = attribute_by_occlusion(model, features, 0, n_rows=99, n_columns=4)
            assert found.contributions.shape == features.shape
            assert np.isfinite(found.contributions).all()
        assert np.abs(found.contributions).max() > 0

    def test_segments_of_another_shape_are_refused(self, estimator):
        with pytest.raises(CheckpointError, match="trained on segments of 8 bins"):
            attribute_by_occlusion(estimator, np.zeros((1, 9, 16), dtype=np.float32), 0, n_rows=2, n_columns=2)


def test_log_odds_are_those_of_the_softmax():
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0]], dtype=torch.float64)
    p = logits.softmax(dim=1)[:, 1]
    assert torch.allclose(log_odds(logits, 1), (p / (1 - p)).log())
