"""The course of a training: one record per epoch, the selected epoch, when to stop, and progress for the user."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Literal

import pandas as pd

from genre_pipeline.progress import progress_bar


@dataclass(frozen=True)
class EpochRecord:
    """Results of one epoch.

    Attributes:
        epoch: Number of the epoch, from 1.
        n_epochs: Epochs planned.
        train_loss: Mean cross-entropy over the training split during the epoch, with dropout and label smoothing,
            without weight penalties.
        train_accuracy: Share of training segments that were right, under the same conditions.
        validation_loss: Mean cross-entropy over the validation split after the epoch.
        validation_accuracy: Share of validation segments that are right after the epoch.
        learning_rate: The optimiser's step size; zero for estimators, which take no steps.
        seconds: Time the epoch took.
        seconds_left: Estimate of the time until the last planned epoch.
        test_loss: Mean cross-entropy over the test split after the epoch, only where that selects the epoch (leaky).
        test_accuracy: Share of test segments that are right after the epoch, under the same condition.
        gradient_norm: Mean over the steps of the gradient's L2 norm, without coupled weight decay; NaN for estimators.
    """

    epoch: int
    n_epochs: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float
    seconds_left: float
    test_loss: float = math.nan
    test_accuracy: float = math.nan
    gradient_norm: float = math.nan


EpochCallback = Callable[[EpochRecord], None]


def history_table(records: Iterable[EpochRecord]) -> pd.DataFrame:
    """Return one row per epoch, with the record's fields as columns."""
    return pd.DataFrame([asdict(record) for record in records], columns=[each.name for each in fields(EpochRecord)])


def history_records(table: pd.DataFrame) -> list[EpochRecord]:
    """Return the records of a table from :func:`history_table`."""
    return [EpochRecord(*row) for row in table.itertuples(index=False, name=None)]


class Selection:
    """Keeps track of the epoch with the best result.

    Higher accuracy is better; among equal accuracies the lower loss.

    Args:
        side: The split whose result counts.
        patience: Epochs without a better result after which to stop; ``None`` means never.

    Example:
        >>> def record(epoch, accuracy, loss):
        ...     return EpochRecord(epoch, 9, 0.0, 0.0, loss, accuracy, 0.1, 0.0, 0.0)
        >>> selection = Selection("validation", patience=2)
        >>> [selection.update(record(*each)) for each in ((1, 0.5, 1.0), (2, 0.5, 0.9), (3, 0.4, 0.1), (4, 0.5, 0.9))]
        [True, True, False, False]
        >>> selection.best.epoch, selection.is_exhausted
        (2, True)
    """

    def __init__(self, side: Literal["validation", "test"], patience: int | None = None) -> None:
        self._side = side
        self._patience = patience
        self._best: EpochRecord | None = None
        self._n_waited = 0

    @property
    def best(self) -> EpochRecord:
        """The best epoch so far."""
        assert self._best is not None, "no epoch has been seen"
        return self._best

    @property
    def is_exhausted(self) -> bool:
        """Whether the patience is used up."""
        return self._patience is not None and self._n_waited >= self._patience

    def update(self, record: EpochRecord) -> bool:
        """Record an epoch and return whether it is the best so far."""
        is_better = self._best is None or self._rank(record) > self._rank(self._best)
        self._n_waited = 0 if is_better else self._n_waited + 1
        if is_better:
            self._best = record
        return is_better

    def _rank(self, record: EpochRecord) -> tuple[float, float]:
        if self._side == "test":
            return record.test_accuracy, -record.test_loss
        return record.validation_accuracy, -record.validation_loss


@contextmanager
def narrated(label: str, n_epochs: int, on_epoch: EpochCallback | None) -> Iterator[EpochCallback]:
    """Report each epoch: on a progress bar, and to a callback. There are too many for the log.

    Args:
        label: Names what is trained.
        n_epochs: Epochs planned.
        on_epoch: Called with each record as well.

    Yields:
        The function to call with each record.
    """
    with progress_bar(label, n_epochs) as advance:

        def report(record: EpochRecord) -> None:
            advance(note(record))
            if on_epoch is not None:
                on_epoch(record)

        yield report


def note(record: EpochRecord) -> str:
    """Return the text at the end of a training's progress bar."""
    return (
        f"training loss {record.train_loss:.3f}, validation accuracy {record.validation_accuracy:.3f}, "
        f"learning rate {record.learning_rate:.2g}"
    )
