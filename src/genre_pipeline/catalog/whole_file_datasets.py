"""The usual catalog entries, written so that a file is either whole or not there.

Kedro's entries write into the final file: a full disk or a kill leaves half of one under its name. These write beside
it and rename, and are otherwise what their names say in :mod:`kedro_datasets`.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractVersionedDataset, DatasetError, Version
from kedro.io.core import VersionNotFoundError
from kedro_datasets.json import JSONDataset as KedroJSONDataset
from kedro_datasets.text import TextDataset as KedroTextDataset

from genre_pipeline.storage import atomic_file

if TYPE_CHECKING:
    _Base = AbstractVersionedDataset[Any, Any]
else:
    _Base = object


class WholeFileMixin(_Base):
    """Gives an entry of a local file an atomic ``save``, and a ``load`` that names the file it cannot read.

    Put it before the entry's class: the entry's own ``save`` then writes to a temporary file in the same folder, which
    takes the final name in one step.

    Args:
        filepath: The file.
        load_args: How it is read, where its class reads.
        save_args: How it is written.
        version: Version to load and save, where the catalog entry is versioned.
        fs_args: Arguments of the file system.
        metadata: Any metadata, for Kedro-Viz and other plugins.
        keep_newest: Whether what is saved as a version also lies, under the same name, in the folder above.
    """

    _temporary: PurePosixPath | None = None

    # Written out: Kedro makes a configuration of the arguments that it finds in the signature.
    def __init__(
        self,
        *,
        filepath: str,
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        version: Version | None = None,
        fs_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        keep_newest: bool = False,
    ) -> None:
        # Not all of the classes take all of them.
        some = {"load_args": load_args, "save_args": save_args, "fs_args": fs_args}
        given: dict[str, Any] = {name: value for name, value in some.items() if value is not None}
        super().__init__(**{"filepath": filepath, "version": version, "metadata": metadata, **given})
        self.newest_path = Path(filepath).parents[1] / Path(filepath).name if keep_newest else None

    def save(self, data: Any) -> None:
        """Write the file, whole or not at all.

        Args:
            data: What the entry holds.

        Raises:
            StorageError: If the disk is full, or the folder is read-only (inside Kedro's ``DatasetError``).
        """
        # Kedro wraps each class's save with logging and version checks; the inner one would look for a version that
        # has no file yet.
        write = getattr(super().save, "__wrapped__")  # type: ignore[safe-super]  # noqa: B009
        path = Path(self._get_save_path())
        with atomic_file(path) as temporary:
            self._temporary = PurePosixPath(temporary)
            try:
                write(self, data)
            finally:
                self._temporary = None
        if self.newest_path is not None:
            with atomic_file(self.newest_path) as temporary:
                shutil.copyfile(path, temporary)

    def load(self) -> Any:
        """Read the file.

        Raises:
            DatasetError: If it cannot be read; the message names the file, which Kedro's shortens.
        """
        read = getattr(super().load, "__wrapped__")  # type: ignore[safe-super]  # noqa: B009
        path = self._get_load_path()
        try:
            return read(self)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"{path} cannot be read ({error}). Delete it, and run the stage that writes it again."
            ) from error

    def _get_save_path(self) -> PurePosixPath:
        return self._temporary or super()._get_save_path()


class JSONDataset(WholeFileMixin, KedroJSONDataset):
    """Plain types as JSON."""


class TextDataset(WholeFileMixin, KedroTextDataset):
    """A text."""


class OptionalMixin(WholeFileMixin):
    """Loads ``None`` if the file is not there: the output of an optional pipeline.

    The report shows it if it is there.
    """

    def load(self) -> Any:
        """Read the file, or return none if there is none."""
        try:
            return super().load()
        except (FileNotFoundError, VersionNotFoundError):
            return None


class OptionalJSONDataset(OptionalMixin, KedroJSONDataset):
    """Plain types as JSON, if they are there."""
