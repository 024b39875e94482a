"""The runner that has a cluster train many cells at once, on nodes that only meet or wait."""

import os
import queue
import signal
import threading
from itertools import count

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from genre_pipeline.errors import ConfigError, TrainingError
from genre_pipeline.runner import ClusterRunner
from genre_pipeline.training.epochs import EpochRecord
from genre_pipeline.training.workers import WAITING, Job, Trainers, Waiting

CLUSTER = {"training_backend": "dask", "address": "tcp://head:8786"}
# Far longer than anything here takes: a test that fails ends.
PATIENCE_S = 60.0


def run(*nodes, compute=CLUSTER, **arguments):
    """Run nodes that need nothing of each other, and return what they returned."""
    pipeline = Pipeline([Node(node, None, f"result_{n}", name=f"node_{n}") for n, node in enumerate(nodes)])
    catalog = DataCatalog({"params:compute": MemoryDataset(compute)})
    results = ClusterRunner(**arguments).run(pipeline, catalog)
    return [results[f"result_{n}"].load() for n in range(len(nodes))]


@pytest.fixture
def meet():
    """A place where two nodes wait for each other."""
    return threading.Barrier(2, timeout=PATIENCE_S).wait


def test_nodes_that_do_not_need_each_other_run_at_once(meet):
    assert sorted(run(meet, meet)) == [0, 1]


def test_as_many_nodes_at_once_as_one_says():
    alone = threading.Lock()

    def work():
        assert alone.acquire(blocking=False)
        try:
            return threading.current_thread().name
        finally:
            alone.release()

    assert len(set(run(work, work, work, max_workers=1))) == 1


@pytest.mark.parametrize("compute", [{}, {"training_backend": "dask"}, {"backend": "dask", "address": "tcp://head:1"}])
def test_trainings_that_are_on_no_cluster_are_refused_before_any_work(compute):
    def work():
        raise AssertionError("nothing may run")

    with pytest.raises(ConfigError, match=r"expected compute\.training_backend=dask and the scheduler's"):
        run(work, compute=compute)


def test_after_an_error_what_was_begun_is_finished(meet, caplog):
    finished = []

    def fail():
        meet()
        raise TrainingError("Nothing fits.")

    def work():
        meet()
        finished.append(True)
        return True

    with pytest.raises(TrainingError, match="Nothing fits"):
        run(fail, work)
    assert finished == [True]
    assert "Nothing fits. What was begun is finished first." in caplog.text


@pytest.mark.usefixtures("obeyed_signals")
def test_ctrl_c_ends_what_threads_wait_for(meet):
    heard = []

    def wait_for_a_cluster():
        messages = queue.SimpleQueue()
        with WAITING.get().listening(messages):
            meet()
            heard.append(messages.get(timeout=PATIENCE_S))
        return True

    def interrupt():
        meet()
        os.kill(os.getpid(), signal.SIGINT)
        return True

    with pytest.raises(KeyboardInterrupt):
        run(wait_for_a_cluster, interrupt)
    assert [type(each) for each in heard] == [Waiting]
    # The next session's nodes wait again, whatever runs them.
    assert waits(WAITING.get())
    assert run(lambda: waits(WAITING.get())) == [True]


@pytest.mark.usefixtures("obeyed_signals")
def test_ctrl_c_ends_trainings_in_threads_at_their_epoch(meet):
    epochs = []

    def train(*, on_epoch, slot):
        meet()
        os.kill(os.getpid(), signal.SIGINT)
        # The main thread hears of it in one of the next epochs.
        for epoch in count(1):
            on_epoch(EpochRecord(epoch, 10**9, 0.1, 0.5, 0.1, 0.5, 0.1, 0.1, 0.1))

    def work():
        jobs = [Job(0, "a cell, repeat 0", train)]
        Trainers().train(jobs, on_epoch=lambda _, record: epochs.append(record), on_end=lambda *_: None)
        return True

    with pytest.raises(KeyboardInterrupt):
        run(work, meet)
    assert epochs
    assert waits(WAITING.get())


def waits(waiting):
    """Return whether a thread that begins to listen is not told at once that it is over."""
    messages = queue.SimpleQueue()
    with waiting.listening(messages):
        return messages.empty()


def test_who_begins_to_wait_after_the_end_hears_of_it():
    waiting = Waiting()
    assert waits(waiting)
    waiting.end()
    assert not waits(waiting)


@pytest.mark.usefixtures("obeyed_signals")
def test_ctrl_c_while_threads_are_started_ends_the_one_that_is_not_yet_counted(monkeypatch):
    """Python's pool does not wait for a thread whose start was interrupted: it has to end by itself."""
    ended = threading.Event()
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    def train(*, on_epoch, slot):
        try:
            for epoch in count(1):
                on_epoch(EpochRecord(epoch, 10**9, 0.1, 0.5, 0.1, 0.5, 0.1, 0.1, 0.1))
        finally:
            ended.set()

    def work():
        Trainers().train([Job(0, "a cell", train)], on_epoch=lambda *_: None, on_end=lambda *_: None)
        return True

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(work)
    monkeypatch.undo()
    assert ended.wait(PATIENCE_S)
