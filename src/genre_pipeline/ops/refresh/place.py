"""Where refreshes keep what they need in the data folder, and whose turn it is."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from genre_pipeline.errors import RefreshError
from genre_pipeline.locks import Holder, only_one
from genre_pipeline.project import data_root


def refresh_folder() -> Path:
    """Return the folder of the lock, the journal and the graphs."""
    return Path(data_root()) / "refresh"


def journal_path() -> Path:
    """Return the journal of the last refresh."""
    return refresh_folder() / "journal.json"


def one_refresh_at_a_time() -> AbstractContextManager[Holder | None]:
    """Lock the data folder for a refresh; the lock ends with this process at the latest.

    Raises:
        RefreshError: On entering, if another process refreshes; the message names it, and since when.
    """
    return only_one(
        refresh_folder() / "refresh",
        lambda owner: RefreshError(f"{owner} is refreshing {data_root()}. Wait until that ends, and try again."),
    )
