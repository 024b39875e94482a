"""Atomic writes: a file or folder is either whole under its name, or not there."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genre_pipeline.errors import GenrePipelineError, StorageError, causes
from genre_pipeline.work.processes import Owner, is_of_the_dead

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "the disk quota is used up; free some space and run again",
    errno.EFBIG: "the file would be larger than is allowed (ulimit -f), or than the file system can hold",
    errno.EIO: "the disk, or the connection to it, failed; look at it (dmesg) and run again",
    errno.EROFS: "the file system is read-only; choose another folder (GENRE_PIPELINE_DATA) and run again",
    errno.EACCES: "permission was denied; make the folder writable or choose another (GENRE_PIPELINE_DATA)",
    errno.EPERM: "permission was denied; make the folder writable or choose another (GENRE_PIPELINE_DATA)",
    errno.ENOTDIR: "a file is where a folder is needed; move it away",
    errno.EEXIST: "a file is where a folder is needed; move it away",
    errno.EISDIR: "a folder is where the file is needed; move it away",
    errno.ENAMETOOLONG: "the name is too long for the file system; choose a folder with a shorter path "
    "(GENRE_PIPELINE_DATA)",
}

# [?] What is written to find out whether anything can be: more than file systems keep inside a file's entry.
_PROBE = bytes(2**20)

# "." at the beginning hides them; then what shall be written, whose it is, and chance.
_TEMPORARY = re.compile(r"\..*-([0-9a-f]{8}-\d+-\d+)-\w{8}(\.\w+)?")
# Those of releases before the owner was part of the name.
_UNMARKED = re.compile(r"\..+-[a-z0-9_]{8}(\.\w+)?")
# [?] Seconds without a change after which a process elsewhere is taken to be gone: a week.
_OLD_S = 7 * 24 * 3600.0


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
    except GenrePipelineError:
        raise
    except OSError as error:
        if error.errno not in _ADVICE:
            raise
        raise StorageError(f"Cannot write {path}: {_ADVICE[error.errno]}.") from error
    except Exception as error:
        # Libraries that write have errors of their own, which do not say why.
        if (code := _refused(path.parent)) is None:
            raise
        raise StorageError(f"Cannot write {path}: {_ADVICE[code]}.") from error


def storage_fault(error: BaseException, folders: Collection[Path]) -> StorageError | None:
    """Return what the operating system refused, if that is what an error comes from.

    Args:
        error: What a library raised.
        folders: Where it may have written: each is tried if the error does not say.
    """
    chain = list(causes(error))
    for cause in reversed(chain):
        if isinstance(cause, OSError) and cause.errno in _ADVICE:
            where = cause.filename2 or cause.filename or next(iter(folders), "a file")
            return StorageError(f"Cannot write or read {where}: {_ADVICE[cause.errno]}.")
    for folder in folders:
        if (code := _refused(folder)) is not None:
            return StorageError(f"Cannot write into {folder}: {_ADVICE[code]}.")
    return None


def _refused(folder: Path) -> int | None:
    """Try to write into a folder; return the number of the error with which that is refused."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(_PROBE)
            file.flush()
    except OSError as error:
        return error.errno if error.errno in _ADVICE else None
    return None


@contextmanager
def _folder_made(path: Path) -> Iterator[None]:
    """Make the folder of a path; an error says why nothing can be made in it."""
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield
    except FileNotFoundError as error:
        # As in /proc.
        raise StorageError(
            f"Cannot write {path}: nothing can be made in its folder; choose another place (GENRE_PIPELINE_DATA)."
        ) from error


def check_writable(path: Path) -> None:
    """Check that a file can be written, before the work whose result it shall hold.

    Args:
        path: The file; its folder is made if it is not there.

    Raises:
        StorageError: If the disk is full, or the folder is read-only.
    """
    with _folder_made(path), tempfile.TemporaryFile(dir=path.parent):
        pass


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
    with _folder_made(path):
        handle, name = tempfile.mkstemp(prefix=temporary_prefix(path.stem), suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        # Inside, so that a full disk is still full when the reason is looked for.
        with storage_errors(path):
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
    with _folder_made(path):
        temporary = Path(tempfile.mkdtemp(prefix=temporary_prefix(path.name), dir=path.parent))
    try:
        with storage_errors(path):
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                retired = Path(tempfile.mkdtemp(prefix=temporary_prefix(f"{path.name}-old"), dir=path.parent))
                path.replace(retired / path.name)
                temporary.replace(path)
                shutil.rmtree(retired, ignore_errors=True)
            else:
                temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_prefix(name: str) -> str:
    """Return how the name of a temporary file of this process begins; eight signs of chance must follow.

    Args:
        name: Of what it will be. A long one is cut: file systems take 255 bytes.
    """
    return f".{name[:40]}-{Owner.this_process().mark}-"


def abandoned(folder: Path, *, depth: int | None = None, unmarked: bool = False) -> Iterator[Path]:
    """Find temporary files and folders of processes that have ended.

    Those of a process of this machine that is gone are; those of another machine if they are a week old. Those of
    a living process never are.

    Args:
        folder: Where to look, in its sub-folders too; it need not exist.
        depth: How deep; everywhere if none is given.
        unmarked: Find those of earlier releases too, whose names do not say whose they are.
    """
    for path in _entries(folder):
        if marked := _TEMPORARY.fullmatch(path.name):
            is_gone = is_of_the_dead(marked[1])
            if is_gone or (is_gone is None and _is_old(path)):
                yield path
        elif unmarked and _UNMARKED.fullmatch(path.name):
            yield path
        elif depth != 1 and path.is_dir() and not path.is_symlink():
            yield from abandoned(path, depth=depth and depth - 1, unmarked=unmarked)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > _OLD_S
    except OSError:
        return False


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
