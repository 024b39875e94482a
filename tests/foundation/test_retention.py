"""Only what nobody needs is left over."""

import json

import pytest

from genre_pipeline.cells import Cell
from genre_pipeline.errors import StorageError
from genre_pipeline.retention import old_versions, orphaned_checkpoints, remove

CELL = Cell("demo", "folds", "mfcc", "svm")


def version(second):
    return f"2026-01-01T00.00.{second:02d}.000Z"


def write_version(entry, name):
    path = entry / name / entry.name
    path.parent.mkdir(parents=True)
    path.write_text("1234")
    return path.parent


def test_the_newest_versions_of_each_entry_stay(tmp_path):
    root = tmp_path / "a [folder]"
    template = str(root / "{dataset}" / "{protocol}" / "split.parquet")
    old = {}
    for dataset in ("demo", "gtzan"):
        entry = root / dataset / "folds" / "split.parquet"
        old[dataset] = [write_version(entry, version(second)) for second in (5, 7, 9)]
    (root / "demo" / "folds" / "split.parquet" / "notes").mkdir()
    # Neither a version of this entry nor an entry of this name.
    write_version(root / "demo" / "folds" / "other.parquet", version(1))
    (root / "demo" / "folds" / "split.parquet" / version(1)).mkdir()
    found = old_versions([template], keep=2)
    assert [each.path for each in found] == [old["demo"][0], old["gtzan"][0]]
    assert {each.n_bytes for each in found} == {4}
    assert {each.reason for each in found} == {"2 newer of it"}
    assert len(old_versions([template], keep=1)) == 4
    assert old_versions([template], keep=3) == []


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


def write_cell(models, cell=CELL, *, repeats=3, pointed=3, experiment="base"):
    folder = models / experiment / cell.dataset / cell.protocol / cell.feature / cell.model
    for repeat in range(repeats):
        checkpoint = folder / f"repeat_{repeat:02d}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "card.json").write_text(json.dumps({"fingerprint": f"{cell.model} {repeat}"}))
        (folder / f"repeat_{repeat:02d}.predictions.parquet").write_text("12")
    if pointed:
        pointer = [{"folder": str(folder / f"repeat_{repeat:02d}")} for repeat in range(pointed - 1)]
        (folder / "checkpoints.json").write_text(json.dumps([*pointer, {"failed": {"repeat": pointed - 1}}]))
    return folder


def leftover(models, needed, registered=()):
    return [str(each.path.relative_to(models)) for each in orphaned_checkpoints(models, needed, registered=registered)]


def test_cells_of_an_experiment_stay(models):
    write_cell(models)
    assert leftover(models, {("base", CELL): 3}) == []


def test_cells_of_no_experiment_are_left_over_as_wholes(models):
    write_cell(models, experiment="gone")
    write_cell(models)
    assert leftover(models, {("base", CELL): 3}) == ["gone/demo/folds/mfcc/svm"]


def test_repeats_beyond_the_protocol_s_are_left_over_unless_the_catalog_leads_to_them(models):
    write_cell(models, repeats=5, pointed=4)
    inside = "base/demo/folds/mfcc/svm"
    # Of the four repeats that the catalog knows, the last failed.
    expected = [f"{inside}/repeat_0{repeat}{suffix}" for repeat in (3, 4) for suffix in ("", ".predictions.parquet")]
    assert leftover(models, {("base", CELL): 1}) == expected
    assert leftover(models, {("base", CELL): 5}) == []


@pytest.mark.parametrize("name", ["checkpoints.json", "repeat_00/card.json"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"\xff\x00"])
def test_a_cell_of_which_a_file_cannot_be_read_stays_and_is_named(models, name, content, caplog):
    folder = write_cell(models, experiment="gone")
    (folder / name).write_bytes(content)
    if (name, content) == ("checkpoints.json", b"{}"):
        # Valid, and leads to nothing.
        assert leftover(models, {}) == ["gone/demo/folds/mfcc/svm"]
        return
    assert leftover(models, {}) == []
    assert f"{folder}: one of its files cannot be read" in caplog.text


def test_what_is_registered_stays(models):
    write_cell(models, experiment="gone", pointed=4)
    other = write_cell(models, Cell("demo", "folds", "mfcc", "net1"), experiment="gone")
    found = leftover(models, {}, registered={"svm 0"})
    assert found == [str(other.relative_to(models))]


def test_what_is_not_trained_to_the_end_stays(models):
    write_cell(models, pointed=0)
    assert leftover(models, {}) == []


def test_files_and_folders_are_removed_and_a_refusal_is_told(models, monkeypatch):
    write_cell(models, repeats=2, pointed=1)
    found = orphaned_checkpoints(models, {("base", CELL): 1}, registered=())
    for each in found:
        remove(each)
    assert len(found) == 2
    assert not any(each.path.exists() for each in found)
    (rest,) = orphaned_checkpoints(models, {}, registered=())

    def refuse(*_, **__):
        raise PermissionError(13, "denied")

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(StorageError, match="permission was denied"):
        remove(rest)
