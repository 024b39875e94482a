"""A page as a document: sections of plain blocks, rendered as HTML, as Markdown or for a terminal."""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from genre_pipeline.reporting.wording import LEAKY, NONE, count, percent
from genre_pipeline.results.cell import is_missing

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

# [?] Enough for all faults of a thousand tracks; a page of fourteen such tables has 3 MB.
MAX_ROWS = 500
# [?] Names take less room than rows.
MAX_NAMES = 1000
# Wide enough that no name of a cell is folded [?].
_PIPE_WIDTH = 200
_MARKUP = re.compile(r"([\\`*\[\]<>|#&]|(?<!\w)_|_(?!\w))")


@dataclass(frozen=True)
class Span:
    """Part of a text that looks different, or links somewhere: a word to its meaning, see :func:`word`."""

    text: str
    look: Literal["code", "cite", "strong", "badge", "unit", "range", "link", "word"]
    url: str = ""


Text = str | Sequence[str | Span]


def word(text: str, meaning: str = "") -> Span:
    """Link a word to its meaning in the page's glossary, whose word it is unless another is given."""
    return Span(text, "word", f"#{word_key(meaning or text)}")


def word_key(text: str) -> str:
    """Return the anchor of a word of the glossary."""
    return f"word-{re.sub(r'[^a-z0-9_]+', '-', text.lower())}"


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of text; the look is a class of the style sheet."""

    text: Text
    look: Literal["", "muted", "big", "best"] = ""


@dataclass(frozen=True)
class Code:
    """A command, as it is typed."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """Sentences below each other."""

    texts: Sequence[Text]


@dataclass(frozen=True)
class Facts:
    """A few named values, side by side."""

    values: Mapping[str, str]


@dataclass(frozen=True)
class Glossary:
    """Words with what they mean."""

    meanings: Mapping[str, str]


@dataclass(frozen=True)
class Names:
    """Many short names, in columns."""

    names: Sequence[str]


@dataclass(frozen=True)
class Glyph:
    """A small drawing in a table: a mean, its interval and the chance level, each between 0 and 1."""

    mean: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True)
class TableEntry:
    """A table's entry: its text, what it sorts by (the text by default), and decoration.

    Attributes:
        text: What is read.
        sort: What it sorts by; NaN comes last.
        badge: A warning beside the text.
        glyph: A drawing beside the text.
        prose: Whether the text breaks into lines.
        is_alarm: Whether a terminal shows it in red.
        url: Where the text leads on a page, if anywhere.
        run: Where its run in MLflow is, if it has one that can be opened.
        audio: Where audio is that a page plays in the entry's place.
    """

    text: str
    sort: float | str | None = None
    badge: str = ""
    glyph: Glyph | None = None
    prose: bool = False
    is_alarm: bool = False
    url: str = ""
    run: str = ""
    audio: str = ""

    @property
    def sort_key(self) -> str:
        """The value that the page's script sorts by; empty values come last."""
        if self.sort is None:
            return self.text
        return "" if isinstance(self.sort, float) and math.isnan(self.sort) else str(self.sort)

    @property
    def is_leaky(self) -> bool:
        """Whether the badge marks the row as leaky."""
        return LEAKY in self.badge.split(" · ")


NOTHING = TableEntry(NONE, sort=math.nan)
Value = str | int | TableEntry


@dataclass(frozen=True)
class Column:
    """A table's column; numbers are aligned to the right and sorted as numbers."""

    title: str
    numeric: bool = False


def numeric(*titles: str) -> list[Column]:
    """Return columns of numbers."""
    return [Column(title, numeric=True) for title in titles]


def texts(*titles: str) -> list[Column]:
    """Return columns of text."""
    return [Column(title) for title in titles]


@dataclass(frozen=True)
class Table:
    """A table, whose rows' first entries are headers.

    Attributes:
        key: Its id on the page, unique there.
        caption: What it shows.
        columns: Its columns.
        rows: One value per column; numbers are counts.
        is_sortable: Whether a click on a column's head sorts the rows.
        filter: An example of what to filter by; empty if rows cannot be filtered.
        is_ranking: Whether leaky rows are below the others, however the rows are sorted.
    """

    key: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    is_sortable: bool = True
    filter: str = ""
    is_ranking: bool = True

    @property
    def entries(self) -> list[list[TableEntry]]:
        """The rows, each value with what it sorts by; in a ranking, leaky ones below the others."""
        rows = [[_entry(value) for value in row] for row in self.rows]
        return sorted(rows, key=lambda row: row[0].is_leaky) if self.is_ranking else rows


def _entry(value: Value) -> TableEntry:
    if isinstance(value, TableEntry):
        return value
    return count_entry(value) if isinstance(value, int) else TableEntry(value)


def share_entry(share: float) -> TableEntry:
    """Show a share in percent."""
    return TableEntry(percent(share, NONE), sort=share)


def count_entry(value: Any) -> TableEntry:
    """Show a count, or that there is none."""
    return TableEntry(count(value, NONE), sort=math.nan if is_missing(value) else float(value))


def number_entry(value: float, show: Callable[[float], str]) -> TableEntry:
    """Show a number, or that there is none."""
    return NOTHING if math.isnan(value) else TableEntry(show(value), sort=value)


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


@dataclass(frozen=True)
class Picture:
    """A picture with its text alternative, and what is heard, if that is at hand.

    Attributes:
        title: What it is a picture of, in a word.
        caption: What is read below it.
        alternative: What it shows, for those who cannot see it; read in its place where there is none.
        png: The PNG file; empty if there is none.
        width: In pixels; 0 for the file's own.
        height: In pixels; 0 for the file's own.
        curves: Points of curves below it, in an area of 100 by 20.
        spoken: What the curves show, for those who cannot see them.
        audio: Where the audio is.
        key: Its anchor, if it has one.
    """

    title: str
    caption: Text
    alternative: str
    png: bytes
    width: int = 0
    height: int = 0
    curves: Sequence[str] = ()
    spoken: str = ""
    audio: str = ""
    key: str = ""

    @property
    def url(self) -> str:
        """The picture itself, as a URL."""
        return f"data:image/png;base64,{b64encode(self.png).decode('ascii')}"


@dataclass(frozen=True)
class Option:
    """One choice of a figure's menu: what Plotly changes, and the sentence that then describes the figure."""

    label: str
    caption: str
    args: Sequence[Any]


@dataclass(frozen=True)
class Figure:
    """A figure that the reader can point at, with its text alternative; see :func:`figure`."""

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


def figure(
    drawn: PlotlyFigure, *, key: str, title: str, captions: Mapping[str, str] | str, height: int, menu: str = ""
) -> Figure:
    """Take a figure's title and menu out of it: the page has its own, which are text and reachable by keyboard.

    Args:
        drawn: The figure, in the style of :mod:`genre_pipeline.reporting.figures`; annotations are left out.
        key: Its id on the page.
        title: Its heading.
        captions: The sentence that says what it shows, which is also its text alternative; one for each label of its
            menu if it has one.
        height: In pixels.
        menu: What the menu chooses.
    """
    content = json.loads(drawn.to_json())
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
    return Figure(key, title, caption, {"data": content["data"], "layout": layout}, options, menu)


@dataclass(frozen=True)
class TrackSearch:
    """A field that looks for a track, and shows what models said of it; only a page has it.

    Attributes:
        key: Its id on the page.
        content: ``cells`` and ``tracks``, as :mod:`genre_pipeline.reporting.sections.tracks` writes them.
    """

    key: str
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Folded:
    """Something long, which opens at a click."""

    summary: str
    blocks: Sequence[Block]
    is_open: bool = False


@dataclass(frozen=True)
class Article:
    """Blocks in a frame, below a heading; what is marked cannot be compared with the others. The key is its anchor."""

    title: Text
    blocks: Sequence[Block]
    is_marked: bool = False
    key: str = ""


@dataclass(frozen=True)
class Group:
    """Blocks side by side; the look is a class of the style sheet. Menus of linked figures follow each other."""

    look: Literal["grid", "gallery", "findings", "columns", "stack"]
    blocks: Sequence[Block]
    is_linked: bool = False


Block = (
    Paragraph
    | Code
    | Bullets
    | Facts
    | Glossary
    | Names
    | Table
    | Bars
    | Picture
    | Figure
    | TrackSearch
    | Folded
    | Article
    | Group
)


@dataclass(frozen=True)
class Section:
    """A part of a document with its heading, which may be empty.

    Attributes:
        key: Its anchor.
        title: Its heading.
        blocks: What it holds.
        nav: Its name in the navigation; the heading by default.
    """

    key: str
    title: str
    blocks: Sequence[Block]
    nav: str = ""


@dataclass(frozen=True)
class Notice:
    """What a reader must not miss: a word, why, and more about it."""

    badge: str
    text: str
    blocks: Sequence[Block] = ()


@dataclass(frozen=True)
class Document:
    """A whole page.

    Attributes:
        title: Its heading.
        name: What it is called in the parameters; empty if nothing is.
        lead: What it is about, in a sentence or two.
        notices: What a reader must not miss.
        sections: The rest.
        created: When it was made; empty for what only depends on its data.
        is_narrow: Whether it is for reading, and not for wide tables.
    """

    title: str
    name: str
    lead: str
    notices: Sequence[Notice]
    sections: Sequence[Section]
    created: str = ""
    is_narrow: bool = True


def folded_table(summary: str, table: Table, *, source: str) -> Folded:
    """Fold a table, and cut it to :data:`MAX_ROWS` rows.

    Args:
        summary: What is read while it is closed; the number of rows is added.
        table: The table.
        source: The file that has all rows.
    """
    n_rows = len(table.rows)
    if n_rows > MAX_ROWS:
        caption = f"{table.caption} These are the first {MAX_ROWS:,} of {n_rows:,}; {source} has them all."
        table = replace(table, caption=caption, rows=table.rows[:MAX_ROWS])
    return Folded(f"{summary} ({n_rows:,})", [table])


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
    return Folded(f"{summary} ({n_names:,})", [Names(shown)])


def _all_blocks(blocks: Sequence[Block]) -> Iterator[Block]:
    """Yield blocks with all that are within them."""
    for block in blocks:
        yield block
        if isinstance(block, Folded | Article | Group):
            yield from _all_blocks(block.blocks)


def render_html(document: Document) -> str:
    """Write a document as one HTML page that needs no network.

    Args:
        document: The document.

    Returns:
        The page; the same bytes for the same document. Everything that comes from data is escaped, and a content
        security policy forbids all loading but that of local audio, where there is some.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("genre_pipeline.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["word_key"] = word_key
    plotly = ""
    blocks = [block for section in document.sections for block in _all_blocks(section.blocks)]
    if any(isinstance(block, Figure) for block in blocks):
        from plotly.offline import get_plotlyjs

        plotly = get_plotlyjs()
    # A report's tracks and pictures are beside figures.
    plays = plotly or any(
        entry.audio for block in blocks if isinstance(block, Table) for row in block.entries for entry in row
    )
    return environment.get_template("document.html").render(document=document, plotly=plotly, plays=plays)


def render_markdown(document: Document) -> str:
    """Write a document as Markdown (GitHub's, with tables), without pictures and drawings.

    Args:
        document: The document.

    Returns:
        The text; the same bytes for the same document.
    """
    name = f"`{document.name}`: " if document.name else ""
    lines = [f"# {escape_markdown(document.title)}", "", f"{name}{escape_markdown(document.lead)}"]
    for notice in document.notices:
        lines += ["", f"> **{escape_markdown(notice.badge)}** {escape_markdown(notice.text)}"]
        lines += _joined(notice.blocks, _MARKDOWN)
    return "\n".join([*lines, "", format_markdown(document.sections), ""])


def format_markdown(sections: Sequence[Section]) -> str:
    """Write sections as Markdown."""
    lines: list[str] = []
    for section in sections:
        heading = ["", f"## {escape_markdown(section.title)}"] if section.title else []
        lines += [*heading, *_joined(section.blocks, _MARKDOWN)]
    return "\n".join(lines).removeprefix("\n")


def format_terminal(sections: Sequence[Section], *, is_terminal: bool = False) -> str:
    """Write sections for a terminal, in colour and as wide as it is, or in a pipe, plain."""
    from rich.console import Console
    from rich.text import Text as RichText

    text = StringIO()
    console = Console(
        file=text,
        width=None if is_terminal else _PIPE_WIDTH,
        color_system="auto" if is_terminal else None,
        force_terminal=is_terminal,
        legacy_windows=False,
    )
    for section in sections:
        if section.title:
            console.print(RichText(section.title, style="bold"))
        for block in section.blocks:
            console.print(
                _rich_table(block) if isinstance(block, Table) else RichText("\n".join(_lines(block, _PLAIN)))
            )
            console.print()
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).rstrip("\n")


def _rich_table(table: Table) -> Any:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text as RichText

    shown = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), collapse_padding=True)
    for column in table.columns:
        shown.add_column(column.title, justify="right" if column.numeric else "left", no_wrap=column.numeric)
    for row in table.entries:
        shown.add_row(*(RichText(entry.text, style="bold red" if entry.is_alarm else "") for entry in row))
    return shown


def escape_markdown(text: str) -> str:
    r"""Keep Markdown, and the HTML within it, from reading signs in a text as markup; blanks become single spaces.

    Example:
        >>> print(escape_markdown("_net1_ <b> of log_mel"))
        \_net1\_ \<b\> of log_mel
    """
    return _MARKUP.sub(r"\\\1", re.sub(r"\s+", " ", text))


class _Signs(NamedTuple):
    """How a plain format writes text, and what stands around strong text and code."""

    escape: Callable[[str], str]
    strong: str
    code: str

    def inline(self, text: Text) -> str:
        """Write a text."""
        if isinstance(text, str):
            return self.escape(text)
        return "".join(self._span(part) if isinstance(part, Span) else self.escape(part) for part in text)

    def bold(self, text: str) -> str:
        """Write strong text."""
        return f"{self.strong}{self.escape(text)}{self.strong}"

    def _span(self, span: Span) -> str:
        if span.look == "code" and "`" not in span.text:
            return f"{self.code}{span.text}{self.code}"
        return self.bold(span.text) if span.look in {"strong", "badge"} else self.escape(span.text)


_MARKDOWN = _Signs(escape_markdown, "**", "`")
_PLAIN = _Signs(str, "", "")


def _joined(blocks: Sequence[Block], signs: _Signs) -> list[str]:
    return [line for block in blocks for line in ("", *_lines(block, signs))]


def _lines(block: Block, signs: _Signs) -> list[str]:  # noqa: C901  # one case per block
    match block:
        case Paragraph(text):
            lines = [signs.inline(text)]
        case Code(text):
            lines = [f"    {line}" for line in text.splitlines()]
        case Bullets(items):
            lines = [f"- {signs.inline(item)}" for item in items]
        case Facts(values) | Glossary(values):
            lines = [f"- {signs.bold(name)}: {signs.escape(text)}" for name, text in values.items()]
        case Names(names):
            lines = [", ".join(map(signs.escape, names))]
        case Table() | Bars():
            lines = _table_lines(block, signs)
        case Picture() | Figure():
            described = block.alternative if isinstance(block, Picture) else block.caption
            lines = [f"- {signs.bold(block.title)}: {signs.escape(described)}"]
        case TrackSearch():
            lines = []
        case Folded(summary, blocks):
            lines = [signs.bold(summary), *_joined(blocks, signs)]
        case Article(title, blocks):
            lines = [signs.inline(title), *_joined(blocks, signs)]
        case Group(_, blocks):
            lines = _joined(blocks, signs)[1:]
    return lines


def _table_lines(table: Table | Bars, signs: _Signs) -> list[str]:
    if isinstance(table, Bars):
        columns = [*texts(table.heading), *numeric("Tracks")]
        table = Table(table.key, table.caption, columns, list(table.counts.items()))
    titles = [signs.escape(column.title) for column in table.columns]
    rules = ["--:" if column.numeric else "---" for column in table.columns]
    rows = [[_entry_text(entry, signs) for entry in row] for row in table.entries]
    caption = [signs.escape(table.caption), ""] if table.caption else []
    head, *body = (f"| {' | '.join(entries)} |" for entries in [titles, *rows])
    return [*caption, head, f"|{'|'.join(rules)}|", *body]


def _entry_text(entry: TableEntry, signs: _Signs) -> str:
    text = signs.escape(entry.text)
    return f"{signs.bold(entry.badge)} {text}" if entry.badge else text
