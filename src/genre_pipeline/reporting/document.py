"""Pages as documents: blocks of text, tables and figures, written as HTML, as Markdown or for a terminal."""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from genre_pipeline.reporting.wording import NONE, count, percent

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

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


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of text."""

    text: str
    shape: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Bullets:
    """Sentences below each other."""

    texts: Sequence[str]
    shape: ClassVar[str] = "bullets"


@dataclass(frozen=True)
class Facts:
    """A few named values, side by side."""

    values: Mapping[str, str]
    shape: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Glossary:
    """Words with what they mean."""

    meanings: Mapping[str, str]
    shape: ClassVar[str] = "glossary"


@dataclass(frozen=True)
class Names:
    """Many short names, in columns."""

    names: Sequence[str]
    shape: ClassVar[str] = "names"


@dataclass(frozen=True)
class Grid:
    """A table; the key is unique on its page."""

    key: str
    table: Table
    shape: ClassVar[str] = "grid"


@dataclass(frozen=True)
class Bars:
    """How many of something there are in each class: a figure that is a table as well.

    Attributes:
        key: Unique name of the table on its page.
        caption: What it shows.
        heading: What the classes are.
        counts: Class to number.
    """

    key: str
    caption: str
    heading: str
    counts: Mapping[str, int]
    shape: ClassVar[str] = "bars"

    @property
    def greatest(self) -> int:
        """The number that the longest bar stands for."""
        return max(self.counts.values(), default=0)


@dataclass(frozen=True)
class Picture:
    """A picture with its text alternative.

    Attributes:
        title: What it is a picture of, in a word.
        caption: What is read below it.
        alternative: What it shows, for those who cannot see it.
        png: The PNG file.
        width: In pixels.
        height: In pixels.
    """

    title: str
    caption: str
    alternative: str
    png: bytes
    width: int
    height: int

    @property
    def url(self) -> str:
        """The picture itself, as a URL."""
        return f"data:image/png;base64,{b64encode(self.png).decode('ascii')}"


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side."""

    pictures: Sequence[Picture]
    shape: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class Folded:
    """Something long, which opens at a click."""

    summary: str
    block: Names | Grid
    shape: ClassVar[str] = "folded"


Block = Paragraph | Bullets | Facts | Glossary | Names | Grid | Bars | Gallery | Folded


@dataclass(frozen=True)
class Section:
    """A part of the card with its heading; the key is its anchor."""

    key: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Notice:
    """What a reader must not miss: a word, and why."""

    badge: str
    text: str


@dataclass(frozen=True)
class Card:
    """A whole card.

    Attributes:
        title: Its heading.
        name: What it is called in the parameters.
        lead: What it is about, in a sentence or two.
        notices: What a reader must not miss.
        sections: The rest.
    """

    title: str
    name: str
    lead: str
    notices: Sequence[Notice]
    sections: Sequence[Section]


def render_html(card: Card) -> str:
    """Write a card as one HTML page that needs no network and looks like the report.

    Args:
        card: The card.

    Returns:
        The page; the same bytes for the same card. Everything that comes from data is escaped, and a content security
        policy forbids all loading.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    places = ("genre_pipeline.reporting.data_cards", "genre_pipeline.reporting")
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(place, "templates") for place in places]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("card.html").render(card=card)


def render_markdown(card: Card) -> str:
    """Write a card as Markdown (GitHub's, with tables), without the pictures.

    Args:
        card: The card.

    Returns:
        The text; the same bytes for the same card.
    """
    lines = [f"# {escape_markdown(card.title)}", "", f"`{card.name}`: {escape_markdown(card.lead)}"]
    for notice in card.notices:
        lines += ["", f"> **{escape_markdown(notice.badge)}** {escape_markdown(notice.text)}"]
    for section in card.sections:
        lines += ["", f"## {escape_markdown(section.title)}"]
        for block in section.blocks:
            lines += ["", *_markdown(block)]
    return "\n".join([*lines, ""])


def _markdown(block: Block) -> list[str]:
    match block:
        case Paragraph(text):
            lines = [escape_markdown(text)]
        case Bullets(texts):
            lines = [f"- {escape_markdown(text)}" for text in texts]
        case Facts(values) | Glossary(values):
            lines = [f"- **{escape_markdown(name)}**: {escape_markdown(text)}" for name, text in values.items()]
        case Names(names):
            lines = [", ".join(map(escape_markdown, names))]
        case Grid(_, table):
            lines = _markdown_table(table)
        case Bars(_, caption, heading, counts):
            rows = [f"| {escape_markdown(name)} | {n:,} |" for name, n in counts.items()]
            lines = [escape_markdown(caption), "", f"| {escape_markdown(heading)} | Tracks |", "|---|--:|", *rows]
        case Gallery(pictures):
            lines = [f"- **{escape_markdown(each.title)}**: {escape_markdown(each.alternative)}" for each in pictures]
        case Folded(summary, inner):
            lines = [f"**{escape_markdown(summary)}**", "", *_markdown(inner)]
    return lines


def _markdown_table(table: Table) -> list[str]:
    titles = [escape_markdown(column.title) for column in table.columns]
    rules = ["--:" if column.numeric else "---" for column in table.columns]
    rows = [[_markdown_entry(entry) for entry in row] for row in table.rows]
    return [escape_markdown(table.caption), "", *(f"| {' | '.join(entries)} |" for entries in [titles, rules, *rows])]


def _markdown_entry(entry: Entry) -> str:
    text = escape_markdown(entry.text)
    return f"{text} **{escape_markdown(entry.badge)}**" if entry.badge else text


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
