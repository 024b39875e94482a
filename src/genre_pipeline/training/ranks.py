"""Several processes that train one network together, each on its share of every batch (data parallelism)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from genre_pipeline.models import GenreNetwork

Value = TypeVar("Value")


class Scores(nn.Module):
    """A network's scores for the loss of a training step, as a module for DDP.

    Args:
        network: The network.
        compute: Its ``training_logits``, or their compiled version.
    """

    def __init__(self, network: GenreNetwork, compute: Any) -> None:
        super().__init__()
        self.network = network
        self.compute = compute

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:
        """Score segments."""
        return cast("Tensor", self.compute(features, targets))


@dataclass(frozen=True)
class Ranks:
    """This process among those that train one network; by default it is alone.

    Attributes:
        rank: Its number. The first keeps the records, evaluates the validation split and writes.
        n: How many there are.
    """

    rank: int = 0
    n: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that reports and writes."""
        return self.rank == 0

    def distribute(self, network: GenreNetwork, compute: Any, device: torch.device) -> Any:
        """Return a function that scores segments, with gradients averaged over all processes.

        Args:
            network: The network, on the device.
            compute: Its ``training_logits``, or their compiled version.
            device: Where it computes.
        """
        if self.n == 1:
            return compute
        devices = [device] if device.type == "cuda" else None
        # Experts that got no segment of a batch have no gradient, nor has a frozen gate.
        has_unused = network.n_experts > 0
        return DistributedDataParallel(Scores(network, compute), device_ids=devices, find_unused_parameters=has_unused)

    def share(self, batch: Tensor) -> tuple[Tensor, float]:
        """Return this process's segments of a batch, and their weight.

        If a batch has fewer segments than there are processes, some processes get a segment of weight zero.

        Example:
            >>> batch = torch.arange(5)
            >>> [Ranks(rank, 3).share(batch) for rank in range(3)]
            [(tensor([0, 3]), 1.0), (tensor([1, 4]), 1.0), (tensor([2]), 1.0)]
            >>> Ranks(2, 3).share(batch[:1])
            (tensor([0]), 0.0)
        """
        own = batch[self.rank :: self.n]
        return (own, 1.0) if len(own) else (batch[:1], 0.0)

    def collecting(self, scores: Any, *, is_last: bool) -> AbstractContextManager[None]:
        """Return the context for a piece of a batch: gradients are averaged with the batch's last piece.

        Args:
            scores: From :meth:`distribute`.
            is_last: Whether it is the batch's last piece.
        """
        return nullcontext() if self.n == 1 or is_last else scores.no_sync()

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.n > 1:
            distributed.all_reduce(values)
        return values

    def agree(self, value: Value) -> Value:
        """Return the first process's value."""
        if self.n == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]

    def reseed(self, seed: int, epoch: int) -> None:
        """Seed this process's own random numbers for an epoch, unless it is the first, whose state is kept.

        Args:
            seed: The training's.
            epoch: The epoch, from 1.
        """
        if not self.is_first:
            torch.manual_seed(int(np.random.SeedSequence([seed, epoch, self.rank]).generate_state(1)[0]))


ALONE = Ranks()
