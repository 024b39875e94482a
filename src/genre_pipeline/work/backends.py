"""Run work in this thread, in threads, in processes, or on a Dask cluster, all with one function."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager as ContextManager
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeVar

from genre_pipeline.errors import ComputeError
from genre_pipeline.work.processes import worker_context

if TYPE_CHECKING:
    from distributed import Client

Device = Literal["cpu", "cuda"]
Backend = Literal["auto", "serial", "threads", "processes", "dask"]

Task = TypeVar("Task")
Result = TypeVar("Result")

# [?] Tasks queued per worker, so that none is idle while results are processed.
_AHEAD = 2
# Measured [?] with two cores: for this many 30-s WAV files, the time that processes save equals the time to start them.
_CLIPS_FOR_PROCESSES = 1000


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Workers:
    """The workers.

    Attributes:
        backend: ``serial`` (this thread), ``threads``, ``processes`` (new ones, on this machine), ``dask``, or
            ``auto``: see :meth:`for_clips`.
        n_workers: How many. A cluster at an address has its own number; there it only sets how much is sent ahead.
        address: A Dask scheduler's (``tcp://host:8786``); ``None`` means a cluster of ``n_workers`` processes that is
            started on this machine, for the duration of the work.
        device: Where each worker computes spectra; audio is always decoded on the processor.
    """

    backend: Backend = "threads"
    n_workers: int = 1
    address: str | None = None
    device: Device = "cpu"

    def for_clips(self, n_clips: int) -> Workers:
        """Choose the backend by the number of clips if it is ``auto``.

        Threads start at once, but take turns except while they decode or transform: for a WAV file's log-mel, two are
        hardly faster than one. Processes take some seconds to start. A GPU belongs to one process.
        """
        if self.backend != "auto":
            return self
        is_worth_it = n_clips >= _CLIPS_FOR_PROCESSES and self.n_workers > 1 and self.device == "cpu"
        return replace(self, backend="processes" if is_worth_it else "threads")

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> ContextManager[Iterator[tuple[int, Result]]]:
        """Run tasks, in any order.

        Args:
            function: Function of a task. For processes and Dask, both must be picklable and defined in modules (not in
                the running program), and results must be small. Running a task twice must do no harm: the task of a
                lost worker is run again.
            tasks: The tasks.

        Returns:
            A context manager of an iterator of each task's number and result, as they finish. Leaving it early cancels
            tasks that have not started.

        Raises:
            ComputeError: If the workers cannot be started or reached, or die. Exceptions of the function are raised
                here.
        """
        if self.backend == "auto":
            return self.for_clips(len(tasks)).map(function, tasks)
        if self.backend == "serial":
            return closing(_in_this_thread(function, tasks))
        return closing(_in_workers(self, function, tasks))


def require_device(device: Device) -> None:
    """Check that this machine has a device.

    Raises:
        ComputeError: If it has none.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ComputeError(
            "compute.device is 'cuda', and torch finds no GPU on this machine. Set it to 'cpu', or install a build of "
            "torch for the GPU's driver."
        )


def _in_this_thread(
    function: Callable[[Task], Result], tasks: Sequence[Task]
) -> Generator[tuple[int, Result], None, None]:
    for number, task in enumerate(tasks):
        yield number, function(task)


def _in_workers(
    workers: Workers, function: Callable[[Task], Result], tasks: Sequence[Task]
) -> Generator[tuple[int, Result], None, None]:
    todo = iter(enumerate(tasks))
    running: dict[Future[Result], int] = {}
    with _EXECUTORS[workers.backend](workers) as executor:
        try:
            for number, task in islice(todo, workers.n_workers * (1 + _AHEAD)):
                running[executor.submit(function, task)] = number
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    number = running.pop(future)
                    for following, task in islice(todo, 1):
                        running[executor.submit(function, task)] = following
                    yield number, future.result()
        finally:
            for future in running:
                future.cancel()


@contextmanager
def _threads(workers: Workers) -> Iterator[Executor]:
    with ThreadPoolExecutor(workers.n_workers, thread_name_prefix="features") as executor:
        yield executor


@contextmanager
def _processes(workers: Workers) -> Iterator[Executor]:
    try:
        with ProcessPoolExecutor(workers.n_workers, mp_context=worker_context()) as executor:
            yield executor
    except BrokenProcessPool as error:
        raise ComputeError(
            "A worker process was killed, perhaps out of memory. Lower compute.n_workers, and run again: what is "
            "finished is kept."
        ) from error


@contextmanager
def _dask(workers: Workers) -> Iterator[Executor]:
    with dask_client(workers.address, workers.n_workers) as client:
        from distributed.scheduler import KilledWorker

        try:
            # Not pure: equal tasks are each run.
            yield client.get_executor(pure=False)
        except KilledWorker as error:
            raise ComputeError(
                f"Several Dask workers were lost at the same task ({error}). See their logs; they may "
                "lack memory. What is finished is kept."
            ) from error


@contextmanager
def dask_client(address: str | None, n_workers: int) -> Iterator[Client]:
    """Connect to a Dask cluster.

    Args:
        address: The scheduler's; ``None`` starts a cluster on this machine, for as long as the context lasts.
        n_workers: Processes of that cluster.

    Yields:
        The client.

    Raises:
        ComputeError: If Dask is not installed, or no scheduler can be reached.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ComputeError(
            "Work on Dask needs the package distributed. Install it: pip install 'genre-pipeline[dask]'"
        ) from error
    cluster: ContextManager[object]
    if address is None:
        # Any free port: another session may have a cluster too.
        here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
        cluster = LocalCluster(n_workers=n_workers, threads_per_worker=1, **here)
    else:
        cluster = nullcontext(address)
    with cluster as place:
        try:
            client = Client(place)
        except (OSError, TimeoutError) as error:
            raise ComputeError(
                f"compute.address: no Dask scheduler can be reached at {address} ({error}). Start one there "
                "(dask scheduler), or leave the address out."
            ) from error
        with client:
            yield client


_EXECUTORS: dict[str, Callable[[Workers], ContextManager[Executor]]] = {
    "threads": _threads,
    "processes": _processes,
    "dask": _dask,
}
