"""Dask's scheduler and workers as programs of their own on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Programs:
    """Those that were started."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[str]] = []

    def start(self, program: str, *arguments: str, ready: str) -> str:
        """Start one and wait for the line that it prints when it is ready; return that line's last word."""
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", *arguments]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.started.append(process)
        assert process.stderr is not None
        for line in process.stderr:
            if ready in line:
                return line.rsplit(maxsplit=1)[-1]
        raise AssertionError(f"{program} ended before it was ready")

    def start_cluster(self, n_workers: int) -> str:
        """Start a scheduler with workers and return its address."""
        address = self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", ready="Scheduler at:")
        for _ in range(n_workers):
            arguments = ["--no-nanny", "--no-dashboard", "--nthreads", "1", "--host", "127.0.0.1"]
            self.start("worker", address, *arguments, ready="Registered to:")
        return address


@contextmanager
def dask_programs() -> Iterator[Programs]:
    """Start programs, which end with the context."""
    programs = Programs()
    try:
        yield programs
    finally:
        for process in reversed(programs.started):
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()


def workers_of(client: Any) -> int:
    """Return how many workers a cluster has."""
    return len(client.scheduler_info()["workers"])
