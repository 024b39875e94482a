"""Routing: which expert the validation segments of each genre were sent to, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from genre_pipeline.models import GenreNetwork

Counts = NDArray[np.int64]
"""How many segments of each genre went to each expert, shape ``(n_experts, n_classes)``."""


@contextmanager
def noted_choices(network: GenreNetwork) -> Iterator[list[Tensor]]:
    """Record the experts to which a network sends segments.

    Args:
        network: Any network.

    Yields:
        A list that collects the choices of each batch, shape ``(batch,)``; it stays empty without experts.
    """
    noted: list[Tensor] = []

    def note(*_: object) -> None:
        choices = network.choices()
        if choices is not None:
            noted.append(choices)

    handle = network.register_forward_hook(note)
    try:
        yield noted
    finally:
        handle.remove()


def count_choices(choices: Sequence[Tensor], targets: Tensor, *, shape: tuple[int, int]) -> Tensor:
    """Count how many segments of each genre went to each expert.

    Args:
        choices: The experts that the segments were sent to, by batch.
        targets: The segments' genres, shape ``(n_segments,)``.
        shape: Number of experts and of genres.

    Returns:
        Counts of that shape, on the CPU.

    Example:
        >>> count_choices([torch.tensor([0, 0]), torch.tensor([2])], torch.tensor([1, 1, 0]), shape=(3, 2)).tolist()
        [[0, 2], [0, 0], [1, 0]]
    """
    n_experts, n_classes = shape
    cells = torch.cat(list(choices)) * n_classes + targets
    return torch.bincount(cells, minlength=n_experts * n_classes).reshape(shape).cpu()


def routing_table(epochs: Sequence[Tensor], genres: Sequence[str]) -> pd.DataFrame:
    """Write the counts of all epochs as a table.

    Args:
        epochs: Each epoch's counts, shape ``(n_experts, n_classes)``.
        genres: The genres, in order.

    Returns:
        One row per epoch (from 1), expert (from 0) and genre: ``epoch``, ``expert``, ``genre``, ``n_segments``.
    """
    counts = torch.stack(list(epochs)).numpy()
    index = pd.MultiIndex.from_product(
        [range(1, len(counts) + 1), range(counts.shape[1]), genres], names=["epoch", "expert", "genre"]
    )
    return pd.DataFrame({"n_segments": counts.ravel()}, index=index).reset_index()


def routing_counts(table: pd.DataFrame, genres: Sequence[str]) -> dict[int, Counts]:
    """Read a routing table.

    Args:
        table: What :func:`routing_table` returned.
        genres: The genres, in the order wanted for the counts.

    Returns:
        The counts of each epoch.
    """
    grid = table.pivot_table(index=["epoch", "expert"], columns="genre", values="n_segments", aggfunc="sum")
    ordered = grid[list(genres)]
    return {
        int(epoch): ordered.xs(epoch, level="epoch").to_numpy(dtype=np.int64) for epoch in sorted(set(table["epoch"]))
    }


def expert_loads(counts: Counts) -> NDArray[np.float64]:
    """Return the share of the segments that each expert got.

    Example:
        >>> expert_loads(np.array([[1, 2], [1, 0]])).tolist()
        [0.75, 0.25]
    """
    loads: NDArray[np.float64] = counts.sum(axis=1) / counts.sum()
    return loads


def routing_entropy(counts: Counts) -> float:
    """Return how evenly the experts are used: the entropy of their loads, divided by that of equal loads.

    Returns:
        From 0 (one expert gets everything, or there is only one) to 1 (equal loads).

    Example:
        >>> routing_entropy(np.array([[3, 0], [0, 3]])), routing_entropy(np.array([[3, 3], [0, 0]]))
        (1.0, 0.0)
    """
    loads = expert_loads(counts)
    busy = loads[loads > 0]
    return abs(float((busy * np.log(busy)).sum())) / math.log(max(2, len(loads)))


def routing_metrics(counts: Counts) -> dict[str, float]:
    """Name loads and entropy as MLflow shows them: ``expert_load_0``, ..., ``routing_entropy``."""
    loads = {f"expert_load_{number}": float(load) for number, load in enumerate(expert_loads(counts))}
    return {**loads, "routing_entropy": routing_entropy(counts)}
