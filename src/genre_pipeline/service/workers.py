"""Worker processes, each of which does one job at a time and may be lost: the service goes on with a new one.

What a worker answers is JSON: the service unpickles nothing from a process that a hostile file may have taken over.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from genre_pipeline.errors import ComputeError
from genre_pipeline.work.processes import worker_context

# Sends an empty message when it is ready, then answers the jobs that come, until the process ends.
Work = Callable[[Connection, Any], None]

# [?] Seconds that a worker may take to start and to open its models.
_MAX_START_S = 120.0
# Why a worker is lost.
LOSSES = ("crashed", "timeout")


class LostWorkerError(ComputeError):
    """A worker died, or was stopped because it took too long.

    Args:
        reason: ``crashed`` or ``timeout``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"The worker process was lost ({reason}).")
        self.reason = reason


class _Worker:
    """A process and this side of the line to it."""

    def __init__(self, work: Work, setup: Any) -> None:
        context = worker_context()
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, setup), name="service-worker")
        self._process.start()
        theirs.close()
        self._is_ready = False

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def answer(self, job: Any, timeout_s: float) -> dict[str, Any]:
        try:
            # A job is not to be given up because the worker has just started.
            if not self._is_ready:
                if not self._connection.poll(_MAX_START_S):
                    raise LostWorkerError("timeout")
                self._connection.recv_bytes()
                self._is_ready = True
            self._connection.send(job)
            if not self._connection.poll(timeout_s):
                raise LostWorkerError("timeout")
            answer: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError, ValueError) as error:
            raise LostWorkerError("crashed") from error
        return answer

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()


class WorkerPool:
    """Workers that wait for jobs.

    Args:
        n_workers: How many.
        work: What each runs; a function of a module.
        setup: Returns what a new worker is given.
        max_job_s: A worker that takes longer over a job is killed.
        on_loss: Called with the reason when a worker is lost.
    """

    def __init__(
        self,
        n_workers: int,
        work: Work,
        setup: Callable[[], Any],
        *,
        max_job_s: float,
        on_loss: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._work, self._setup, self._max_job_s, self._on_loss = work, setup, max_job_s, on_loss
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._is_closed = False
        for _ in range(n_workers):
            self._idle.put(self._start())

    @property
    def pids(self) -> list[int]:
        """The workers' processes."""
        return sorted(worker.pid for worker in tuple(self._workers))

    def run(self, job: Any) -> dict[str, Any]:
        """Have a job done, once a worker is free.

        Args:
            job: What the worker gets; it is pickled.

        Raises:
            LostWorkerError: If the worker died, or took too long. Another one has taken its place.
        """
        worker = self._idle.get()
        try:
            return worker.answer(job, self._max_job_s)
        except LostWorkerError as error:
            self._on_loss(error.reason)
            worker.stop()
            self._workers.discard(worker)
            worker = self._start()
            raise
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """Stop all workers."""
        with self._lock:
            self._is_closed = True
            # A job that loses its worker meanwhile takes it out of the set.
            for worker in tuple(self._workers):
                worker.stop()
            self._workers.clear()

    def _start(self) -> _Worker:
        # Starting puts this process's main program aside for a moment.
        with self._lock:
            if self._is_closed:
                raise ComputeError("The service is ending.")
            worker = _Worker(self._work, self._setup())
            self._workers.add(worker)
        return worker
