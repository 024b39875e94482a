from __future__ import annotations

import re

import pytest
from plotly.offline import get_plotlyjs

from genre_pipeline.reporting.document import (
    MAX_NAMES,
    MAX_ROWS,
    NOTHING,
    Article,
    Bars,
    Bullets,
    Code,
    Document,
    Facts,
    Figure,
    Folded,
    Glossary,
    Group,
    Names,
    Notice,
    Paragraph,
    Picture,
    Section,
    Span,
    Table,
    TableEntry,
    folded_names,
    folded_table,
    format_markdown,
    format_terminal,
    numeric,
    render_html,
    render_markdown,
    texts,
)
from hand_made_reports import Page

HOSTILE = "<script>window.broken = 1</script>\n| a `b` *c* [d](http://e) & _f_"
PNG = b"\x89PNG\r\n\x1a\n"


def card_of(*blocks, title="Title"):
    return Document(title, "mine", "Lead.", [Notice("PART", "Only a part.")], [Section("all", "All of it", blocks)])


def blocks_saying(text):
    table = Table("table", text, texts(text, text), [[text, TableEntry(text, badge="LEAK")]])
    return [
        Paragraph(text),
        Bullets([text]),
        Facts({text: text}),
        Glossary({text: text}),
        Names([text]),
        table,
        Bars("bars", text, text, {text: 3, "none": 0}),
        Group("gallery", [Picture(text, text, text, PNG, 4, 3)]),
        folded_table(text, Table("folded", text, texts(text), [[text]]), source=text),
        folded_names(text, [text], source=text),
    ]


@pytest.fixture
def hostile_card():
    blocks = blocks_saying(HOSTILE)
    return Document(HOSTILE, "mine", HOSTILE, [Notice(HOSTILE, HOSTILE)], [Section("all", HOSTILE, blocks)])


def test_every_block_is_valid_html_with_unique_ids_and_anchors_that_exist(hostile_card):
    page = Page(render_html(hostile_card))
    assert page.errors == []
    assert len(set(page.ids)) == len(page.ids)
    assert {anchor.removeprefix("#") for anchor in page.anchors} <= set(page.ids)


def test_what_comes_from_data_is_text_in_html(hostile_card):
    text = render_html(hostile_card)
    assert "<script>window.broken" not in text
    shown = " ".join(HOSTILE.split())
    # Title, lead, notice (2), heading and anchor of the section, and 26 places in the blocks.
    assert Page(text).text.count(shown) >= 30


def test_nothing_is_loaded(hostile_card):
    text = render_html(hostile_card)
    assert "default-src 'none'" in text
    assert all(url.startswith("data:image/png;base64,") for url in Page(text).urls)
    assert not re.search(r"@import|url\(", text)


def test_tables_have_headers_and_pictures_have_alternatives(hostile_card):
    page = Page(render_html(hostile_card))
    assert len(page.tables) == 3
    for head, *rows in page.tables:
        assert head
        assert set(head) == {("th", "col")}
        assert rows
        for row in rows:
            assert row[0] == ("th", "row")
            assert len(row) == len(head)
    assert [image["alt"] for image in page.images] == [HOSTILE]


def test_the_same_card_is_the_same_bytes():
    cards = [card_of(*blocks_saying("words")) for _ in range(2)]
    assert render_html(cards[0]) == render_html(cards[1])
    assert render_markdown(cards[0]) == render_markdown(cards[1])


def test_markup_in_data_is_escaped_in_markdown(hostile_card):
    lines = render_markdown(hostile_card).splitlines()
    unescaped = re.compile(r"(?<!\\)[<`*\[]")
    for line in lines:
        # What Markdown of our own there is: the name, emphasis, quotation, rules of tables.
        rest = re.sub(r"\*\*|^> |^\|[-:|]+\|$|`mine`", "", line)
        assert not unescaped.search(rest.replace("\\\\", "")), line
    assert len([line for line in lines if line.startswith("# ")]) == 1


def test_markdown_tables_have_as_many_columns_in_every_row(hostile_card):
    rows = [line for line in render_markdown(hostile_card).splitlines() if line.startswith("|")]
    widths = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert widths == [3, 3, 3, 3, 3, 3, 3, 2, 2, 2]


def test_markdown_reads_as_written():
    table = Table("t", "Counted.", [*texts("Genre"), *numeric("Clips")], [["r_b", 1234], ["jazz", NOTHING]])
    picture = Picture("jazz", "seen", "A wave.", PNG, 4, 3)
    text = render_markdown(card_of(Facts({"Clips": "5"}), table, Names(["a", "b"]), Group("gallery", [picture])))
    assert text == (
        "# Title\n\n`mine`: Lead.\n\n> **PART** Only a part.\n\n## All of it\n\n- **Clips**: 5\n\nCounted.\n\n"
        "| Genre | Clips |\n|---|--:|\n| r_b | 1,234 |\n| jazz | \N{EN DASH} |\n\na, b\n\n- **jazz**: A wave.\n"
    )


def test_bars_are_as_long_as_their_numbers():
    text = render_html(card_of(Bars("bars", "Counted", "Class", {"few": 25, "many": 100, "none": 0})))
    assert re.findall(r"width:([\d.]+)%", text) == ["25.00", "100.00", "0.00"]
    assert re.findall(r"width:([\d.]+)%", render_html(card_of(Bars("bars", "", "", {"none": 0})))) == ["0.00"]


def test_long_tables_are_cut_and_say_so():
    rows = [[f"track {number}"] for number in range(MAX_ROWS + 1)]
    cut = folded_table("Faults", Table("key", "Named.", texts("Track"), rows), source="the report")
    assert cut.summary == f"Faults ({MAX_ROWS + 1})"
    assert len(cut.blocks[0].rows) == MAX_ROWS
    assert cut.blocks[0].caption == f"Named. These are the first {MAX_ROWS} of {MAX_ROWS + 1}; the report has them all."
    whole = folded_table("Faults", Table("key", "Named.", texts("Track"), rows[:-1]), source="the report")
    assert (len(whole.blocks[0].rows), whole.blocks[0].caption) == (MAX_ROWS, "Named.")


def test_long_lists_are_cut_and_say_so():
    names = [str(number) for number in range(MAX_NAMES + 5)]
    cut = folded_names("Missing", names, source="the report")
    assert cut.summary == f"Missing ({MAX_NAMES + 5:,})"
    assert cut.blocks[0].names == [*names[:MAX_NAMES], "… and 5 more: see the report"]
    assert folded_names("Missing", names[:3], source="the report").blocks[0].names == names[:3]
    known = folded_names("Missing", ["a"], n_names=290, source="the list")
    assert (known.summary, known.blocks[0].names[-1]) == ("Missing (290)", "… and 289 more: see the list")


def test_numbers_sort_as_numbers_and_nothing_comes_last():
    table = Table("t", "", [*texts("Genre"), *numeric("Clips")], [["jazz", 1234], ["rock", NOTHING]])
    assert [row[1].sort_key for row in table.entries] == ["1234.0", ""]


def test_texts_have_code_links_and_badges():
    text = ["Made by ", Span("kedro run", "code"), ", see ", Span("the card", "link", "card.html"), "."]
    section = Section("all", "All of it", [Paragraph(text), Bullets([[Span("LEAKY", "badge"), " a_b"]])])
    page = render_html(Document("Title", "", "Lead.", [], [section]))
    assert '<p>Made by <code>kedro run</code>, see <a href="card.html">the card</a>.</p>' in page
    assert '<li><strong class="badge">LEAKY</strong> a_b</li>' in page
    assert format_markdown([section]) == "## All of it\n\nMade by `kedro run`, see the card.\n\n- **LEAKY** a_b"
    assert format_terminal([section]) == "All of it\nMade by kedro run, see the card.\n\n- LEAKY a_b"


def test_code_that_holds_a_backtick_is_escaped_in_markdown():
    section = Section("", "", [Paragraph(["commit ", Span("a`b", "code")])])
    assert format_markdown([section]) == "commit a\\`b"


def test_a_terminal_table_is_aligned_and_an_alarm_is_red(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    rows = [["net1", 5], [TableEntry("FAILED", is_alarm=True), 1234]]
    section = Section("", "", [Table("", "", [*texts("Model"), *numeric("Clips")], rows)])
    head, _, *body = format_terminal([section]).splitlines()
    assert [head, *body] == ["Model    Clips", "net1         5", "FAILED   1,234"]
    assert "\x1b[1;31mFAILED" in format_terminal([section], is_terminal=True)


def test_blocks_within_blocks_are_in_every_form():
    figure = Figure("figure", "Drawn", "It rises.", {"data": [], "layout": {}})
    inner = Article("A_title", [Group("grid", [figure, Folded("More", [Code("kedro run `x`")], is_open=True)])])
    section = Section("all", "All of it", [inner])
    page = render_html(Document("Title", "", "Lead.", [], [section]))
    assert Page(page.replace(get_plotlyjs(), "")).errors == []
    assert "<pre><code>kedro run `x`</code></pre>" in page
    assert '<details class="fold" open><summary>More</summary>' in page
    assert format_markdown([section]).splitlines()[2:] == [
        *("A_title", "", "- **Drawn**: It rises.", "", "**More**", "", "    kedro run `x`"),
    ]
    assert "- Drawn: It rises." in format_terminal([section])


def test_a_page_without_figures_has_no_plotly():
    assert "plotly.js v" not in render_html(card_of(Paragraph("words")))


def test_a_notice_holds_blocks():
    notice = Notice("FAILED", "One training.", [Folded("Which one", [Bullets(["net1"])])])
    document = Document("Title", "", "Lead.", [notice], [])
    assert render_markdown(document).startswith(
        "# Title\n\nLead.\n\n> **FAILED** One training.\n\n**Which one**\n\n- net1"
    )
    assert "<li>net1</li>" in render_html(document)
