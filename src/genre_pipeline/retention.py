"""What nobody needs any more: old versions of catalog entries, and checkpoints of cells that are in no experiment."""

from __future__ import annotations

import glob
import json
import logging
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from genre_pipeline.cells import Cell
from genre_pipeline.storage import storage_errors

logger = logging.getLogger(__name__)

# What Kedro names a version: the session's time.
_VERSION = re.compile(r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d\.\d{3}Z")
_PLACEHOLDER = re.compile(r"\{\w+\}")
_REPEAT = re.compile(r"repeat_(\d+)")
_POINTER = "checkpoints.json"


@dataclass(frozen=True)
class Leftover:
    """Something that may be deleted.

    Attributes:
        path: A file or folder.
        reason: Why nobody needs it.
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
    pattern_of = {template: _PLACEHOLDER.sub("*", _escaped(template)) for template in templates}
    entries = {Path(path) for pattern in pattern_of.values() for path in glob.iglob(pattern)}  # noqa: PTH207
    found = []
    for entry in sorted(entries):
        versions = sorted(path.parent for path in entry.glob(f"*/{entry.name}") if _VERSION.fullmatch(path.parent.name))
        found += [_leftover(path, f"{keep} newer of it") for path in versions[:-keep]]
    return found


def orphaned_checkpoints(
    models: Path, needed: Mapping[tuple[str, Cell], int], *, registered: Collection[str]
) -> list[Leftover]:
    """Find checkpoints that neither an experiment nor a registered model needs.

    Cells that were not trained to the end are left alone: somebody may be training them. So are those of which a file
    cannot be read.

    Args:
        models: Folder of all checkpoints: ``<experiment>/<dataset>/<protocol>/<feature>/<model>/repeat_<i>``.
        needed: How many repeats each experiment (by its name) has of each of its cells, its last report's included.
        registered: Fingerprints of registered models; their checkpoints are kept.

    Returns:
        Folders of cells, and files and folders of repeats, sorted by path.
    """
    found = []
    for pointer in sorted(models.glob(f"*/*/*/*/*/{_POINTER}")):
        folder = pointer.parent
        experiment, *parts = folder.relative_to(models).parts
        repeats = _by_repeat(folder)
        try:
            pointed = _pointed(pointer)
            wanted = {repeat for repeat, paths in repeats.items() if _fingerprints(paths) & set(registered)}
        except (OSError, ValueError, KeyError, TypeError) as error:
            # What cannot be read may be registered, or in use.
            logger.warning("%s: one of its files cannot be read (%s); all of the cell is kept.", folder, error)
            continue
        n_needed = needed.get((experiment, Cell(*parts)), 0)
        if n_needed == 0 and not wanted:
            found.append(_leftover(folder, "in no experiment and no report"))
            continue
        wanted |= set(range(n_needed)) | pointed
        for repeat in sorted(repeats.keys() - wanted):
            found += [_leftover(path, "no repeat of its cell any more") for path in repeats[repeat]]
    return found


def remove(leftover: Leftover) -> None:
    """Delete what is left over.

    Raises:
        StorageError: If it may not be deleted.
    """
    with storage_errors(leftover.path):
        if leftover.path.is_dir():
            shutil.rmtree(leftover.path)
        else:
            leftover.path.unlink()


def _escaped(template: str) -> str:
    """Keep what a user's folders are called from being read as a pattern."""
    pieces = _PLACEHOLDER.split(template)
    return "".join(
        glob.escape(piece) + placeholder
        for piece, placeholder in zip(pieces, [*_PLACEHOLDER.findall(template), ""], strict=True)
    )


def _by_repeat(folder: Path) -> dict[int, list[Path]]:
    """Return what belongs to each repeat: checkpoint, state, predictions."""
    found: dict[int, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if match := _REPEAT.match(path.name):
            found.setdefault(int(match[1]), []).append(path)
    return found


def _fingerprints(paths: Iterable[Path]) -> set[str]:
    cards = [path / "card.json" for path in paths]
    return {str(json.loads(card.read_bytes())["fingerprint"]) for card in cards if card.exists()}


def _pointed(pointer: Path) -> set[int]:
    """Return the repeats that the cell's catalog entry leads to."""
    folders = [Path(each["folder"]).name for each in json.loads(pointer.read_bytes()) if "folder" in each]
    return {int(match[1]) for name in folders if (match := _REPEAT.match(name))}


def _leftover(path: Path, reason: str) -> Leftover:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return Leftover(path, reason, sum(each.stat().st_size for each in files))
