"""Optimisers against updates computed by hand."""

import copy

import numpy as np
import pytest
import torch

from genre_pipeline.blocks import parse_block
from genre_pipeline.models import MODELS, InputShape
from genre_pipeline.training.optimisers import OPTIMISERS, l2_penalty, parameter_groups


def quadratic_path(name, learning_rate, n_steps=5, weight_decay=0.0):
    """Minimise the sum of squares from (3, -2) and return every point."""
    weights = torch.nn.Parameter(torch.tensor([3.0, -2.0], dtype=torch.float64))
    optimiser = OPTIMISERS[name].build([{"params": [weights], "weight_decay": weight_decay}], learning_rate)
    path = []
    for _ in range(n_steps):
        optimiser.zero_grad()
        weights.square().sum().backward()
        optimiser.step()
        path.append(weights.detach().numpy().copy())
    return np.array(path)


def network(n_bins=4):
    spec = MODELS["duplicated_convolutions"]
    values = {"variant": "net1", "n_filters": 3, "n_parallel_filters": 2, "hidden": (4, 3)}
    values |= {"dropout": 0.0, "dense_dropout": 0.0}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return spec.build(parse_block(spec.block, values, key="x"), InputShape(n_bins, 6), 2).double()


def test_adadelta_follows_the_published_update_with_keras_constants():
    weights, rho, eps = np.array([3.0, -2.0]), 0.95, 1e-7
    squares, changes, path = np.zeros(2), np.zeros(2), []
    for _ in range(5):
        gradient = 2 * weights
        squares = rho * squares + (1 - rho) * gradient**2
        change = -np.sqrt(changes + eps) / np.sqrt(squares + eps) * gradient
        changes = rho * changes + (1 - rho) * change**2
        weights = weights + 1.0 * change
        path.append(weights)
    np.testing.assert_allclose(quadratic_path("adadelta", 1.0), path, rtol=1e-12)


def test_adam_follows_the_published_update():
    weights, first, second, path = np.array([3.0, -2.0]), np.zeros(2), np.zeros(2), []
    for step in range(1, 6):
        gradient = 2 * weights
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        weights = weights - 0.01 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-7)
        path.append(weights)
    np.testing.assert_allclose(quadratic_path("adam", 0.01), path, rtol=1e-12)


def test_a_factor_of_the_step_size_makes_a_group_of_its_own():
    net = network()
    name, first = next(iter(net.named_parameters()))
    net.rate_factors = lambda: {name: 0.25}
    groups = parameter_groups(net, weight_decay=0.1, is_decoupled=True)
    assert [(group["rate_factor"], group["weight_decay"]) for group in groups] == [(0.25, 0.1), (1.0, 0.1)]
    assert groups[0]["params"] == [first]


def test_adamw_shrinks_the_weights_beside_the_gradient():
    plain, decayed = quadratic_path("adamw", 0.01, 1), quadratic_path("adamw", 0.01, 1, weight_decay=0.5)
    np.testing.assert_allclose(plain - decayed, [[0.01 * 0.5 * 3.0, 0.01 * 0.5 * -2.0]], rtol=1e-9)


def test_groups_hold_every_trainable_parameter_once():
    net = network()
    groups = parameter_groups(net, weight_decay=0.001, is_decoupled=False)
    assert {group["weight_decay"]: len(group["params"]) for group in groups} == {
        0.001 + 2 * 0.02: 1,
        0.001 + 2 * 0.01: 3,
        0.001: 4 + 6,
    }
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))


def test_groups_leave_frozen_parameters_out():
    net = network()
    net.conv1.requires_grad_(False)
    groups = parameter_groups(net, weight_decay=0.0, is_decoupled=False)
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters())) - 2


def test_decoupled_decay_leaves_the_penalties_to_the_loss():
    assert [group["weight_decay"] for group in parameter_groups(network(), weight_decay=0.1, is_decoupled=True)] == [
        0.1
    ]


@pytest.mark.parametrize("name", ["adadelta", "adam"])
def test_coupled_groups_equal_the_l2_penalty_in_the_loss(name):
    with_groups, with_penalty = network(), network()
    kind = OPTIMISERS[name]
    optimisers = {
        with_groups: kind.build(parameter_groups(with_groups, weight_decay=0.0, is_decoupled=False), 0.1),
        with_penalty: kind.build(parameter_groups(with_penalty, weight_decay=0.0, is_decoupled=True), 0.1),
    }
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(4, 4, 6, generator=generator, dtype=torch.float64)
    start = copy.deepcopy(with_groups.state_dict())
    for _ in range(4):
        for net, optimiser in optimisers.items():
            loss = net(batch).square().mean()
            optimiser.zero_grad()
            (loss + l2_penalty(net) if net is with_penalty else loss).backward()
            optimiser.step()
    for (key, first), second in zip(with_groups.state_dict().items(), with_penalty.state_dict().values(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-12)
        assert not torch.equal(first, start[key])


def test_a_network_without_penalties_adds_nothing():
    spec = MODELS["crnn"]
    assert l2_penalty(spec.build(spec.block(), InputShape(8, 8), 2)) == 0.0
