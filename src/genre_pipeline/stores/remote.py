"""Feature stores behind a URL: fetched and published as whole files.

A store is read and written on the local disk, because training maps its frames into memory, which does not work with a
URL. The URL holds a copy. Publishing takes several steps: a reader in between gets a checksum error, never wrong
numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec

from genre_pipeline.errors import StorageError, StoreError
from genre_pipeline.storage import atomic_folder
from genre_pipeline.stores.locks import writing
from genre_pipeline.stores.store import FeatureStore


def publish(store: FeatureStore, url: str) -> None:
    """Copy a store to a URL, unless it exists there: frames first, so that everything in an index exists.

    Args:
        store: The store.
        url: Its folder, of any scheme that fsspec knows: ``s3://bucket/features/gtzan/log_mel``.

    Raises:
        StorageError: If the URL cannot be written to.
    """
    try:
        files, folder = fsspec.core.url_to_fs(url)
        if _is_published(store, files, folder):
            return
        files.makedirs(folder, exist_ok=True)
        for name in store.files:
            files.put_file(str(store.folder / name), f"{folder}/{name}")
        for path in files.ls(folder, detail=False):
            if path.rsplit("/", 1)[-1] not in store.files:
                files.rm_file(path)
    except (OSError, ValueError, ImportError) as error:
        raise StorageError(f"Cannot publish {store.folder} to {url}: {error}") from error


def _is_published(store: FeatureStore, files: Any, folder: str) -> bool:
    """Compare all files except the frames, which were copied before."""
    return all(
        files.exists(f"{folder}/{name}") and files.cat_file(f"{folder}/{name}") == (store.folder / name).read_bytes()
        for name in store.files[1:]
    )


def fetch(url: str, folder: Path) -> bool:
    """Copy a store from a URL, replacing the folder's content.

    Args:
        url: Where it was published.
        folder: Its folder here.

    Returns:
        Whether there was a store.

    Raises:
        StoreError: If the URL cannot be read, or its store is damaged or only half published.
        StorageError: If the disk is full, or the folder is read-only.
    """
    try:
        files, remote = fsspec.core.url_to_fs(url)
        if not files.exists(remote):
            return False
        with writing(folder), atomic_folder(folder) as temporary:
            for path in files.ls(remote, detail=False):
                files.get_file(path, str(temporary / path.rsplit("/", 1)[-1]))
            FeatureStore.open(temporary).verify()
    except (OSError, ValueError, ImportError) as error:
        raise StoreError(f"Cannot fetch the feature store at {url}: {error}") from error
    return True
