"""Catalog entries whose files are whole or not there."""

import errno
import json
from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DatasetError, Version
from plotly.graph_objects import Figure

from genre_pipeline.catalog import (
    CSVDataset,
    JSONDataset,
    ParquetDataset,
    PlotlyDataset,
    TextDataset,
)
from genre_pipeline.errors import StorageError

TABLE = pd.DataFrame({"track_id": ["a", "b"], "n": [1, 2]})
ENTRIES = [
    (ParquetDataset, {}, TABLE),
    (CSVDataset, {"save_args": {"index": False}}, TABLE),
    (JSONDataset, {"save_args": {"indent": 1}}, {"genres": ["jazz"], "n": 1}),
    (PlotlyDataset, {}, Figure(layout={"title": {"text": "a title"}})),
    (TextDataset, {}, "# a report: ü"),
]


def same(first, second):
    return first.equals(second) if isinstance(first, pd.DataFrame) else first == second


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize(("kind", "arguments", "content"), ENTRIES)
def test_content_survives(tmp_path, kind, arguments, content, versioned):
    version = Version(None, "2026-01-01T00.00.00.000Z") if versioned else None
    entry = kind(filepath=str(tmp_path / "folder" / "content"), version=version, **arguments)
    assert not entry.exists()
    entry.save(content)
    assert entry.exists()
    assert same(entry.load(), content)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize(("kind", "arguments", "content"), ENTRIES)
def test_what_was_there_is_replaced(tmp_path, kind, arguments, content):
    (tmp_path / "content").write_text("something old")
    entry = kind(filepath=str(tmp_path / "content"), **arguments)
    entry.save(content)
    assert same(entry.load(), content)


def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path, monkeypatch):
    entry = JSONDataset(filepath=str(tmp_path / "content.json"))
    entry.save({"old": 1})

    def half(content, file, **_options):
        file.write('{"new": ')
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(DatasetError, match="json: the disk is full") as raised:
        patch.setattr(json, "dump", half)
        entry.save({"new": 2})
    assert isinstance(raised.value.__cause__, StorageError)
    assert entry.load() == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["content.json"]
    entry.save({"new": 3})
    assert entry.load() == {"new": 3}


def test_content_of_another_kind_leaves_the_old_file(tmp_path):
    entry = JSONDataset(filepath=str(tmp_path / "content.json"))
    entry.save({"old": 1})
    with pytest.raises(DatasetError):
        entry.save({"new": object()})
    assert entry.load() == {"old": 1}
    assert list(tmp_path.iterdir()) == [tmp_path / "content.json"]


def test_a_version_is_written_once(tmp_path):
    entry = TextDataset(filepath=str(tmp_path / "report.md"), version=Version(None, "1"))
    entry.save("first")
    with pytest.raises(DatasetError, match="must not exist if versioning is enabled"):
        entry.save("second")
    assert entry.load() == "first"
    assert Path(tmp_path / "report.md" / "1" / "report.md").read_text() == "first"
