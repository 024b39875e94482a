"""Node functions that know which dataset, protocol, feature or model they work for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any


def bind(function: Callable[..., Any], node_name: str = "", **known: Any) -> Callable[..., Any]:
    """Fix keyword arguments of a node function and keep its name and documentation for Kedro and Kedro-Viz.

    Args:
        function: The node function.
        node_name: Another name for it, for example ``train_net1``.
        **known: The arguments that the wiring knows.

    Returns:
        A function of the remaining arguments, which can be pickled.
    """
    bound: Any = partial(function, **known)
    update_wrapper(bound, function)
    bound.__name__ = node_name or function.__name__
    return bound  # type: ignore[no-any-return]
