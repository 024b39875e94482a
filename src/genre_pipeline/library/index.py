"""An index of what a model said of files, so that only new and changed files are classified again: a SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from typing_extensions import Self

from genre_pipeline.datasets.reading.files import Stamp
from genre_pipeline.errors import StorageError
from genre_pipeline.evaluation.answers import FileAnswer
from genre_pipeline.library.listing import Listing
from genre_pipeline.storage import storage_errors

# Raised when the table changes: an index of another version is made anew.
_VERSION = 2
_TABLE = """
CREATE TABLE answers (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, model TEXT NOT NULL,
    duration_s REAL NOT NULL, probabilities BLOB NOT NULL, error TEXT NOT NULL
) WITHOUT ROWID
"""
# [?] Seconds to wait for another command's write.
_PATIENCE_S = 20.0


class AnswerIndex:
    """The last answer about each file, with the file's stamp and the fingerprint of the model that gave it.

    That a file could not be classified is an answer, too.

    Args:
        path: The SQLite file; it is made where there is none.

    Raises:
        StorageError: If it cannot be made or read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._errors():
            # Each statement is a transaction: what was answered is kept, however the command ends.
            self._connection = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)
            try:
                (version,) = self._connection.execute("PRAGMA user_version").fetchone()
                if version != _VERSION:
                    self._make_anew()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._connection.close()

    def unchanged(self, stamps: dict[Path, Stamp], model: str) -> set[Path]:
        """Return the files of which the index knows what a model says, as they are now.

        Args:
            stamps: Size and time of change of each file.
            model: The model's fingerprint.
        """
        with self._errors():
            rows = self._connection.execute("SELECT path, size, mtime_ns FROM answers WHERE model = ?", (model,))
            known = {bytes(key): (size, mtime_ns) for key, size, mtime_ns in rows}
        return {path for path, stamp in stamps.items() if known.get(_key(path)) == stamp}

    def read(self, path: Path, *, n_genres: int) -> FileAnswer:
        """Return the answer about a file that is in the index.

        Args:
            path: The file.
            n_genres: The model's number of genres.

        Raises:
            StorageError: If it is there no more.
        """
        query = "SELECT duration_s, probabilities, error FROM answers WHERE path = ?"
        with self._errors():
            row = self._connection.execute(query, (_key(path),)).fetchone()
            if row is None:
                raise StorageError(
                    f"{self._path}: another command has just removed {path} from it. Run the command again."
                )
            duration_s, content, error = row
            probabilities = np.frombuffer(content, dtype=np.float64).reshape(-1, n_genres)
        error = f"{error} (Skipped: it has not changed since.)" if error else ""
        return FileAnswer(path, probabilities, duration_s, error)

    def keep(self, answer: FileAnswer, stamp: Stamp, model: str) -> None:
        """Put an answer in the place of the one before.

        Args:
            answer: The answer.
            stamp: The file's stamp, as it was before the file was read.
            model: The fingerprint of the model that gave it.
        """
        probabilities = answer.probabilities.tobytes()
        row = (_key(answer.path), *stamp, model, answer.duration_s, probabilities, answer.error)
        with self._errors():
            self._connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def forget_missing(self, listing: Listing) -> None:
        """Remove files that were named, or lay in one of the folders, and are there no more.

        Args:
            listing: What was named. Of a folder that cannot be listed, such as that of a disk that is not mounted,
                nothing is removed: it is in no listing.
        """
        named = {_key(path) for path in listing.paths}
        inside = tuple(_key(folder).rstrip(b"/") + b"/" for folder in listing.folders)
        with self._errors():
            known = [bytes(key) for (key,) in self._connection.execute("SELECT path FROM answers")]
            gone = [(key,) for key in known if (key in named or key.startswith(inside)) and not os.path.exists(key)]  # noqa: PTH110
            self._connection.executemany("DELETE FROM answers WHERE path = ?", gone)

    def _make_anew(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("DROP TABLE IF EXISTS answers")
        self._connection.execute(_TABLE)
        self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        self._connection.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        # What is in a damaged table need not be of its columns' types.
        except (sqlite3.Error, TypeError, ValueError) as error:
            raise StorageError(
                f"The index {self._path} cannot be used ({error}). End what else uses it, or delete it: it is made "
                "again."
            ) from error


def _key(path: Path) -> bytes:
    """Return a file's name in the index: absolute, and not text, which a name need not be."""
    return os.fsencode(os.path.abspath(path))  # noqa: PTH100 - links stay as they are
