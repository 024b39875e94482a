"""Catalog entry of a feature store."""

from __future__ import annotations

from typing import Any

from kedro.io import Version

from genre_pipeline.catalog.pointer_dataset import PointerDataset
from genre_pipeline.errors import StoreError
from genre_pipeline.stores.store import FeatureStore


class FeatureStoreDataset(PointerDataset[FeatureStore]):
    """Points to a :class:`~genre_pipeline.stores.store.FeatureStore` on disk.

    ```yaml
    "{dataset}.{feature}.features":
      type: genre_pipeline.catalog.FeatureStoreDataset
      filepath: ${data:}/04_feature/{dataset}/{feature}.json
    ```
    """

    # Written out: Kedro makes a configuration of the arguments that it finds in the signature.
    def __init__(
        self, *, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(filepath=filepath, version=version, metadata=metadata)

    def _point(self, content: FeatureStore) -> dict[str, str]:
        return {"folder": self._address(content.folder), "fingerprint": content.fingerprint}

    def _open(self, pointer: Any) -> FeatureStore:
        store = FeatureStore.open(self._folder(pointer["folder"]))
        if store.fingerprint != pointer["fingerprint"]:
            raise StoreError(
                f"The feature store {store.folder} has changed since {self._filepath} was written. Run the pipeline "
                "'features' again."
            )
        return store
