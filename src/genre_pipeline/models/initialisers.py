"""Initial weights and normalisation layers with the constants of the frameworks that the papers used."""

from __future__ import annotations

import math

import torch
from torch import nn

KERAS_NORM_MOMENTUM = 0.01
"""Keras' .99 in torch's sense: the share of the running statistics that each batch replaces [C]."""

KERAS_NORM_EPS = 1e-3
"""Keras' default [C]."""

# [D] Standard deviation of a standard normal variable cut off at two standard deviations: Keras divides by it, so that
# the truncated weights have the requested variance.
_TRUNCATED_STD = 0.87962566103423978


def glorot_uniform(network: nn.Module) -> None:
    """Draw every convolution and dense layer with Keras' defaults: Glorot-uniform kernels, zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def lecun_normal_(weight: torch.Tensor) -> torch.Tensor:
    """Fill a kernel like Keras' ``lecun_normal``: a truncated normal of variance ``1 / fan_in``.

    Args:
        weight: Kernel, shape ``(out, in, ...)``. Changed in place.

    Returns:
        The kernel.

    Example:
        >>> with torch.random.fork_rng():
        ...     _ = torch.manual_seed(0)
        ...     weight = lecun_normal_(torch.empty(400, 100))
        >>> round(float(weight.std()), 2), bool(weight.abs().max() <= 0.2 / 0.8796)
        (0.1, True)
    """
    fan_in = weight[0].numel()
    std = math.sqrt(1.0 / fan_in) / _TRUNCATED_STD
    return nn.init.trunc_normal_(weight, std=std, a=-2.0 * std, b=2.0 * std)


def lecun_normal_convolutions(network: nn.Module) -> None:
    """Draw every convolution's kernel with :func:`lecun_normal_`; biases and dense layers stay as they are."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            lecun_normal_(module.weight)


def keras_recurrent(layer: nn.RNNBase) -> None:
    """Draw a recurrent layer like Keras: Glorot-uniform inputs, orthogonal recurrence, zero biases.

    An LSTM's forget gate bias starts at one. Keras' LSTM has one bias where torch adds two: the second stays zero and
    is not trained.

    Args:
        layer: A GRU or LSTM, of any number of directions and layers. Changed in place.
    """
    for name, parameter in layer.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter)
        elif name.startswith("weight_hh"):
            nn.init.orthogonal_(parameter)
        else:
            nn.init.zeros_(parameter)
            if isinstance(layer, nn.LSTM):
                if name.startswith("bias_hh"):
                    parameter.requires_grad_(False)
                else:
                    with torch.no_grad():
                        # torch orders the gates input, forget, cell, output.
                        parameter.chunk(4)[1].fill_(1.0)
