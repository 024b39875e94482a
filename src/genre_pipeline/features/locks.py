"""One writer at a time: a lock on a feature store that ends with the process that holds it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from genre_pipeline.errors import StoreError
from genre_pipeline.storage import storage_errors


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold a store for writing. Readers need no lock.

    The lock is the operating system's, on a file beside the store: it goes when its process does, however that ends, so
    that none is ever left behind. Beside it stands who holds it, for messages only. Temporary files that a killed
    writer left are removed.

    Args:
        folder: The store's folder, which may not exist yet.

    Raises:
        StoreError: If another process (or another thread of this one) writes to the store; the message names it.
        StorageError: If the folder above is read-only.
    """
    lock_path = folder.with_name(f".{folder.name}.lock")
    owner_path = folder.with_name(f".{folder.name}.owner")
    with storage_errors(lock_path):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StoreError(
                f"{folder}: is being written by {_owner(owner_path)}. Wait until that ends, and run again."
            ) from None
    try:
        with storage_errors(owner_path):
            owner_path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        _remove_remains(folder)
        yield
    finally:
        owner_path.unlink(missing_ok=True)
        lock.release()


def _owner(path: Path) -> str:
    # There may be nothing between taking the lock and saying so.
    return (path.read_text(encoding="utf-8") if path.exists() else "") or "another process"


def _remove_remains(folder: Path) -> None:
    """Remove the temporary files and folders of writers that were killed."""
    for path in [*folder.glob(".*"), *folder.parent.glob(f".{folder.name}-*")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
