"""Find what can be deleted: old versions of catalog entries, and what killed processes left."""

from __future__ import annotations

import glob
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genre_pipeline.storage import abandoned, storage_errors

# What Kedro names a version: the session's time.
_VERSION = re.compile(r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d\.\d{3}Z")
_PLACEHOLDER = re.compile(r"\{\w+\}")


@dataclass(frozen=True)
class Leftover:
    """Something that may be deleted.

    Attributes:
        path: A file or folder.
        reason: Why it can be deleted.
        n_bytes: Its size.
    """

    path: Path
    reason: str
    n_bytes: int


def old_versions(templates: Iterable[str], *, keep: int) -> list[Leftover]:
    """Find the versions of catalog entries that are not among the newest.

    The newest is what the pipeline and the report load; older ones let a run be compared with those before.

    Args:
        templates: File paths of versioned entries, with placeholders such as ``{dataset}``.
        keep: How many versions of each entry are kept, at least one.

    Returns:
        The others, sorted by path.
    """
    found = []
    for entry in sorted({path for template in templates for path in _found(template)}):
        versions = sorted(path.parent for path in entry.glob(f"*/{entry.name}") if _VERSION.fullmatch(path.parent.name))
        found += [leftover(path, f"{keep} newer of it") for path in versions[:-keep]]
    return found


def trained_features(template: str) -> set[tuple[str, str]]:
    """Return dataset and feature of every cell that was trained, or whose training began.

    Args:
        template: Path of a cell's folder, with placeholders, ``{dataset}`` and ``{feature}`` among them.
    """
    cell = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template)))
    found = [match for path in _found(template) if path.is_dir() and (match := cell.fullmatch(str(path)))]
    return {(match["dataset"], match["feature"]) for match in found}


def abandoned_files(data: Path, folders: Iterable[Path], *, unmarked: bool = False) -> list[Leftover]:
    """Find temporary files that killed processes left (:func:`~genre_pipeline.storage.abandoned`).

    Args:
        data: The data folder. Of music, only the upper folders are looked through; of MLflow, nothing.
        folders: Further folders of results; they may lie in the data folder.
        unmarked: Find those of earlier releases among results, too.

    Returns:
        Files and folders, sorted by path.
    """
    results = {data / "refresh", *data.glob("0[2-8]_*"), *folders}
    found = {*abandoned(data / "01_raw", depth=2)}
    for folder in results:
        found.update(abandoned(folder, unmarked=unmarked))
    return [leftover(path, "temporary file of a process that is gone") for path in sorted(found)]


def remove(leftover: Leftover) -> None:
    """Delete what is left over.

    Raises:
        StorageError: If it may not be deleted.
    """
    with storage_errors(leftover.path):
        if leftover.path.is_dir():
            shutil.rmtree(leftover.path)
        else:
            leftover.path.unlink(missing_ok=True)


def _found(template: str) -> Iterator[Path]:
    """Yield what is there of the paths of a template. What a user's folders are called is not read as a pattern."""
    pattern = "*".join(map(glob.escape, _PLACEHOLDER.split(template)))
    return map(Path, glob.iglob(pattern))  # noqa: PTH207


def leftover(path: Path, reason: str) -> Leftover:
    """Describe a file or folder that may be deleted."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return Leftover(path, reason, sum(each.stat().st_size for each in files))
