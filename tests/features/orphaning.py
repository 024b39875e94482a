"""A process that is killed while its worker process works: run by ``test_backends.py``."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading

from genre_pipeline.work.backends import Workers


def work(pipe: str) -> None:
    """Say so, kill the parent, and never end."""
    with open(pipe, "wb", buffering=0) as file:  # noqa: PTH123
        file.write(b"working")
        asking = multiprocessing.parent_process()
        assert asking is not None
        assert asking.pid is not None
        os.kill(asking.pid, signal.SIGKILL)
        threading.Event().wait()


if __name__ == "__main__":
    # Workers know modules, not the program that started them.
    from orphaning import work

    with Workers("processes", 1).map(work, [sys.argv[1]]) as results:
        list(results)
