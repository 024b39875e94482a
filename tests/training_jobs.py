"""Trainings that processes of their own do: run by ``test_workers.py``."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import train_until_killed
from genre_pipeline.training import Checkpoint
from genre_pipeline.training.workers import Job


def job(folder: Path, repeat: int, train: Any = train_until_killed.train, **options: Any) -> Job:
    """Return a job whose seed is the repeat's number."""
    where = folder / f"repeat_{repeat:02d}"
    return Job(repeat, f"net, repeat {repeat}", partial(train, where, seed=repeat, **options))


def die_once(folder: Path, *, on_epoch: Any, slot: int, **options: Any) -> Checkpoint:
    """Train, but die after the fourth epoch where nobody did before."""
    mark = folder.with_name(f"{folder.name}.killed")

    def dying(record: Any) -> None:
        on_epoch(record)
        if record.epoch == 4 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return train_until_killed.train(folder, on_epoch=dying, slot=slot, **options)


def die(folder: Path, *, on_epoch: Any, slot: int, **options: Any) -> Checkpoint:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("killed")


def leave(folder: Path, *, on_epoch: Any, slot: int, **options: Any) -> Checkpoint:
    os._exit(3)


def meet(folder: Path, *, on_epoch: Any, slot: int, seed: int, pipe: str) -> Checkpoint:
    """Train after another training has begun, and say in a file which slot it was."""
    with open(pipe, "rb" if seed else "wb"):  # noqa: PTH123 - opening waits for the other end
        folder.with_name(f"slot_{slot}").touch()
    return train_until_killed.train(folder, on_epoch=on_epoch, slot=slot, seed=seed)


class StrangeError(Exception):
    """Takes more arguments than it tells, so that it cannot be sent."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def fail(folder: Path, *, on_epoch: Any, slot: int, seed: int, strange: bool = False) -> Checkpoint:
    if strange:
        raise StrangeError("not ", "expected")
    raise ZeroDivisionError("not expected")


def go_on_for_ever(folder: Path, *, on_epoch: Any, slot: int, seed: int) -> Checkpoint:
    # So long a training would be tried compiled.
    recipe = {"max_epochs": 100_000, "patience": None, "compile": False}
    return train_until_killed.train(folder, on_epoch=on_epoch, slot=slot, seed=seed, **recipe)
