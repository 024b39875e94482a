"""The contract of every registered network."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from genre_pipeline.blocks import parse_block
from genre_pipeline.models import MODELS, GenreNetwork, InputShape, NetworkSpec

SHAPE = InputShape(n_bins=12, n_frames=16)


@dataclass(frozen=True)
class Size:
    """One small variant of a family."""

    family: str
    architecture: dict[str, Any]


_CONVOLUTIONS = {"n_filters": 8, "n_parallel_filters": 4, "hidden": (32, 16)}
_CRNN = {"n_filters": (4, 8), "n_recurrent": 8, "n_dense": 8}
SMALL = {
    "net1": Size("duplicated_convolutions", {"variant": "net1", **_CONVOLUTIONS}),
    "net2": Size("duplicated_convolutions", {"variant": "net2", **_CONVOLUTIONS}),
    "crnn_gru": Size("crnn", {"cell": "gru", **_CRNN}),
    "crnn_lstm": Size("crnn", {"cell": "lstm", **_CRNN}),
}


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


def test_every_registered_network_has_a_small_size_here():
    networks = {spec.name for spec in MODELS if isinstance(spec, NetworkSpec)}
    assert networks == {size.family for size in SMALL.values()}


@pytest.mark.parametrize("n_classes", [2, 13])
def test_logits_have_one_column_a_genre_and_are_finite(size, n_classes):
    logits = build(size, n_classes=n_classes)(segments(5))
    assert logits.shape == (5, n_classes)
    assert logits.isfinite().all()


def test_every_trainable_parameter_gets_a_gradient(size):
    network = build(size)
    network(segments(8)).square().sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


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
    network = build(size)
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
    assert (network(batch).argmax(dim=1) == targets).all()
    assert torch.nn.functional.cross_entropy(network(batch), targets) < 0.3
