"""One process at a time: a lock that ends with the process that holds it, and a record of who holds it since when."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from genre_pipeline.storage import storage_errors
from genre_pipeline.work.processes import Owner

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Holder(Owner):
    """Who holds a lock.

    Attributes:
        since: When it took the lock, in seconds since 1970.
    """

    since: float = field(default_factory=time.time)

    def age_s(self, now: float) -> float:
        """Return for how long it has held the lock, at least 0 (clocks may be set back).

        Args:
            now: In seconds since 1970.
        """
        return max(now - self.since, 0.0)

    def __str__(self) -> str:
        taken = datetime.fromtimestamp(self.since).astimezone().isoformat(" ", "seconds")
        age = timedelta(seconds=round(self.age_s(time.time())))
        return f"process {self.pid} on {self.host} (since {taken}, for {age})"


@contextmanager
def only_one(path: Path, refusal: Callable[[str], Exception]) -> Iterator[Holder | None]:
    """Lock a file or folder, or fail at once.

    The lock is the operating system's, on a file beside the path: it goes when its process does, however that ends, so
    that none is ever left behind. Beside it stands who holds it, for messages only.

    Args:
        path: What is held; it may not exist yet. The lock is ``.<name>.lock`` and the record ``.<name>.owner`` beside.
        refusal: Makes the error for when another holds it, out of who that is.

    Yields:
        Who held it before and was killed, if anyone: what it left half done is there.

    Raises:
        StorageError: If the folder above is read-only.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with only_one(Path(folder) / "store", lambda owner: RuntimeError(f"In use by {owner}.")):
        ...         print(*sorted(path.name for path in Path(folder).iterdir()))
        .store.lock .store.owner
    """
    lock_path = path.with_name(f".{path.name}.lock")
    record = path.with_name(f".{path.name}.owner")
    with storage_errors(lock_path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(lock_path).acquire(timeout=0)
        except Timeout:
            owner = _read(record)
            # Between taking the lock and saying so, the record is missing or a killed predecessor's.
            raise refusal("another process" if owner is None or owner.is_dead else str(owner)) from None
    with held:
        predecessor = _read(record)
        if predecessor is not None:
            logger.info("%s: taken over from %s, which was killed.", path, predecessor)
        with storage_errors(record):
            record.write_text(json.dumps(asdict(Holder.this_process())), encoding="utf-8")
        try:
            yield predecessor
        finally:
            record.unlink(missing_ok=True)


def _read(record: Path) -> Holder | None:
    try:
        return Holder(**json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
