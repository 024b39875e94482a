"""Rules that follow the training from epoch to epoch: step sizes, and early stopping."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Protocol

from pydantic import Field

from genre_pipeline.blocks import Block, Epochs, NotNegative
from genre_pipeline.training.epochs import EpochRecord

Monitor = Literal["train_loss", "validation_loss"]


class PlateauBlock(Block):
    """Smaller steps when a loss no longer falls, as in Keras' ``ReduceLROnPlateau``.

    Attributes:
        kind: ``plateau``.
        monitor: The loss that is watched.
        factor: Factor for the step size.
        patience: Epochs without improvement after which that happens; counting then starts again.
        min_delta: What counts as an improvement, absolute. Keras' default [C].
        min_rate: Least step size. Keras' default [C].
    """

    kind: Literal["plateau"]
    monitor: Monitor = "validation_loss"
    factor: float = Field(default=0.1, gt=0.0, lt=1.0)
    patience: Epochs = 10
    min_delta: NotNegative = 1e-4
    min_rate: float = Field(default=0.0, ge=0.0, le=1000.0)


class CosineBlock(Block):
    """Steps that grow during a warm-up, then decrease along half a cosine to zero.

    I. Loshchilov and F. Hutter, SGDR, ICLR 2017, without restarts.

    Attributes:
        kind: ``cosine``.
        warm_up: Share of the training over which steps grow from zero.
    """

    kind: Literal["cosine"]
    warm_up: float = Field(default=0.0, ge=0.0, lt=1.0)


ScheduleBlock = Annotated[PlateauBlock | CosineBlock, Field(discriminator="kind")]


class StoppingBlock(Block):
    """The end of a training when a loss no longer falls, as in Keras' ``EarlyStopping``.

    Attributes:
        monitor: The loss that is watched.
        patience: Epochs without improvement after which training ends.
        min_delta: What counts as an improvement, absolute.
    """

    monitor: Monitor = "validation_loss"
    patience: Epochs
    min_delta: NotNegative = 0.0


class Waiting:
    """Counts the epochs since a loss last improved.

    Args:
        monitor: The loss that is watched.
        min_delta: What counts as an improvement.

    Example:
        >>> waiting = Waiting("train_loss", 0.1)
        >>> [waiting.after_loss(loss) for loss in (1.0, 0.95, 0.85, 0.8, 0.7)]
        [0, 1, 0, 1, 0]
    """

    def __init__(self, monitor: Monitor, min_delta: float) -> None:
        self.monitor = monitor
        self.min_delta = min_delta
        self.best = math.inf
        self.n_epochs = 0

    def after(self, record: EpochRecord) -> int:
        """Record an epoch and return the number of epochs without improvement."""
        return self.after_loss(record.train_loss if self.monitor == "train_loss" else record.validation_loss)

    def after_loss(self, loss: float) -> int:
        """Record a loss and return the number of epochs without improvement."""
        if loss < self.best - self.min_delta:
            self.best = loss
            self.n_epochs = 0
        else:
            self.n_epochs += 1
        return self.n_epochs


class Stalled:
    """The rule that ends a training.

    Args:
        block: Its parameters.
    """

    def __init__(self, block: StoppingBlock) -> None:
        self._patience = block.patience
        self._waiting = Waiting(block.monitor, block.min_delta)

    def after(self, record: EpochRecord) -> bool:
        """Record an epoch and return whether it was the last."""
        return self._waiting.after(record) >= self._patience


class Schedule(Protocol):
    """Step sizes over a training."""

    def rate_at(self, progress: float) -> float:
        """Return the step size after this share of the planned steps."""

    def after_epoch(self, record: EpochRecord) -> None:
        """Record an epoch."""


class ConstantSchedule:
    """One step size throughout."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def rate_at(self, progress: float) -> float:  # noqa: ARG002
        """Return the step size."""
        return self.rate

    def after_epoch(self, record: EpochRecord) -> None:
        """Do nothing."""


class PlateauSchedule(ConstantSchedule):
    """Smaller steps whenever a loss has not improved for some epochs."""

    def __init__(self, rate: float, block: PlateauBlock) -> None:
        super().__init__(rate)
        self.block = block
        self.waiting = Waiting(block.monitor, block.min_delta)

    def after_epoch(self, record: EpochRecord) -> None:
        """Reduce the step size once the patience is used up."""
        if self.waiting.after(record) >= self.block.patience:
            self.rate = max(self.block.min_rate, self.rate * self.block.factor)
            self.waiting.n_epochs = 0


class CosineSchedule(ConstantSchedule):
    """Warm-up, then half a cosine."""

    def __init__(self, rate: float, block: CosineBlock) -> None:
        super().__init__(rate)
        self.block = block

    def rate_at(self, progress: float) -> float:
        """Return the step size after this share of the planned steps."""
        warm_up = self.block.warm_up
        if progress < warm_up:
            return self.rate * progress / warm_up
        return self.rate * 0.5 * (1.0 + math.cos(math.pi * (progress - warm_up) / (1.0 - warm_up)))


def make_schedule(rate: float, block: PlateauBlock | CosineBlock | None) -> Schedule:
    """Make the schedule that a recipe names.

    Args:
        rate: The recipe's step size.
        block: The schedule's parameters; ``None`` means a constant step size.
    """
    if block is None:
        return ConstantSchedule(rate)
    return PlateauSchedule(rate, block) if isinstance(block, PlateauBlock) else CosineSchedule(rate, block)
