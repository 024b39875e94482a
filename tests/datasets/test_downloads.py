"""Downloads from a server on this computer that can do all that servers do to one."""

import hashlib
import logging
import re
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pooch
import pytest

from genre_pipeline.datasets import Source
from genre_pipeline.datasets.reading import downloads
from genre_pipeline.datasets.reading.downloads import download
from genre_pipeline.errors import DatasetError, StorageError

CONTENT = bytes(number * number % 251 for number in range(400_000))


class Server(ThreadingHTTPServer):
    """Serves ``content`` under any path.

    Attributes:
        ranges: Whether it sends parts of the file.
        break_after: How many bytes it sends to each of its first visitors before it hangs up.
        status: What it answers instead of the file, if set.
        sends_length: Whether it says how long the file is.
        first_byte: How far off the parts that it sends begin.
        asked: The ranges that it was asked for, in order.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges = True
        self.break_after: list[int] = []
        self.status = 0
        self.sends_length = True
        self.first_byte = 0
        self.asked: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of visitors that leave early."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range", "")
        assert self.headers["Accept-Encoding"] == "identity"
        server.asked.append(wanted)
        content, size = server.content, len(server.content)
        if server.status:
            self.send_response(server.status)
            content = b"no"
        elif wanted and server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                content = b"no"
            else:
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start + server.first_byte}-{size - 1}/{size}")
                content = content[start:]
        else:
            self.send_response(200)
        if server.sends_length:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: server.break_after.pop(0)] if server.break_after else content)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def source(server: Server, name: str = "music.zip") -> Source:
    return Source(f"http://127.0.0.1:{server.server_port}/{name}", hashlib.sha1(CONTENT).hexdigest(), len(CONTENT))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def partial(folder: Path) -> Path:
    path = folder / ".music.zip.download/music.zip.partial"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_download(server, tmp_path):
    sources = [source(server, "a.zip"), source(server, "b.zip?part=1")]
    assert download(sources, tmp_path / "new/folder") == (tmp_path / "new/folder/a.zip", tmp_path / "new/folder/b.zip")
    assert names(tmp_path / "new/folder") == {"a.zip", "b.zip"}
    assert (tmp_path / "new/folder/b.zip").read_bytes() == CONTENT
    assert server.asked == ["", ""]


def test_what_is_there_and_right_is_not_fetched(server, tmp_path):
    (tmp_path / "music.zip").write_bytes(CONTENT)
    download([source(server)], tmp_path)
    assert server.asked == []


def test_what_is_there_and_wrong_is_replaced(server, tmp_path):
    (tmp_path / "music.zip").write_bytes(CONTENT[:1000])
    download([source(server)], tmp_path)
    assert (tmp_path / "music.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("sends_length", [True, False])
def test_goes_on_where_it_ended(server, tmp_path, sends_length):
    server.sends_length = sends_length
    partial(tmp_path).write_bytes(CONTENT[:150_000])
    download([source(server)], tmp_path)
    assert server.asked == ["bytes=150000-"]
    assert names(tmp_path) == {"music.zip"}
    assert (tmp_path / "music.zip").read_bytes() == CONTENT


def test_connections_that_break_off(server, tmp_path, caplog):
    server.break_after = [200_000, 100_000, 0]
    with caplog.at_level(logging.INFO):
        download([source(server)], tmp_path, n_retries=3)
    assert (tmp_path / "music.zip").read_bytes() == CONTENT
    starts = [int(wanted[6:-1]) for wanted in server.asked[1:]]
    # All but the last chunk of each connection is kept.
    assert len(starts) == 3
    assert 100_000 < starts[0] <= 200_000 < starts[1] == starts[2] <= 300_000
    assert caplog.text.count("broke off at") == 3


def test_connections_that_break_off_without_ranges(server, tmp_path):
    server.ranges = False
    server.break_after = [200_000, 300_000]
    download([source(server)], tmp_path)
    assert (tmp_path / "music.zip").read_bytes() == CONTENT
    assert len(server.asked) == 3


def test_it_gives_up_and_keeps_what_arrived(server, tmp_path):
    server.break_after = [100_000, 100_000, 100_000]
    with pytest.raises(DatasetError, match=r"broke off 3 times; 0\.2 of 0\.4 MB have arrived.*Rerun the command"):
        download([source(server)], tmp_path, n_retries=2)
    assert names(tmp_path) == {".music.zip.download"}
    kept = partial(tmp_path).read_bytes()
    assert kept == CONTENT[: len(kept)]
    download([source(server)], tmp_path)
    assert server.asked[-1] == f"bytes={len(kept)}-"
    assert (tmp_path / "music.zip").read_bytes() == CONTENT


def test_killed_before_the_check(server, tmp_path, monkeypatch):
    # pooch has taken the whole file over under a name of its own: nothing of it is fetched again.
    with monkeypatch.context() as patch:
        patch.setattr(
            pooch.core, "hash_matches", lambda *arguments, **options: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        patch.setattr(pooch.utils.os, "remove", lambda path: None)
        with pytest.raises(KeyboardInterrupt):
            download([source(server)], tmp_path)
    (whole,) = (tmp_path / ".music.zip.download").iterdir()
    assert whole.read_bytes() == CONTENT
    (tmp_path / ".music.zip.download/tmp_of_an_earlier_run").touch()
    download([source(server)], tmp_path)
    assert server.asked == ["", f"bytes={len(CONTENT)}-"]
    assert names(tmp_path) == {"music.zip"}
    assert (tmp_path / "music.zip").read_bytes() == CONTENT


def test_killed_after_the_check(server, tmp_path):
    partial(tmp_path).with_name("music.zip").write_bytes(CONTENT)
    partial(tmp_path).with_name("tmp_of_an_earlier_run").touch()
    download([source(server)], tmp_path)
    assert server.asked == []
    assert names(tmp_path) == {"music.zip"}


@pytest.mark.parametrize("n_bytes", [len(CONTENT) + 1, 2 * len(CONTENT)])
def test_more_there_than_the_file_has(server, tmp_path, n_bytes):
    partial(tmp_path).write_bytes(bytes(n_bytes))
    download([source(server)], tmp_path)
    assert server.asked == [f"bytes={n_bytes}-", ""]
    assert (tmp_path / "music.zip").read_bytes() == CONTENT


def test_server_that_sends_another_part(server, tmp_path):
    partial(tmp_path).write_bytes(CONTENT[:1000])
    server.first_byte = 1
    download([source(server)], tmp_path)
    assert server.asked == ["bytes=1000-", ""]
    assert (tmp_path / "music.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("n_kept", [0, 1000])
def test_wrong_content(server, tmp_path, n_kept):
    partial(tmp_path).write_bytes(bytes(n_kept))
    server.content = CONTENT[::-1]
    with pytest.raises(DatasetError, match=r"does not have the SHA-1 that its owners publish, \w{40}, and was removed"):
        download([source(server)], tmp_path)
    assert not list(tmp_path.glob("*.zip")) + list((tmp_path / ".music.zip.download").iterdir())
    server.content = CONTENT
    download([source(server)], tmp_path)
    assert names(tmp_path) == {"music.zip"}


@pytest.mark.parametrize("status", [404, 403, 410])
def test_file_that_is_gone(server, tmp_path, status):
    server.status = status
    with pytest.raises(
        DatasetError, match=rf"music\.zip was answered with {status} \w+.*Get music\.zip elsewhere and put"
    ):
        download([source(server)], tmp_path)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [500, 503, 429])
def test_overloaded_server(server, tmp_path, status):
    server.status = status
    with pytest.raises(DatasetError, match=rf"was answered with {status}"):
        download([source(server)], tmp_path, backoff_s=0)
    assert len(server.asked) == 6


def test_no_server(server, tmp_path):
    gone = source(server)
    server.server_close()
    with pytest.raises(
        DatasetError, match=r"cannot be reached \(ConnectionError\)\. Check the network, or get music\.zip"
    ):
        download([gone], tmp_path, backoff_s=0)


def test_no_such_host(tmp_path, monkeypatch):
    def resolve(*arguments: object) -> None:
        raise downloads.requests.ConnectionError("no such host")

    monkeypatch.setattr(downloads.requests.Session, "get", lambda self, url, **options: resolve())
    with pytest.raises(DatasetError, match=r"cannot be reached .* elsewhere and put it into"):
        download([Source("https://nowhere.invalid/music.zip", "", 0)], tmp_path)


def test_full_disk(server, tmp_path):
    partial(tmp_path).symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"music\.zip: the disk is full"):
        download([source(server)], tmp_path)


def test_space_is_checked_first(server, tmp_path, monkeypatch):
    partial(tmp_path).write_bytes(CONTENT[:1000])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=len(CONTENT) - 1001))
    with pytest.raises(StorageError, match=r"0\.0 GB are missing.*Free some space and run again"):
        download([source(server)], tmp_path)
    assert server.asked == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=len(CONTENT) - 1000))
    download([source(server)], tmp_path)


def test_progress_is_in_mebibytes(server, tmp_path, monkeypatch):
    shown = []
    server.content = bytes(3 * 2**20 + 5)
    server.break_after = [2**21 + 2**16]
    monkeypatch.setattr(downloads, "progress_bar", lambda text, total: _Bar(shown, text, total))
    large = Source(source(server).url, hashlib.sha1(server.content).hexdigest(), len(server.content))
    download([large], tmp_path)
    assert shown == ["Downloading music.zip (MiB)", 3, "", "", ""]


class _Bar:
    def __init__(self, shown: list, text: str, total: int) -> None:
        self.shown = shown
        shown.extend([text, total])

    def __enter__(self):
        return self.shown.append

    def __exit__(self, *exception: object) -> None:
        pass
