"""The leaderboard as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

import pandas as pd

from genre_pipeline.reporting.wording import (
    FAILED_NOTE,
    LEAKY,
    LEAKY_NOTE,
    REGRESSION_NOTE,
    SHORT_HASH,
    UNKNOWN_NOTE,
    common,
    count,
    duration,
    failed_mark,
    interval,
    marks_of,
    mean_and_sd,
    percent,
    regression_mark,
)
from genre_pipeline.results import part_name, unknown_share

# Wide enough that no name is folded; the table itself is about 100 columns wide [?].
_TERMINAL_WIDTH = 200
_MISSING = "-"


def format_leaderboard(frame: pd.DataFrame) -> str:
    """Show a leaderboard in a terminal, one block per dataset and protocol, about 100 columns wide.

    Names are never cut or folded: long ones make it wider.

    Args:
        frame: What :func:`leaderboard` returned.

    Returns:
        Plain text, with a final newline.
    """
    parts: list[Any] = []
    for dataset, protocol, rows in blocks(frame):
        parts += [_heading(dataset, protocol, rows), _terminal_table(rows), ""]
    parts.append("Test split, in %; accuracy, balanced accuracy and macro-F1 of tracks, then accuracy of segments.")
    if frame["leaky"].any():
        parts.append(f"! LEAKY. {LEAKY_NOTE}")
    if any(map(unknown_share, frame.to_dict("records"))):
        parts.append(f"artists unknown: {UNKNOWN_NOTE}")
    if frame["n_failed"].any():
        parts.append(f"FAILED: {FAILED_NOTE}")
    if (frame["since_previous"] == "regression").any():
        parts.append(f"REGRESSION: {REGRESSION_NOTE}")
    return terminal_text(parts)


def terminal_text(parts: Iterable[Any], *, is_terminal: bool = False) -> str:
    """Render texts and tables of rich.

    Args:
        parts: The texts and tables, each of which begins a line.
        is_terminal: Whether they are for a terminal: with colours, and no wider than it is.

    Returns:
        Text with a final newline; plain unless it is for a terminal.
    """
    from rich.console import Console

    text = StringIO()
    console = Console(
        file=text,
        width=None if is_terminal else _TERMINAL_WIDTH,
        color_system="auto" if is_terminal else None,
        force_terminal=is_terminal,
        legacy_windows=False,
    )
    for part in parts:
        console.print(part, markup=False, highlight=False)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def terminal_table(columns: Sequence[tuple[str, bool]], rows: Iterable[Sequence[Any]]) -> Any:
    """Make a table of rich with a line below the heads.

    Args:
        columns: Head, and whether the column holds numbers, which stand to the right.
        rows: Texts, or what else rich can show.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), collapse_padding=True)
    for head, is_numeric in columns:
        table.add_column(head, justify="right" if is_numeric else "left", no_wrap=is_numeric)
    for row in rows:
        table.add_row(*row)
    return table


def blocks(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Take a leaderboard apart.

    Args:
        frame: What :func:`leaderboard` returned, or its CSV file, which does not distinguish empty from missing.

    Yields:
        The dataset's name with what part of it was used, the protocol, and the rows that belong to both.
    """
    named = frame.assign(subset=frame["subset"].astype("string").fillna(""))
    for (dataset, subset, protocol), rows in named.groupby(["dataset", "subset", "protocol"], sort=True):
        yield part_name(str(dataset), str(subset)), str(protocol), rows


def shown_numbers(row: Mapping[Any, Any]) -> list[str]:
    """Format the numbers of a leaderboard's row, as the terminal and the Markdown report show them.

    Args:
        row: A row of :func:`leaderboard`, by column.

    Returns:
        Track accuracy, its interval, balanced accuracy, macro-F1, segment accuracy, parameters and training time.
    """
    return [
        mean_and_sd(row["track_accuracy_mean"], row["track_accuracy_sd"]),
        interval(row["track_accuracy_ci_low"], row["track_accuracy_ci_high"]),
        percent(row["track_balanced_accuracy_mean"]),
        percent(row["track_macro_f1_mean"]),
        percent(row["segment_accuracy_mean"]),
        count(row["n_parameters"]),
        duration(row["training_s"]),
    ]


def _heading(dataset: str, protocol: str, rows: pd.DataFrame) -> str:
    n_genres = common(rows["n_genres"])
    chance = common(rows["chance_largest_class"].dropna().map(percent)) or _MISSING
    splits = common(rows["split_hash"].str[:SHORT_HASH])
    facts = f"{common(rows['statistic'])}; {n_genres} genres, largest class {chance} %; split {splits}"
    unknown = [mark for mark in marks_of(rows.to_dict("records")) if mark != LEAKY]
    return f"{dataset} · {protocol}: {'; '.join([facts, *unknown])}"


def _marked(row: Mapping[Any, Any]) -> str:
    return " ".join(filter(None, (row["model"], "!" if row["leaky"] else "", failed_mark(row), regression_mark(row))))


def _terminal_table(rows: pd.DataFrame) -> Any:
    numbers = ("accuracy", "interval", "bal.", "F1", "seg.", "params", "training")
    return terminal_table(
        [("model", False), ("feature", False), *((name, True) for name in numbers)],
        [(_marked(row), row["feature"], *shown_numbers(row)) for row in rows.to_dict("records")],
    )
