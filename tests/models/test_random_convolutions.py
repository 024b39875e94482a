"""Random convolutions beside a network."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from genre_pipeline.errors import ConfigError
from genre_pipeline.models import InputShape
from genre_pipeline.models.plain_convolutions import PlainConvolutionsBlock, build_plain_convolutions
from genre_pipeline.models.random_convolutions import RandomConvolutions

SHAPE = InputShape(n_bins=8, n_frames=40)
N_KERNELS = 7


@pytest.fixture
def kernels():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return RandomConvolutions(SHAPE, N_KERNELS, 3)


@pytest.fixture
def segments():
    generator = torch.Generator().manual_seed(1)
    targets = torch.arange(30) % 3
    return torch.randn(30, SHAPE.n_bins, SHAPE.n_frames, generator=generator) + targets[:, None, None] / 2, targets


def test_each_kernel_gives_its_largest_value_and_its_share_of_positive_values(kernels, segments):
    features = segments[0][:2]
    # 1 + 8 * 4 frames fit in 40, 1 + 8 * 8 do not; the first distance has the kernel that is left over.
    assert kernels.dilations == [1, 2, 4]
    found = kernels.describe(features).numpy()
    assert found.shape == (2, 2 * N_KERNELS)
    expected = []
    for dilation, chosen in ((1, [0, 1, 2]), (2, [3, 4]), (4, [5, 6])):
        values = np.stack(
            [
                [
                    float(kernels.biases[kernel])
                    + sum(
                        float(kernels.kernels[kernel, 0, tap])
                        * (kernels.bands[kernel] @ features[:, :, frame + tap * dilation].T).numpy()
                        for tap in range(9)
                    )
                    for frame in range(SHAPE.n_frames - 8 * dilation)
                ]
                for kernel in chosen
            ]
        )
        shares = np.clip(values / 0.2 + 0.5, 0.0, 1.0)
        expected += [values.max(axis=1).T, shares.mean(axis=1).T]
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), atol=1e-5)


def test_kernels_span_neighbouring_bins_and_sum_to_zero(kernels):
    for row in kernels.bands:
        (near,) = row.nonzero(as_tuple=True)
        assert len(near) >= 1
        assert near.tolist() == list(range(int(near[0]), int(near[-1]) + 1))
    torch.testing.assert_close(kernels.kernels.sum(dim=2), torch.zeros(N_KERNELS, 1), atol=1e-5, rtol=0)


def test_the_classifier_is_a_penalised_logistic_regression(kernels, segments):
    features, targets = segments
    features[:, :, :] = features * 3.0 + 1.0
    assert torch.equal(kernels(features), torch.zeros(30, 3))
    kernels.fit(features.split(7), targets, decay=0.1)
    columns = kernels.describe(features).double().numpy()
    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    # Its penalty counts the bias as one more weight.
    reference = LogisticRegression(C=1 / (0.1 * 30), fit_intercept=False, tol=1e-8, max_iter=10_000)
    expected = reference.fit(np.c_[scaled, np.ones(30)], targets).predict_proba(np.c_[scaled, np.ones(30)])
    np.testing.assert_allclose(kernels(features).softmax(dim=1).numpy(), expected, atol=1e-4)


def test_constant_columns_and_a_genre_without_segments_do_no_harm(kernels, segments):
    features, targets = segments
    features[:, 0] = 0.0
    kernels.bands[0] = 0.0
    kernels.fit([features], targets % 2, decay=0.2)
    probabilities = kernels(features).softmax(dim=1)
    assert probabilities.isfinite().all()
    assert float(probabilities[:, 2].max()) < 0.2


def test_segments_may_be_too_short():
    with pytest.raises(ConfigError, match=r"at least 9 frames; the feature gives 8\. Choose longer .* n_kernels 0"):
        RandomConvolutions(InputShape(n_bins=8, n_frames=8), 4, 3)


def test_they_count_as_much_as_the_members_which_learn_without_them(segments):
    features, targets = segments
    block = PlainConvolutionsBlock(n_filters=(4,), dropout=0.0, n_members=2, n_kernels=5)
    network = build_plain_convolutions(block, SHAPE, 3).eval()
    network.begin_training([features], targets)
    members = torch.stack([member(features) for member in network.members])
    both = [members.mean(dim=0).log_softmax(dim=1), network.kernels(features).log_softmax(dim=1)]
    torch.testing.assert_close(network(features), sum(both) / 2)
    torch.testing.assert_close(network.training_logits(features, targets)[:15], members[0, :15])
    network.training_logits(features, targets).sum().backward()
    assert all(parameter.grad is None for parameter in network.kernels.parameters())
