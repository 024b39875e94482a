"""Atomic writes: a file or folder is either whole under its name, or not there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genre_pipeline.errors import StorageError

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "the disk quota is used up; free some space and run again",
    errno.EROFS: "the file system is read-only; choose another folder (GENRE_PIPELINE_DATA) and run again",
    errno.EACCES: "permission was denied; make the folder writable or choose another (GENRE_PIPELINE_DATA)",
    errno.EPERM: "permission was denied; make the folder writable or choose another (GENRE_PIPELINE_DATA)",
    errno.EISDIR: "there is a folder of that name; move it away and run again",
    errno.ENOTDIR: "there is a file in the place of one of its folders; move it away and run again",
    errno.EEXIST: "there is a file in the place of its folder; move it away and run again",
}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into a :class:`StorageError` that says what to do.

    Args:
        path: What is being written, for the message.

    Raises:
        StorageError: If the disk is full, or the folder is read-only.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _ADVICE:
            raise
        raise StorageError(f"Cannot write {path}: {_ADVICE[error.errno]}.") from error


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write; on success it takes the final name in one step, else it vanishes.

    Args:
        path: The file's final path; its folder is made if it is not there.

    Yields:
        A path in the same folder, with the same suffix, not yet existing.

    Raises:
        StorageError: If the disk is full, or the folder is read-only.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; on success it replaces the final one, else it vanishes.

    Args:
        path: The folder's final path. A folder already there is replaced.

    Yields:
        An empty folder beside the final one.

    Raises:
        StorageError: If the disk is full, or the folder is read-only.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                retired = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
                path.replace(retired / path.name)
                temporary.replace(path)
                shutil.rmtree(retired, ignore_errors=True)
            else:
                temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically, with sorted keys and a final newline.

    Raises:
        StorageError: If the disk is full, or the folder is read-only.
    """
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
