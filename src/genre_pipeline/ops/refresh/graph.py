"""The steps of an experiment as the planner sees them: what each depends on, and where its results are.

The graph is made from Kedro's pipeline, its catalog and the parameters
(:mod:`genre_pipeline.pipelines.description`), which takes seconds, because models must be imported for it. So it is
kept in a file, and used again as long as neither the parameters nor the source of the package have changed.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import Field

from genre_pipeline.blocks import Block, parse_block
from genre_pipeline.errors import ConfigError
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.storage import write_json

# Raised whenever the graph has another form, or the same parameters and source give another one.
_VERSION = 3
# Libraries whose other version makes other pipelines, or other results of a step.
_LIBRARIES = ("kedro", "scikit-learn")
_PACKAGE = Path(__file__).parents[2]


class Entry(Block):
    """A catalog entry: where a result is.

    Attributes:
        path: The file; of a versioned entry, the folder of its versions.
        versioned: Whether each session keeps its own version.
        copy_path: Where the newest version also lies, if it does.
        volatile: Parts of it that describe the session: they never make a step stale.
    """

    path: Path
    versioned: bool = False
    copy_path: Path | None = None
    volatile: tuple[str, ...] = ()

    @property
    def record(self) -> Path:
        """Where it is written down what the result was made from."""
        return self.path.with_name(f".{self.path.name}.state.json")

    def newest(self) -> Path | None:
        """Return the file that would be loaded; ``None`` if it, or its copy, is not there."""
        if self.copy_path is not None and not self.copy_path.exists():
            return None
        if not self.versioned:
            return self.path if self.path.exists() else None
        return max(self.path.glob(f"*/{self.path.name}"), default=None)

    @property
    def place(self) -> Path:
        """The file that people open: always the newest."""
        return self.copy_path or self.path


class Source(Block):
    """A dataset's files, which a step lists and inspects.

    Attributes:
        dataset: The dataset's name.
        kind: Registered name of its loader.
        parameters: Its parameters.
        cache: What remembers inspections.
        tracks: Catalog entry of the track table that the step writes.
        quality: Catalog entry of the quality report that it writes.
    """

    dataset: str
    kind: str
    parameters: dict[str, Any]
    cache: Path
    tracks: str
    quality: str


class Step(Block):
    """One node of the pipeline, with everything that its results depend on.

    Attributes:
        name: The node's name.
        versions: Version of the code, by part of it.
        parameters: The parameters that the results depend on: not where things are, nor what is only written down.
        inputs: For each entry that is read, the parts that matter; ``None`` means all of them.
        outputs: The entries that are written.
        files: Files and folders that are read and that no entry stands for.
        source: The dataset's files, where it reads those.
    """

    name: str
    versions: dict[str, int | str]
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, tuple[str, ...] | None] = Field(default_factory=dict)
    outputs: tuple[str, ...]
    files: tuple[Path, ...] = ()
    source: Source | None = None


class Graph(Block):
    """Everything that is made for an experiment.

    Attributes:
        key: Hash of the parameters and the code that it was made from.
        steps: The steps, each after those whose results it reads.
        entries: Where each result is.
        unrecorded: Nodes that are no steps, because no record can say whether they are up to date.
    """

    key: str
    steps: tuple[Step, ...]
    entries: dict[str, Entry]
    unrecorded: tuple[str, ...] = ()

    @cached_property
    def producers(self) -> dict[str, str]:
        """Name of the step that writes each entry."""
        return {entry: step.name for step in self.steps for entry in step.outputs}

    @cached_property
    def by_name(self) -> dict[str, Step]:
        """The steps by name."""
        return {step.name: step for step in self.steps}

    def save(self, path: Path) -> None:
        """Keep the graph in a file.

        Raises:
            StorageError: If the disk is full, or the folder is read-only.
        """
        write_json(path, self.dump())


def graph_key(parameters: Any, environment: str) -> str:
    """Hash what a graph is made from: parameters, environment, the package's source, libraries.

    Args:
        parameters: Merged parameters, in plain JSON types.
        environment: Name of the configuration environment, whose catalog it is.
    """
    libraries = {name: version(name) for name in _LIBRARIES}
    return fingerprint(
        "graph",
        _VERSION,
        parameters=parameters,
        environment=environment,
        source=source_hash(),
        libraries=libraries,
    )


def source_hash() -> str:
    """Hash the package's source."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(_PACKAGE)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def load_graph(path: Path, key: str) -> Graph | None:
    """Read a graph that was kept, if it was made from the same.

    Args:
        path: The file.
        key: See :func:`graph_key`.
    """
    try:
        graph = parse_block(Graph, json.loads(path.read_bytes()), key=path.name)
    except (OSError, ValueError, ConfigError):
        return None
    return graph if graph.key == key else None
