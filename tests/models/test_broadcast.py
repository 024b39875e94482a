"""Broadcast networks as published: exact parameter counts, and what Table III changes."""

import pytest
import torch
from torch import nn

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError
from genre_pipeline.models import InputShape
from genre_pipeline.models.broadcast import BroadcastBlock, build_broadcast

CLIP = InputShape(n_bins=128, n_frames=646)
OURS = {"n_blocks": 4, "with_3x3": False, "wide_kernel": "3x3", "initialisation": "lecun_normal"}
XCEPTION = {"n_blocks": 4, "block_kind": "separable", "transition": "max"}


def build(n_classes=10, shape=CLIP, **values):
    block = parse_block(BroadcastBlock, values, key="architecture")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_broadcast(block, shape, n_classes)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("values", "n_parameters"),
    [
        pytest.param({}, 185_642, id="BBNN"),
        pytest.param({"n_classes": 13}, 185_741, id="BBNN for 13 classes"),
        pytest.param({**OURS, "transition": "max"}, 178_154, id="4-block net as released"),
        pytest.param(OURS, 179_178, id="4-block net as drawn"),
        pytest.param({**OURS, "wide_kernel": "3x1_1x3", "transition": "max"}, 165_994, id="asymmetric"),
        pytest.param({"with_3x3": False}, 157_898, id="remove 3x3"),
        pytest.param({"wide_kernel": "3x3"}, 136_490, id="replace 5x5"),
        pytest.param({"n_blocks": 1}, 45_738, id="1 block"),
        pytest.param({"n_blocks": 2}, 106_986, id="2 blocks"),
        pytest.param({"n_blocks": 5}, 395_178, id="5 blocks"),
        pytest.param({"pooling": "max"}, 185_642, id="global max pooling"),
        pytest.param({"dropout": 0.4}, 185_642, id="dropout"),
        pytest.param({"activation": "selu"}, 185_642, id="SELU"),
        pytest.param({"normalisation": "group"}, 185_642, id="group normalisation"),
        pytest.param({"squeeze_reduction": 8, "transition": "max"}, 197_594, id="squeeze-and-excitation"),
        pytest.param({"squeeze_reduction": 8}, 198_362, id="squeeze-and-excitation with BBNN's transition"),
        pytest.param(XCEPTION, 143_338, id="Xception"),
        # A normalisation of all 544 channels instead of one of 32.
        pytest.param({**XCEPTION, "transition": "average"}, 143_338 + 2 * (544 - 32), id="Xception, BBNN's transition"),
    ],
)
def test_parameter_counts_are_the_published_ones(values, n_parameters):
    assert count(build(**values)) == n_parameters


def test_removing_the_3x3_saves_what_the_paper_says():
    assert count(build()) - count(build(with_3x3=False)) == 27_744


@pytest.mark.parametrize(("values", "n_channels"), [({}, 416), (OURS, 544)])
def test_channels_after_the_last_block(values, n_channels):
    assert build(**values).n_broadcast_channels == n_channels


def test_the_4_block_net_has_22_convolutions_of_which_5_are_3x3():
    kernels = [layer.kernel_size for layer in build(**OURS).modules() if isinstance(layer, nn.Conv2d)]
    assert (len(kernels), kernels.count((3, 3)), kernels.count((1, 1))) == (22, 5, 17)


def test_the_stem_pools_time_only():
    network = build(growth=2, n_blocks=1)
    assert network.stem(torch.zeros(1, 1, 646, 128)).shape == (1, 2, 161, 128)


def test_batch_normalisation_is_keras():
    norms = [layer for layer in build().modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.01, 1e-3)}


def test_group_normalisation_has_16_channels_a_group():
    norms = [layer for layer in build(normalisation="group").modules() if isinstance(layer, nn.GroupNorm)]
    assert {norm.num_channels // norm.num_groups for norm in norms} == {16}
    assert {norm.num_groups for norm in norms} == {2, 10, 18, 26}


def test_kernels_are_glorot_uniform_and_the_4_block_nets_lecun_normal():
    bbnn, ours = build(), build(**OURS)
    first = bbnn.stem[0].weight
    bound = (6 / (9 + 9 * 32)) ** 0.5
    assert 0.9 * bound < first.abs().max() <= bound
    widest = ours.transition[2].weight
    assert widest.std().item() == pytest.approx((1 / 544) ** 0.5, rel=0.05)
    assert widest.abs().max() <= 2 * (1 / 544) ** 0.5 / 0.8796
    for network in (bbnn, ours):
        assert all(not bias.any() for name, bias in network.named_parameters() if name.endswith("bias"))


def test_squeeze_weighs_whole_channels():
    network = build(squeeze_reduction=4, growth=4, n_blocks=1)
    squeeze = network.blocks[0].squeeze
    maps = torch.rand(2, 16, 3, 5, generator=torch.Generator().manual_seed(0))
    ratio = squeeze(maps) / maps
    torch.testing.assert_close(ratio, ratio[:, :, :1, :1].expand_as(ratio))


def test_too_small_segments_are_refused():
    with pytest.raises(ConfigError, match="at least 8 frames and 2 bins.* 7 frames and 128 bins"):
        build(shape=InputShape(n_bins=128, n_frames=7))


def test_groups_have_16_channels_or_as_many_as_divide_theirs():
    layers = [each for each in build(normalisation="group", growth=8).modules() if isinstance(each, nn.GroupNorm)]
    assert {each.num_channels // each.num_groups for each in layers} == {8}
    layers = [each for each in build(normalisation="group").modules() if isinstance(each, nn.GroupNorm)]
    assert {each.num_channels // each.num_groups for each in layers} == {16}
