"""The folder that classifies songs in a browser, without its runtime: what it looks like on a phone."""

import os
import tarfile
from pathlib import Path

import pytest

from browsers import open_browser
from genre_pipeline.exports.page import write_page

CARD = {"cell": "demo.artist_kfold.mfcc_20.naive_bayes", "genres": ["blues", "jazz"], "sample_rate": 8000}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm", "model.onnx"):
        (folder / name).write_bytes(b"")
    with tarfile.open(folder / "runtime.tgz", "w:gz") as archive:
        for path in folder.glob("ort*"):
            archive.add(path, f"package/dist/{path.name}")
    write_page(folder / "page", folder / "model.onnx", CARD, folder / "runtime.tgz")
    with open_browser(folder / "profile") as browser:
        yield browser, folder / "page" / "index.html"


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
