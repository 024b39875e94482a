"""Node functions that know which dataset, protocol, feature or model they work for, and plain names of their inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, update_wrapper
from typing import Any

from kedro.pipeline.node import Node


class _Bound(partial[Any]):
    """A partial that keeps its name in another process: multiprocessing leaves out what else partials have."""


def bind(function: Callable[..., Any], node_name: str = "", **known: Any) -> Callable[..., Any]:
    """Fix keyword arguments of a node function and keep its name and documentation for Kedro and Kedro-Viz.

    Args:
        function: The node function.
        node_name: Another name for it, for example ``train_net1``.
        **known: The arguments that the wiring knows.

    Returns:
        A function of the remaining arguments, which can be pickled.
    """
    bound: Any = _Bound(function, **known)
    update_wrapper(bound, function)
    bound.__name__ = node_name or function.__name__
    return bound  # type: ignore[no-any-return]


def gather(
    function: Callable[..., Any], inputs: Mapping[str, str | Sequence[str]]
) -> tuple[Callable[..., Any], list[str]]:
    """Give arguments of a node function several inputs each, as a list: Kedro knows one input per argument.

    Args:
        function: The node function.
        inputs: The input of each argument, or its inputs.

    Returns:
        A function of all inputs in their order, which can be pickled, and these: ``Node(*gather(...), outputs=...)``.

    Example:
        >>> def share(total, parts):
        ...     return [part / total for part in parts]
        >>> function, names = gather(share, {"total": "all", "parts": ["a", "b"]})
        >>> names, function(4, 1, 3)
        (['all', 'a', 'b'], [0.25, 0.75])
    """
    flat = [name for each in inputs.values() for name in ([each] if isinstance(each, str) else each)]
    return _Gathered(
        function, {name: None if isinstance(each, str) else len(each) for name, each in inputs.items()}
    ), flat


class _Gathered:
    """A node function some of whose arguments take several inputs.

    No partial application: a runner of processes sends those without their attributes.

    Args:
        function: The node function.
        layout: For each argument, how many inputs it takes as a list; ``None`` for one that takes a single input.
    """

    def __init__(self, function: Callable[..., Any], layout: Mapping[str, int | None]) -> None:
        # Kedro-Viz shows the source of what is wrapped.
        update_wrapper(self, function.func if isinstance(function, partial) else function)
        self.__name__ = function.__name__
        # Kedro takes the n-th input for the n-th argument, and would make a parameter what that argument is.
        self.__annotations__ = {}
        self.function = function
        self._layout = layout

    def __call__(self, *values: Any) -> Any:
        return self.function(**self.named(values))

    def named(self, values: Iterable[Any]) -> dict[str, Any]:
        """Return what each argument gets of the values, or of the names, of all inputs."""
        following = iter(values)
        return {
            name: next(following) if n is None else [next(following) for _ in range(n)]
            for name, n in self._layout.items()
        }


def arguments_of(node: Node) -> dict[str, str | Sequence[str]]:
    """Return the input of each argument of a node's function, or its inputs.

    Args:
        node: The node.
    """
    if isinstance(node.func, _Gathered):
        return node.func.named(node.inputs)
    # Kedro passes inputs in order.
    return inspect.signature(node.func).bind_partial(*node.inputs).arguments


def known_of(node: Node) -> Mapping[str, Any]:
    """Return the arguments of a node's function that the wiring knows.

    Args:
        node: The node.
    """
    return getattr(node.func.function if isinstance(node.func, _Gathered) else node.func, "keywords", {})


def plain(entries: Iterable[str]) -> dict[str, str]:
    """Give dotted catalog names plain ones, which is what Kedro wants inside a node.

    Args:
        entries: The names, each once or several times.

    Returns:
        Plain name to dotted name, in their order.

    Example:
        >>> plain(["demo.tracks"])
        {'demo__tracks': 'demo.tracks'}
    """
    return {entry.replace(".", "__"): entry for entry in entries}
