"""Listing files: what is a file of the dataset, its stamp, and what is left alone."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genre_pipeline.datasets.reading.files import (
    AUDIO_EXTENSIONS,
    LeftOut,
    count_left_out,
    describe_left_out,
    is_audio,
    list_files,
    no_audio,
    require_root,
    walk_files,
)
from genre_pipeline.errors import DatasetError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    for name in ("b/c/two.wav", "a.wav", "b/one.wav", ".hidden.wav", ".git/x.wav", "b/.y.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_files_and_their_stamps(root):
    files, left_out = list_files(root)
    assert list(files) == ["a.wav", "b/c/two.wav", "b/one.wav"]
    status = (root / "b/one.wav").stat()
    assert files["b/one.wav"] == (status.st_size, status.st_mtime_ns) == (9, status.st_mtime_ns)
    assert left_out == [
        LeftOut(".git", "system", ".git"),
        LeftOut(".hidden.wav", "system", ".hidden.wav"),
        LeftOut("b/.y.wav", "system", ".y.wav"),
    ]


def test_links(root, tmp_path):
    (tmp_path / "outside.wav").touch()
    (root / "b/in.wav").symlink_to(root / "a.wav")
    (root / "b/out.wav").symlink_to(tmp_path / "outside.wav")
    (root / "b/loop").symlink_to(root)
    (root / "b/broken.wav").symlink_to(root / "nothing.wav")
    files, left_out = list_files(root)
    assert list(files) == ["a.wav", "b/c/two.wav", "b/in.wav", "b/one.wav"]
    assert files["b/in.wav"] == files["a.wav"]
    assert [each for each in left_out if each.kind != "system"] == [
        LeftOut("b/broken.wav", "broken_link", ""),
        LeftOut("b/loop", "link", str(root)),
        LeftOut("b/out.wav", "link", str(tmp_path / "outside.wav")),
    ]


def test_walk_goes_as_far_as_the_caller_wants(root, monkeypatch):
    scanned = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(path) or scan(path))
    assert next(each for each in walk_files(root) if each.stamp).path == "a.wav"
    assert len(scanned) == 1
    assert len([each for each in walk_files(root) if each.stamp]) == 3


def test_pipes_are_no_files(root):
    os.mkfifo(root / "b/pipe.wav")
    files, left_out = list_files(root)
    assert "b/pipe.wav" not in files
    assert LeftOut("b/pipe.wav", "special") in left_out


def reasons(root, **options):
    """Return what is left out by path, hidden files aside."""
    return {path: (kind, detail) for path, kind, detail in list_files(root, **options)[1] if not detail.startswith(".")}


@pytest.mark.parametrize("target", ["loop.wav", "../b/loop.wav", "other.wav"])
def test_a_link_to_itself_stops_nothing(root, target):
    (root / "b/loop.wav").symlink_to(target)
    (root / "b/other.wav").symlink_to("loop.wav")
    assert list(list_files(root)[0]) == ["a.wav", "b/c/two.wav", "b/one.wav"]
    assert reasons(root) == {
        "b/loop.wav": ("broken_link", "it leads to itself"),
        "b/other.wav": ("broken_link", "it leads to itself"),
    }


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_a_name_that_is_not_utf8_stops_nothing(root, make):
    try:
        make(root / "b" / os.fsdecode(b"caf\xe9"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert list(list_files(root)[0]) == ["a.wav", "b/c/two.wav", "b/one.wav"]
    assert reasons(root) == {r"b/caf\xe9": ("bad_name", "")}


@pytest.mark.parametrize(
    "name",
    [
        "new\nline.wav", "tab\t.wav", "escape\x1b[31m.wav", 'comma, "quote\'.wav', " blank.wav", "a" * 251 + ".wav",
        "back\\slash.wav", "percent%20#?.wav", "a\N{COMBINING ACUTE ACCENT}.wav", "\N{RIGHT-TO-LEFT OVERRIDE}.wav",
    ],
)  # fmt: skip
def test_any_name_in_utf8_is_used(root, name):
    (root / "b" / name).touch()
    assert f"b/{name}" in list_files(root)[0]
    assert reasons(root) == {}


def refuse(monkeypatch, name):
    """Refuse to list a folder: the system administrator may list all of them."""
    scan = os.scandir

    def scandir(path):
        if Path(path).name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_without_rights_stops_nothing(root, monkeypatch):
    refuse(monkeypatch, "c")
    assert list(list_files(root)[0]) == ["a.wav", "b/one.wav"]
    assert reasons(root) == {"b/c": ("unreadable", "Permission denied")}


def test_a_root_without_rights_is_one_message(root, monkeypatch):
    refuse(monkeypatch, "music")
    with pytest.raises(DatasetError, match=r"music cannot be listed \(Permission denied\)\. Make it readable"):
        list_files(root)


@pytest.mark.parametrize(
    "name",
    [
        "#recycle", "#Recycle", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX",
        ".Trash-1000", ".stfolder", ".AppleDouble", "@Recycle", "#snapshot", "@Recently-Snapshot",
        "Network Trash Folder", "LOST.DIR", "FOUND.000", "RECYCLER", "Recycle Bin", "_gsdata_",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["", "b/"])
def test_folders_of_the_system_are_left_out_and_counted(root, place, name):
    (root / place / name / "rock").mkdir(parents=True)
    (root / place / name / "rock/a.wav").touch()
    files, left_out = list_files(root)
    assert list(files) == ["a.wav", "b/c/two.wav", "b/one.wav"]
    assert LeftOut(f"{place}{name}", "system", name) in left_out


def test_files_of_the_system_are_left_out_and_counted(root):
    names = ["._one.wav", "Thumbs.db", "desktop.ini", ".DS_Store", "ehthumbs.db"]
    for name in names:
        (root / "b" / name).touch()
    left_out = {each.path: each.detail for each in list_files(root)[1]}
    assert {f"b/{name}" for name in names} < left_out.keys()
    assert left_out["b/._one.wav"] == "._*"


def test_links_are_followed_within_the_folder_that_is_named(root, tmp_path):
    for name in ("nas/rock/one.wav", "nas/rock/cd/two.wav", "private/three.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (root / "rock").symlink_to(tmp_path / "nas/rock")
    (root / "private").symlink_to(tmp_path / "private")
    (root / "b/linked.wav").symlink_to(tmp_path / "nas/rock/one.wav")
    (tmp_path / "nas/rock/out").symlink_to(tmp_path / "private")
    assert reasons(root).keys() == {"rock", "private", "b/linked.wav"}
    files, _ = list_files(root, links_within=tmp_path / "nas")
    assert list(files) == [
        *("a.wav", "b/c/two.wav", "b/linked.wav", "b/one.wav"),
        *("rock/cd/two.wav", "rock/one.wav"),
    ]
    assert reasons(root, links_within=tmp_path / "nas") == {
        "private": ("link", str(tmp_path / "private")),
        "rock/out": ("link", str(tmp_path / "private")),
    }


def test_followed_links_end(root, tmp_path):
    (root / "b/up").symlink_to(tmp_path)
    (root / "b/again").symlink_to(root / "b")
    (root / "b/c/self").symlink_to(".")
    (tmp_path / "beside.wav").touch()
    files, _ = list_files(root, links_within=tmp_path)
    assert list(files) == ["a.wav", "b/c/two.wav", "b/one.wav", "b/up/beside.wav"]
    again = ("link", "a folder that is listed already")
    assert reasons(root, links_within=tmp_path) == {"b/again": again, "b/c/self": again, "b/up/music": again}


FORMATS = {
    "a.m4a": "other_format", "a.AAC": "other_format", "a.alac": "other_format", "a.wma": "other_format",
    "a.webm": "other_format", "a.ape": "other_format", "a.jpg": "other", "a.txt": "other", "README": "other",
    "a.mp3.part": "other", "a.mp2": None, "a.mpga": None, "a.opus": None, "a.AIFF": None, "a.w64": None,
}  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), FORMATS.items())
def test_files_by_extension(root, name, kind):
    (root / "b" / name).touch()
    left_out = {each.path: each.kind for each in list_files(root)[1]}
    assert left_out.get(f"b/{name}") == kind


BEGINNINGS = {
    b"RIFF\0\0\0\0WAVEfmt ": None, b"fLaC": None, b"OggS": None, b"ID3\4": None, b"\xff\xfb\x90\0": None,
    b"FORM\0\0\0\0AIFF": None, b"\0\0\0\x20ftypM4A ": "other_format", b"\xff\xf1\x50\x80": "other_format",
    b"0&\xb2u\x8ef\xcf\x11": "other_format", b"\x1aE\xdf\xa3": "other_format", b"": "other", b"#!/bin/sh": "other",
    b"\xff\xfet\0e\0x\0t\0": "other", b"RIFF\0\0\0\0AVI LIST": "other", b"\0\0\0\x18ftypheic": "other",
}  # fmt: skip


@pytest.mark.parametrize("name", ["track", "02. Track", "Vol.2"])
@pytest.mark.parametrize(("beginning", "kind"), BEGINNINGS.items())
def test_files_without_extension_by_their_first_bytes(root, name, beginning, kind):
    (root / "b" / name).write_bytes(beginning)
    left_out = {each.path: each.kind for each in list_files(root)[1]}
    assert left_out.get(f"b/{name}") == kind


@pytest.mark.parametrize("container", sorted(soundfile.available_formats()))
def test_every_common_format_that_libsndfile_reads_is_listed(tmp_path, container):
    extensions = {"WAVEX": ".wav", "IRCAM": ".sf"}
    suffix = extensions.get(container, f".{container.lower()}")
    if suffix not in AUDIO_EXTENSIONS:
        # Of instruments, laboratories and machines of another age; nobody has music in them.
        assert container in {
            "AVR",
            "HTK",
            "MAT4",
            "MAT5",
            "MPC2K",
            "PAF",
            "PVF",
            "RAW",
            "SD2",
            "SDS",
            "SVX",
            "WVE",
            "XI",
        }
        return
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, np.full(4000, 0.5, dtype=np.float32), 8000, format=container)
    assert len(soundfile.read(path)[0]) >= 4000


def test_what_is_left_out_in_a_line():
    left_out = [
        LeftOut("pop/b.m4a", "other_format", ".m4a"),
        LeftOut("pop/a.m4a", "other_format", ".m4a"),
        LeftOut("pop/c.wma", "other_format", ".wma"),
        LeftOut("new\nline", "special"),
        LeftOut("rock/a.jpg", "other", ".jpg"),
    ]
    counts = count_left_out(left_out)
    assert counts["other_format"] == {
        "n": 3,
        "sorts": {".m4a": 2, ".wma": 1},
        "examples": ["pop/a.m4a", "pop/b.m4a", "pop/c.wma"],
    }
    assert describe_left_out(counts) == (
        "audio in formats that are not read: 3 (.m4a: 2, .wma: 1; convert it to FLAC with ffmpeg); "
        "pipes, sockets and devices: 1 (new\\nline; remove them); other files: 1 (.jpg: 1)"
    )


def test_a_folder_without_audio_says_what_it_holds(root, tmp_path):
    (root / "pop").symlink_to(tmp_path)
    message = str(no_audio(root, layout="a folder", links_within=None))
    assert "holds no audio where it was expected. It holds audio that is no clip of this dataset: 3" in message
    assert f"links that are not followed: 1 ({tmp_path}: 1; name the folder they lead to in" in message
    assert "datasets.<name>.links_within" in message


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a.wav", True), ("b/A.FLAC", True), ("a.v2.ogg", True), ("a.jpg", False), ("wav", False), ("a.wav/b", False)],
)
def test_is_audio(path, expected):
    assert is_audio(path) is expected


def test_require_root(root):
    require_root(root, layout="a folder")
    with pytest.raises(DatasetError, match=r"/a\.wav is a file, not a folder\. Expected a folder\."):
        require_root(root / "a.wav", layout="a folder")
    with pytest.raises(DatasetError, match=r"/z does not exist\. Expected a folder\."):
        require_root(root / "z", layout="a folder")
    (root / "self").symlink_to("self")
    with pytest.raises(DatasetError, match=r"/self cannot be reached \(Too many levels of symbolic links\)"):
        require_root(root / "self", layout="a folder")
    (root / "broken").symlink_to("nothing")
    with pytest.raises(DatasetError, match=r"/broken is a link that leads nowhere"):
        require_root(root / "broken", layout="a folder")
