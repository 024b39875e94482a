"""Catalog entries of places in which a stage keeps what it can resume from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError
from typing_extensions import override

from genre_pipeline.splits import SplitRecord, write_record


class PlaceDataset(AbstractDataset[Any, Path]):
    """Loads as the path of a file or folder, which need not be there yet: the node makes it, and finds it again.

    ```yaml
    "{dataset}.{protocol}.{feature}.{model}.training":
      type: genre_pipeline.catalog.PlaceDataset
      filepath: ${storage:models}/${globals:experiment}/{dataset}/{protocol}/{feature}/{model}
    ```

    Args:
        filepath: The file or folder, absolute.
        metadata: Any metadata, for Kedro-Viz and other plugins.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self.place = Path(filepath)
        self.metadata = metadata

    @override
    def load(self) -> Path:
        """Return the path."""
        return self.place

    @override
    def save(self, data: Any) -> None:
        """Refuse: the node writes into the place itself.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{self.place} is a place to work in: expected no result for it, got {type(data).__name__}.")

    @override
    def _exists(self) -> bool:
        return True

    @override
    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.place)}


class SplitRecordsDataset(PlaceDataset):
    """The folder of the records that keep tracks on their sides: loads as its path, and saves a record under its key.

    No result is stale for want of a record: the split is then dealt anew.

    Args:
        filepath: The folder, absolute.
        metadata: Any metadata, for Kedro-Viz and other plugins.
    """

    # Kedro notes the arguments of each class's own constructor, to write an entry as configuration.
    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath=filepath, metadata=metadata)

    @override
    def save(self, data: Mapping[str, SplitRecord]) -> None:
        """Write records.

        Args:
            data: Records by their keys.

        Raises:
            StorageError: If the disk is full, or the folder is read-only (inside Kedro's ``DatasetError``).
        """
        for key, record in data.items():
            write_record(self.place / f"{key}.parquet", record)
