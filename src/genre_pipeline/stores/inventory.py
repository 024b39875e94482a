"""List feature stores, their sizes, and which are unused."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from genre_pipeline.errors import StoreError
from genre_pipeline.storage import storage_errors
from genre_pipeline.stores.locks import writing
from genre_pipeline.stores.store import FeatureStore, shards_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoreSummary:
    """Summary of a feature store.

    Attributes:
        folder: Where it is: ``<dataset>/<feature>`` below the folder of all stores.
        n_tracks: Tracks in it.
        n_bytes: Size of all its files, and of shards that a killed run left beside it.
        waste: Share of its frames that no track uses, from 0 to 1.
        spec_hash: Hash of the feature's specification and of the extractor's version.
        fault: Its fault; empty if none. The numbers of a store that cannot be opened are 0.
    """

    folder: Path
    n_tracks: int
    n_bytes: int
    waste: float
    spec_hash: str
    fault: str = ""

    @property
    def dataset(self) -> str:
        """Name of its dataset."""
        return self.folder.parent.name

    @property
    def feature(self) -> str:
        """Name of its feature."""
        return self.folder.name


def summarise_stores(library: Path, *, verify: bool = False) -> list[StoreSummary]:
    """Describe all feature stores in a folder.

    Args:
        library: Folder of all stores.
        verify: Whether the bytes of each track are checked.

    Returns:
        The stores, sorted by dataset and feature.
    """
    return [_summarise(header.parent, verify=verify) for header in sorted(library.glob("*/[!.]*/store.json"))]


def unused_stores(
    stores: Collection[StoreSummary],
    defined: Collection[tuple[str, str, str]],
    trained: Collection[tuple[str, str]] = (),
) -> list[StoreSummary]:
    """Return the unused stores; damaged ones are always included.

    Args:
        stores: All stores.
        defined: Dataset, feature and specification hash of every defined feature.
        trained: Dataset and feature of trained models, whatever their specification.
    """
    return [
        store
        for store in stores
        if store.fault
        or (
            (store.dataset, store.feature, store.spec_hash) not in defined
            and (store.dataset, store.feature) not in trained
        )
    ]


def remove_store(folder: Path) -> None:
    """Delete a store and its files beside it.

    Args:
        folder: The store's folder.

    Raises:
        StoreError: If another process writes to it.
        StorageError: If deleting is not permitted.
    """
    with writing(folder), storage_errors(folder):
        for each in (folder, shards_folder(folder)):
            if each.exists():
                shutil.rmtree(each)


def mend_store(folder: Path) -> None:
    """Drop and log the damaged content of a store whose files were changed.

    Args:
        folder: The store's folder. A missing one is extracted again.

    Raises:
        StoreError: If another process writes to it.
        StorageError: If it cannot be written.
    """
    if not folder.exists():
        return
    with writing(folder):
        if fault := FeatureStore.mend(folder):
            logger.warning("%s What is damaged is computed again.", fault)


def _summarise(folder: Path, *, verify: bool) -> StoreSummary:
    n_bytes = sum(path.stat().st_size for each in (folder, shards_folder(folder)) for path in each.glob("*"))
    try:
        store = FeatureStore.open(folder)
        if verify:
            store.verify()
    except StoreError as error:
        return StoreSummary(folder, 0, n_bytes, 0.0, "", str(error))
    return StoreSummary(folder, len(store.index), n_bytes, store.waste(), store.spec_hash)
