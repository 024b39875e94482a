"""Whether a dataset's files are those that its track table was made from, without opening any of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from genre_pipeline.blocks import parse_block
from genre_pipeline.datasets import DATASETS, Clip, DatasetBlock
from genre_pipeline.datasets.reading.files import Stamp
from genre_pipeline.errors import GenrePipelineError
from genre_pipeline.fingerprints import file_hash
from genre_pipeline.ingest.inspections import remembered_stamps, remembered_tags
from genre_pipeline.ingest.selection import label_clips, select_clips
from genre_pipeline.ops.refresh.content import column_hash
from genre_pipeline.ops.refresh.graph import Source

logger = logging.getLogger(__name__)

# Columns of the track table that are known without opening a file.
_METADATA = ("genre", "artist", "title", "album")
_COLUMNS = ("track_id", "path", *_METADATA, "content_hash")
# [?] Names in a message; the others are counted.
_MAX_NAMED = 3
# [?] Reading waits for the disk, or a file server, most of the time.
_N_READERS = 8


@dataclass(frozen=True)
class ListingCheck:
    """What has happened to a dataset's files since they were ingested.

    Attributes:
        n_tracks: How many tracks there are now.
        new: Paths of files that are new.
        changed: Paths of files whose size, time of change or, if asked for, content changed.
        removed: Paths of files that are gone.
        renamed: Old and new paths of files that moved: their size and time of change are the same.
        metadata: For each column of the metadata that changed, what changed, in words.
        columns: Hashes of the columns of the metadata that changed, as they are now; ``None`` if the files themselves
            have changed, and with them any column.
        altered: Those of ``changed`` that only their content gives away.
        fault: Why the files cannot be listed.
        digest: Tells, within this process, one state of all files from another.
    """

    n_tracks: int = 0
    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] | None = None
    altered: tuple[str, ...] = ()
    fault: str = ""
    digest: int = 0

    def differences(self) -> list[str]:
        """Describe what has changed, one line per kind of change."""
        counted: list[tuple[str, Sequence[str]]] = [
            ("new", self.new),
            ("changed", self.changed),
            ("removed", self.removed),
            ("renamed", [f"{old} is now {new}" for old, new in self.renamed]),
        ]
        lines = [f"{_count(len(names))} {what}: {_listed(names)}" for what, names in counted if names]
        return [*lines, *self.metadata.values(), *([self.fault] if self.fault else [])]


def check_listing(source: Source, tracks: Path | None, *, check_content: bool = False) -> ListingCheck:
    """Compare a dataset's files with those that were ingested.

    Args:
        source: The dataset.
        tracks: Its track table; ``None`` if there is none.
        check_content: Read all files whose size and time of change are the same, and compare their hashes.

    Returns:
        What has changed. Where there is no track table, every file is new; where it cannot be read, nothing is known
        but that, which the table's record holds.
    """
    spec = DATASETS[source.kind]
    block: DatasetBlock = parse_block(spec.block, source.parameters, key=f"datasets.{source.dataset}")
    try:
        listing = spec.find_clips(block)
        tags: dict[str, dict[str, str]] = {}
        if block.tags != "ignored":
            # A file whose tags were not read yet counts as new, whatever its genre.
            unread = {"genre": block.genres[0] if block.genres else "?"}
            tags = dict.fromkeys(listing.stamps, unread) | remembered_tags(source.cache)
        listing = label_clips(listing, block, tags)
        clips, _ = select_clips(source.dataset, listing, spec.catalogue(block), block)
    except GenrePipelineError as error:
        return ListingCheck(fault=str(error))
    known = _read_tracks(tracks)
    if known is None:
        return ListingCheck(n_tracks=len(clips), digest=hash((tuple(listing.stamps.items()), tuple(clips))))
    stamps = remembered_stamps(source.cache)
    before = {path: stamps.get(path) for path in known["path"]}
    now = {clip.path: listing.stamps.get(clip.path) for clip in clips}
    new = [path for path in now if path not in before]
    removed = [path for path in before if path not in now]
    changed = [path for path, stamp in now.items() if path in before and stamp != before[path]]
    altered = []
    if check_content:
        hashes = dict(zip(known["path"], known["content_hash"], strict=True))
        held = set(changed)
        altered = _altered(block.root, {path: hashes[path] for path in now if path in hashes and path not in held})
    renamed = _renamed(removed, new, before, now)
    old_names, new_names = {old for old, _ in renamed}, {new for _, new in renamed}
    same_tracks = [clip.track_id for clip in clips] == known["track_id"].tolist()
    metadata = _changed_metadata(clips, known, same_tracks=same_tracks)
    files_changed = bool(new or changed or altered) or not same_tracks
    return ListingCheck(
        n_tracks=len(clips),
        new=tuple(path for path in new if path not in new_names),
        changed=tuple(sorted([*changed, *altered])),
        removed=tuple(path for path in removed if path not in old_names),
        renamed=renamed,
        metadata=metadata,
        columns=None if files_changed else {column: _hash(clips, column) for column in metadata},
        altered=tuple(altered),
        digest=hash((tuple(now.items()), tuple(clips))),
    )


def _read_tracks(path: Path | None) -> pd.DataFrame | None:
    """Read the columns that are compared; ``None`` if the table cannot be read."""
    import pyarrow as pa

    if path is None:
        return pd.DataFrame({column: pd.array([], "string") for column in _COLUMNS})
    try:
        return pd.read_parquet(path, columns=list(_COLUMNS))
    except (OSError, ValueError, pa.ArrowException) as error:
        logger.warning("%s cannot be read (%s); it is made again.", path, " ".join(str(error).split()))
        return None


def _renamed(
    removed: Sequence[str],
    new: Sequence[str],
    before: Mapping[str, Stamp | None],
    now: Mapping[str, Stamp | None],
) -> tuple[tuple[str, str], ...]:
    """Match files that are gone with new ones of the same stamp, where that is the only one."""
    gone, come = _by_stamp(removed, before), _by_stamp(new, now)
    return tuple((gone[stamp], come[stamp]) for stamp in gone if stamp in come)


def _by_stamp(paths: Iterable[str], stamps: Mapping[str, Stamp | None]) -> dict[Stamp, str]:
    found: dict[Stamp, list[str]] = {}
    for path in paths:
        if (stamp := stamps[path]) is not None:
            found.setdefault(stamp, []).append(path)
    return {stamp: same[0] for stamp, same in found.items() if len(same) == 1}


def _changed_metadata(clips: Sequence[Clip], known: pd.DataFrame, *, same_tracks: bool) -> dict[str, str]:
    """Return which columns of the metadata changed, for tracks that were there before and are now."""
    rows = {track_id: row for row, track_id in enumerate(known["track_id"])}
    both = [(clip, rows[clip.track_id]) for clip in clips if clip.track_id in rows]
    said = {}
    for column in _METADATA:
        old = known[column].tolist()
        # Mostly so, and much faster than comparing each.
        if same_tracks and old == [getattr(clip, column) for clip in clips]:
            continue
        changes = [
            f"{clip.track_id} ('{old[row]}' is now '{getattr(clip, column)}')"
            for clip, row in both
            if getattr(clip, column) != old[row]
        ]
        if changes:
            said[column] = f"{column} of {len(changes)} track{'s' * (len(changes) > 1)} changed: {_listed(changes)}"
    return said


def _hash(clips: Sequence[Clip], column: str) -> str:
    return column_hash(pd.Series([getattr(clip, column) for clip in clips], dtype="string"))


def _altered(root: Path, hashes: Mapping[str, str]) -> list[str]:
    """Return the files that no longer have their hash."""
    paths = [path for path, known in hashes.items() if known]
    with ThreadPoolExecutor(_N_READERS) as pool:
        found = list(pool.map(lambda path: _content_hash(root / path), paths))
    return [path for path, content_hash in zip(paths, found, strict=True) if content_hash != hashes[path]]


def _content_hash(path: Path) -> str:
    try:
        return file_hash(path, "md5")
    except OSError:
        return ""


def _count(n: int) -> str:
    return "1 file" if n == 1 else f"{n:,} files"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED:,} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more
