"""Processes: their identity, how signals end them, and worker processes.

Workers are forked from a server that has imported what they need.
"""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType

from typing_extensions import Self

# Environment variable with the pipe that closes when the process that started a command ends.
_STARTER = "GENRE_PIPELINE_STARTER"
# Signals that end a program on purpose: Ctrl-C, kill or a scheduler, and a closed terminal.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Not a fork of this process: it has threads (torch has some), whose locks would stay locked in the fork. The server has
# only imported these modules, so a worker starts in a twentieth of a second and may use a GPU. Without such a server
# (on Windows), each worker imports them itself.
_IMPORTED = ("torch", "genre_pipeline.stores.shards", "genre_pipeline.training.workers")
_STARTING = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)


class Ended(KeyboardInterrupt):
    """Raised when a signal ends this process: SIGINT (Ctrl-C), SIGTERM or SIGHUP.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"Ended by {signal.Signals(number).name}.")
        self.number = number

    @property
    def exit_code(self) -> int:
        """The exit code that shells report for a program ended by the signal."""
        return 128 + self.number


@contextmanager
def ends_on_signals() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like Ctrl-C: raise :class:`Ended` in the main thread, which closes everything.

    While the first signal is being handled, further ones are ignored. A signal that was ignored from the start stays
    ignored: SIGHUP under ``nohup``, SIGINT in a script's background commands.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if line := os.environ.pop(_STARTER, None):
        threading.Thread(target=_end_with_starter, args=(int(line),), daemon=True).start()
    handlers = {number: signal.getsignal(number) for number in _ENDING}
    before = {number: handler for number, handler in handlers.items() if handler not in {signal.SIG_IGN, None}}
    # The reference dies with the exception: if a library has swallowed it, the next signal raises another.
    obeyed: weakref.ref[Ended] | None = None

    def end(number: int, _: FrameType | None) -> None:
        nonlocal obeyed
        if obeyed is not None and obeyed() is not None:
            return
        error = Ended(number)
        obeyed = weakref.ref(error)
        try:
            raise error
        finally:
            # Otherwise the frame would keep it alive.
            del error

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def started(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of this project in a session of its own: a terminal's signals do not reach it.

    If this process is killed, it gets SIGTERM.

    Args:
        command: Program and arguments.
        folder: Where it runs.

    Yields:
        Its process; leaving the context waits for it.
    """
    # Only this process has the writing end, which closes when the process ends, in any way.
    reading, writing = os.pipe()
    try:
        environment = {**os.environ, _STARTER: str(reading)}
        process = subprocess.Popen(  # noqa: S603
            command, cwd=folder, env=environment, pass_fds=(reading,), start_new_session=True
        )
        with process:
            yield process
    finally:
        os.close(reading)
        os.close(writing)


def _end_with_starter(line: int) -> None:
    os.read(line, 1)
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True)
class Owner:
    """A process, as it is named in its files, locks and runs.

    Attributes:
        pid: The process.
        host: The machine on which it runs.
        process_start: When it was started, in the kernel's ticks since the machine was (Linux): with it, a process is
            not mistaken for a later one of the same number. ``None`` if the system does not provide it.
        machine: The machine's id and the space in which process numbers are unique: containers have their own.
    """

    pid: int
    host: str
    process_start: int | None
    machine: str = ""

    @classmethod
    def this_process(cls) -> Self:
        """Return this process."""
        return cls(os.getpid(), socket.gethostname(), _process_start(os.getpid()), _machine())

    @property
    def is_dead(self) -> bool:
        """Whether it has certainly ended: a process of this machine and container that no longer runs."""
        here = (socket.gethostname(), _machine())
        return (self.host, self.machine) == here and self.process_start != _process_start(self.pid)

    @property
    def mark(self) -> str:
        """Its mark in the names of its temporary files: a digest of where it runs, its number and its start.

        Example:
            >>> Owner(pid=12, host="a", process_start=345).mark
            'ca978112-12-345'
        """
        place = hashlib.sha256(f"{self.host}{self.machine}".encode()).hexdigest()[:8]
        return f"{place}-{self.pid}-{self.process_start or 0}"


def is_of_the_dead(mark: str) -> bool | None:
    """Return whether the process of an :attr:`Owner.mark` has ended; ``None`` for a process elsewhere.

    Example:
        >>> is_of_the_dead(Owner.this_process().mark)
        False
    """
    place, pid, start = mark.split("-")
    if place != Owner.this_process().mark.split("-")[0]:
        return None
    return int(start) != (_process_start(int(pid)) or 0)


@functools.cache
def _machine() -> str:
    machine, space = Path("/etc/machine-id"), Path("/proc/self/ns/pid")
    known = machine.read_text(encoding="utf-8").strip() if os.access(machine, os.R_OK) else ""
    return f"{known} {space.readlink() if space.is_symlink() else ''}".strip()


def _process_start(pid: int) -> int | None:
    """Return field 22 of ``/proc/<pid>/stat`` (proc_pid_stat(5)); ``None`` for a process that has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets, which may hold anything; the state follows.
    fields = stat.rpartition(")")[2].split()
    # A process that has ended, but whose parent has not read its exit code.
    return None if fields[0] in {"Z", "X"} else int(fields[19])


class WorkerProcess(_STARTING.Process):  # type: ignore[name-defined,misc]  # the class depends on the system
    """A process with this one's environment that ignores a terminal's signals and ends with this process.

    Its function must be defined in a module that can be imported, which the running program is not.
    """

    def start(self) -> None:
        """Start it, with this process's environment: the server has the one from its own start."""
        self._environment = dict(os.environ)
        with _no_main():
            super().start()

    def run(self) -> None:
        """Run its work in the new process."""
        os.environ.clear()
        os.environ.update(self._environment)
        begin_worker()
        super().run()


class WorkerContext(type(_STARTING)):  # type: ignore[misc]
    """A multiprocessing context whose processes are :class:`WorkerProcess`."""

    Process = WorkerProcess


def worker_context() -> WorkerContext:
    """Return a context whose processes start quickly after the first."""
    context = WorkerContext()
    # One server is shared by everything in a session.
    context.set_forkserver_preload(list(_IMPORTED))
    return context


@contextmanager
def _no_main() -> Iterator[None]:
    """Start processes without this process's main program: Kedro's command line takes a second to import."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def begin_worker() -> None:
    """Leave a terminal's signals to the parent process, and end when it ends, in any way.

    SIGTERM ends a worker: process pools use it.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
