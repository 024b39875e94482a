"""The folder that classifies songs in a browser, without its runtime: what it looks like on a phone."""

import os
import tarfile
from pathlib import Path

import pytest

from browsers import open_browser
from genre_pipeline.errors import ConfigError
from genre_pipeline.exports.page import check_page, write_page

CARD = {"cell": "demo.artist_kfold.mfcc_20.naive_bayes", "genres": ["blues", "jazz"], "sample_rate": 8000}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder with a model and an archive of a runtime."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm", "model.onnx"):
        (folder / name).write_bytes(b"")
    with tarfile.open(folder / "runtime.tgz", "w:gz") as archive:
        for path in folder.glob("ort*"):
            archive.add(path, f"package/dist/{path.name}")
    return folder


@pytest.fixture(scope="module")
def page(parts):
    write_page(parts / "page", parts / "model.onnx", CARD, parts / "runtime.tgz")
    with open_browser(parts / "profile") as browser:
        yield browser, parts / "page" / "index.html"


def test_a_page_that_is_written_again_leaves_what_else_is_in_its_folder(parts, tmp_path):
    folder = tmp_path / "page"
    for _ in range(2):
        check_page(folder, parts / "runtime.tgz")
        write_page(folder, parts / "model.onnx", CARD, parts / "runtime.tgz")
        (folder / "demo.onnx").write_bytes(b"mine")
    assert sorted(each.name for each in folder.iterdir()) == [
        "demo.onnx",
        "index.html",
        "model.js",
        "page.js",
        "runtime.LICENSE.txt",
        "runtime.js",
    ]
    assert (folder / "demo.onnx").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["notes.txt", "model.js"])
def test_a_folder_that_holds_something_else_is_refused(parts, tmp_path, name):
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds something else than a page"):
        check_page(tmp_path, parts / "runtime.tgz")


def test_an_archive_that_ends_early_is_named(parts, tmp_path):
    content = (parts / "runtime.tgz").read_bytes()
    (tmp_path / "cut.tgz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigError, match=r"cut\.tgz is not onnxruntime for browsers"):
        check_page(tmp_path / "page", tmp_path / "cut.tgz")


@pytest.mark.parametrize("dark", [False, True])
def test_answers_fit_a_phone(page, dark):
    browser, path = page
    browser.show(path, width=320, dark=dark, phone=True)
    browser.run("show(arguments[0], ['blues', percent(0.912), 'jazz 8.8 %'])", f"{'a_long_name_' * 9}.mp3")
    browser.run("show('notes.txt', ['cannot be decoded'])")
    assert browser.run("return document.documentElement.scrollWidth") <= 320
    texts = browser.run("return document.getElementById('answers').innerText").splitlines()
    assert texts[1:3] == ["blues", "91.2\xa0%"]


@pytest.mark.skipif("AXE_CORE" not in os.environ, reason="AXE_CORE names no axe.min.js (npm pack axe-core).")
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(page, dark):
    browser, path = page
    browser.show(path, width=320, dark=dark, phone=True)
    browser.run("show('a song.mp3', ['blues', percent(0.912), 'jazz 8.8 %'])")
    browser.run(Path(os.environ["AXE_CORE"]).read_text(encoding="utf-8"))
    found = browser.chrome.execute_async_script("axe.run().then(arguments[0])")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
