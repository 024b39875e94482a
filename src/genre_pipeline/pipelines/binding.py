"""Node functions that know which dataset, protocol, feature or model they work for, and plain names of their inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, update_wrapper
from typing import Any


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
