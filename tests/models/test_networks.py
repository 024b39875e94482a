"""The contract of every registered network."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError
from genre_pipeline.models import MODELS, GenreNetwork, InputShape, NetworkSpec
from genre_pipeline.models.lgnet import LgNet

SHAPE = InputShape(n_bins=32, n_frames=40)


@dataclass(frozen=True)
class Size:
    """One small variant of a family."""

    family: str
    architecture: dict[str, Any]


_CONVOLUTIONS = {"n_filters": 8, "n_parallel_filters": 4, "hidden": (32, 16)}
_CRNN = {"n_filters": (4, 8), "n_recurrent": 8, "n_dense": 8}
_BROADCAST = {"n_blocks": 2, "growth": 8, "norm_momentum": 0.1}
_OURS = {**_BROADCAST, "with_3x3": False, "wide_kernel": "3x3", "initialisation": "lecun_normal"}
_CONVNEXT = {"depths": (1, 1, 1, 1), "widths": (8, 8, 16, 16)}
_MUSICNEXT = {**_CONVNEXT, "block_norm": False, "activation": "elu", "layer_scale": None}
_MARGIN = {"kind": "large_margin", "margin": 2}
_LGNET = {"n_experts": 3, "n_hidden": 8, "width": 4}
SMALL = {
    "net1": Size("duplicated_convolutions", {"variant": "net1", **_CONVOLUTIONS}),
    "net2": Size("duplicated_convolutions", {"variant": "net2", **_CONVOLUTIONS}),
    "nnet1": Size("residual_convolutions", {"n_filters": (8, 8, 12), "hidden": (), "shortcut": False}),
    "nnet1_pooled": Size(
        "residual_convolutions", {"n_filters": (8, 8, 12), "hidden": (), "shortcut": False, "pool_frames": (2, 2)}
    ),
    "nnet2": Size("residual_convolutions", {"n_filters": (8, 8, 8), "hidden": (16, 8)}),
    "crnn_gru": Size("crnn", {"cell": "gru", **_CRNN}),
    "crnn_lstm": Size("crnn", {"cell": "lstm", **_CRNN}),
    "bbnn": Size("broadcast", _BROADCAST),
    "bbnn_remove_3x3": Size("broadcast", {**_BROADCAST, "with_3x3": False}),
    "bbnn_max_pooling": Size("broadcast", {**_BROADCAST, "pooling": "max"}),
    "bbnn_selu": Size("broadcast", {**_BROADCAST, "activation": "selu"}),
    "bbnn_group_norm": Size("broadcast", {**_BROADCAST, "normalisation": "group"}),
    "bbnn_squeeze": Size("broadcast", {**_BROADCAST, "squeeze_reduction": 4}),
    "bbnn_lstm": Size("broadcast", {**_BROADCAST, "n_recurrent": 4}),
    "bbnn_inception_resnet": Size(
        "broadcast", {**_BROADCAST, "n_blocks": 3, "block_kind": "inception_resnet", "residual_width": 16}
    ),
    "bbnn_xception": Size("broadcast", {**_BROADCAST, "block_kind": "separable", "transition": "max"}),
    "broadcast_ours": Size("broadcast", {**_OURS, "transition": "max"}),
    "broadcast_ours_figure": Size("broadcast", _OURS),
    "broadcast_ours_asym": Size("broadcast", {**_OURS, "wide_kernel": "3x1_1x3", "transition_activation": False}),
    "resnet18": Size("resnet", {"depth": 18, "width": 4}),
    "resnet50": Size("resnet", {"depth": 50, "width": 4}),
    "resnet18_margin": Size("resnet", {"depth": 18, "width": 4, "head": _MARGIN}),
    "lgnet_softmax": Size("lgnet", _LGNET),
    "lgnet_sigmoid": Size("lgnet", {**_LGNET, "gate": "sigmoid", "n_hidden": None}),
    "lgnet_linear": Size("lgnet", {**_LGNET, "gate": "linear"}),
    "lgnet_soft": Size("lgnet", {**_LGNET, "routing": "soft"}),
    "lgnet_straight": Size("lgnet", {**_LGNET, "routing": "straight_through"}),
    "convnext": Size("convnext", _CONVNEXT),
    "musicnext_a": Size("convnext", {**_MUSICNEXT, "activation_after": "depthwise", "head": _MARGIN}),
    "musicnext_b": Size("convnext", {**_MUSICNEXT, "activation_after": "expansion"}),
    "lstm": Size("sequence", {"n_recurrent": 8}),
    "bi_lstm": Size("sequence", {"n_recurrent": 8, "n_layers": 2, "bidirectional": True}),
    "fcn": Size("sequence", {"n_filters": (8, 8, 8)}),
    "fcn_lstm": Size("sequence", {"n_filters": (8, 8, 8), "n_recurrent": 4}),
    "short_chunk": Size("short_chunk", {"n_filters": (4, 8), "n_attention": 4}),
    "musicnn": Size("musicnn", {"width": 0.1}),
    "plain_convolutions": Size("plain_convolutions", {"n_filters": (4, 8)}),
    "plain_with_kernels": Size("plain_convolutions", {"n_filters": (4, 8), "n_kernels": 16}),
    "short_chunk_plain": Size("short_chunk", {"n_filters": (4, 8), "n_attention": None}),
}
# A family without a small size is tried as it is by default.
_NETWORKS = {spec.name for spec in MODELS if isinstance(spec, NetworkSpec)}
SMALL |= {name: Size(name, {}) for name in sorted(_NETWORKS - {size.family for size in SMALL.values()})}


def build(size: Size, *, n_classes: int = 3, seed: int = 0) -> GenreNetwork:
    spec = MODELS[size.family]
    block = parse_block(spec.block, size.architecture, key="architecture")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return spec.build(block, SHAPE, n_classes)


def segments(n_segments: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n_segments, SHAPE.n_bins, SHAPE.n_frames, generator=generator)


@pytest.fixture(params=SMALL)
def size(request):
    return SMALL[request.param]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_registered_network_is_tried_and_what_is_listed_is_registered():
    assert {size.family for size in SMALL.values()} == _NETWORKS


@pytest.mark.parametrize("n_classes", [2, 13])
def test_logits_have_one_column_a_genre_and_are_finite(size, n_classes):
    logits = build(size, n_classes=n_classes)(segments(5))
    assert logits.shape == (5, n_classes)
    assert logits.isfinite().all()


def test_every_trainable_parameter_gets_a_gradient(size):
    network = build(size)
    network(segments(8)).square().sum().backward()
    idle = idle_experts(network)
    for name, parameter in network.named_parameters():
        if name.startswith(idle):
            assert parameter.grad is None, name
        elif parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def idle_experts(network):
    """Beginnings of the names of experts that no segment of the last batch was sent to."""
    choices = network.choices()
    if choices is None or network.block.routing == "soft":
        return ()
    return tuple(f"experts.{number}." for number in set(range(network.block.n_experts)) - set(choices.tolist()))


@pytest.mark.parametrize("n_frames", [SHAPE.n_frames + 8, 2 * SHAPE.n_frames])
def test_other_lengths_are_scored_unless_the_architecture_fixes_them(size, n_frames):
    network = build(size).eval()
    longer = torch.randn(2, SHAPE.n_bins, n_frames, generator=torch.Generator().manual_seed(3))
    assert network(longer).shape == (2, 3)


def test_training_logits_are_those_of_forward_or_have_a_smaller_target(size):
    if size.architecture.get("n_kernels"):
        return  # What is fitted before the first step answers, but no step trains it: test_random_convolutions.
    network = build(size).eval()
    batch, targets = segments(6), torch.tensor([0, 1, 2, 0, 1, 2])
    network.begin_step(1, 1.0)
    plain, trained = network(batch), network.training_logits(batch, targets)
    is_target = torch.nn.functional.one_hot(targets, 3).bool()
    torch.testing.assert_close(plain[~is_target], trained[~is_target])
    assert (trained[is_target] <= plain[is_target] + 1e-5).all()


# torch's own way of keeping a recurrent layer's weights, and LGNet's note of its choices.
@pytest.mark.filterwarnings("ignore:The tensor attributes? .* assigned during export:UserWarning")
def test_exports_where_no_batch_decides_which_layers_run(size):
    network = build(size).eval()
    batch = segments(2)
    if isinstance(network, LgNet) and network.block.routing != "soft":
        return
    exported = torch.export.export(network, (batch,)).module()
    torch.testing.assert_close(exported(batch), network(batch), rtol=1e-4, atol=1e-5)


def test_what_is_too_small_is_refused_with_the_numbers(size):
    spec = MODELS[size.family]
    block = parse_block(spec.block, size.architecture, key="architecture")
    if size.family in {"resnet", "lgnet", "sequence", "musicnn"}:
        assert spec.build(block, InputShape(n_bins=32, n_frames=2), 3)(torch.randn(4, 32, 2)).isfinite().all()
        return
    with pytest.raises(ConfigError, match=r"needs? segments of at least .*the feature.*\b2\b"):
        spec.build(block, InputShape(n_bins=32, n_frames=2), 3)


def test_evaluation_does_not_depend_on_the_rest_of_the_batch(size):
    network = build(size).eval()
    batch = segments(4)
    torch.testing.assert_close(network(batch)[2:3], network(batch[2:3]), rtol=1e-5, atol=1e-6)


def test_state_dict_survives_a_file_strictly(size):
    network = build(size, seed=1).eval()
    other = build(size, seed=2).eval()
    batch = segments(3)
    assert not torch.equal(network(batch), other(batch))
    other.load_state_dict(load(save(network.state_dict())), strict=True)
    assert torch.equal(network(batch), other(batch))


def test_the_same_seed_gives_the_same_weights(size):
    first, second = build(size, seed=7).state_dict(), build(size, seed=7).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_no_softmax_inside(size):
    logits = build(size).eval()(segments(6))
    assert not torch.allclose(logits.exp().sum(dim=1), torch.ones(6))
    assert not torch.allclose(logits.sum(dim=1), torch.ones(6))


def test_penalised_names_are_parameters(size):
    network = build(size)
    for name, coefficient in network.l2_coefficients().items():
        assert network.get_parameter(name).ndim > 1
        assert coefficient >= 0


def test_overfits_one_batch(size):
    # A few initial weights of LGNet with a linear gate lead nowhere; one of three must lead there.
    assert any(overfits_one_batch(build(size, seed=seed)) for seed in range(3))


def overfits_one_batch(network):
    for layer in network.modules():
        # Chance decides with dropout whether a network this small can; the question is whether gradients lead there.
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    batch, targets = segments(6), torch.tensor([0, 1, 2, 0, 1, 2])
    optimiser = torch.optim.Adam(network.parameters(), lr=0.003)
    for _ in range(400):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(batch), targets)
        loss.backward()
        optimiser.step()
        if loss < 0.1:
            break
    logits = network(batch).detach()
    is_right = (logits.argmax(dim=1) == targets).all()
    return bool(is_right) and float(torch.nn.functional.cross_entropy(logits, targets)) < 0.3
