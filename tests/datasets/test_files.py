"""Listing files: what is a file of the dataset, its stamp, and what is left alone."""

import os
from pathlib import Path

import pytest

from genre_pipeline.datasets.files import is_audio, list_files, require_root, walk_files
from genre_pipeline.errors import DatasetError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    for name in ("b/c/two.wav", "a.wav", "b/one.wav", ".hidden.wav", ".git/x.wav", "b/.y.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_files_and_their_stamps(root):
    files, links = list_files(root)
    assert list(files) == ["a.wav", "b/c/two.wav", "b/one.wav"]
    status = (root / "b/one.wav").stat()
    assert files["b/one.wav"] == (status.st_size, status.st_mtime_ns) == (9, status.st_mtime_ns)
    assert links == []


def test_links(root, tmp_path):
    (tmp_path / "outside.wav").touch()
    (root / "b/in.wav").symlink_to(root / "a.wav")
    (root / "b/out.wav").symlink_to(tmp_path / "outside.wav")
    (root / "b/loop").symlink_to(root)
    (root / "b/broken.wav").symlink_to(root / "nothing.wav")
    files, links = list_files(root)
    assert list(files) == ["a.wav", "b/c/two.wav", "b/in.wav", "b/one.wav"]
    assert files["b/in.wav"] == files["a.wav"]
    assert links == ["b/loop", "b/out.wav"]


def test_walk_goes_as_far_as_the_caller_wants(root, monkeypatch):
    scanned = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(path) or scan(path))
    assert next(walk_files(root))[0] == "a.wav"
    assert len(scanned) == 1
    assert len(list(walk_files(root))) == 3


def test_pipes_are_no_files(root):
    os.mkfifo(root / "b/pipe.wav")
    assert "b/pipe.wav" not in list_files(root)[0]


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
