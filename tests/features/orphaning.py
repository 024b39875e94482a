"""A process that is killed while its worker process works: run by ``test_backends.py``."""

from __future__ import annotations

import os
import signal
import sys
import threading

from genre_pipeline.features.backends import Workers


def work(pipe: str) -> None:
    """Say so, kill the parent, and never end."""
    with open(pipe, "wb", buffering=0) as file:  # noqa: PTH123
        file.write(b"working")
        os.kill(os.getppid(), signal.SIGKILL)
        threading.Event().wait()


if __name__ == "__main__":
    with Workers("processes", 1).map(work, [sys.argv[1]]) as results:
        list(results)
