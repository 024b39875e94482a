"""Tables of cards: plain values become entries, and long lists are cut."""

from __future__ import annotations

from collections.abc import Sequence

from genre_pipeline.reporting.data_cards.page import Folded, Grid, Names
from genre_pipeline.reporting.views import Column, Entry, Table

# [?] Enough for all faults of a thousand tracks; a page of fourteen such tables has 3 MB.
MAX_ROWS = 500
# [?] Names take less room than rows.
MAX_NAMES = 1000

NOTHING = Entry("\N{EN DASH}", sort="")

Value = str | int | Entry


def numeric(*titles: str) -> list[Column]:
    """Return columns of numbers."""
    return [Column(title, numeric=True) for title in titles]


def texts(*titles: str) -> list[Column]:
    """Return columns of text."""
    return [Column(title) for title in titles]


def grid(key: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Value]]) -> Grid:
    """Make a table of plain values; the first of each row is its header.

    Args:
        key: Unique name of the table on its page.
        caption: What it shows.
        columns: Its columns.
        rows: A value a column.
    """
    return Grid(key, Table(caption, columns, [[_entry(value) for value in row] for row in rows]))


def folded_grid(
    key: str, summary: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Value]], *, source: str
) -> Folded:
    """Make a table that opens at a click, of at most :data:`MAX_ROWS` rows.

    Args:
        key: As for :func:`grid`, and so are the next but one, and the next.
        summary: What is read while it is closed; the number of rows is added.
        caption: What it shows.
        columns: Its columns.
        rows: All of its rows.
        source: The file that has all of them.
    """
    if len(rows) > MAX_ROWS:
        caption += f" These are the first {MAX_ROWS:,} of {len(rows):,}; {source} has them all."
    return Folded(f"{summary} ({len(rows):,})", grid(key, caption, columns, rows[:MAX_ROWS]))


def folded_names(summary: str, names: Sequence[str], *, n_names: int | None = None, source: str) -> Folded:
    """Make a list of names that opens at a click, of at most :data:`MAX_NAMES`.

    Args:
        summary: What is read while it is closed; the number of names is added.
        names: The names that are known.
        n_names: How many there are, where not all are known.
        source: The file that has all of them.
    """
    n_names = n_names or len(names)
    shown = list(names[:MAX_NAMES])
    if n_names > len(shown):
        shown.append(f"… and {n_names - len(shown):,} more: see {source}")
    return Folded(f"{summary} ({n_names:,})", Names(shown))


def _entry(value: Value) -> Entry:
    if isinstance(value, Entry):
        return value
    return Entry(f"{value:,}", sort=float(value)) if isinstance(value, int) else Entry(value)
