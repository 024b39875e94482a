"""Inspect many files once: results are stored, and only new or changed files are opened.

Results are in a Parquet file, the *cache*. During inspection they go to further files, the *parts*, in a folder beside
it; at the end all are merged into the cache. No step holds more than some thousands of inspections. If the work is
interrupted, the next run uses the existing parts.
"""

from __future__ import annotations

import logging
import shutil
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pandas as pd

from genre_pipeline.audio import INSPECTION_VERSION, AudioFacts, inspect_audio
from genre_pipeline.audio.tags import TAGS
from genre_pipeline.datasets.reading.files import Stamp
from genre_pipeline.errors import StorageError
from genre_pipeline.locks import only_one
from genre_pipeline.progress import progress_bar
from genre_pipeline.storage import abandoned, atomic_file

logger = logging.getLogger(__name__)

# [?] Some ten seconds of work, the most that a power cut can lose.
_PART_FILES = 500

# [?] Inspections queued per worker: enough that none is idle while results wait for a long file.
_LOOK_AHEAD = 8

# [?] Some ten megabytes at a time go from the parts into the cache.
_BATCH_ROWS = 10_000

_MISSING = AudioFacts(
    faults=("unreadable",), detail="there is no such file in the dataset's folder (links that lead out do not count)"
)

_TAG_COLUMNS = [f"tag_{name}" for name in TAGS]

Row = dict[str, Any]
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Inspections:
    """The inspections of a dataset's files.

    Attributes:
        facts: One row per file, in the requested order, with the fields of :class:`~genre_pipeline.audio.AudioFacts`
            but ``acoustic`` and the tags; ``faults`` are joined by ``;``.
        n_inspected: How many files were opened.
        cache: The file that stores all inspections.
    """

    facts: pd.DataFrame
    n_inspected: int
    cache: Path

    def acoustic(self, paths: Sequence[str]) -> list[bytes]:
        """Return acoustic fingerprints, which are large and needed only after changes.

        Args:
            paths: Some of the files.
        """
        return _read(self.cache, paths, ["acoustic"])["acoustic"].tolist()


def inspect_files(
    root: Path,
    paths: Sequence[str],
    *,
    stamps: Mapping[str, Stamp],
    cache: Path,
    n_workers: int,
    description: str,
) -> Inspections:
    """Inspect audio files, but only those that changed since the last inspection.

    A file with the same path, size and modification time counts as unchanged and is not opened. Results are saved every
    few hundred files and when the work ends, in any way.

    Args:
        root: The folder to which the paths are relative.
        paths: The files to inspect. A file without a stamp does not exist.
        stamps: Size and modification time by path, of these files and of others whose inspections to keep; all other
            inspections are dropped.
        cache: Parquet file with stored inspections; a damaged one is discarded with a warning.
        n_workers: Number of threads (decoding and hashing release the interpreter's lock).
        description: Label of the progress bar.

    Returns:
        The inspections of the files.

    Raises:
        StorageError: If the cache cannot be written, turns out to be damaged later, or is in use by another process.
    """
    with _alone(cache):
        folder = cache.with_name(f"{cache.stem}.parts")
        parts = sorted(folder.glob("[!.]*.parquet"))
        holds = _Holds(stamps)
        held = {source: rows for source in (cache, *parts) if (rows := holds.rows(source)) is not None}
        todo = [path for path in paths if path in stamps and path not in holds.known]
        if todo:
            parts += _inspect(root, todo, stamps, folder, n_workers, description)
        if parts or list(held) != [cache] or not all(held[cache]):
            _merge(cache, held, parts)
        shutil.rmtree(folder, ignore_errors=True)
        others = {"path", "mtime_ns", "acoustic", *_TAG_COLUMNS}
        columns = [name for name in _schema().names if name not in others]
        return Inspections(_read(cache, paths, columns), len(todo), cache)


def remembered_stamps(cache: Path) -> dict[str, Stamp]:
    """Return size and modification time, by path, of the files with stored inspections.

    Args:
        cache: Parquet file with stored inspections; a missing or unreadable one has none.
    """
    return {path: (n_bytes, mtime_ns) for path, n_bytes, mtime_ns in _remembered(cache, ["n_bytes", "mtime_ns"])}


def remembered_tags(cache: Path) -> dict[str, dict[str, str]]:
    """Return the tags, by path, of the files with stored inspections.

    Args:
        cache: Parquet file with stored inspections; a missing or unreadable one has none.
    """
    return {path: dict(zip(TAGS, texts, strict=True)) for path, *texts in _remembered(cache, _TAG_COLUMNS)}


def _remembered(cache: Path, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the path and some columns of each stored inspection; nothing if the cache cannot be read."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        if not {*columns} <= {*parquet.read_schema(cache).names}:
            return []
        table = parquet.read_table(cache, columns=["path", *columns])
    except FileNotFoundError:
        return []
    except (OSError, pa.ArrowException) as error:
        logger.warning("%s cannot be read (%s): all files are inspected again.", cache, " ".join(str(error).split()))
        return []
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def forget_inspections(cache: Path, paths: Collection[str]) -> None:
    """Drop the inspections of some files, which the next run then opens whatever their modification time.

    Args:
        cache: Parquet file with stored inspections.
        paths: The files.

    Raises:
        StorageError: If the cache cannot be read or written, or is in use by another process.
    """
    with _alone(cache):
        known = _read_paths(cache)
        _merge(cache, {cache: [path not in paths for path in known]}, [])


def _read_paths(cache: Path) -> list[str]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        paths: list[str] = parquet.read_table(cache, columns=["path"])["path"].to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise _damaged(cache, error) from error
    return paths


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Lock the cache, and remove half-written files of a killed process."""

    def refusal(owner: str) -> StorageError:
        return StorageError(f"{cache}: {owner} is inspecting this dataset. Wait until that ends, and run again.")

    with only_one(cache.with_suffix(""), refusal):
        own = (f".{cache.stem}-", f".{cache.stem}.")
        for remains in abandoned(cache.parent, depth=1, unmarked=True):
            if remains.name.startswith(own):
                remains.unlink()
        yield


def _inspect(
    root: Path, paths: Sequence[str], stamps: Mapping[str, Stamp], folder: Path, n_workers: int, description: str
) -> list[Path]:
    """Inspect files and return the parts with the results."""
    parts: list[Path] = []
    rows: list[Row] = []

    def save() -> None:
        if rows:
            parts.append(folder / f"{uuid4().hex}.parquet")
            _save(parts[-1], rows)
            rows.clear()

    with ThreadPoolExecutor(n_workers) as pool, progress_bar(description, len(paths)) as advance:
        found = _map_in_order(pool, inspect_audio, (root / path for path in paths), n_ahead=_LOOK_AHEAD * n_workers)
        try:
            for path, facts in zip(paths, found, strict=True):
                rows.append(_row(path, stamps[path][1], facts))
                advance(path)
                if len(rows) == _PART_FILES:
                    save()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            save()
    return parts


def _map_in_order(
    pool: ThreadPoolExecutor, function: Callable[[_Item], _Result], items: Iterable[_Item], *, n_ahead: int
) -> Iterator[_Result]:
    """Map items in a pool like ``pool.map``, which would queue all of them at once."""
    pending: deque[Future[_Result]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > n_ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


class _Holds:
    """Finds the stored inspections that are still valid.

    Attributes:
        known: Their paths.
    """

    def __init__(self, stamps: Mapping[str, Stamp]) -> None:
        self._stamps = stamps
        self.known: set[str] = set()

    def rows(self, source: Path) -> list[bool] | None:
        """Return for each row of a file whether it is valid and the first; ``None`` if the file is unusable."""
        import pyarrow as pa
        from pyarrow import parquet

        if not source.exists():
            return None
        try:
            if not parquet.read_schema(source).equals(_schema(), check_metadata=True):
                logger.info("%s: the stored inspections are of another version. They are made again.", source)
                return None
            table = parquet.read_table(source, columns=["path", "n_bytes", "mtime_ns", "content_hash"])
        except (OSError, pa.ArrowException) as error:
            logger.warning("%s: the stored inspections cannot be read (%s). They are made again.", source, error)
            return None
        return [self._holds(*row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]

    def _holds(self, path: str, n_bytes: int, mtime_ns: int, content_hash: str) -> bool:
        # A file that the system refused to open has no hash; it may be readable next time without any sign of change.
        holds = bool(content_hash) and path not in self.known and self._stamps.get(path) == (n_bytes, mtime_ns)
        if holds:
            self.known.add(path)
        return holds


def _save(path: Path, rows: Sequence[Row]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pylist(rows, schema=_schema())
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        parquet.write_table(table, file)


def _merge(cache: Path, held: Mapping[Path, Sequence[bool]], parts: Sequence[Path]) -> None:
    """Write the valid inspections and the new parts into the cache."""
    from pyarrow import parquet

    new = [part for part in parts if part not in held]
    with (
        atomic_file(cache) as temporary,
        temporary.open("wb") as file,
        parquet.ParquetWriter(file, _schema()) as writer,
    ):
        for source in (*held, *new):
            for batch in _batches(source, held.get(source)):
                writer.write_batch(batch)


def _batches(source: Path, rows: Sequence[bool] | None) -> Iterator[Any]:
    """Yield record batches of the selected rows, or of all."""
    import pyarrow as pa
    from pyarrow import parquet

    begin = 0
    try:
        with parquet.ParquetFile(source) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                end = begin + batch.num_rows
                yield batch if rows is None else batch.filter(pa.array(rows[begin:end], pa.bool_()))
                begin = end
    except (OSError, pa.ArrowException) as error:
        raise _damaged(source, error) from error


def _read(cache: Path, paths: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Read columns of the cache for some paths, in their order."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(cache, columns=["path", *columns])
    except (OSError, pa.ArrowException) as error:
        raise _damaged(cache, error) from error
    missing = pa.Table.from_pylist([_row("", 0, _MISSING)], schema=_schema()).select(["path", *columns])
    rows = {path: row for row, path in enumerate(table["path"].to_pylist())}
    indexes = pa.array([rows.get(path, len(rows)) for path in paths], pa.int64())
    found: pd.DataFrame = pa.concat_tables([table, missing]).take(indexes).drop_columns(["path"]).to_pandas()
    return found


def _damaged(source: Path, error: Exception) -> StorageError:
    return StorageError(f"{source}: is damaged ({' '.join(str(error).split())}). Delete it and run again.")


def _row(path: str, mtime_ns: int, facts: AudioFacts) -> Row:
    return {**vars(facts), "path": path, "mtime_ns": mtime_ns, "faults": ";".join(facts.faults)}


def _schema() -> Any:
    """Return the columns of the cache and its parts: a file's path and modification time, and its facts."""
    import pyarrow as pa

    types = {
        "float": pa.float64(),
        "int": pa.int64(),
        "str": pa.string(),
        "bytes": pa.binary(),
        "tuple[str, ...]": pa.string(),
    }
    facts = [(field.name, types[str(field.type)]) for field in fields(AudioFacts)]
    return pa.schema(
        [("path", pa.string()), ("mtime_ns", pa.int64()), *facts],
        metadata={"inspection_version": str(INSPECTION_VERSION)},
    )
