"""Records: beside each result, what it was made from. A result without one is stale.

A record is removed before its step begins and written when all results of the step are saved: whatever happens in
between, no result is taken for what it is not. What a step that was killed had finished (inspections, shards, epochs),
the step itself finds again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genre_pipeline.blocks import Block, parse_block
from genre_pipeline.errors import ConfigError
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.project import data_root
from genre_pipeline.refresh.content import content_parts, folders_of
from genre_pipeline.refresh.graph import Entry, Step
from genre_pipeline.storage import storage_errors, write_json

Parts = dict[str, str]


class Record(Block):
    """What a result was made from, and what it holds.

    Attributes:
        step: The step that made it.
        versions: Version of each part of its code.
        parameters: The parameters that it depended on.
        inputs: Hashes of what it read, by entry and part.
        files: Stamps of files that no entry stands for.
        parts: Hashes of what the result holds.
        folders: Stamps of the folders that the result points to, by path relative to the record's.
    """

    step: str
    versions: dict[str, int | str]
    parameters: dict[str, Any]
    inputs: dict[str, Parts]
    files: dict[str, str]
    parts: Parts
    folders: dict[str, str]


def read_record(path: Path) -> Record | None:
    """Read a record; none if there is none that can be read."""
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


def folder_stamps(entry: Entry, folders: Iterable[str]) -> dict[str, str]:
    """Return a stamp of each folder that an entry points to.

    Args:
        entry: The entry.
        folders: Paths relative to its folder.
    """
    return {folder: _stamp(entry.path.parent / folder) for folder in folders}


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
        """Remove the records of a step's results, and note what it is about to read.

        Args:
            step: The step.
            entries: Where its inputs and results are.

        Raises:
            StorageError: If they cannot be removed.
        """
        for entry in step.outputs:
            path = entries[entry].record
            with storage_errors(path):
                path.unlink(missing_ok=True)
        inputs: dict[str, Parts] = {}
        for entry in step.inputs:
            known = read_record(entries[entry].record)
            if known is None:
                # What a result with no record was made from cannot be told apart later.
                self._begun.pop(step.name, None)
                return
            inputs[entry] = {part: str(value) for part, value in read_parts(known.parts, step, entry).items()}
        facts = {"step": step.name, "versions": step.versions, "parameters": step.parameters, "inputs": inputs}
        self._begun[step.name] = _Begun({**facts, "files": file_stamps(step.files)}, step.outputs, entries)

    def saved(self, name: str, entry: str, content: Any) -> None:
        """Note that a result was saved; with the last one of its step, write the records.

        Args:
            name: The step.
            entry: The result's entry.
            content: The result.

        Raises:
            StorageError: If the disk is full, or the folder is read-only.
        """
        begun = self._begun.get(name)
        if begun is None:
            return
        place = begun.entries[entry]
        folders = [os.path.relpath(folder, place.path.parent) for folder in folders_of(content)]
        parts = {part: value for part, value in content_parts(content).items() if part not in place.volatile}
        begun.records[entry] = Record(**begun.facts, parts=parts, folders=folder_stamps(place, folders))
        if len(begun.records) == len(begun.outputs):
            for each, record in begun.records.items():
                write_json(begun.entries[each].record, record.dump())
            del self._begun[name]


@dataclass(frozen=True)
class _Begun:
    """A step that is running: what its results are made from, and the records of those that are saved."""

    facts: dict[str, Any]
    outputs: tuple[str, ...]
    entries: Mapping[str, Entry]
    records: dict[str, Record] = field(default_factory=dict)
