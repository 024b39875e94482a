"""The journal of a refresh: what ran, what failed, and what had to wait for that."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from genre_pipeline.storage import write_json

logger = logging.getLogger(__name__)


@dataclass
class Journal:
    """What has happened in a refresh so far, kept in a file.

    Attributes:
        path: The file.
        pid: The process that runs the steps.
        steps_run: Names of the steps that ran.
        failures: Why steps failed, by name.
        steps_blocked: For steps that could not run, the entries that were not made.
        unmade: All entries that were not made.
    """

    path: Path
    pid: int = field(default_factory=os.getpid)
    steps_run: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    steps_blocked: dict[str, list[str]] = field(default_factory=dict)
    unmade: set[str] = field(default_factory=set)

    @classmethod
    def begin(cls, path: Path) -> Journal:
        """Begin a journal in the place of the last one.

        Raises:
            StorageError: If it cannot be written.
        """
        journal = cls(path)
        journal._save()
        return journal

    @classmethod
    def read(cls, path: Path) -> Journal:
        """Read a journal; an empty one, of no process, where there is none that can be read."""
        try:
            content = json.loads(path.read_bytes())
            return cls(path, content["pid"], list(content["ran"]), dict(content["failed"]), dict(content["blocked"]))
        except FileNotFoundError:
            return cls(path, 0)
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s cannot be read (%s); the next refresh rewrites it.", path, error)
            return cls(path, 0)

    def ran(self, step: str) -> None:
        """Note that a step ran."""
        self.steps_run.append(step)
        self._save()

    def failed(self, step: str, outputs: Iterable[str], reason: str) -> None:
        """Note that a step failed, and which entries are not made therefore."""
        self.failures[step] = reason
        self.unmade.update(outputs)
        self._save()

    def blocked(self, step: str, outputs: Iterable[str], lost: list[str]) -> None:
        """Note that a step cannot run for want of some entries, and which are not made therefore."""
        self.steps_blocked[step] = lost
        self.unmade.update(outputs)
        self._save()

    def _save(self) -> None:
        content = {"pid": self.pid, "ran": self.steps_run, "failed": self.failures, "blocked": self.steps_blocked}
        write_json(self.path, content)
