"""Processes of this machine that work for this one, forked from a server that has imported what they need."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

# Not a fork of this process: it has threads (torch has some), and what they hold would be held for ever there. The
# server has imported, and done, nothing else than this; so a worker is there in a twentieth of a second, and may use a
# GPU. Where there is no such server (on Windows), each worker imports it for itself.
_IMPORTED = (
    "torch",
    "genre_pipeline.features.shards",
    "genre_pipeline.training.launching",
    "genre_pipeline.training.workers",
)
START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_STARTING = multiprocessing.get_context(START_METHOD)


class WorkerProcess(_STARTING.Process):  # type: ignore[name-defined,misc]  # the class depends on the system
    """A process with this one's environment, that leaves Ctrl-C to it and ends with it.

    What it is asked to do must be defined in a module that can be imported, which the program that runs is not.
    """

    def start(self) -> None:
        """Start it. The server has the environment that was there when it started: this one's goes along."""
        self._environment = dict(os.environ)
        with no_main():
            super().start()

    def run(self) -> None:
        """Do its work, in the new process."""
        os.environ.clear()
        os.environ.update(self._environment)
        begin_worker()
        super().run()


class WorkerContext(type(_STARTING)):  # type: ignore[misc]
    """The context of multiprocessing whose processes are :class:`WorkerProcess`."""

    Process = WorkerProcess


def worker_context() -> WorkerContext:
    """Return a context whose processes are there at once, or soon after the first."""
    context = WorkerContext()
    # One server serves all that a session does, whoever starts it.
    context.set_forkserver_preload(list(_IMPORTED))
    return context


@contextmanager
def no_main() -> Iterator[None]:
    """Start processes without the program that runs in this one: Kedro's command line takes a second to import."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def begin_worker() -> None:
    """Leave Ctrl-C to the parent of this process, and end with it, also if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
