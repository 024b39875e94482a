"""Inspecting many files once: what was found is remembered, and only new or changed files are decoded."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genre_pipeline.audio import INSPECTION_VERSION, AudioFacts, inspect_audio
from genre_pipeline.progress import progress_bar
from genre_pipeline.storage import atomic_file

logger = logging.getLogger(__name__)

# [?] Some ten seconds of work, which is what a power cut may cost.
_SAVE_EVERY = 500


@dataclass(frozen=True)
class _Inspection:
    """What a file was found to be when it had this size and time of change."""

    n_bytes: int
    mtime_ns: int
    facts: AudioFacts


def inspect_files(
    root: Path, paths: Sequence[str], *, keep: Sequence[str], cache: Path, n_workers: int, description: str
) -> tuple[list[AudioFacts], int]:
    """Inspect audio files, those that changed since they were last seen only.

    A file is taken for unchanged if its path, size and time of change are. What was found so far is saved every few
    hundred files and whenever the work ends, however it ends.

    Args:
        root: What the paths are relative to.
        paths: The files to inspect.
        keep: Further files whose remembered inspections stay in the cache; those of all others leave it.
        cache: Parquet file that remembers inspections; a damaged one is discarded with a warning.
        n_workers: Number of threads (decoding releases the interpreter's lock).
        description: What the progress bar says.

    Returns:
        The facts, in the order of ``paths``, and how many files were decoded for them.

    Raises:
        StorageError: If the cache cannot be written.
    """
    remembered = _load(cache)
    present = {*paths, *keep}
    known = {path: inspection for path, inspection in remembered.items() if path in present}
    stamps = {path: _stamp(root / path) for path in paths}
    todo = [path for path in paths if path not in known or (known[path].n_bytes, known[path].mtime_ns) != stamps[path]]
    if not todo:
        if len(known) < len(remembered):
            _save(cache, known)
        return [known[path].facts for path in paths], 0
    with ThreadPoolExecutor(n_workers) as pool, progress_bar(description, len(todo)) as advance:
        try:
            for n_done, (path, facts) in enumerate(
                zip(todo, pool.map(inspect_audio, [root / path for path in todo]), strict=True), start=1
            ):
                known[path] = _Inspection(*stamps[path], facts)
                advance(path)
                if n_done % _SAVE_EVERY == 0:
                    _save(cache, known)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            _save(cache, known)
    return [known[path].facts for path in paths], len(todo)


def _stamp(path: Path) -> tuple[int, int]:
    """Return a file's size and time of change, (-1, -1) if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _save(cache: Path, known: Mapping[str, _Inspection]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = [
        # What the system refused to open may be opened the next time, with no sign of change: not remembered.
        {"path": path, "mtime_ns": found.mtime_ns, **asdict(found.facts), "faults": ";".join(found.facts.faults)}
        for path, found in sorted(known.items())
        if found.facts.content_hash
    ]
    table = pa.Table.from_pylist(rows, schema=_schema())
    with atomic_file(cache) as temporary, temporary.open("wb") as file:
        parquet.write_table(table, file)


def _load(cache: Path) -> dict[str, _Inspection]:
    """Read the remembered inspections; none if there are none, or they are of another version or damaged."""
    import pyarrow as pa
    from pyarrow import parquet

    if not cache.exists():
        return {}
    try:
        table = parquet.read_table(cache)
    except (OSError, pa.ArrowException) as error:
        logger.warning(
            "%s: the remembered inspections cannot be read (%s). All files are inspected anew.", cache, error
        )
        return {}
    if not table.schema.equals(_schema(), check_metadata=True):
        logger.info("%s: the remembered inspections are of another version. All files are inspected anew.", cache)
        return {}
    return {row["path"]: _inspection(row) for row in table.to_pylist()}


def _inspection(row: dict[str, Any]) -> _Inspection:
    del row["path"]
    mtime_ns = row.pop("mtime_ns")
    facts = AudioFacts(**{**row, "faults": tuple(filter(None, row["faults"].split(";")))})
    return _Inspection(facts.n_bytes, mtime_ns, facts)


def _schema() -> Any:
    """Return the cache's columns, with the version of what they say."""
    import pyarrow as pa

    columns = {
        "path": pa.string(),
        "mtime_ns": pa.int64(),
        "duration_s": pa.float64(),
        "sample_rate": pa.int64(),
        "n_channels": pa.int64(),
        "n_samples": pa.int64(),
        "format": pa.string(),
        "n_bytes": pa.int64(),
        "content_hash": pa.string(),
        "audio_hash": pa.string(),
        "faults": pa.string(),
        "detail": pa.string(),
    }
    return pa.schema(columns.items(), metadata={"inspection_version": str(INSPECTION_VERSION)})
