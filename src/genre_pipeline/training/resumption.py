"""The state of an unfinished training on disk, from which a killed training resumes."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from genre_pipeline.storage import atomic_file, storage_errors

logger = logging.getLogger(__name__)

# [?] Writing takes at most two per cent of the time.
_LEAST_SHARE = 50
_DIGEST_SIZE = hashlib.sha256().digest_size

State = dict[str, Any]


class Resumption:
    """Keeps the state of one training in a file, and returns it to the next attempt at the same training.

    The file holds its own SHA-256 and the output of ``torch.save`` for tensors, numbers and texts; it is loaded
    weights-only, which runs no code. A damaged one is ignored, with a warning.

    Args:
        path: The file.
        fingerprint: Of everything that the training depends on; a state with another fingerprint is ignored.
        interval_s: Seconds of training after which the state is written again, or fifty times the duration of writing,
            if that is more; 0 writes it after each epoch.
    """

    def __init__(self, path: Path, fingerprint: str, interval_s: float) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self.interval_s = interval_s
        self._due_s = time.monotonic() + interval_s

    def recall(self) -> State | None:
        """Return the state that an interrupted attempt left, on the CPU; ``None`` if there is none."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        digest, payload = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
        if hashlib.sha256(payload).digest() != digest:
            logger.warning("%s is damaged: the training starts again.", self.path)
            return None
        try:
            state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError) as error:
            logger.warning("%s cannot be read (%s): the training starts again.", self.path, error)
            return None
        return state["state"] if state["fingerprint"] == self.fingerprint else None

    def keep(self, state: Callable[[], State]) -> None:
        """Write the state if the last write was long enough ago.

        Args:
            state: Returns tensors, numbers, texts, and lists and dictionaries of them; called only if it is written.

        Raises:
            StorageError: If the disk is full, or the folder is read-only.
        """
        started_s = time.monotonic()
        if started_s < self._due_s:
            return
        buffer = io.BytesIO()
        torch.save({"fingerprint": self.fingerprint, "state": state()}, buffer)
        payload = buffer.getbuffer()
        with atomic_file(self.path) as temporary, temporary.open("wb") as file:
            file.write(hashlib.sha256(payload).digest())
            file.write(payload)
        now_s = time.monotonic()
        self._due_s = now_s + max(self.interval_s, _LEAST_SHARE * (now_s - started_s)) if self.interval_s else now_s

    def discard(self) -> None:
        """Remove the state, and leftovers of killed attempts to write it."""
        with storage_errors(self.path):
            for path in (self.path, *self.path.parent.glob(f".{self.path.stem}-*{self.path.suffix}")):
                path.unlink(missing_ok=True)
