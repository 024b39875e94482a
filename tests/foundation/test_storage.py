import errno
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from genre_pipeline.errors import FeatureError, StorageError
from genre_pipeline.storage import (
    abandoned,
    atomic_file,
    atomic_folder,
    check_writable,
    storage_errors,
    storage_fault,
    temporary_prefix,
    write_json,
)
from genre_pipeline.work.processes import Owner

WEEK_S = 7 * 24 * 3600


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


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder in which none can be made")
@pytest.mark.parametrize("path", ["/proc/nope/a.txt", "/proc/a.txt"])
def test_a_folder_in_which_nothing_can_be_made_is_an_error(path):
    with pytest.raises(StorageError, match="nothing can be made in its folder"), atomic_file(Path(path)):
        raise AssertionError("unreachable")
    with pytest.raises(StorageError, match="nothing can be made in its folder"):
        check_writable(Path(path))


def test_whether_a_file_can_be_written_is_found_without_leaving_one(tmp_path):
    check_writable(tmp_path / "new" / "a.txt")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="a file is where a folder is needed"):
        check_writable(tmp_path / "file" / "a.txt")


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


@contextmanager
def no_room():
    """A limit that no larger file passes, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_the_reason_is_found_where_a_library_does_not_say_it(tmp_path, write):
    path = tmp_path / "clip.wav"
    refusal = pytest.raises(StorageError, match=r"Cannot write .*clip\.wav: the file would be larger than is allowed")
    with refusal, no_room(), write(path):
        raise RuntimeError("System error.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError("System error."), FeatureError("too short")])
def test_where_there_is_room_an_error_stays_what_it_is(tmp_path, error):
    with pytest.raises(type(error), match=str(error)), atomic_file(tmp_path / "a.txt"):
        raise error


def test_a_refusal_is_found_below_what_libraries_made_of_it(tmp_path):
    error = RuntimeError("The model could not be logged.")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "m.pt"))
    assert str(storage_fault(error, [])).startswith(f"Cannot write or read {tmp_path}/m.pt: the disk is full")
    assert storage_fault(RuntimeError("a bug"), [tmp_path]) is None
    with no_room():
        assert "larger than is allowed" in str(storage_fault(RuntimeError("System error."), [tmp_path]))


KILLED = """
import os, signal, sys
from pathlib import Path
from genre_pipeline.storage import atomic_file, atomic_folder
with atomic_file(Path(sys.argv[1], "deep", "segments.parquet")), atomic_folder(Path(sys.argv[1], "repeat_01")):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_was_writing_is_found(tmp_path):
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False).returncode == -signal.SIGKILL
    with atomic_file(tmp_path / "deep" / "mine.json"):
        found = list(abandoned(tmp_path))
    assert [path.name.split("-")[0] for path in found] == [".repeat_01", ".segments"]
    assert [path.suffix for path in found] == ["", ".parquet"]


def test_what_a_process_elsewhere_writes_is_left_alone_for_a_week(tmp_path):
    elsewhere = replace(Owner.this_process(), host="elsewhere.example")
    for name, age_s in (("young", WEEK_S - 3600), ("old", WEEK_S + 3600)):
        path = tmp_path / f".{name}-{elsewhere.mark}-abcd_123.json"
        path.touch()
        os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    assert [path.name[:4] for path in abandoned(tmp_path)] == [".old"]


def test_what_this_process_writes_is_never_abandoned_however_old(tmp_path):
    with atomic_folder(tmp_path / "store") as temporary:
        os.utime(temporary, (0, 0))
        assert list(abandoned(tmp_path)) == []


def test_names_of_earlier_releases_are_found_if_asked_for(tmp_path):
    for name in (".segments-ab12cd_4.parquet", ".repeat_01-abcdefgh", "..audit.json.state-abcdefgh", ".store.lock"):
        (tmp_path / name).touch()
    assert list(abandoned(tmp_path)) == []
    found = [path.name for path in abandoned(tmp_path, unmarked=True)]
    assert found == ["..audit.json.state-abcdefgh", ".repeat_01-abcdefgh", ".segments-ab12cd_4.parquet"]


def test_the_depth_is_kept_and_links_are_not_followed(tmp_path):
    dead = replace(Owner.this_process(), process_start=1).mark
    for folder in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        folder.mkdir(exist_ok=True)
        (folder / f".x-{dead}-abcdefgh").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    assert [len(list(abandoned(tmp_path, depth=depth))) for depth in (1, 2, None)] == [1, 2, 3]
    assert list(abandoned(tmp_path / "missing")) == []


def test_long_names_leave_room_for_the_mark():
    assert len(temporary_prefix("\N{MUSICAL SYMBOL G CLEF}" * 200).encode()) + 8 < 255
