"""Records: beside each result, what it was made from and which files it consists of. A result without one is stale.

A record is removed before its step begins and written when all results of the step are saved: whatever happens in
between, no result is taken for what it is not. What a step that was killed had finished (inspections, shards, epochs),
the step itself finds again. A result whose files are no longer those of its record is damaged, and nothing reads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genre_pipeline.blocks import Block, parse_block
from genre_pipeline.errors import ConfigError, StorageError
from genre_pipeline.fingerprints import file_hash, fingerprint
from genre_pipeline.ops.refresh.content import content_parts, folders_of
from genre_pipeline.ops.refresh.graph import Entry, Step
from genre_pipeline.project import data_root
from genre_pipeline.storage import storage_errors, write_json

Parts = dict[str, str]

# [?] Larger files below a result's folder are not hashed, a second's work for each gigabyte whenever they grow: the
# frames of feature stores, which hold a checksum of each track, and weights, whose card does.
_HASHED_BYTES = 2**28


class FileStamp(Block):
    """Size, time of change and hash of a file, to detect changes.

    Attributes:
        n_bytes: Its size.
        mtime_ns: Its time of change. Copies of a data folder may have another one: then the hash decides.
        hash: SHA-256 of its content; empty for large files, which hold checksums of their own.
    """

    n_bytes: int
    mtime_ns: int
    hash: str = ""


class Record(Block):
    """What a result was made from, and what it holds.

    Attributes:
        step: The step that made it.
        versions: Version of each part of its code.
        parameters: The parameters that it depended on.
        inputs: Hashes of what it read, by entry and part.
        files: Stamps of files that no entry stands for.
        parts: Hashes of what the result holds.
        results: The files that the result consists of, by path relative to the record's folder.
        folders: The folders that the result points to, relative to the same; their files are among ``results``.
    """

    step: str
    versions: dict[str, int | str]
    parameters: dict[str, Any]
    inputs: dict[str, Parts]
    files: dict[str, str]
    parts: Parts
    results: dict[str, FileStamp]
    folders: tuple[str, ...] = ()


def read_record(path: Path) -> Record | None:
    """Read a record; ``None`` if there is none that can be read."""
    try:
        return parse_block(Record, json.loads(path.read_bytes()), key=path.name)
    except (OSError, ValueError, ConfigError):
        return None


def read_parts(parts: Mapping[str, str | None], step: Step, entry: str) -> dict[str, str | None]:
    """Choose the parts of an entry that a step reads.

    Args:
        parts: All parts.
        step: The step.
        entry: One of its inputs.
    """
    wanted = step.inputs[entry]
    return dict(parts) if wanted is None else {part: parts.get(part, "") for part in wanted}


def file_stamps(paths: Iterable[Path]) -> dict[str, str]:
    """Return a stamp of each file or folder, which changes with size and time of change of any file in it.

    What lies in the data folder is named from there, because that may be moved.
    """
    root = Path(data_root())
    return {str(path.relative_to(root) if path.is_relative_to(root) else path): _stamp(path) for path in paths}


def damage(name: str, entry: Entry, record: Record, *, check_content: bool = False) -> str:
    """Return what has happened to a result's files since they were written.

    A file whose time of change is another, but not its size, is compared by its hash. If that is the same, as in a copy
    of the data folder, the record takes the new time, so that the next look costs no reading.

    Args:
        name: The entry's name.
        entry: Where the result is.
        record: Its record.
        check_content: Compare the hashes of all files. One that is altered though size and time are the same gets the
            present time, so that whoever looks next sees it without reading.

    Returns:
        One line; empty where the files are those that were written.
    """
    now = _result_files(entry, record.folders)
    changes: list[str] = []
    stamps: dict[str, FileStamp] = {}
    for path, before in record.results.items():
        text, stamps[path] = _compare(entry.path.parent / path, before, check_content=check_content)
        if text:
            changes.append(f"{path} {text}")
    changes += [f"{path} is new" for path in sorted(now.keys() - record.results.keys())]
    if changes:
        # [?] One is enough to recognise what happened; the others are counted.
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        return f"{label_of(name)}: changed on disk since it was written ({changes[0]}{more})"
    if stamps != record.results:
        _restamp(entry.record, record, stamps)
    return ""


def label_of(entry: str) -> str:
    """Name an entry for people: ``predictions of demo.artist_kfold.mfcc_20.svm``."""
    owner, _, kind = entry.rpartition(".")
    return f"{kind} of {owner}" if owner else kind


def check_intact(name: str, entry: Entry) -> None:
    """Make sure that a result is the one that was written. One without a record cannot be checked.

    Args:
        name: The entry's name.
        entry: Where the result is.

    Raises:
        StorageError: If its files have changed since; the message names them.
    """
    record = read_record(entry.record)
    if record is not None and entry.newest() is not None and (text := damage(name, entry, record)):
        raise StorageError(
            f"{text}; it is in {entry.path.parent}. Run 'kedro refresh' with the same options, or the pipeline that "
            "writes it: it is made again."
        )


def _result_files(entry: Entry, folders: Iterable[str]) -> dict[str, Path]:
    """Return the files of a result: the one that would be loaded, its copy, and those of folders that it points to."""
    base = entry.path.parent
    newest = entry.newest()
    files = [] if newest is None else [newest]
    if newest is not None and entry.copy_path is not None:
        files.append(entry.copy_path)
    for folder in folders:
        files += [path for path in (base / folder).rglob("*") if path.is_file()]
    return {os.path.relpath(path, base): path for path in files}


def _stamp_file(path: Path, *, hashed: bool) -> FileStamp:
    status = path.stat()
    return FileStamp(n_bytes=status.st_size, mtime_ns=status.st_mtime_ns, hash=file_hash(path) if hashed else "")


def _compare(path: Path, before: FileStamp, *, check_content: bool) -> tuple[str, FileStamp]:
    """Return what has happened to a file, and its present stamp."""
    try:
        status = path.stat()
        now = before.model_copy(update={"mtime_ns": status.st_mtime_ns})
        if status.st_size != before.n_bytes:
            return f"has {status.st_size:,} bytes, and had {before.n_bytes:,}", before
        if not before.hash:
            return ("" if now == before else "was written to"), before
        if (now == before and not check_content) or file_hash(path) == before.hash:
            return "", now
    except OSError as error:
        return ("is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"), before
    if now == before:
        with suppress(OSError):
            path.touch()
    return "has another content", before


def _restamp(path: Path, record: Record, stamps: Mapping[str, FileStamp]) -> None:
    """Note new times of change, unless the folder cannot be written or the record is another one by now."""
    if read_record(path) == record:
        with suppress(OSError, StorageError):
            write_json(path, record.model_copy(update={"results": dict(stamps)}).dump())


def _stamp(path: Path) -> str:
    if path.is_dir():
        files = {str(each.relative_to(path)): _stamp(each) for each in sorted(path.rglob("*")) if each.is_file()}
        return fingerprint("folder", 1, files=files)
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size} bytes, {status.st_mtime_ns}"


class Recorder:
    """Keeps the records of a session's steps."""

    def __init__(self) -> None:
        self._begun: dict[str, _Begun] = {}

    def begin(self, step: Step, entries: Mapping[str, Entry]) -> None:
        """Check what a step is about to read, note it, and remove the records of the step's results.

        Args:
            step: The step.
            entries: Where its inputs and results are.

        Raises:
            StorageError: If an input is damaged, or the records cannot be removed.
        """
        for entry in step.inputs:
            check_intact(entry, entries[entry])
        for entry in step.outputs:
            path = entries[entry].record
            with storage_errors(path):
                path.unlink(missing_ok=True)
        inputs: dict[str, Parts] = {}
        for entry in step.inputs:
            known = read_record(entries[entry].record)
            if known is None:
                # Without a record, nothing says later what a result was made from.
                self._begun.pop(step.name, None)
                return
            inputs[entry] = {part: str(value) for part, value in read_parts(known.parts, step, entry).items()}
        facts = {"step": step.name, "versions": step.versions, "parameters": step.parameters, "inputs": inputs}
        self._begun[step.name] = _Begun({**facts, "files": file_stamps(step.files)}, step.outputs, entries)

    def saved(self, name: str, entry: str, content: Any) -> None:
        """Note that a result was saved; with the last one of its step, write the records.

        Args:
            name: The step.
            entry: The result's entry; one that is none of the step's results is passed over.
            content: The result.

        Raises:
            StorageError: If the disk is full, or the folder is read-only.
        """
        begun = self._begun.get(name)
        if begun is None or entry not in begun.outputs:
            return
        place = begun.entries[entry]
        folders = [os.path.relpath(folder, place.path.parent) for folder in folders_of(content)]
        parts = {part: value for part, value in content_parts(content).items() if part not in place.volatile}
        begun.records[entry] = Record(
            **begun.facts, parts=parts, results=_new_stamps(place, folders), folders=tuple(folders)
        )
        if len(begun.records) == len(begun.outputs):
            for each, record in begun.records.items():
                write_json(begun.entries[each].record, record.dump())
            del self._begun[name]


def _new_stamps(entry: Entry, folders: Iterable[str]) -> dict[str, FileStamp]:
    """Return the stamps of a result that was just saved."""
    own = entry.newest()
    return {
        name: _stamp_file(path, hashed=path == own or path.stat().st_size <= _HASHED_BYTES)
        for name, path in _result_files(entry, folders).items()
    }


@dataclass(frozen=True)
class _Begun:
    """A step that is running: what its results are made from, and the records of those that are saved."""

    facts: dict[str, Any]
    outputs: tuple[str, ...]
    entries: Mapping[str, Entry]
    records: dict[str, Record] = field(default_factory=dict)
