"""One writer of a feature store at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genre_pipeline.errors import StoreError
from genre_pipeline.locks import only_one


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Lock a store for writing (:func:`~genre_pipeline.locks.only_one`). Readers need no lock.

    Temporary files that a killed writer left are removed.

    Args:
        folder: The store's folder, which may not exist yet.

    Raises:
        StoreError: If another process (or another thread of this one) writes to the store; the message names it.
        StorageError: If the folder above is read-only.
    """

    def refusal(owner: str) -> StoreError:
        return StoreError(f"{folder}: is being written by {owner}. Wait until that ends, and run again.")

    with only_one(folder, refusal):
        _remove_remains(folder)
        yield


def _remove_remains(folder: Path) -> None:
    """Remove the temporary files and folders of writers that were killed."""
    for path in [*folder.glob(".*"), *folder.parent.glob(f".{folder.name}-*")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
