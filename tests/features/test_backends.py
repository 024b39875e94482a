from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dask_programs import dask_programs, workers_of
from dying_feature import DYING, KILLED_FILE
from genre_pipeline.errors import ComputeError
from genre_pipeline.features import FEATURES
from genre_pipeline.stores.extraction import extract
from genre_pipeline.work.backends import Workers

TESTS = str(Path(__file__).parents[1])


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def run(tmp_path, small_block, write_track, make_tracks):
    """A function that extracts the same six tracks with given workers, and returns the store's bytes."""
    tracks = make_tracks([write_track(f"t{number}", seed=number, n_samples=3000 + 500 * number) for number in range(6)])

    def run(workers, spec=FEATURES["log_mel"]):
        folder = tmp_path / workers.backend
        result = extract(
            tracks, root=tmp_path / "audio", spec=spec, block=small_block, folder=folder, workers=workers, shard_size=1
        )
        assert result.report["n_extracted"] + result.report["n_reused"] == 6
        return contents(folder)

    return run


@pytest.fixture
def child_environment(monkeypatch, tmp_path):
    """What new processes need: the tests' modules, and the place of the mark that one of them was killed."""
    monkeypatch.setenv("PYTHONPATH", TESTS)
    monkeypatch.setenv(KILLED_FILE, str(tmp_path / "killed"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.parametrize("workers", [Workers("serial"), Workers("threads", 1), Workers("threads", 3)], ids=str)
def test_map_does_each_task_once(workers):
    with workers.map(lambda task: task * task, list(range(50))) as results:
        assert sorted(results) == [(number, number * number) for number in range(50)]


@pytest.mark.parametrize("workers", [Workers("serial"), Workers("threads", 2)], ids=str)
def test_what_a_task_raises_is_raised_and_ends_the_work(workers):
    done = []

    def work(task):
        done.append(task)
        raise ZeroDivisionError(task)

    with pytest.raises(ZeroDivisionError), workers.map(work, list(range(100))) as results:
        list(results)
    assert len(done) < 100


def test_leaving_early_begins_nothing_more():
    done = []
    with Workers("threads", 1).map(done.append, list(range(100))) as results:
        next(results)
    assert len(done) < 100


@pytest.mark.parametrize(
    ("workers", "n_clips", "backend"),
    [
        (Workers("auto", 2), 1000, "processes"),
        (Workers("auto", 2), 999, "threads"),
        (Workers("auto", 1), 1000, "threads"),
        (Workers("auto", 2, device="cuda"), 1000, "threads"),
        (Workers("serial", 2), 1000, "serial"),
        (Workers("processes", 2), 1, "processes"),
    ],
)
def test_many_clips_are_done_in_processes_unless_something_else_is_asked_for(workers, n_clips, backend):
    assert workers.for_clips(n_clips) == dataclasses.replace(workers, backend=backend)


def test_automatic_workers_do_each_task_once():
    with Workers("auto", 2).map(str, [1, 2, 3]) as results:
        assert sorted(results) == [(0, "1"), (1, "2"), (2, "3")]


def test_workers_have_the_environment_of_their_start(monkeypatch):
    """Also the second pool's, although the server that they are forked from is as old as the first."""
    for value in ("first", "second"):
        monkeypatch.setenv("GENRE_PIPELINE_TEST", value)
        with Workers("processes", 1).map(os.getenv, ["GENRE_PIPELINE_TEST"]) as results:
            assert list(results) == [(0, value)]


def test_processes_leave_the_same_bytes(run, child_environment):
    assert run(Workers("processes", 2)) == run(Workers("serial"))


def test_a_killed_process_is_one_message_and_its_work_goes_on(run, child_environment):
    """The pool is lost with its process; what was finished is found by the next run."""
    with pytest.raises(ComputeError, match="A worker process was killed.* Lower compute.n_workers"):
        run(Workers("processes", 1), DYING)
    assert run(Workers("processes", 1), DYING) == run(Workers("serial"))


def test_worker_processes_end_with_their_parent(tmp_path, child_environment):
    """The worker holds the pipe's end until it is gone: without its watch, this would wait for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen([sys.executable, str(Path(__file__).with_name("orphaning.py")), str(pipe)]) as parent:
        with pipe.open("rb") as reading:
            assert reading.read() == b"working"
        assert parent.wait() == -9


class TestDask:
    @pytest.fixture
    def distributed(self):
        return pytest.importorskip("distributed", reason="needs the optional extra 'dask'")

    @pytest.fixture
    def programs(self, distributed, child_environment):
        with dask_programs() as programs:
            yield programs

    def test_the_death_of_a_worker_changes_nothing(self, distributed, programs, run, tmp_path):
        address = programs.start_cluster(2)
        stored = run(Workers("dask", 2, address), DYING)
        assert (tmp_path / "killed").exists()
        with distributed.Client(address) as client:
            assert workers_of(client) == 1
        assert stored == run(Workers("serial"))

    def test_a_cluster_is_started_where_there_is_no_address(self, distributed, run, child_environment):
        assert run(Workers("dask", 1)) == run(Workers("serial"))

    def test_a_task_that_kills_its_workers_is_one_message(self, distributed, run, child_environment):
        import dask

        strict = dask.config.set({"distributed.scheduler.allowed-failures": 0})
        with strict, pytest.raises(ComputeError, match="Several Dask workers were lost at the same task"):
            run(Workers("dask", 1), DYING)

    def test_a_scheduler_that_does_not_answer_is_named(self, distributed, run):
        import dask

        # Port 1 of this machine: nothing listens there.
        impatient = dask.config.set({"distributed.comm.timeouts.connect": "100ms"})
        with impatient, pytest.raises(ComputeError, match="no Dask scheduler can be reached at tcp://127.0.0.1:1 "):
            run(Workers("dask", 1, "tcp://127.0.0.1:1"))

    def test_the_missing_extra_is_named(self, run, monkeypatch):
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(ComputeError, match=r"pip install 'genre-pipeline\[dask\]'"):
            run(Workers("dask", 1))
