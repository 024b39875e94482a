"""The service's page in a browser: songs, time lines, reasons, corrections, without mouse, on a phone, in the dark."""

import csv
import os
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from browsers import open_browser
from service_parts import CHAMPION, OTHER, served
from tiny_music import write_clip


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs") / "my, music"
    for seed, genre in enumerate(("jazz", "rock")):
        write_clip(folder / genre / f"a {genre}.wav", genre, seed=seed, duration_s=3.0)
    (folder / "jazz" / "broken.mp3").write_bytes(b"no audio")
    (folder / "notes.txt").write_text("not a song")
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    with open_browser(folder) as browser:
        downloads = {"behavior": "allow", "downloadPath": str(folder / "downloads")}
        browser.chrome.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
        browser.downloads = folder / "downloads"
        yield browser


STATUS = "2 of 3 songs classified; 1 not: see why below; 1 other file left out: no audio that can be read."


def wait(browser, script, *arguments):
    return WebDriverWait(browser.chrome, 60).until(lambda _: browser.run(f"return {script}", *arguments))


def choose_folder(browser, songs):
    wait(browser, "document.querySelectorAll('#models input').length")
    for box in browser.find("#models input:not(:checked)"):
        box.send_keys(" ")
    browser.find("#folder")[0].send_keys(str(songs))
    wait(browser, "document.getElementById('status').textContent === arguments[0]", STATUS)


@pytest.fixture(scope="module")
def opened(browser, service, songs):
    """The page with a folder of songs, one of them opened from the keyboard."""
    browser.requests()
    browser.show(service.url)
    choose_folder(browser, songs)
    button = next(each for each in browser.find("#songs button") if "jazz" in each.text)
    button.send_keys(Keys.ENTER)
    wait(
        browser,
        "!document.getElementById('why-figure').hidden && document.getElementById('contributions').naturalWidth",
    )
    return browser


def test_a_folder_is_classified(opened):
    rows = {row.find_element("tag name", "td").text: row.text for row in opened.find("#songs tbody tr")}
    assert set(rows) == {"jazz/a jazz.wav", "rock/a rock.wav", "jazz/broken.mp3"}
    assert "is not an audio file" in rows["jazz/broken.mp3"]
    assert rows["jazz/broken.mp3"].count("broken.mp3") == 1
    assert "%" in rows["jazz/a jazz.wav"]
    assert opened.run("return document.activeElement.id") == "song-title"


def test_models_are_side_by_side(opened):
    rows = [[cell.text for cell in row.find_elements("css selector", "th, td")] for row in opened.find("#side tr")]
    assert rows[0] == ["Genre", CHAMPION, OTHER]
    assert [row[0] for row in rows[1:]] == ["Answer", "blues", "jazz", "rock"]
    shares = [[float(row[number].split()[0]) for row in rows[2:]] for number in (1, 2)]
    assert all(sum(each) == pytest.approx(100, abs=0.2) for each in shares)
    assert len(opened.find("#timelines .timeline")) == 2


def test_the_time_line_follows_the_player(opened):
    segments = opened.run("return document.querySelectorAll('#timelines .timeline')[0].querySelectorAll('span').length")
    assert segments == 11
    line = opened.find("#timelines .timeline")[0]
    line.send_keys(Keys.ARROW_RIGHT)
    line.send_keys(Keys.ARROW_RIGHT)
    wait(opened, "Math.abs(document.getElementById('player').currentTime - 0.512) < 0.001")
    wait(opened, "Math.abs(parseFloat(document.querySelector('.timeline .head').style.left) - 100 * 0.512 / 3) < 0.1")
    assert line.get_attribute("aria-valuetext").startswith("0:00 ")
    opened.run("document.getElementById('player').currentTime = 2")
    wait(opened, "document.getElementById('now').textContent.startsWith('0:02: ')")
    assert opened.find("#now")[0].text.count("%") == 2


def test_pictures_are_drawn_and_described(opened):
    ink = "[...document.getElementById('waveform').getContext('2d').getImageData(0, 0, 1600, 120).data]"
    assert opened.run(f"return {ink}.filter((each) => each).length") > 1000
    assert opened.run("return document.getElementById('spectrogram').naturalHeight") > 50
    assert "half of the energy lies below" in opened.find("#spectrogram")[0].get_attribute("alt")


def test_a_genre_is_explained(opened):
    assert opened.find("#why-words")[0].text.startswith("0:00 to 0:02, by integrated gradients: blue speaks for ")
    opened.run("document.getElementById('why-genre').value = 'rock'")
    opened.run("document.getElementById('why-model').value = arguments[0]", OTHER)
    opened.find("#why")[0].send_keys(Keys.ENTER)
    wait(opened, "document.getElementById('why-words').textContent.includes('by occlusion: blue speaks for rock')")


def test_corrections_become_a_metadata_table(opened):
    assert not opened.find("#export")[0].is_enabled()
    fields = opened.find("#songs tbody input:not(:disabled)")
    fields[0].send_keys("Jazz, old")
    fields[1].send_keys("rock")
    opened.find("#export")[0].send_keys(Keys.ENTER)
    path = opened.downloads / "metadata.csv"
    WebDriverWait(opened.chrome, 30).until(lambda _: path.is_file() and path.stat().st_size)
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    assert rows == [["path", "genre"], ["jazz/a jazz.wav", "Jazz, old"], ["rock/a rock.wav", "rock"]]


def test_nothing_complains_and_nothing_comes_from_elsewhere(opened, service):
    assert opened.console() == []
    assert [each for each in opened.requests() if not each.startswith((service.url, f"blob:{service.url}"))] == []


@pytest.mark.parametrize("dark", [False, True])
def test_it_can_be_read_by_everyone(opened, dark):
    """By axe-core, where AXE_CORE names its axe.min.js (npm pack axe-core); the names of controls by ourselves."""
    opened.chrome.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]},
    )
    unnamed = opened.run(
        "return [...document.querySelectorAll('input, select, button, img, canvas')].filter((each) => !("
        "  each.labels?.length || each.textContent.trim() || each.getAttribute('aria-label') || each.alt !== undefined"
        ")).map((each) => each.outerHTML)"
    )
    assert unnamed == []
    if "AXE_CORE" not in os.environ:
        pytest.skip("AXE_CORE names no axe.min.js.")
    opened.run(Path(os.environ["AXE_CORE"]).read_text(encoding="utf-8"))
    found = opened.chrome.execute_async_script(
        "const done = arguments[0]; axe.run({resultTypes: ['violations', 'incomplete']}).then(done)"
    )
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []


@pytest.mark.parametrize(("width", "phone"), [(1400, False), (390, True)])
def test_nothing_is_wider_than_the_window(opened, width, phone):
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": phone}
    opened.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    assert opened.run("return document.documentElement.scrollWidth") <= width


def test_a_token_is_asked_for(browser, models, tmp_path):
    with served(models, token="0123456789abcdef") as running:
        browser.show(running.url)
        wait(browser, "!document.getElementById('token-form').hidden")
        browser.find("#token")[0].send_keys("wrong" + Keys.ENTER)
        wait(browser, "document.getElementById('token-note').textContent")
        browser.find("#token")[0].clear()
        browser.find("#token")[0].send_keys("0123456789abcdef" + Keys.ENTER)
        wait(browser, "document.querySelectorAll('#models input').length === 2")
        browser.console()
