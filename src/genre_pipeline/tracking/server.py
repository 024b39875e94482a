"""Check that runs can be tracked: the server responds, or the local database exists."""

from __future__ import annotations

import http.client
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlparse

from filelock import FileLock

from genre_pipeline.errors import GenrePipelineError, StorageError, TrackingError, causes
from genre_pipeline.project import data_root, sqlite_path
from genre_pipeline.storage import storage_errors, storage_fault

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Seconds to wait for another program's write: as long as MLflow does, later.
_PATIENCE_S = 20.0

# What SQLite and MLflow say, and what to do then.
_ADVICE = {
    "file is not a database": "it is damaged, or is no database of SQLite; move it away, or restore a copy",
    "malformed": "it is damaged; move it away, or restore a copy (sqlite3 can save what is left: .recover)",
    "database is locked": "another program has been writing into it for long; end that, and run again",
    "unable to open database file": "a folder is in its place, or it may not be read and written; correct that",
    "readonly database": "it may not be written; make it and its folder writable",
    "out-of-date database schema": "another version of MLflow wrote it. Copy it, then try 'mlflow db upgrade' with its "
    "address; or move it away",
    "can't locate revision": "a later version of MLflow wrote it; install that version, or move it away",
    "no such table": "tables are missing in it; move it away, or restore a copy",
    "no such column": "another version of MLflow wrote it; install that version, or move it away",
    "already exists": "making its tables was broken off, or something else is in it; move it away",
}
_FULL = ("database or disk is full", "disk I/O error")
_OUTER = ("mlflow", "sqlalchemy", "sqlite3", "alembic")

# Seconds: a server on the network answers /health within one; MLflow's own retries would take many minutes.
_TIMEOUT_S = 10.0


def check_server(uri: str) -> None:
    """Make sure that an MLflow server answers; local files and other schemes need no check.

    Args:
        uri: The tracking URI.

    Raises:
        TrackingError: If the URI is that of a server and nothing answers there.

    Example:
        >>> check_server("sqlite:///runs.db")
    """
    if urlparse(uri).scheme not in {"http", "https"}:
        return
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_TIMEOUT_S):  # noqa: S310 - scheme checked
            return
    except urllib.error.HTTPError:
        # Something answers; whether it is allowed in is for MLflow itself to find out.
        return
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise TrackingError(
            f"The MLflow server at {uri} does not answer ({reason}). Start it, correct MLFLOW_TRACKING_URI, or unset "
            "MLFLOW_TRACKING_URI to log into the local SQLite file."
        ) from error


def open_database(uri: str) -> None:
    """Make the SQLite database of a tracking URI and its tables, if they are not there; nothing for other URIs.

    Only one process does so at a time: the tables take seconds to make, and others wait for them.

    Args:
        uri: The tracking URI.

    Raises:
        TrackingError: If what is there is damaged, locked, or of another version of MLflow.
        StorageError: If it cannot be written.
    """
    path = sqlite_path(uri)
    if path is None:
        return
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire()
    with lock:
        tracking_client(uri).search_experiments(max_results=1)


def tracking_client(uri: str) -> MlflowClient:
    """Return a client of MLflow whose errors are the project's own (:func:`tracking_errors`).

    Args:
        uri: The tracking URI.
    """
    from mlflow import MlflowClient

    with tracking_errors(uri):
        _check_database(sqlite_path(uri))
        return cast("MlflowClient", _PlainErrors(MlflowClient(uri), uri))


def _check_database(path: Path | None) -> None:
    """Read a database, if it is there: MLflow would try for minutes where it cannot be opened."""
    if path is None or not path.exists():
        return
    with closing(sqlite3.connect(path, timeout=_PATIENCE_S)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master")


class _PlainErrors:
    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client = client
        self._uri = uri

    def __reduce__(self) -> tuple[Any, ...]:
        # Else a copy would look for its client before it has one.
        return type(self), (self._client, self._uri)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            with tracking_errors(self._uri):
                return method(*arguments, **named)

        return call


@contextmanager
def tracking_errors(uri: str) -> Iterator[None]:
    """Turn errors of MLflow, and of its database, into the project's own.

    Args:
        uri: The tracking URI, for the message.

    Raises:
        TrackingError: If it is MLflow's or the database's.
        StorageError: If the disk is full, or the like.
    """
    try:
        yield
    except GenrePipelineError:
        raise
    except Exception as error:
        if (fault := tracking_fault(error, uri)) is None:
            raise
        raise fault from error


def tracking_fault(error: BaseException, uri: str) -> GenrePipelineError | None:
    """Return what is wrong with the tracking of runs, if that is what an error comes from.

    Args:
        error: What was raised.
        uri: The tracking URI.
    """
    ours = [each for each in causes(error) if type(each).__module__.partition(".")[0] in _OUTER]
    if not ours:
        return None
    text = " ".join(str(each) for each in reversed(ours))
    place = sqlite_path(uri)
    name = str(place or uri)
    if any(sign in text for sign in _FULL):
        return StorageError(f"Cannot write {name}: the disk is full, or failed; free some space and run again.")
    folders = [Path(data_root())] if place is None else [place.parent, Path(data_root())]
    if (fault := storage_fault(error, folders)) is not None:
        return fault
    for sign, advice in _ADVICE.items():
        if sign.casefold() in text.casefold():
            return TrackingError(f"MLflow's database {name} cannot be used ({sign}): {advice}.")
    reason = (str(ours[-1]).strip() or type(ours[-1]).__name__).splitlines()[0]
    return TrackingError(
        f"MLflow at {name} refused a request: {reason.rstrip('.')}. Check that it still responds, and run "
        "again: what was finished is kept."
    )
