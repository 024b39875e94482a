"""Messages from a training to the process that started it: epochs, log lines, and errors with their type."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from genre_pipeline.errors import ComputeError
from genre_pipeline.training.epochs import EpochRecord

_LOGGER = logging.getLogger("genre_pipeline")


@dataclass(frozen=True)
class Line:
    """A log record.

    Attributes:
        logger: Name of the logger.
        level: Its level.
        text: The message.
    """

    logger: str
    level: int
    text: str

    def log(self) -> None:
        """Log it here."""
        logging.getLogger(self.logger).log(self.level, "%s", self.text)


@dataclass(frozen=True)
class Fault:
    """An exception.

    Attributes:
        error: The exception.
        trace: Its traceback, as text.
    """

    error: Exception
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Fault:
        """Return the exception that is being handled, in a form that can be sent."""
        trace = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, of a moment ago
        except Exception:
            return cls(ComputeError(f"{type(error).__name__}: {error}"), trace)
        return cls(error, trace)


Say = Callable[[EpochRecord | Line], None]


class _Overhearing(logging.Handler):
    """Sends this process's log records to another process."""

    def __init__(self, say: Say) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(Line(record.name, record.levelno, record.getMessage()))


@contextmanager
def overheard(say: Say, level: int) -> Iterator[None]:
    """Send the project's log records from a level on to another process, and nowhere else.

    Args:
        say: Sends a message.
        level: The level, from :func:`log_level` in the receiving process.
    """
    handler, level_before, propagate_before = _Overhearing(say), _LOGGER.level, _LOGGER.propagate
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(level)
    _LOGGER.propagate = False
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.setLevel(level_before)
        _LOGGER.propagate = propagate_before


def log_level() -> int:
    """Return the project's log level in this process."""
    return _LOGGER.getEffectiveLevel()
