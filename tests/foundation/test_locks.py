import json
import os
import subprocess
import sys

import pytest

from genre_pipeline.errors import StorageError
from genre_pipeline.locks import Holder, only_one

HOLD = """
import sys
from pathlib import Path
from genre_pipeline.locks import only_one
with only_one(Path(sys.argv[1]), RuntimeError):
    print("held", flush=True)
    sys.stdin.read()
"""


def refusal(owner):
    return StorageError(f"In use by {owner}.")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_lock_is_given_back_however_the_work_ends(tmp_path):
    path = tmp_path / "new" / "store"
    with pytest.raises(KeyboardInterrupt), only_one(path, refusal) as predecessor:
        assert predecessor is None
        assert names(path.parent) == [".store.lock", ".store.owner"]
        raise KeyboardInterrupt
    assert names(path.parent) == [".store.lock"]
    with only_one(path, refusal) as predecessor:
        assert predecessor is None


def test_another_is_refused_and_told_who_holds_it(tmp_path):
    with (
        only_one(tmp_path / "store", refusal),
        pytest.raises(StorageError, match=rf"by process {os.getpid()} on \S+ \(since \d{{4}}-.*, for 0:00:0\d\)"),
        only_one(tmp_path / "store", refusal),
    ):
        pytest.fail("held twice")


def test_what_a_killed_process_held_is_taken_over(tmp_path, caplog):
    path = tmp_path / "store"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match=f"by process {other.pid} on "), only_one(path, refusal):
            pytest.fail("held twice")
        other.kill()
        other.communicate()
    caplog.set_level("INFO")
    with only_one(path, refusal) as predecessor:
        assert predecessor.pid == other.pid
        assert predecessor.is_dead
    assert f"taken over from process {other.pid} on" in caplog.text
    assert names(tmp_path) == [".store.lock"]


@pytest.mark.parametrize("record", [None, "", "{}", "[1]", "of a dead process", "of a later process of its number"])
def test_a_holder_that_has_not_said_its_name(tmp_path, record):
    this = vars(Holder.this_process())
    dead = {
        "of a dead process": {**this, "pid": 2**30},
        "of a later process of its number": {**this, "process_start": 1},
    }
    with only_one(tmp_path / "store", refusal):
        path = tmp_path / ".store.owner"
        if record is None:
            path.unlink()
        else:
            path.write_text(json.dumps(dead[record]) if record in dead else record)
        with pytest.raises(StorageError, match=r"^In use by another process\.$"), only_one(tmp_path / "store", refusal):
            pytest.fail("held twice")


def test_a_process_elsewhere_may_be_alive():
    assert not Holder(pid=2**30, host="elsewhere.example", process_start=1, since=0.0).is_dead


def test_a_clock_that_was_set_back_makes_no_negative_age():
    holder = Holder.this_process()
    assert holder.age_s(holder.since - 5) == 0
    assert holder.age_s(holder.since + 90) == pytest.approx(90)


def test_a_record_that_cannot_be_written_gives_the_lock_back(tmp_path):
    record = tmp_path / ".store.owner"
    record.mkdir()
    with (
        pytest.raises(StorageError, match="a folder is where the file is needed"),
        only_one(tmp_path / "store", refusal),
    ):
        pytest.fail("held without a record")
    record.rmdir()
    with only_one(tmp_path / "store", refusal):
        assert record.is_file()
