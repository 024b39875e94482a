"""DAGs for Airflow 3: an asset for each dataset, a task for each stage of a dataset and for each cell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from pprint import pformat
from typing import Literal

from genre_pipeline.cells import Cell

Every = Literal["hourly", "daily", "weekly"]
_STAGES = ("ingest", "split", "segment", "features")
# Holds the lock of refreshes; any runner skips what is up to date.
_ONLY_STALE = ("--runner", "genre_pipeline.runner.StaleRunner")


@dataclass(frozen=True)
class Project:
    """Where the project is, and what starts it.

    Attributes:
        root: The project's folder, absolute.
        python: The Python that has it installed, absolute.
        env: The configuration environment; ``None`` means the default.
        experiment: The experiment; ``None`` means the default.
        params: What ``--params`` is to say; empty for nothing.
        variables: Environment variables to set.
    """

    root: Path
    python: Path
    env: str | None = None
    experiment: str | None = None
    params: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def kedro(self, *arguments: str) -> list[str]:
        """Return the words of a Kedro command for the chosen environment, experiment and parameters.

        Example:
            >>> project = Project(Path("/music"), Path("/usr/bin/python3"), experiment="gtzan")
            >>> project.kedro("refresh", "--dry-run")
            ['/usr/bin/python3', '-m', 'kedro', 'refresh', '--dry-run', '--experiment', 'gtzan']
        """
        options = {"--env": self.env, "--experiment": self.experiment, "--params": self.params}
        chosen = [word for name, value in options.items() if value for word in (name, value)]
        return [str(self.python), "-m", "kedro", *arguments, *chosen]


def airflow_dag(
    project: Project, *, experiment: str, cells: Sequence[Cell], every: Every | None, n_tasks: int = 1
) -> str:
    """Write the DAG file of an experiment.

    It holds two DAGs. ``genre_pipeline_<experiment>_datasets`` looks at the files of each dataset, and updates the
    dataset's asset if they are not those that were ingested. ``genre_pipeline_<experiment>`` runs when any of the
    assets was updated, by this or by any other DAG or through Airflow's API: the stages of each dataset, then the cells
    on it, then the comparison.

    Args:
        project: What is run, where.
        experiment: The experiment's name, part of the DAGs' and the assets' names.
        cells: The experiment's cells.
        every: How often to look at the files; ``None`` means never.
        n_tasks: Tasks that may run at once. Each runs only what is stale. A single one at a time also keeps other
            refreshes out.

    Returns:
        A Python file for Airflow's folder of DAGs.
    """
    datasets = list(dict.fromkeys(cell.dataset for cell in cells))
    runner = _ONLY_STALE if n_tasks == 1 else ()
    tasks: dict[str, dict[str, object]] = {}
    before_cells = {}
    for dataset in datasets:
        previous: list[str] = []
        for stage in _STAGES:
            name = f"{dataset}.{stage}"
            tasks[name] = _task(project.kedro("run", "--pipelines", stage, "--namespaces", dataset, *runner), previous)
            previous = [name]
        before_cells[dataset] = previous
    for cell in cells:
        tasks[cell.name] = _task(project.kedro("run", "--namespaces", cell.name, *runner), before_cells[cell.dataset])
    tasks["compare"] = _task(project.kedro("run", "--pipelines", "compare", *runner), [cell.name for cell in cells])
    looks = {dataset: shlex.join(project.kedro("refresh", "--explain", f"{dataset}.ingest")) for dataset in datasets}
    values = {
        "experiment": experiment,
        "root": str(project.root),
        "variables": dict(project.variables),
        "every": every,
        "n_tasks": n_tasks,
        "looks": looks,
        "tasks": tasks,
    }
    template = files("genre_pipeline.ops").joinpath("airflow_dag.txt").read_text(encoding="utf-8")
    return template.replace("@VALUES@", pformat(values, width=119, sort_dicts=False))


def _task(command: Sequence[str], after: Sequence[str]) -> dict[str, object]:
    return {"command": shlex.join(command), "after": list(after)}
