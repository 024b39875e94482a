"""Trainings side by side: in processes of this machine, each on a device, or on a Dask cluster."""

from __future__ import annotations

import queue
import signal
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Literal

import torch

from genre_pipeline.errors import ComputeError, RepeatFailedError
from genre_pipeline.progress import AddBar, Advance, progress_bars, show_no_bars
from genre_pipeline.training.checkpoints import Checkpoint
from genre_pipeline.training.epochs import EpochRecord, history_records, note
from genre_pipeline.training.relaying import Fault, Line, log_level, overheard
from genre_pipeline.work.backends import dask_client, usable_cores
from genre_pipeline.work.processes import worker_context

if TYPE_CHECKING:
    from distributed import Client, Future

Outcome = Checkpoint | RepeatFailedError


@dataclass(frozen=True)
class Job:
    """The training of one repeat.

    Attributes:
        repeat: Its number.
        label: Names it for people.
        train: Trains it: takes ``on_epoch``, which it calls after each epoch, and ``slot``, which numbers trainings
            that run side by side. Unless it runs in this process, it must be picklable and defined in an importable
            module, not in the running program.
    """

    repeat: int
    label: str
    train: Callable[..., Checkpoint]


Message = EpochRecord | Line | Outcome


class Waiting:
    """Threads that train or wait for a cluster. Signals reach only the main thread, which ends them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: set[queue.SimpleQueue[Any]] = set()
        self._is_over = False

    def end(self) -> None:
        """End the trainings that the threads wait for, and those that they would start."""
        with self._lock:
            self._is_over = True
            for each in self._queues:
                each.put(self)

    def check(self, label: str) -> None:
        """End a training on this machine, because threads get no Ctrl-C.

        Args:
            label: Names it.

        Raises:
            ComputeError: If it is over.
        """
        if self._is_over:
            raise ComputeError(f"{label}: ended with its session. Rerun the command to resume.")

    @contextmanager
    def listening(self, messages: queue.SimpleQueue[Any]) -> Iterator[None]:
        """Put this object itself into the queue of a thread that waits for messages, once the end has come."""
        with self._lock:
            self._queues.add(messages)
            if self._is_over:
                messages.put(self)
        try:
            yield
        finally:
            with self._lock:
                self._queues.discard(messages)


WAITING = ContextVar("WAITING", default=Waiting())  # noqa: B039 - the default never ends
"""Ends the trainings of this thread; each pool of threads has its own."""


@dataclass(frozen=True)
class Trainers:
    """Trains the repeats of a cell.

    The same seed gives the same weights with any backend, for the same number of threads on the same kind of processor.

    Attributes:
        backend: ``processes`` of this machine, or ``dask``.
        n_workers: Repeats at once; 1 trains in this process. A cluster at an address has its own number.
        address: A Dask scheduler's (``tcp://host:8786``); ``None`` means a cluster of ``n_workers`` processes that is
            started on this machine, for as long as the work lasts.
    """

    backend: Literal["processes", "dask"] = "processes"
    n_workers: int = 1
    address: str | None = None

    def train(
        self,
        jobs: Sequence[Job],
        *,
        on_epoch: Callable[[int, EpochRecord], None],
        on_end: Callable[[int, Outcome], None],
    ) -> None:
        """Run trainings. One that fails, or whose process dies, is reported, and the others continue.

        Args:
            jobs: The trainings.
            on_epoch: Called with each epoch and the repeat's number, in this thread, like ``on_end``.
            on_end: Called with the outcome of each repeat.

        Raises:
            ComputeError: If the workers cannot be started or reached. An exception of a training is raised here, unless
                it is a :class:`~genre_pipeline.errors.RepeatFailedError`. It ends the other trainings, as Ctrl-C does;
                they resume when they are trained again.
        """
        if not jobs:
            return
        labels = {job.repeat: job.label for job in jobs}
        waiting = WAITING.get()

        def on_epoch_here(repeat: int, record: EpochRecord) -> None:
            on_epoch(repeat, record)
            waiting.check(labels[repeat])

        n_workers = min(self.n_workers, len(jobs))
        if self.backend == "dask":
            heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
            with progress_bars() as add, dask_client(self.address, n_workers) as client, waiting.listening(heard):
                _on_dask(client, jobs, heard, _Callbacks(add, on_epoch, on_end))
        elif n_workers == 1:
            for job in jobs:
                on_end(job.repeat, _outcome(job, partial(on_epoch_here, job.repeat), 0))
        else:
            with progress_bars() as add:
                _in_processes(jobs, n_workers, _Callbacks(add, on_epoch_here, on_end))


def _outcome(job: Job, on_epoch: Callable[[EpochRecord], None], slot: int) -> Outcome:
    try:
        return job.train(on_epoch=on_epoch, slot=slot)
    except RepeatFailedError as error:
        return error


class _Callbacks:
    """Passes messages of trainings in other processes to this process's callbacks and log."""

    def __init__(
        self, add_bar: AddBar, on_epoch: Callable[[int, EpochRecord], None], on_end: Callable[[int, Outcome], None]
    ) -> None:
        self._add_bar = add_bar
        self._on_epoch = on_epoch
        self._on_end = on_end
        self._bars: dict[int, tuple[ExitStack, Advance]] = {}
        self._heard: dict[int, int] = {}

    def receive(self, job: Job, message: Message) -> None:
        """Handle a message. Epochs that were reported before a training restarted are not reported again."""
        if isinstance(message, Line):
            message.log()
        elif isinstance(message, EpochRecord):
            if message.epoch > self._heard.get(job.repeat, 0):
                self._heard[job.repeat] = message.epoch
                self._bar(job, message.n_epochs)(note(message))
                self._on_epoch(job.repeat, message)
        else:
            if job.repeat in self._bars:
                self._bars.pop(job.repeat)[0].close()
            self._on_end(job.repeat, message)

    def _bar(self, job: Job, n_epochs: int) -> Advance:
        if job.repeat not in self._bars:
            stack = ExitStack()
            self._bars[job.repeat] = stack, stack.enter_context(self._add_bar(job.label, n_epochs))
        return self._bars[job.repeat][1]


@dataclass(frozen=True)
class _Worker:
    job: Job
    slot: int
    process: BaseProcess


def _in_processes(jobs: Sequence[Job], n_workers: int, callbacks: _Callbacks) -> None:
    """Train each repeat in a separate process, so that repeats share no state."""
    context = worker_context()
    n_threads = max(1, usable_cores() // n_workers)
    waiting = deque(jobs)
    free = list(range(n_workers))[::-1]
    running: dict[Connection, _Worker] = {}
    try:
        while waiting or running:
            while waiting and free:
                job, slot = waiting.popleft(), free.pop()
                receiving, sending = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(sending, job, slot, n_threads, log_level()))
                process.start()
                sending.close()
                running[receiving] = _Worker(job, slot, process)
            for line in wait(list(running)):
                assert isinstance(line, Connection)
                worker = running[line]
                message = _received(line, worker)
                if isinstance(message, Checkpoint | RepeatFailedError):
                    running.pop(line)
                    line.close()
                    worker.process.join()
                    free.append(worker.slot)
                callbacks.receive(worker.job, message)
    finally:
        for worker in running.values():
            worker.process.kill()
            worker.process.join()


def _received(line: Connection, worker: _Worker) -> Message:
    try:
        message: Message | Fault = line.recv()
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode or 0
        end = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return RepeatFailedError(
            f"{worker.job.label}: its process {end}, perhaps for want of memory (then lower compute.training_workers). "
            "What it had reached is kept. Rerun the command to resume."
        )
    if isinstance(message, Fault):
        raise message.error from ComputeError(f"{worker.job.label}, in its process:\n{message.trace}")
    return message


def _work(line: Connection, job: Job, slot: int, n_threads: int, level: int) -> None:
    """Train a repeat, in a process made for it."""
    show_no_bars()
    torch.set_num_threads(n_threads)
    with overheard(line.send, level):
        try:
            line.send(_outcome(job, line.send, slot))
        except Exception as error:
            line.send(Fault.of(error))


def _on_dask(client: Client, jobs: Sequence[Job], heard: queue.SimpleQueue[Any], callbacks: _Callbacks) -> None:
    """Train each repeat on a worker of a cluster. If a worker is lost, another one resumes its training."""
    from distributed import Event, Future

    topic = f"genre_pipeline-{uuid.uuid4().hex}"
    client.subscribe_topic(topic, lambda event: heard.put(event[1]))
    by_repeat = {job.repeat: job for job in jobs}
    running = {client.submit(_work_on_dask, job, topic, log_level(), pure=False): job for job in jobs}
    try:
        for future in running:
            future.add_done_callback(heard.put)
        while running:
            message = heard.get()
            if isinstance(message, Waiting):
                raise ComputeError(f"{len(running)} trainings on the cluster were ended with their session.")
            if not isinstance(message, Future):
                callbacks.receive(by_repeat[message["repeat"]], _MESSAGES[message["kind"]](**message["values"]))
                continue
            job = running.pop(message)
            outcome = _result(message, job)
            if isinstance(outcome, Checkpoint):
                # Events that did not arrive before the result.
                for record in history_records(outcome.history):
                    callbacks.receive(job, record)
            callbacks.receive(job, outcome)
    finally:
        if running:
            Event(topic, client).set()
            client.cancel(list(running))
        client.unsubscribe_topic(topic)


# Threads of one Dask worker train in turn, so log lines belong to one training at a time.
_TURN = threading.Lock()
_MESSAGES: dict[str, type[EpochRecord | Line]] = {each.__name__: each for each in (EpochRecord, Line)}


def _result(future: Future[Any], job: Job) -> Outcome:
    from distributed.scheduler import KilledWorker

    try:
        outcome: Outcome = future.result()
    except KilledWorker as error:
        return RepeatFailedError(
            f"{job.label}: several Dask workers were lost at it ({error}); see their logs, they may lack memory. What "
            "it had reached is kept. Rerun the command to resume."
        )
    # A repeat that a lost worker had already finished counts as trained now, too.
    return replace(outcome, reused=False) if isinstance(outcome, Checkpoint) else outcome


def _work_on_dask(job: Job, topic: str, level: int) -> Outcome:
    """Train a repeat, on a worker of a cluster."""
    from distributed import Event, get_worker

    worker = get_worker()
    unwanted = Event(topic)

    def say(message: EpochRecord | Line) -> None:
        said = {"repeat": job.repeat, "kind": type(message).__name__, "values": asdict(message)}
        worker.log_event(topic, said)

    def on_epoch(record: EpochRecord) -> None:
        say(record)
        if unwanted.is_set():
            raise ComputeError(f"{job.label}: ended with its session.")

    with _TURN, overheard(say, level):
        return _outcome(job, on_epoch, 0)
