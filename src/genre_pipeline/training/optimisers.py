"""Optimisers, by name, with the constants of the frameworks that the papers used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn, optim

from genre_pipeline.models import GenreNetwork
from genre_pipeline.registry import Registry

_KERAS_EPS = 1e-7  # [D] Keras' default for every optimiser
_TORCH_EPS = 1e-8  # [D] torch's default for AdamW

ParameterGroups = list[dict[str, Any]]


@dataclass(frozen=True)
class OptimiserSpec:
    """A kind of optimiser.

    Attributes:
        name: Registered name.
        build: Makes the optimiser from parameter groups, each with its own ``weight_decay``, a learning rate, and the
            constant that is added to the root (``None`` for the framework's).
        is_decoupled: Whether weight decay shrinks the weights directly instead of adding to their gradient. Only
            with coupled decay is an L2 penalty the same as weight decay.
    """

    name: str
    build: Callable[..., optim.Optimizer]
    is_decoupled: bool


OPTIMISERS: Registry[OptimiserSpec] = Registry("optimiser")


def _adadelta(groups: ParameterGroups, learning_rate: float, epsilon: float | None = None) -> optim.Optimizer:
    # rho and eps are Keras' [D]; torch's own defaults are .9 and 1e-6. The update rule is the same.
    return optim.Adadelta(groups, lr=learning_rate, rho=0.95, eps=epsilon or _KERAS_EPS)


def _adam(groups: ParameterGroups, learning_rate: float, epsilon: float | None = None) -> optim.Optimizer:
    # Keras adds eps before the bias correction, torch after it: they differ by less than eps / |gradient|.
    return optim.Adam(groups, lr=learning_rate, eps=epsilon or _KERAS_EPS)


def _adamw(groups: ParameterGroups, learning_rate: float, epsilon: float | None = None) -> optim.Optimizer:
    return optim.AdamW(groups, lr=learning_rate, eps=epsilon or _TORCH_EPS)


OPTIMISERS.register(OptimiserSpec("adadelta", _adadelta, is_decoupled=False))
OPTIMISERS.register(OptimiserSpec("adam", _adam, is_decoupled=False))
OPTIMISERS.register(OptimiserSpec("adamw", _adamw, is_decoupled=True))


def parameter_groups(network: GenreNetwork, *, weight_decay: float, is_decoupled: bool) -> ParameterGroups:
    """Sort a network's trainable parameters into groups of equal weight decay and step size.

    Keras' ``l2(c)`` adds ``c * sum(w ** 2)`` to the loss, whose gradient is that of a coupled weight decay ``2 * c``.
    With a decoupled optimiser the L2 coefficients are left out; then add :func:`l2_penalty` to the loss.

    Args:
        network: The network, with its L2 coefficients and the factors of its step sizes.
        weight_decay: Decay of every parameter, in torch's sense.
        is_decoupled: Whether the optimiser's decay is decoupled.

    Returns:
        One group for each weight decay with each ``rate_factor`` that occurs, in the order of the parameters.
    """
    coefficients = {} if is_decoupled else network.l2_coefficients()
    factors = network.rate_factors()
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            key = (weight_decay + 2.0 * coefficients.get(name, 0.0), factors.get(name, 1.0))
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "rate_factor": factor}
        for (decay, factor), parameters in groups.items()
    ]


def l2_penalty(network: GenreNetwork) -> Tensor | float:
    """Return the sum of ``c * sum(w ** 2)`` over the network's penalised parameters, for decoupled optimisers."""
    coefficients = network.l2_coefficients()
    terms = [coefficient * network.get_parameter(name).square().sum() for name, coefficient in coefficients.items()]
    return sum(terms, start=0.0)
