"""Trainings side by side, in processes and on a Dask cluster."""

import contextlib
import io
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from contextvars import copy_context
from pathlib import Path

import pytest
from rich.console import Console

import training_jobs
from dask_programs import dask_programs, workers_of
from genre_pipeline import progress
from genre_pipeline.errors import ComputeError, RepeatFailedError
from genre_pipeline.training import Checkpoint
from genre_pipeline.training.workers import WAITING, Trainers, Waiting
from training_jobs import job

TESTS = str(Path(__file__).parents[1])


class Heard:
    """What was told of each repeat."""

    def __init__(self):
        self.epochs = {}
        self.outcomes = {}

    def epoch(self, repeat, record):
        self.epochs.setdefault(repeat, []).append(record)

    def end(self, repeat, outcome):
        self.outcomes[repeat] = outcome

    def numbers(self, repeat):
        return [record.epoch for record in self.epochs.get(repeat, [])]


def train(trainers, jobs):
    heard = Heard()
    trainers.train(jobs, on_epoch=heard.epoch, on_end=heard.end)
    return heard


def weights(checkpoint):
    return (checkpoint.folder / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """Three repeats, one after another."""
    folder = tmp_path_factory.mktemp("serial")
    return train(Trainers(), [job(folder, repeat) for repeat in range(3)])


def assert_same(heard, serial, repeat):
    assert weights(heard.outcomes[repeat]) == weights(serial.outcomes[repeat])
    assert heard.numbers(repeat) == serial.numbers(repeat)
    losses = [[record.train_loss for record in each.epochs[repeat]] for each in (heard, serial)]
    assert losses[0] == losses[1]


def test_nothing_to_train_needs_nobody():
    assert train(Trainers("dask", 1, "tcp://127.0.0.1:1"), []).outcomes == {}


def test_one_at_a_time_trains_here_and_goes_on_after_a_failure(tmp_path):
    heard = train(Trainers(), [job(tmp_path, 0, learning_rate=1e30), job(tmp_path, 1)])
    assert isinstance(heard.outcomes[0], RepeatFailedError)
    assert heard.numbers(1) == list(range(1, 9))


@pytest.fixture
def children():
    """A function that returns the processes that this test left running; other tests' may end later."""
    before = set(multiprocessing.active_children())
    return lambda: set(multiprocessing.active_children()) - before


class TestProcesses:
    def test_the_same_weights_and_curves_as_one_after_another(self, serial, tmp_path, caplog):
        caplog.set_level(logging.DEBUG, logger="genre_pipeline")
        heard = train(Trainers(n_workers=2), [job(tmp_path, repeat) for repeat in range(3)])
        for repeat in range(3):
            assert_same(heard, serial, repeat)
        said = [each for each in caplog.records if "training on 27 segments" in each.getMessage()]
        assert [(each.name, each.levelname) for each in said] == [("genre_pipeline.training.repeats", "DEBUG")] * 3

    def test_they_run_at_once_each_in_its_slot(self, tmp_path):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        jobs = [job(tmp_path, repeat, training_jobs.meet, pipe=str(pipe)) for repeat in range(2)]
        heard = train(Trainers(n_workers=2), jobs)
        assert {repeat: type(outcome) for repeat, outcome in heard.outcomes.items()} == {0: Checkpoint, 1: Checkpoint}
        assert sorted(path.name for path in tmp_path.glob("slot_*")) == ["slot_0", "slot_1"]

    def test_a_death_or_a_divergence_is_a_failed_repeat_and_the_others_go_on(self, serial, tmp_path, caplog):
        caplog.set_level(logging.INFO, logger="genre_pipeline")
        jobs = [
            job(tmp_path, 0, training_jobs.die_once),
            job(tmp_path, 1, learning_rate=1e30),
            job(tmp_path, 2),
            job(tmp_path, 3, training_jobs.leave),
        ]
        heard = train(Trainers(n_workers=2), jobs)
        reasons = [str(heard.outcomes[repeat]) for repeat in (0, 1, 3)]
        assert reasons[0].startswith("net, repeat 0: its process was killed by SIGKILL, perhaps for want of memory")
        assert "the loss of epoch 1, batch" in reasons[1]
        assert reasons[2].startswith("net, repeat 3: its process ended with status 3")
        assert_same(heard, serial, 2)
        again = train(Trainers(n_workers=2), [*jobs[:1], job(tmp_path, 4)])
        assert_same(again, serial, 0)
        assert "resuming after epoch" in caplog.text

    @pytest.mark.parametrize(
        ("strange", "kind", "message"),
        [(False, ZeroDivisionError, "^not expected$"), (True, ComputeError, "^StrangeError: not expected$")],
    )
    def test_what_nobody_expected_is_raised_and_ends_the_others(self, tmp_path, children, strange, kind, message):
        jobs = [
            job(tmp_path, 0, training_jobs.go_on_for_ever),
            job(tmp_path, 1, training_jobs.fail, strange=strange),
        ]
        with pytest.raises(kind, match=message) as caught:
            train(Trainers(n_workers=2), jobs)
        assert "net, repeat 1, in its process:\nTraceback" in str(caught.value.__cause__)
        assert not children()

    def test_an_interruption_ends_all(self, tmp_path, children):
        def interrupt(repeat, record):
            os.kill(os.getpid(), signal.SIGINT)

        jobs = [job(tmp_path, repeat, training_jobs.go_on_for_ever) for repeat in range(2)]
        with pytest.raises(KeyboardInterrupt):
            Trainers(n_workers=2).train(jobs, on_epoch=interrupt, on_end=Heard().end)
        assert not children()

    def test_a_terminal_shows_a_bar_for_each(self, tmp_path, monkeypatch):
        screen = io.StringIO()
        monkeypatch.setattr(progress, "get_console", lambda: Console(file=screen, force_terminal=True, width=140))
        train(Trainers(n_workers=2), [job(tmp_path, repeat) for repeat in range(2)])
        for repeat in range(2):
            assert f"net, repeat {repeat}" in screen.getvalue()
        assert "8/8" in screen.getvalue()
        assert "learning rate 0.01" in screen.getvalue()

    def test_they_end_with_their_parent(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PYTHONPATH", TESTS, prepend=os.pathsep)
        script = Path(__file__).with_name("orphaned_training.py")
        with subprocess.Popen([sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE) as parent:
            # The trainings hold the pipe's end until they are gone: without their watch, this would wait for ever.
            parent.stdout.read()
        assert parent.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def distributed():
    return pytest.importorskip("distributed", reason="needs the optional extra 'dask'")


@pytest.fixture(scope="module")
def address(distributed):
    """A scheduler with two workers, of which a test may kill one."""
    with pytest.MonkeyPatch.context() as patch, dask_programs() as programs:
        patch.setenv("PYTHONPATH", TESTS, prepend=os.pathsep)
        patch.setenv("OMP_NUM_THREADS", "1")
        yield programs.start_cluster(2)


class TestDask:
    def test_the_same_weights_and_curves_as_one_after_another(self, address, serial, tmp_path, caplog):
        caplog.set_level(logging.DEBUG, logger="genre_pipeline")
        jobs = [*(job(tmp_path, repeat) for repeat in range(3)), job(tmp_path, 3, learning_rate=1e30)]
        heard = train(Trainers("dask", 2, address), jobs)
        for repeat in range(3):
            assert_same(heard, serial, repeat)
        assert isinstance(heard.outcomes[3], RepeatFailedError)
        assert caplog.text.count("training on 27 segments") == 4

    def test_what_nobody_expected_is_raised(self, address, tmp_path):
        with pytest.raises(ZeroDivisionError, match="not expected"):
            train(Trainers("dask", 2, address), [job(tmp_path, 0, training_jobs.fail)])

    def test_an_interruption_ends_what_was_begun(self, address, distributed, tmp_path):
        def interrupt(repeat, record):
            os.kill(os.getpid(), signal.SIGINT)

        jobs = [job(tmp_path, repeat, training_jobs.go_on_for_ever) for repeat in range(3)]
        with pytest.raises(KeyboardInterrupt):
            Trainers("dask", 2, address).train(jobs, on_epoch=interrupt, on_end=Heard().end)
        # The workers are free again: they would otherwise never come to this.
        assert isinstance(train(Trainers("dask", 2, address), [job(tmp_path, 4)]).outcomes[4], Checkpoint)

    def test_the_end_of_what_threads_wait_for_frees_the_workers(self, address, tmp_path):
        """As where Ctrl-C comes while threads wait: the main thread alone hears of it."""

        waiting = Waiting()

        def end(repeat, record):
            waiting.end()

        def begin():
            WAITING.set(waiting)
            Trainers("dask", 2, address).train(jobs, on_epoch=end, on_end=Heard().end)

        jobs = [job(tmp_path, repeat, training_jobs.go_on_for_ever) for repeat in range(3)]
        with pytest.raises(ComputeError, match="3 trainings on the cluster were ended"):
            copy_context().run(begin)
        assert isinstance(train(Trainers("dask", 2, address), [job(tmp_path, 4)]).outcomes[4], Checkpoint)

    def test_a_lost_worker_s_training_goes_on_on_another(self, address, distributed, serial, tmp_path, caplog):
        caplog.set_level(logging.INFO, logger="genre_pipeline")
        heard = train(Trainers("dask", 2, address), [job(tmp_path, 0, training_jobs.die_once), job(tmp_path, 1)])
        with distributed.Client(address) as client:
            assert workers_of(client) == 1
        for repeat in range(2):
            assert_same(heard, serial, repeat)
        assert "resuming after epoch" in caplog.text

    def test_a_training_that_kills_its_workers_is_a_failed_repeat(self, distributed, tmp_path, monkeypatch):
        import dask

        monkeypatch.setenv("PYTHONPATH", TESTS, prepend=os.pathsep)
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
            heard = train(Trainers("dask", 1), [job(tmp_path, 0, training_jobs.die)])
        assert "net, repeat 0: several Dask workers were lost at it" in str(heard.outcomes[0])


def test_forgotten_imports_are_not_needed():
    """Whoever trains elsewhere loads neither Kedro nor MLflow."""
    code = "import sys, genre_pipeline.training.workers; print({'kedro', 'mlflow'} & set(sys.modules))"
    with contextlib.closing(os.popen(f'{sys.executable} -c "{code}"')) as output:
        assert output.read().strip() == "set()"
