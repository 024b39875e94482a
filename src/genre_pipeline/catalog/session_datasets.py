"""Catalog entries of what belongs to a session and to no result: nothing is stored, and nothing becomes stale by it."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import sys
from datetime import datetime, timezone
from typing import Any

from kedro.io import AbstractDataset
from typing_extensions import override

from genre_pipeline.project import git_commit

_VERSIONED = ("genre-pipeline", "torch", "librosa", "scikit-learn", "numpy", "kedro", "mlflow")


class SessionDataset(AbstractDataset[Any, Any]):
    """What a hook lends to nodes, or takes from them, while a session runs.

    Loaded without a hook it is ``None``: the node then does without.

    ```yaml
    session_log:
      type: genre_pipeline.catalog.SessionDataset
    ```

    Args:
        metadata: Any metadata, for Kedro-Viz and other plugins.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    @override
    def load(self) -> Any:
        """Return ``None``."""
        return None

    @override
    def save(self, data: Any) -> None:
        """Store nothing: a hook has taken it."""
        del data

    @override
    def _exists(self) -> bool:
        return True

    @override
    def _describe(self) -> dict[str, Any]:
        return {}


class SessionFactsDataset(SessionDataset):
    """When and how a session runs: ``command``, ``created``, ``git_commit``, and ``versions`` of programs.

    Args:
        metadata: Any metadata, for Kedro-Viz and other plugins.
    """

    # Kedro notes the arguments of each class's own constructor, to write an entry as configuration.
    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(metadata=metadata)

    @override
    def load(self) -> dict[str, Any]:
        """Return the facts of the process that loads them."""
        # As a person would type it.
        program, *arguments = sys.argv
        return {
            # The program may be of several words: python -m kedro.
            "command": f"{program.rsplit('/', 1)[-1]} {shlex.join(arguments)}".strip(),
            "created": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "git_commit": git_commit(),
            "versions": {
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in _VERSIONED},
            },
        }
