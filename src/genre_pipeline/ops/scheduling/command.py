"""The commands that a schedule runs: as one would type them, whatever folder and environment they start in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Every = Literal["hourly", "daily", "weekly"]


@dataclass(frozen=True)
class Project:
    """Where the project is, and what starts it.

    Attributes:
        root: The project's folder, absolute.
        python: The Python that has it installed, absolute.
        log: The file that a schedule without a log of its own writes to, absolute.
        env: The configuration environment; ``None`` means the default.
        experiment: The experiment; ``None`` means the default.
        params: What ``--params`` is to say; empty for nothing.
        variables: Environment variables to set.
    """

    root: Path
    python: Path
    log: Path
    env: str | None = None
    experiment: str | None = None
    params: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def kedro(self, *arguments: str) -> list[str]:
        """Return the words of a Kedro command for the chosen environment, experiment and parameters.

        Example:
            >>> project = Project(Path("/music"), Path("/usr/bin/python3"), Path("/music/log"), experiment="gtzan")
            >>> project.kedro("refresh", "--dry-run")
            ['/usr/bin/python3', '-m', 'kedro', 'refresh', '--dry-run', '--experiment', 'gtzan']
        """
        options = {"--env": self.env, "--experiment": self.experiment, "--params": self.params}
        chosen = [word for name, value in options.items() if value for word in (name, value)]
        return [str(self.python), "-m", "kedro", *arguments, *chosen]
