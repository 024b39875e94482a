"""net1 and net2 as published."""

import pytest
import torch
from torch import nn

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError
from genre_pipeline.models import InputShape
from genre_pipeline.models.duplicated_convolutions import (
    DuplicatedConvolutionsBlock,
    build_duplicated_convolutions,
    pool_over_time,
    same_convolution,
)

SMALL = {"n_filters": 4, "n_parallel_filters": 2, "hidden": (5, 3)}


SHAPE = InputShape(n_bins=6, n_frames=10)


def build(variant, shape=SHAPE, n_classes=3, **values):
    block = parse_block(DuplicatedConvolutionsBlock, {"variant": variant, **values}, key="architecture")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_duplicated_convolutions(block, shape, n_classes)


@pytest.mark.parametrize(("variant", "n_parameters"), [("net1", 1_001_162), ("net2", 857_322)])
def test_parameter_counts_are_the_published_ones(variant, n_parameters):
    network = build(variant, InputShape(n_bins=256, n_frames=128), 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == n_parameters


def test_same_convolution_pads_one_frame_before_and_two_after():
    convolution = nn.Conv1d(1, 1, 4, bias=False)
    nn.init.ones_(convolution.weight)
    impulse = torch.zeros(1, 1, 8)
    impulse[0, 0, 3] = 1.0
    # Output frame t sums the input frames t - 1 to t + 2, so frame 3 is seen by 1 to 4.
    assert same_convolution(convolution, impulse).squeeze().tolist() == [0, 1, 1, 1, 1, 0, 0, 0]


def test_pooling_over_time():
    frames = torch.tensor([[[0.0, 1.0, 5.0]]])
    assert pool_over_time(frames, "max").item() == 5.0
    assert pool_over_time(frames, "mean").item() == 2.0


@pytest.mark.parametrize("variant", ["net1", "net2"])
def test_initial_weights_are_glorot_uniform_with_zero_biases(variant):
    network = build(variant, **SMALL)
    bound = (6 / (6 * 4 + 4 * 4)) ** 0.5
    assert 0.8 * bound < network.conv1.weight.abs().max() <= bound
    assert all(not bias.any() for name, bias in network.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("variant", ["net1", "net2"])
def test_l2_is_stronger_on_the_first_convolution_and_only_on_kernels(variant):
    coefficients = build(variant, **SMALL).l2_coefficients()
    n_convolutions = 4 if variant == "net1" else 3
    others = {f"conv{index}.weight": 0.01 for index in range(2, n_convolutions + 1)}
    assert coefficients == {"conv1.weight": 0.02, **others}


@pytest.mark.parametrize("variant", ["net1", "net2"])
def test_dropout_thins_the_copy_only_when_asked(variant):
    batch = torch.rand(2, 6, 10, generator=torch.Generator().manual_seed(0))
    after, before = (build(variant, copy_after_dropout=after, dropout=0.5, **SMALL).train() for after in (True, False))
    full = torch.relu(before.conv1(batch))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert torch.equal(before.first_outputs(batch)[0], full)
        assert not torch.equal(after.first_outputs(batch)[0], full)


@pytest.mark.parametrize("changed", ["first_pooling", "parallel_pooling"])
def test_the_pooling_assignment_changes_the_output_of_net1(changed):
    batch = torch.rand(2, 6, 10, generator=torch.Generator().manual_seed(0))
    usual, other = build("net1", **SMALL).eval(), build("net1", **SMALL, **{changed: "mean"}).eval()
    assert not torch.allclose(usual(batch), other(batch))


def test_segments_shorter_than_the_kernels_are_refused():
    with pytest.raises(ConfigError, match="at least 4 frames.*is 3"):
        build("net1", InputShape(6, 3))


def test_an_unknown_variant_is_refused():
    with pytest.raises(ConfigError, match=r"architecture\.variant: got 'net3'"):
        build("net3")
