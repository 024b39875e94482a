"""Progress bars and log lines for people; there are no bars where the output is no terminal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import rich
from rich import get_console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typing_extensions import override

Advance = Callable[[str], None]
AddBar = Callable[[str, int], AbstractContextManager[Advance]]


@contextmanager
def progress_bars() -> Iterator[AddBar]:
    """Show several bars, one below the other: the number done, the total, the time left and a note.

    They share rich's console with Kedro's log handler, so that log lines scroll above them.

    Yields:
        A function that shows a bar with a description and a total, as a context: it yields a function to call after
        each step, with a short note to show at the end of the bar (may be empty).
    """
    console = get_console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        @contextmanager
        def add(description: str, total: int) -> Iterator[Advance]:
            task = progress.add_task(description, total=total, note="")

            def advance(note: str = "") -> None:
                progress.update(task, advance=1, note=note)

            try:
                yield advance
            finally:
                # Once more: the last step may have come since the bar was drawn.
                progress.refresh()
                progress.remove_task(task)

        yield add


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Advance]:
    """Show a bar, as :func:`progress_bars` does several.

    Args:
        description: What is being done.
        total: How many steps there are.

    Yields:
        A function to call after each step, with a short note to show at the end of the bar (may be empty).
    """
    with progress_bars() as add, add(description, total) as advance:
        yield advance


def show_no_bars() -> None:
    """Show no bars in this process, whose parent shows them."""
    rich.reconfigure(force_terminal=False)


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
