"""Find where numbers stopped being finite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def watched(network: nn.Module) -> Iterator[list[str]]:
    """Watch the output of each layer of a network.

    Args:
        network: The network.

    Yields:
        A list that collects, in the order of computation, each layer whose output is not all finite.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
        >>> with watched(network) as found:
        ...     _ = network(torch.tensor([[torch.inf]]))
        >>> found[0]
        "the output of layer '0' (Linear)"
    """
    found: list[str] = []

    def look(name: str, layer: nn.Module, output: object) -> None:
        if not all(bool(each.isfinite().all()) for each in _tensors(output)):
            found.append(f"the output of {_layer(name, layer)}")

    def hook(name: str) -> Any:
        return lambda layer, _inputs, output: look(name, layer, output)

    handles = [layer.register_forward_hook(hook(name)) for name, layer in network.named_modules()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def first_not_finite(network: nn.Module, loss: Tensor) -> str | None:
    """Check the results of a training step, in the order of computation, for numbers that are not finite.

    Args:
        network: The network, with its gradients.
        loss: The step's loss.

    Returns:
        The loss, or the gradient nearest to the output, or a weight; ``None`` if all are finite.
    """
    if not loss.isfinite():
        return "the loss itself, of finite outputs"
    parameters = list(network.named_parameters())
    for name, parameter in reversed(parameters):
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            return f"the gradient of '{name}'"
    for name, parameter in parameters:
        if not parameter.isfinite().all():
            return f"the weights '{name}' after the step"
    return None


def _layer(name: str, layer: nn.Module) -> str:
    return f"layer '{name}' ({type(layer).__name__})" if name else "the network"


def _tensors(output: object) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Iterable) and not isinstance(output, str):
        for each in output:
            yield from _tensors(each)
