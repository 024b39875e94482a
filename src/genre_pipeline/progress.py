"""Progress bars and log lines for people; where the output is no terminal, a line a minute instead of bars."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

import rich
from rich import get_console
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from typing_extensions import override

Advance = Callable[[str], None]
AddBar = Callable[[str, int], AbstractContextManager[Advance]]

logger = logging.getLogger(__name__)

# [?] Where there are no bars: often enough to see that it goes on, too seldom to bury other lines.
_LINE_EVERY_S = 60.0


@contextmanager
def progress_bars(console: Console | None = None) -> Iterator[AddBar]:
    """Show several bars, one below the other: the number done, the total, the time left and a note.

    They share rich's console with Kedro's log handler, so that log lines scroll above them. Within a session that has
    :func:`one bar <begin_steps>` they are the note at its end instead, and move it.

    Args:
        console: Another console, for bars beside an output that is not to be touched.

    Yields:
        A function that shows a bar with a description and a total, as a context: it yields a function to call after
        each step, with a short note to show at the end of the bar (may be empty).
    """
    if _steps is not None:
        yield _steps.add
        return
    is_shared = console is None
    console = console or get_console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal, redirect_stdout=is_shared
    ) as progress:

        @contextmanager
        def add(description: str, total: int) -> Iterator[Advance]:
            task = progress.add_task(description, total=total, note="")
            n_done, told_at = 0, time.monotonic()

            def advance(note: str = "") -> None:
                nonlocal n_done, told_at
                n_done += 1
                progress.update(task, advance=1, note=note)
                if not (console.is_terminal or _is_quiet) and time.monotonic() - told_at >= _LINE_EVERY_S:
                    told_at = time.monotonic()
                    logger.info("%s: %d of %d%s", description, n_done, total, f", {note}" if note else "")

            try:
                yield advance
            finally:
                # Once more: the last step may have come since the bar was drawn.
                progress.refresh()
                progress.remove_task(task)

        yield add


@contextmanager
def progress_bar(description: str, total: int, *, console: Console | None = None) -> Iterator[Advance]:
    """Show a bar, as :func:`progress_bars` does several.

    Args:
        description: What is being done.
        total: How many steps there are.
        console: See :func:`progress_bars`.

    Yields:
        A function to call after each step, with a short note to show at the end of the bar (may be empty).
    """
    with progress_bars(console) as add, add(description, total) as advance:
        yield advance


def show_no_bars() -> None:
    """Show neither bars nor lines instead of them in this process, whose parent shows them."""
    global _is_quiet  # noqa: PLW0603 - of the whole process
    _is_quiet = True
    rich.reconfigure(force_terminal=False)


class _Steps:
    """The one bar of a session: the steps of a pipeline, by how long each takes.

    Args:
        sizes: For each step, how long it takes, in any unit, and how many bars it shows one after the other.
    """

    def __init__(self, sizes: Mapping[str, tuple[float, int]]) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._sizes = sizes
        self._done: dict[str, float] = {}
        self._lock = threading.Lock()
        self.progress = Progress(*columns, TextColumn("{task.fields[note]}"), console=get_console(), transient=True)
        self._task = self.progress.add_task("", total=sum(size for size, _ in sizes.values()), note="")
        self.progress.start()

    def move(self, name: str, share: float, note: str = "") -> None:
        """Move a step on by a share of itself, or to its end."""
        with self._lock:
            self._done[name] = min(1.0, self._done.get(name, 0.0) + share)
            n_done = sum(self._done.get(step) == 1.0 for step in self._sizes)
            spent = sum(size * self._done.get(step, 0.0) for step, (size, _) in self._sizes.items())
        text = f"{n_done} of {len(self._sizes)} steps"
        self.progress.update(self._task, completed=spent, description=text, note=note)

    @contextmanager
    def add(self, description: str, total: int) -> Iterator[Advance]:
        """Show a bar of the step that runs as a note, and move the step on by it."""
        step, n_shown = _STEP.get(), 0
        _, n_bars = self._sizes.get(step, (0.0, 1))

        def advance(note: str = "") -> None:
            nonlocal n_shown
            n_shown += 1
            # The step itself is not over yet.
            share = 0.99 / (max(1, total) * n_bars)
            self.move(step, share, f"{description}: {n_shown} of {total}{f', {note}' if note else ''}")

        yield advance


_steps: _Steps | None = None
_is_quiet = False
# When a step of the session was named last; none of no session is.
_named_at = float("inf")
# The step that this thread runs.
_STEP = ContextVar("_STEP", default="")


def begin_steps(sizes: Mapping[str, tuple[float, int]]) -> None:
    """Show one bar for a whole session, with the time left, until :func:`end_steps`; none where there is no terminal.

    Args:
        sizes: For each step, how long it takes, in any unit, and how many bars it would show one after the other.
    """
    global _steps, _named_at  # noqa: PLW0603 - a terminal has one bar
    _named_at = time.monotonic()
    if sizes and get_console().is_terminal:
        _steps = _Steps(sizes)


def step_begins(name: str) -> None:
    """Note which step this thread runs; where there is no bar, name one a minute."""
    global _named_at  # noqa: PLW0603
    _STEP.set(name)
    if _steps is None and not _is_quiet and time.monotonic() - _named_at >= _LINE_EVERY_S:
        _named_at = time.monotonic()
        logger.info("%s begins.", name)


def step_ended(name: str) -> None:
    """Move the session's bar over a step that was run or skipped."""
    if _steps is not None:
        _steps.move(name, 1.0)


def end_steps() -> None:
    """Remove the session's bar; more than once does no harm."""
    global _steps  # noqa: PLW0603
    if _steps is not None:
        _steps.progress.stop()
        _steps = None


class _LineHandler(logging.Handler):
    """Writes a plain line per message to the standard output, however long it is."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        moment = logging.Formatter().formatTime(record, "%Y-%m-%d %H:%M:%S")
        line = f"{moment} {record.levelname:<8} {self.format(record)}"
        try:
            get_console().print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
        except (OSError, ValueError):
            self.handleError(record)


def log_in_lines() -> None:
    """Where the output is no terminal, have the log neither wrapped nor padded, as Kedro's handler does to it.

    Kedro takes no other handler than its own and the standard library's from ``conf/logging.yml``.
    """
    root, console = logging.getLogger(), get_console()
    if console.is_terminal or console.is_jupyter:
        return
    for handler in root.handlers:
        if isinstance(handler, RichHandler):
            plain = _LineHandler(handler.level)
            root.removeHandler(handler)
            root.addHandler(plain)
            return
