"""The usual catalog entries leave a whole file or none."""

import errno

import pandas as pd
import plotly.graph_objects as go
import pytest
from kedro.io import DatasetError, Version

from genre_pipeline.catalog import (
    CSVDataset,
    JSONDataset,
    OptionalJSONDataset,
    OptionalParquetDataset,
    ParquetDataset,
    PlotlyDataset,
    TextDataset,
)
from genre_pipeline.errors import StorageError

TABLE = pd.DataFrame({"a": [1, 2]})
ENTRIES = [
    pytest.param(ParquetDataset, TABLE, id="parquet"),
    pytest.param(CSVDataset, TABLE, id="csv"),
    pytest.param(JSONDataset, {"a": [1, 2]}, id="json"),
    pytest.param(PlotlyDataset, go.Figure(layout={"title": {"text": "A"}}), id="plotly"),
    pytest.param(TextDataset, "a\nb", id="text"),
]


def same(loaded, saved):
    return loaded.equals(saved) if isinstance(saved, pd.DataFrame) else loaded == saved


def entry_of(kind, tmp_path, *, version=None):
    # CSVDataset writes the index unless it is told otherwise, as in the catalog.
    arguments = {"save_args": {"index": False}} if kind is CSVDataset else {}
    return kind(filepath=str(tmp_path / "entry"), version=version, **arguments)


@pytest.mark.parametrize(("kind", "content"), ENTRIES)
def test_what_is_saved_is_loaded_and_nothing_lies_beside_it(kind, content, tmp_path):
    entry = entry_of(kind, tmp_path)
    entry.save(content)
    assert same(entry.load(), content)
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


@pytest.mark.parametrize(("kind", "content"), ENTRIES)
def test_versions_are_kept_side_by_side(kind, content, tmp_path):
    names = ["2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z"]
    for name in names:
        entry = entry_of(kind, tmp_path, version=Version(None, name))
        entry.save(content)
        assert entry.resolve_load_version() == name
        assert same(entry.load(), content)
    assert sorted(path.name for path in (tmp_path / "entry").iterdir()) == names


@pytest.mark.parametrize(("kind", "content"), ENTRIES)
def test_a_full_disk_leaves_the_old_file(kind, content, tmp_path, monkeypatch):
    entry_of(kind, tmp_path).save(content)
    before = (tmp_path / "entry").read_bytes()

    def refuse(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(DatasetError, match="the disk is full") as caught:
        entry_of(kind, tmp_path).save(content)
    assert isinstance(caught.value.__cause__, StorageError)
    assert (tmp_path / "entry").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_content_that_cannot_be_written_leaves_no_file(tmp_path):
    with pytest.raises(DatasetError, match="not JSON serializable"):
        entry_of(JSONDataset, tmp_path).save({"a": object()})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [ParquetDataset, CSVDataset, JSONDataset, PlotlyDataset])
def test_a_damaged_file_is_named(kind, tmp_path):
    (tmp_path / "entry").write_bytes(b"\xff\xfe half of something")
    with pytest.raises(DatasetError, match=rf"{tmp_path}/entry cannot be read \(.*\)\. Delete it"):
        entry_of(kind, tmp_path).load()


def test_a_missing_file_is_kedros_to_report(tmp_path):
    with pytest.raises(DatasetError, match="entry"):
        entry_of(ParquetDataset, tmp_path).load()


@pytest.mark.parametrize(("kind", "content"), [(OptionalParquetDataset, TABLE), (OptionalJSONDataset, {"a": [1, 2]})])
class TestOptional:
    def test_a_file_that_is_not_there_is_nothing(self, kind, content, tmp_path):
        entry = kind(filepath=str(tmp_path / "entry"))
        assert entry.load() is None
        entry.save(content)
        assert same(entry.load(), content)

    def test_a_broken_file_is_an_error(self, kind, content, tmp_path):
        (tmp_path / "entry").write_text("neither")
        with pytest.raises(DatasetError, match="entry cannot be read"):
            kind(filepath=str(tmp_path / "entry")).load()


def test_the_newest_version_also_lies_in_the_folder_above(tmp_path):
    path = tmp_path / "versions" / "table.csv"
    for number, name in enumerate(["2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z"]):
        entry = CSVDataset(
            filepath=str(path), version=Version(None, name), save_args={"index": False}, keep_newest=True
        )
        entry.save(TABLE + number)
    assert pd.read_csv(tmp_path / "table.csv").equals(TABLE + 1)
    assert sorted(each.name for each in path.iterdir()) == ["2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z"]
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["table.csv"]


@pytest.mark.parametrize("kind", [OptionalJSONDataset, OptionalParquetDataset])
def test_an_optional_entry_without_versions_is_none(kind, tmp_path):
    assert entry_of(kind, tmp_path, version=Version(None, "2026-01-01T00.00.00.000Z")).load() is None
