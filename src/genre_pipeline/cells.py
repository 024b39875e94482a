"""Cells of the experiment's grid, and the catalog names that belong to each stage."""

from __future__ import annotations

import re
from dataclasses import dataclass

from genre_pipeline.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_name(name: str, *, kind: str) -> str:
    """Return a name that may become part of catalog entries, folders and MLflow tags.

    Args:
        name: The name to check.
        kind: What it names, for the message.

    Raises:
        ConfigError: If it is not lower snake case.

    Example:
        >>> check_name("log_mel_128", kind="feature")
        'log_mel_128'
    """
    if not _NAME.fullmatch(name) or "__" in name:
        raise ConfigError(
            f"The {kind} name '{name}' cannot be used: expected lower-case letters, digits and single underscores, "
            "beginning with a letter (it becomes part of file and catalog names)."
        )
    return name


@dataclass(frozen=True, order=True)
class Cell:
    """One cell of the grid: a model on a feature of a dataset under a protocol.

    Example:
        >>> Cell("demo", "artist_kfold", "log_mel_128", "net1").name
        'demo.artist_kfold.log_mel_128.net1'
    """

    dataset: str
    protocol: str
    feature: str
    model: str

    @property
    def name(self) -> str:
        """The cell's dotted name, which is also its Kedro namespace."""
        return f"{self.dataset}.{self.protocol}.{self.feature}.{self.model}"

    @classmethod
    def parse(cls, name: str) -> Cell:
        """Read a cell's dotted name.

        Raises:
            ConfigError: If the name does not have four parts.
        """
        parts = name.split(".")
        if len(parts) != 4 or not all(parts):
            raise ConfigError(f"'{name}' is not a cell: expected dataset.protocol.feature.model.")
        return cls(*parts)
