import errno
import json

import pytest

from genre_pipeline.errors import StorageError
from genre_pipeline.storage import atomic_file, atomic_folder, storage_errors, write_json


def test_a_file_appears_whole_under_its_name(tmp_path):
    path = tmp_path / "deep" / "table.parquet"
    with atomic_file(path) as temporary:
        assert temporary.suffix == ".parquet"
        assert temporary.parent == path.parent
        temporary.write_text("content")
        assert not path.exists()
    assert path.read_text() == "content"
    assert [each.name for each in path.parent.iterdir()] == ["table.parquet"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_replaces_the_old_one_in_one_step(tmp_path):
    path = tmp_path / "store"
    for content in ("first", "second"):
        with atomic_folder(path) as temporary:
            (temporary / "a.txt").write_text(content)
        assert (path / "a.txt").read_text() == content
    assert [each.name for each in tmp_path.iterdir()] == ["store"]


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    path = tmp_path / "store"
    with atomic_folder(path) as temporary:
        (temporary / "a.txt").write_text("old")
    with pytest.raises(ValueError, match="halfway"), atomic_folder(path) as temporary:
        (temporary / "a.txt").write_text("half")
        raise ValueError("halfway")
    assert (path / "a.txt").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission was denied"),
        (errno.EDQUOT, "the disk quota is used up"),
    ],
)
def test_refusals_to_write_say_what_to_do(tmp_path, code, advice):
    with pytest.raises(StorageError, match=rf"Cannot write .*a\.txt: {advice}"), storage_errors(tmp_path / "a.txt"):
        raise OSError(code, "refused")


def test_other_operating_system_errors_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError), storage_errors(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "gone")


def test_a_full_disk_leaves_no_half_written_file(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(StorageError, match="disk is full"), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_json_is_sorted_and_ends_with_a_newline(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": [1, 2]})
    assert path.read_text().endswith("}\n")
    assert list(json.loads(path.read_text())) == ["a", "b"]
