"""Progress bars for people, silent when the output is not a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[str], None]


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Advance]:
    """Show a bar with the number done, the total, the time left and a note.

    The bar shares rich's console with Kedro's log handler, so that log lines scroll above it.

    Args:
        description: What is being done.
        total: How many steps there are.

    Yields:
        A function to call after each step, with a short note to show at the end of the bar (may be empty).
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
        task = progress.add_task(description, total=total, note="")

        def advance(note: str = "") -> None:
            progress.update(task, advance=1, note=note)

        yield advance
