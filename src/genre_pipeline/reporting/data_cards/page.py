"""A card as a document: sections of plain blocks, which become an HTML page or Markdown."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from genre_pipeline.reporting.views import Entry, Table, escape_markdown


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
