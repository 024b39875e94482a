"""The convolutional recurrent network."""

import pytest
import torch
from torch import nn

from genre_pipeline.errors import ConfigError
from genre_pipeline.models import InputShape
from genre_pipeline.models.crnn import CrnnBlock, build_crnn


def n_trainable(network):
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


@pytest.mark.parametrize(
    ("n_filters", "n_recurrent", "n_dense", "n_parameters"),
    [((32, 64), 64, 64, 343_690), ((16, 32), 64, 64, 175_978), ((16, 32), 32, 32, 86_346)],
)
def test_parameter_counts_of_the_gru(n_filters, n_recurrent, n_dense, n_parameters):
    block = CrnnBlock(n_filters=n_filters, n_recurrent=n_recurrent, n_dense=n_dense)
    assert n_trainable(build_crnn(block, InputShape(100, 130), 10)) == n_parameters


def test_parameter_count_of_the_lstm_has_one_bias_as_in_keras():
    recurrent = 4 * (1600 * 64 + 64 * 64 + 64)
    others = 343_690 - 3 * (1600 * 64 + 64 * 64 + 2 * 64)
    network = build_crnn(CrnnBlock(cell="lstm"), InputShape(100, 130), 10)
    assert n_trainable(network) == recurrent + others
    assert network.recurrent.bias_ih_l0.tolist() == [0.0] * 64 + [1.0] * 64 + [0.0] * 128
    assert not network.recurrent.bias_hh_l0.any()


def test_batch_normalisation_has_keras_constants():
    network = build_crnn(CrnnBlock(), InputShape(8, 8), 2)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert [(norm.momentum, norm.eps) for norm in norms] == [(0.01, 1e-3)] * 2


def test_the_recurrent_kernel_is_orthogonal():
    kernel = build_crnn(CrnnBlock(), InputShape(8, 8), 2).recurrent.weight_hh_l0
    torch.testing.assert_close(kernel.T @ kernel, torch.eye(64), rtol=0, atol=1e-5)


def test_time_is_the_recurrent_axis():
    network = build_crnn(CrnnBlock(n_filters=(2, 3), n_recurrent=4), InputShape(n_bins=8, n_frames=20), 2)
    seen = []
    network.recurrent.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].shape))
    network.eval()(torch.zeros(1, 8, 20))
    assert seen == [(1, 20 // 4, 3 * 8 // 4)]


def test_longer_segments_are_accepted():
    network = build_crnn(CrnnBlock(), InputShape(n_bins=8, n_frames=16), 2).eval()
    assert network(torch.zeros(1, 8, 40)).shape == (1, 2)


@pytest.mark.parametrize("shape", [InputShape(3, 16), InputShape(16, 3)])
def test_segments_too_small_for_two_poolings_are_refused(shape):
    with pytest.raises(ConfigError, match="at least 4 bins and 4 frames"):
        build_crnn(CrnnBlock(), shape, 2)
