"""The report in a browser, as a person meets it: on a desk, at night, on a phone, on paper, by ear."""

import base64
from itertools import pairwise

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from browsers import open_browser

HOSTILE = "<script>window.broken = true</script>"


@pytest.fixture(scope="module")
def path(hostile_page, tmp_path_factory):
    """The page on disk."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(hostile_page, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(browser, path):
    browser.show(path)
    return browser


def column(browser, table, place=0):
    """Return the texts of a column's visible rows."""
    rows = "[...document.getElementById(arguments[0]).tBodies[0].rows].filter((row) => !row.hidden)"
    return browser.run(f"return {rows}.map((row) => row.cells[arguments[1]].textContent.trim())", table, place)


def header(browser, table, name):
    """Return the button and the cell of a column's header."""
    buttons = browser.find(f"#{table} thead button")
    button = next(each for each in buttons if each.text.startswith(name))
    return button, button.find_element("xpath", "..")


def test_nothing_is_loaded_and_nothing_complains(page, path):
    page.requests(), page.console()
    page.show(path)
    page.run("scrollTo(0, document.body.scrollHeight)")
    assert page.requests() == [path.as_uri()]
    assert page.console() == []
    assert page.run("return window.broken === undefined")


def test_every_figure_is_drawn(page):
    sizes = page.run(
        "return [...document.querySelectorAll('.plot')].map((plot) => {"
        " const box = plot.querySelector('svg.main-svg').getBoundingClientRect();"
        # Risk against coverage is drawn as lines alone.
        " const marks = '.point, .hm, .textpoint' + (plot.closest('#abstention') ? ', .js-line' : '');"
        " return [box.width, box.height, plot.querySelectorAll(marks).length]; })"
    )
    assert len(sizes) == 12
    assert all(width > 300 and height > 100 and n_marks > 0 for width, height, n_marks in sizes)


def test_names_from_data_are_text(page):
    drawn = "return [...document.querySelectorAll('#confusion .ytick text')].map((text) => text.textContent)"
    # Figures are drawn after the page is loaded.
    labels = WebDriverWait(page.chrome, 60).until(lambda _: page.run(drawn))
    assert {"<script>window.broken = true</script>", "<b>rock</b>", "r&b"} <= set(labels)


def test_tables_sort(page):
    table = "leaderboard-table"
    button, cell = header(page, table, "Training")
    button.click()
    assert column(page, table) == ["net1", "svm", "net1 LEAKY", "svm LEAKY"]
    assert cell.get_attribute("aria-sort") == "descending"
    button.send_keys(Keys.ENTER)
    assert column(page, table) == ["svm", "net1", "svm LEAKY", "net1 LEAKY"]
    header(page, table, "Model")[0].click()
    assert column(page, table) == ["net1", "svm", "net1 LEAKY", "svm LEAKY"]
    assert cell.get_attribute("aria-sort") == "none"


def test_leaky_rows_are_below_the_others_however_a_ranking_is_sorted(page):
    rankings = page.run(
        "return [...document.querySelectorAll('table[data-sortable]')].filter((t) => t.querySelector('[data-below]'))"
        ".map((table) => table.id)"
    )
    assert {"leaderboard-table", "cells-table", "costs-table", "splits-table"} <= set(rankings)
    unsorted = page.run(
        "return arguments[0].filter((id) => {"
        " const table = document.getElementById(id);"
        " const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);"
        " const isBelow = () => names().map((name) => Number(name.includes('LEAKY')));"
        " const inOrder = () => isBelow().every((below, i, all) => !i || all[i - 1] <= below);"
        " const clicks = [...table.querySelectorAll('thead button')].flatMap((button) => [button, button]);"
        " return !inOrder() || clicks.some((button) => { button.click(); return !inOrder(); }); })",
        rankings,
    )
    assert unsorted == []


def test_what_has_no_number_stays_at_the_end(page):
    button, _ = header(page, "gap-table", "Tracks: gap")
    place = page.run("return arguments[0].parentElement.cellIndex", button)
    for _ in range(2):
        button.click()
        assert column(page, "gap-table", place)[-2:] == ["\N{EN DASH}"] * 2


def test_the_leaderboard_filters(page):
    (field,) = page.find("[data-filter]")
    field.send_keys("net1 kfold")
    assert column(page, "leaderboard-table") == ["net1"]
    assert page.find("[data-count]")[0].text == "1 of 4 cells"
    field.clear()
    field.send_keys(" ")
    assert len(column(page, "leaderboard-table")) == 4


def test_menus_change_figure_and_caption_together(page):
    first, second = page.find("#confusion select")
    before = page.find("#confusion figcaption")[0].text
    page.run("arguments[0].selectedIndex = 1; arguments[0].dispatchEvent(new Event('change'))", first)
    # The other unit's matrix follows.
    assert second.get_property("selectedIndex") == 1
    assert page.find("#confusion figcaption")[0].text != before
    visible = "return [...document.querySelectorAll('#confusion .plot')].map((p) => p.data.map((t) => t.visible))"
    assert page.run(visible) == [[False, True, False, False]] * 2


def test_the_menu_of_costs_moves_the_marks(page):
    (menu,) = page.find("#costs select")
    page.run("arguments[0].selectedIndex = 2; arguments[0].dispatchEvent(new Event('change'))", menu)
    assert page.run("return document.querySelector('#costs .plot').layout.xaxis.title.text") == "trainable parameters"
    assert page.find("#costs figcaption")[0].text.startswith("Parameters: no other model beats")


@pytest.mark.parametrize("width", [360, 800])
def test_a_phone_shows_the_page_in_its_width(browser, path, width):
    browser.show(path, width=width, phone=True)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    figures = "[...document.querySelectorAll('.plot svg.main-svg')]"
    edges = browser.run(f"return {figures}.map((figure) => figure.getBoundingClientRect().right)")
    assert max(edges) <= width
    # The accuracy is beside the model's name, and on the screen without scrolling the table.
    cells = "document.querySelector('#leaderboard-table tbody tr').cells"
    assert browser.run(f"return {cells}[1].dataset.sort") == "0.7"
    assert browser.run(f"return {cells}[1].getBoundingClientRect().right") <= width
    # A finger that is put on a figure scrolls the page.
    assert browser.run("return document.querySelector('.plot').layout.dragmode") is False


@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark_are_readable(browser, path, dark):
    browser.show(path, dark=dark)
    colours = browser.run(
        "const style = getComputedStyle(document.body), plot = document.querySelector('.plot');"
        "return [style.color, style.backgroundColor, getComputedStyle(plot.querySelector('.xtick text')).fill]"
    )
    ink, ground, label = map(luminance, colours)
    assert (ground < 0.05) == dark
    assert contrast(ink, ground) >= 7
    assert contrast(label, ground) >= 4.5


def luminance(colour):
    """Return the relative luminance of ``rgb(r, g, b)`` (WCAG 2.2)."""
    parts = [int(part) / 255 for part in colour.strip("rgba()").split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_a_screen_reader_is_told_what_figures_and_tables_are(page):
    for plot in page.find(".plot"):
        assert plot.aria_role == "image"
        assert len(plot.accessible_name) > 40
    for table in page.find("table"):
        # What is folded away has no name until it is opened.
        assert table.accessible_name or not table.is_displayed()
    assert page.run("return document.documentElement.lang") == "en"
    levels = page.run("return [...document.querySelectorAll('h1, h2, h3')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_paper_shows_all_without_what_cannot_be_clicked(page):
    page.find("[data-tracks] input")[0].send_keys("track_2", Keys.ENTER)
    # The track's own player is gone, as its file is.
    page.run("document.querySelector('.answers').append(document.createElement('audio'))")
    pdf = base64.b64decode(page.chrome.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF")
    page.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert page.run("return getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.run("return getComputedStyle(document.querySelector('.filter')).display") == "none"
    # Nothing is folded away, scrolls or stands still; 979 px are between the margins of US letter, turned.
    page.chrome.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 979, "height": 700, "deviceScaleFactor": 1, "mobile": False}
    )
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run("return document.querySelectorAll('details:not([open])').length") == 0
    cut = page.run(
        "return [...document.querySelectorAll('main *')].filter((each) => each.scrollWidth > each.clientWidth + 1"
        " && getComputedStyle(each).overflowX !== 'visible' && !each.closest('.plot')).map((each) => each.outerHTML)"
    )
    assert cut == []
    assert page.run("return document.documentElement.scrollWidth") <= 979
    wide = "[...document.querySelectorAll('table')].map((table) => table.getBoundingClientRect().right)"
    assert max(page.run(f"return {wide}")) <= 979
    fixed = "[...document.querySelectorAll('*')].filter((e) => /sticky|fixed/.test(getComputedStyle(e).position))"
    assert page.run(f"return {fixed}.map((each) => each.outerHTML)") == []
    # Players are for screens; the chosen track's models stand side by side.
    assert page.run("return getComputedStyle(document.querySelector('.answers audio')).display") == "none"
    columns = page.run("return getComputedStyle(document.querySelector('.answers .grid')).gridTemplateColumns")
    assert len(columns.split()) == 2
    page.run("dispatchEvent(new Event('afterprint'))")
    assert page.run("return document.querySelectorAll('details:not([open])').length") > 0
    # What the page did for the paper is undone.
    assert page.run("return document.documentElement.className") == ""
    page.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_first_screen_links_its_words_to_their_meaning(page):
    words = page.find(".findings a.word")
    assert {"artist_kfold", "accuracy", "interval", "mean of 5 folds", "largest genre"} <= {each.text for each in words}
    targets = page.run(
        "return [...document.querySelectorAll('a.word')].map((link) => document.querySelector(link.hash)?.tagName)"
    )
    assert set(targets) == {"DT"}
    words[0].send_keys(Keys.ENTER)
    assert page.run("return document.querySelector('dt:target').textContent") == words[0].text


def test_a_track_is_searched_over_all_models_by_keyboard(page):
    (field,) = page.find("[data-tracks] input")
    assert field.accessible_name == "Track, artist, title, genre or file"
    assert page.find("[data-tracks] [aria-live]")[0].text == "2 tracks"
    field.send_keys("ann BLUE")
    assert page.find("[data-tracks] [aria-live]")[0].text == "1 of 2 tracks"
    field.send_keys(Keys.ENTER)
    assert page.run("return document.activeElement.textContent") == f"Ann · Blue (track_1 {HOSTILE})"
    assert f"True genre: {HOSTILE}. 0 of 2 models that are not leaky are right." in page.find(".answers > p")[0].text
    cards = page.find(".answers article")
    # Leaky ones are below the others here, too.
    assert [bool(card.find_elements("css selector", ".badge")) for card in cards] == [False, False, True, True]
    assert [card.find_element("css selector", "h4 a").text for card in cards[:2]] == [
        "svm · log_mel_128",
        "net1 · log_mel_128",
    ]
    assert f"✗ r&b 70 %, wrong: it is {HOSTILE}; 0 of 2 repeats right" in cards[0].text
    assert [each.text for each in cards[0].find_elements("css selector", ".shares li > span:last-child")] == [
        "70 %",
        "30 %",
    ]
    drawn = cards[0].find_element("css selector", "svg.timeline")
    assert drawn.accessible_name.startswith("Probability over time, from segment to segment: r&b 90, 70, 50 %")
    assert drawn.find_element("css selector", ".answer").get_attribute("points") == "16.67,2.00 50.00,6.00 83.33,10.00"
    assert f"Closest training tracks: track_2 (r&b), track_3 ({HOSTILE})" in cards[0].text
    assert page.run("return window.broken === undefined")
    # One of the closest tracks is the next to be looked at.
    cards[0].find_element("css selector", "p button").send_keys(Keys.ENTER)
    assert page.run("return document.activeElement.textContent") == "track_2"
    assert "✓ r&b 100 %, right" in page.find(".answers article")[0].text


def test_audio_that_is_not_there_is_said_and_not_embedded(page):
    page.run("document.querySelector('[data-tracks] input').value = 'track_2'")
    page.find("[data-tracks] input")[0].send_keys(" ", Keys.ENTER)
    told = (
        "return [...document.querySelectorAll('.answers p')].map((p) => p.textContent).find((t) => /cannot be/.test(t))"
    )
    waited = WebDriverWait(page.chrome, 10).until(lambda _: page.run(told))
    assert waited == "The audio cannot be played from here: file:///music/2.wav"
    assert page.run("return document.querySelector('.answers audio')") is None
    # The browser's own message about the missing file.
    page.console()


@pytest.mark.parametrize("dark", [False, True])
def test_a_track_fits_a_phone_and_is_readable(browser, path, dark):
    browser.show(path, width=390, dark=dark, phone=True)
    browser.find("[data-tracks] input")[0].send_keys("track_1", Keys.ENTER)
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    for part in (".right, .wrong", "h4 a", ".seconds"):
        ink, ground = browser.run(
            "const part = document.querySelector(`.answers article :is(${arguments[0]})`);"
            "return [getComputedStyle(part).color, getComputedStyle(part.closest('article')).backgroundColor]",
            part,
        )
        assert contrast(luminance(ink), luminance(ground)) >= 4.5
    browser.console()


def test_a_models_name_leads_to_its_card(page):
    targets = page.run(
        "return [...document.querySelectorAll('#leaderboard-table tbody th a')]"
        ".map((link) => document.getElementById(link.hash.slice(1))?.querySelector('h3').textContent)"
    )
    assert targets == [
        *("demo · artist_kfold · svm · log_mel_128", "demo · artist_kfold · net1 · log_mel_128"),
        *("demo · random_segment · svm · log_mel_128", "demo · random_segment · net1 · log_mel_128"),
    ]
