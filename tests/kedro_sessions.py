"""Kedro sessions as ``kedro run`` starts them, and the MLflow state that they leave in the process."""

from __future__ import annotations

import inspect
import os
import shutil
import sys
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pytest
import soundfile
import yaml
from dynaconf.loaders import py_loader
from dynaconf.utils import files as dynaconf_files
from kedro.framework.project import pipelines, settings
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro_mlflow.framework.hooks.mlflow_hook import mlflow_hook
from matplotlib.figure import Figure
from mlflow.entities import Run
from sqlalchemy import Engine, event

from genre_pipeline.configuration import _merged, with_experiment
from genre_pipeline.hooks import TrackingHook
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.session import InterruptibleSession

# Dynaconf looks at the names of the calling files for each session, and has the source of each read and searched for.
for _module in (dynaconf_files, py_loader):
    _module.inspect = SimpleNamespace(stack=partial(inspect.stack, context=0))  # type: ignore[attr-defined]

# Kedro tries to import it for each value that a session holds, and looks through all folders each time.
sys.modules.setdefault("ibis", None)  # type: ignore[arg-type]


@event.listens_for(Engine, "connect")
def _write_without_waiting(connection: Any, _: object) -> None:
    """Leave it to the system when a database is on the disk: MLflow commits hundreds of times a session."""
    connection.execute("PRAGMA synchronous = OFF")


def new_session(**parameters: Any) -> KedroSession:
    """Make a session of the project, wherever the tests are started, of the experiment ``test`` or the one given."""
    bootstrap_project(PROJECT_ROOT)
    return InterruptibleSession.create(PROJECT_ROOT, runtime_params=given(**parameters))


def given(**parameters: Any) -> dict[str, Any]:
    """Return what a run is given: parameters, and for another experiment than ``test`` the small sizes of that one."""
    name = parameters.get("experiment", {}).get("name", "test")
    return with_experiment(parameters if name == "test" else _merged(_sizes(), parameters), name)


@cache
def _sizes() -> dict[str, Any]:
    content = yaml.safe_load((PROJECT_ROOT / "conf" / "base" / "experiments" / "test.yml").read_text(encoding="utf-8"))
    return {section: content[section] for section in ("protocols", "models")}


def run(*names: str, fresh: bool = False, **parameters: Any) -> dict[str, Any]:
    """Run pipelines in a session of their own."""
    with new_session(**parameters) as session:
        return session.run(pipeline_names=list(names), fresh=fresh)


def forget_sessions() -> None:
    """Undo what sessions leave in the process: open runs, MLflow's server and experiment, the pipelines."""
    for hook in settings.HOOKS:
        if isinstance(hook, TrackingHook):
            hook.on_pipeline_error(KeyboardInterrupt())
    while mlflow.active_run() is not None:
        mlflow.end_run("KILLED")
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    # MLflow hands both on to child processes.
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"):
        os.environ.pop(name, None)
    mlflow.tracking.fluent._active_experiment_id = None
    # kedro-mlflow's hook lives as long as the process, and would reopen its last run where tracking is disabled.
    mlflow_hook.run_id = None
    pipelines.configure("genre_pipeline.pipeline_registry")


def children(client: mlflow.MlflowClient, parent: Run) -> list[Run]:
    """Return the runs right below a run, by name."""
    runs = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'", max_results=1000
    )
    return sorted(runs, key=lambda each: str(each.info.run_name))


# One's own music, as --params would choose it, under a name of its own; the classifier is fitted in a moment.
OWN_MUSIC: dict[str, Any] = {"experiment": {"name": "own", "datasets": ["my_music"], "models": ["naive_bayes"]}}


def write_own_music(data: Path, *, genres: Sequence[str] = ("jazz", "rock"), n_tracks: int = 4) -> Path:
    """Write clips that hold one segment of MFCCs each, where ``my_music`` is looked for."""
    root = data / "01_raw" / "my_music"
    for number, genre in enumerate(genres):
        for track in range(n_tracks):
            write_own_clip(root / genre / f"{track}.wav", seed=100 * number + track)
    return root


def write_own_clip(path: Path, *, seed: int) -> Path:
    """Write 3.2 s of noise: no two seeds sound the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(int(3.2 * 22050)), 22050)
    return path


def sessions_of(client: mlflow.MlflowClient) -> list[Run]:
    """Return the sessions' runs, the oldest first."""
    experiments = [each.experiment_id for each in client.search_experiments()]
    return list(client.search_runs(experiments, "tags.level = 'session'", order_by=["attributes.start_time ASC"]))


def new_database(folder: Path) -> str:
    """Make a SQLite database with MLflow's tables and return its address."""
    uri = f"sqlite:///{folder}/mlflow.db"
    mlflow.MlflowClient(uri).search_experiments()
    return uri


def copy_database(uri: str, data: Path) -> str:
    """Give a data folder MLflow's tables, which takes seconds to make, and return their address there."""
    (data / "mlflow").mkdir(parents=True)
    path = shutil.copy(uri.removeprefix("sqlite:///"), data / "mlflow" / "mlflow.db")
    return f"sqlite:///{path}"


def settle(patch: pytest.MonkeyPatch, data: Path, folder: Path) -> None:
    """Give sessions a data folder, no MLflow server, and a folder to be started in."""
    patch.setenv("GENRE_PIPELINE_DATA", str(data))
    for name in ("MLFLOW_TRACKING_URI", "KEDRO_ENV", "GENRE_PIPELINE_EXPERIMENT", "GENRE_PIPELINE_REAL_DATA"):
        patch.delenv(name, raising=False)
    # Kedro-Viz writes statistics of runs into the project in whose folder it is started.
    patch.chdir(folder)


def do_without_drawing(patch: pytest.MonkeyPatch) -> None:
    """Leave out what figures look like, which takes a third of a small session; tests of figures look at it."""

    def save(_: Figure, file: Any, **__: Any) -> None:
        if isinstance(file, str | Path):
            Path(file).write_bytes(b"a picture")
        else:
            file.write(b"a picture")

    patch.setattr(Figure, "savefig", save)
    patch.setattr("genre_pipeline.pipelines.compare.nodes.draw_still", lambda _: Figure())
    patch.setattr("genre_pipeline.pipelines.evaluate.logs.confusion_figure", lambda *_, **__: Figure())
