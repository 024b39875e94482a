"""What pages and Markdown reports are made of: tables and figures as data, and how their numbers are worded."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from genre_pipeline.evaluation.comparison import count, percent

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
# A space at which lines do not break.
PERCENT = "\N{NO-BREAK SPACE}%"
_MARKUP = re.compile(r"([\\`*\[\]<>|#&]|(?<!\w)_|_(?!\w))")


@dataclass(frozen=True)
class Glyph:
    """A small drawing in a table: a mean, its interval and the chance level, each between 0 and 1."""

    mean: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True)
class Entry:
    """A table's entry: what is read, what it sorts by (the text by default), and decoration; prose may break."""

    text: str
    sort: float | str | None = None
    badge: str = ""
    glyph: Glyph | None = None
    prose: bool = False

    @property
    def sort_key(self) -> str:
        """The value that the page's script sorts by; empty values come last."""
        if self.sort is None:
            return self.text
        return "" if isinstance(self.sort, float) and math.isnan(self.sort) else str(self.sort)


@dataclass(frozen=True)
class Column:
    """A table's column; numbers are aligned to the right and sorted as numbers."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table, whose rows' first entries are headers."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Entry]]


@dataclass(frozen=True)
class Option:
    """One choice of a figure's menu: what Plotly changes, and the sentence that then describes the figure."""

    label: str
    caption: str
    args: Sequence[Any]


@dataclass(frozen=True)
class FigureView:
    """A figure of the page with its text alternative."""

    key: str
    title: str
    caption: str
    content: Mapping[str, Any]
    options: Sequence[Option] = ()
    menu: str = ""

    @property
    def payload(self) -> dict[str, Any]:
        """What the page's script draws."""
        return {**self.content, "options": [[option.caption, *option.args] for option in self.options]}


def figure_view(
    figure: Figure, *, key: str, title: str, captions: Mapping[str, str] | str, height: int, menu: str = ""
) -> FigureView:
    """Take a figure's title and menu out of it: the page has its own, which are text and reachable by keyboard.

    Args:
        figure: The figure, in the style of :mod:`genre_pipeline.reporting.figures`; annotations are left out.
        key: Its id on the page.
        title: Its heading.
        captions: The sentence that says what it shows, which is also its text alternative; one for each label of its
            menu if it has one.
        height: In pixels.
        menu: What the menu chooses.
    """
    content = json.loads(figure.to_json())
    layout = content["layout"]
    menus = layout.pop("updatemenus", [])
    layout.pop("title", None)
    layout["annotations"] = []
    layout["height"] = height
    layout["margin"] = {"l": 8, "r": 24, "t": 12, "b": 8}
    options = []
    if not isinstance(captions, str):
        for button in menus[0]["buttons"]:
            data, changes = button["args"]
            changes = {name: value for name, value in changes.items() if not name.startswith("title")}
            options.append(Option(button["label"], captions[button["label"]], [data, changes]))
    caption = captions if isinstance(captions, str) else options[0].caption
    return FigureView(key, title, caption, {"data": content["data"], "layout": layout}, options, menu)


def share_entry(share: float) -> Entry:
    """Show a share in percent."""
    return Entry(percent(share, NONE), sort=share)


def count_entry(value: Any) -> Entry:
    """Show a count, or that there is none."""
    return Entry(count(value, NONE), sort=math.nan if value is None or pd.isna(value) else float(value))


def points(share: float) -> str:
    """Show a difference of shares in points, with its sign.

    Example:
        >>> points(0.034), points(0.0)
        ('+3.4', '0.0')
    """
    text = f"{abs(100 * share):.1f}"
    return text if text == "0.0" else f"{'+' if share > 0 else MINUS}{text}"


def points_interval(low: float, high: float) -> str:
    """Show an interval of a difference of shares in points, with its signs."""
    return NONE if math.isnan(low) else f"{points(low)} to {points(high)}"


def plural(n: int, noun: str) -> str:
    """Count things in words.

    Example:
        >>> plural(1, "cell"), plural(2000, "cell")
        ('1 cell', '2,000 cells')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def enumerated(names: Iterable[str]) -> str:
    """Join names as a sentence does.

    Example:
        >>> enumerated(["net1", "net2", "svm"])
        'net1, net2 and svm'
    """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def escape_markdown(text: str) -> str:
    r"""Keep Markdown, and the HTML within it, from reading signs in a text as markup; blanks become single spaces.

    Example:
        >>> print(escape_markdown("_net1_ <b> of log_mel"))
        \_net1\_ \<b\> of log_mel
    """
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def markdown_table(table: Table) -> list[str]:
    """Write a table as lines of Markdown.

    Example:
        >>> columns = [Column("Model"), Column("Accuracy", numeric=True)]
        >>> markdown_table(Table("", columns, [[Entry("net1"), Entry("81.0")]]))
        ['| Model | Accuracy |', '|---|--:|', '| net1 | 81.0 |']
    """
    return [
        f"| {' | '.join(escape_markdown(column.title) for column in table.columns)} |",
        f"|{'|'.join('--:' if column.numeric else '---' for column in table.columns)}|",
        *(f"| {' | '.join(escape_markdown(entry.text) for entry in row)} |" for row in table.rows),
    ]
