"""A catalog entry that holds the address and fingerprint of results too large to copy."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from kedro.io import AbstractVersionedDataset, DatasetError, Version

from genre_pipeline.storage import write_json

T = TypeVar("T")


class PointerDataset(AbstractVersionedDataset[T, T]):
    """Base of the entries whose content stays where its stage wrote it.

    Saving writes a small JSON file with the content's address and fingerprint; loading opens the content and makes
    sure that it is still the one that was saved.

    Args:
        filepath: The JSON file, absolute.
        version: Version to load and save, where the catalog entry is versioned.
        metadata: Any metadata, for Kedro-Viz and other plugins.
    """

    def __init__(
        self, *, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        self.metadata = metadata
        super().__init__(
            filepath=PurePosixPath(filepath), version=version, exists_function=_exists, glob_function=_glob
        )

    def _address(self, folder: Path) -> str:
        """Return a folder's path relative to the pointer, so that a data folder can be moved as a whole."""
        return os.path.relpath(folder, str(self._filepath.parent))

    def _folder(self, address: str) -> Path:
        """Return the folder at an address."""
        return Path(os.path.normpath(Path(str(self._filepath.parent), address)))

    @abstractmethod
    def _point(self, content: T) -> Any:
        """Return the content's address and fingerprint, in plain JSON types."""

    @abstractmethod
    def _open(self, pointer: Any) -> T:
        """Open the content at an address, and check its fingerprint."""

    def save(self, data: T) -> None:
        """Write the pointer of content that is already on disk."""
        write_json(Path(self._get_save_path()), self._point(data))

    def load(self) -> T:
        """Open the content that the pointer names.

        Raises:
            DatasetError: If the pointer is not there or is not readable, or its content is not the one saved.
        """
        path = Path(self._get_load_path())
        try:
            return self._open(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"Cannot read {path} ({type(error).__name__}: {error}). Run the stage that writes it again."
            ) from error

    def _exists(self) -> bool:
        try:
            return Path(self._get_load_path()).is_file()
        except DatasetError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "version": self._version}


def _exists(path: str) -> bool:
    return Path(path).exists()


def _glob(pattern: str) -> list[str]:
    import glob

    return glob.glob(pattern)  # noqa: PTH207 - Kedro hands over absolute patterns
