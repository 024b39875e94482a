"""Records: beside each result, what it was made from. A result without one is stale.

A record is removed before its step begins and written when all results of the step are saved: whatever happens in
between, no result is taken for what it is not. What a step that was killed had finished (inspections, shards, epochs),
the step itself finds again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from genre_pipeline.blocks import Block, parse_block
from genre_pipeline.errors import ConfigError
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.refresh.content import content_parts
from genre_pipeline.refresh.graph import Graph, Step
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
    """

    step: str
    versions: dict[str, int | str]
    parameters: dict[str, Any]
    inputs: dict[str, Parts]
    files: dict[str, str]
    parts: Parts


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
    """Return a stamp of each file or folder, which changes with size and time of change of any file in it."""
    return {str(path): _stamp(path) for path in paths}


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
    """Keeps the records of a session's steps.

    Args:
        graph: The steps; others are not recorded.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._begun: dict[str, Record | None] = {}
        self._saved: dict[str, dict[str, Parts]] = {}

    def begin(self, name: str) -> None:
        """Remove the records of a step's results, and note what it is about to read.

        Args:
            name: The step.

        Raises:
            StorageError: If they cannot be removed.
        """
        step = self._graph.by_name.get(name)
        if step is None:
            return
        for entry in step.outputs:
            path = self._graph.entries[entry].record
            with storage_errors(path):
                path.unlink(missing_ok=True)
        self._saved[name] = {}
        self._begun[name] = self._read(step)

    def _read(self, step: Step) -> Record | None:
        """Return the record of a step that begins now; none where a result that it reads has none itself."""
        inputs: dict[str, Parts] = {}
        for entry in step.inputs:
            known = read_record(self._graph.entries[entry].record)
            if known is None:
                return None
            inputs[entry] = {part: str(value) for part, value in read_parts(known.parts, step, entry).items()}
        return Record(
            step=step.name,
            versions=step.versions,
            parameters=step.parameters,
            inputs=inputs,
            files=file_stamps(step.files),
            parts={},
        )

    def saved(self, name: str, entry: str, content: Any) -> None:
        """Note that a result was saved; with the last one of its step, write the records.

        Args:
            name: The step.
            entry: The result's entry.
            content: The result.

        Raises:
            StorageError: If the disk is full, or the folder is read-only.
        """
        record = self._begun.get(name)
        if record is None:
            return
        saved = self._saved[name]
        volatile = self._graph.entries[entry].volatile
        saved[entry] = {part: value for part, value in content_parts(content).items() if part not in volatile}
        if saved.keys() >= set(self._graph.by_name[name].outputs):
            for each, parts in saved.items():
                path = self._graph.entries[each].record
                write_json(path, record.model_copy(update={"parts": parts}).dump())
