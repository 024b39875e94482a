"""Runs of MLflow for cells and repeats, written through explicit run ids so that sessions cannot mix.

MLflow's fluent functions write to whatever run is active in the process. Every call here names its run instead.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from genre_pipeline.cells import Cell
from genre_pipeline.logs import CellLog, RunLog, ServedModel
from genre_pipeline.results.run_changes import CellRecord
from genre_pipeline.tracking.history import RunHistory
from genre_pipeline.tracking.pages import cell_pages, run_page
from genre_pipeline.tracking.server import tracking_errors
from genre_pipeline.tracking.system import Monitor
from genre_pipeline.work.processes import Owner

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run, RunTag


logger = logging.getLogger(__name__)

# How the names of the tags begin that say which process writes a run.
_OWNER = "owner."
# MLflow's largest page is 50,000 runs; a session that was killed leaves some dozens open [?].
_PAGE = 1000
# MLflow refuses more metrics or parameters than these in one request.
_MAX_METRICS = 1000
_MAX_PARAMS = 100
# MLflow refuses longer parameter values.
_MAX_PARAM_LENGTH = 6000
# [D] MLflow takes 20,000 characters; a blank line follows each part.
_MAX_EXPERIMENT_NOTE = 19_000
# Seconds between writes of per-epoch metrics: a SQLite write costs tens of milliseconds, some epochs cost less.
_FLUSH_S = 2.0


# The tag that MLflow shows as the description of a run or an experiment.
NOTE = "mlflow.note.content"
# The report, among the files of a session's run.
REPORT = "report.html"
# What the runs below one are, where they are no repeats.
_LEVELS_BELOW = {"study": "trial"}


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, object]) -> None:
    """Log parameters of a run.

    Args:
        client: Client of the MLflow server.
        run_id: The run.
        params: The parameters; nested mappings are flattened with dots.
    """
    from mlflow.entities import Param

    flat = [Param(key, str(value)[:_MAX_PARAM_LENGTH]) for key, value in sorted(flatten(params).items())]
    for start in range(0, len(flat), _MAX_PARAMS):
        client.log_batch(run_id, params=flat[start : start + _MAX_PARAMS])


class MlflowCellRun:
    """A cell's run in MLflow, child of the session's run, or that of its tuning.

    Args:
        client: Client of the MLflow server.
        experiment_id: The MLflow experiment.
        parent_run_id: The session's run.
        cell: The cell.
        tags: Tags of this run and of those below it.
        level: What the run is, as its tag ``level``.
        name: The run's name; what is below it has more before it.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment_id: str,
        parent_run_id: str,
        cell: Cell,
        tags: Mapping[str, str],
        level: str = "cell",
        name: str = "",
    ) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._parent_run_id = parent_run_id
        self._cell = cell
        self._repeats: dict[int, str] = {}
        self._pending: dict[int, list[Metric]] = {}
        self._flushed_s = time.monotonic()
        self._is_open = True
        self._tags = tags
        self._level_below = _LEVELS_BELOW.get(level, "repeat")
        self._name = name or run_name(cell)
        # A node of the cell may have opened it in another process.
        known = self._find(parent_run_id, level)
        if known is None:
            own = self._name if level == "cell" else f"{level} · {self._name}"
            self.run_id = self._open(own, parent_run_id, {"level": level})
            return
        self.run_id = known.info.run_id
        self._is_open = known.info.status == "RUNNING"
        below = _open_below(client, experiment_id, self.run_id)
        self._repeats = {int(run.data.tags[self._level_below]): run_id for run_id, run in below.items()}

    def _find(self, parent_run_id: str, level: str) -> Run | None:
        tags = {"mlflow.parentRunId": parent_run_id, "level": level, **vars(self._cell)}
        query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        return next(iter(self._client.search_runs([self._experiment_id], query, max_results=1)), None)

    def _open(self, name: str, parent_run_id: str, tags: Mapping[str, str]) -> str:
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

        cell = self._cell
        coordinates = {
            "dataset": cell.dataset,
            "protocol": cell.protocol,
            "feature": cell.feature,
            "model": cell.model,
        }
        known = {MLFLOW_PARENT_RUN_ID: parent_run_id, **coordinates, **tags}
        run = self._client.create_run(self._experiment_id, run_name=name, tags={**known, **self._tags})
        return str(run.info.run_id)

    def _repeat(self, repeat: int) -> str:
        if repeat not in self._repeats:
            level = self._level_below
            tags = {"level": level, level: str(repeat)}
            self._repeats[repeat] = self._open(f"{level} {repeat} · {self._name}", self.run_id, tags)
        return self._repeats[repeat]

    def write(self, log: CellLog) -> None:
        """Write what a node logs of the cell."""
        self.set_tags(log.tags)
        self._describe(log.note)
        self.log_params(log.params)
        self._log_inputs(log.inputs)
        for name, content in log.files.items():
            _log_file(self._client, self.run_id, content, name)
        for repeat, each in log.repeats.items():
            self._write_repeat(repeat, each)
        model_id = None if log.model is None else self.log_model(log.model)
        self.log_metrics(log.metrics, model_id)
        self._write(self.run_id, [each for epoch, metrics in log.epochs.items() for each in _metrics(metrics, epoch)])
        if log.ends is not None:
            self.finish(log.ends)

    def _write_repeat(self, repeat: int, log: RunLog) -> None:
        self.log_params(log.params, repeat)
        for epoch, metrics in log.epochs.items():
            self.log_epoch(repeat, epoch, metrics)
        for name, content in log.files.items():
            _log_file(self._client, self._repeat(repeat), content, name)
        if log.tags or log.metrics:
            self._client.log_batch(self._repeat(repeat), metrics=_metrics(log.metrics), tags=_tags(log.tags))
        if log.ends is not None:
            self.flush()
            self._client.set_terminated(self._repeat(repeat), status=log.ends)
            del self._repeats[repeat]

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags."""
        if tags:
            self._client.log_batch(self.run_id, tags=_tags(tags))

    def _describe(self, note: str) -> None:
        if note:
            session = run_page(self._experiment_id, self._parent_run_id)
            report = run_page(self._experiment_id, self._parent_run_id, artifact=REPORT)
            self.set_tags({NOTE: f"{note}\n\n[Report]({report}) of [this session]({session})"})

    def _log_inputs(self, inputs: Mapping[str, str]) -> None:
        from mlflow.entities import Dataset, DatasetInput

        found = [DatasetInput(Dataset(name, digest, "local", "{}"), []) for name, digest in inputs.items()]
        if found:
            self._client.log_inputs(self.run_id, found)

    def log_params(self, params: Mapping[str, object], repeat: int | None = None) -> None:
        """Log parameters, one per field, of the cell or of one repeat: nested mappings are flattened with dots."""
        if params:
            log_params(self._client, self.run_id if repeat is None else self._repeat(repeat), params)

    def log_epoch(self, repeat: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log an epoch's metrics of a repeat, with the epoch as step."""
        self._pending.setdefault(repeat, []).extend(_metrics(metrics, step=epoch))
        if time.monotonic() - self._flushed_s >= _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write the epochs that wait to be written."""
        for repeat, pending in self._pending.items():
            self._write(self._repeat(repeat), pending)
        self._pending.clear()
        self._flushed_s = time.monotonic()

    def _write(self, run_id: str, metrics: Sequence[Metric]) -> None:
        for start in range(0, len(metrics), _MAX_METRICS):
            self._client.log_batch(run_id, metrics=metrics[start : start + _MAX_METRICS])

    def log_metrics(self, metrics: Mapping[str, float], model_id: str | None = None) -> None:
        """Log metrics of the whole cell; values that are not finite are left out.

        Args:
            metrics: The metrics.
            model_id: The model that those without a folder are logged of, too.
        """
        found = _metrics(metrics)
        for each in found if model_id else []:
            each._model_id = None if "/" in each.key else model_id
        self._write(self.run_id, found)

    def log_model(self, model: ServedModel) -> str:
        """Log a trained model as a pyfunc that classifies audio files, and return its id.

        A model that an earlier run holds already is not stored again; ``model_run_id`` says which run holds it.
        """
        import mlflow
        from mlflow.entities import LoggedModelOutput

        from genre_pipeline.tracking.model import log_genre_model

        query = f"tags.model_fingerprint = '{model.fingerprint}' and attributes.run_id != '{self.run_id}'"
        holders = self._client.search_runs([self._experiment_id], query, max_results=1)
        for run_id in (each.info.run_id for each in holders):
            query = f"source_run_id = '{run_id}'"
            for known in self._client.search_logged_models([self._experiment_id], query, max_results=1):
                self._client.log_outputs(self.run_id, [LoggedModelOutput(known.model_id, step=0)])
                self.set_tags({"model_run_id": run_id, "model_uri": known.model_uri})
                return str(known.model_id)
        with tracking_errors(mlflow.get_tracking_uri()):
            # MLflow takes no dots in a model's name.
            name = self._cell.name.replace(".", "-")
            logged = log_genre_model(self.run_id, model, name=name)
        # Last, so that an interrupted upload is not taken for a model.
        tags = {"model_run_id": self.run_id, "model_uri": logged.model_uri, "model_fingerprint": model.fingerprint}
        self.set_tags(tags)
        return str(logged.model_id)

    def finish(self, status: str = "FINISHED") -> None:
        """End the run, and those of its repeats that are still open; more than once does no harm."""
        self.flush()
        if self._is_open:
            for run_id in (*self._repeats.values(), self.run_id):
                self._client.set_terminated(run_id, status=status)
        self._repeats.clear()
        self._is_open = False


class MlflowTracker:
    """Tracks the cells of one session below its parent run.

    A copy in another process writes to the same runs.

    Args:
        client: Client of the MLflow server.
        experiment_id: The MLflow experiment.
        parent_run_id: The session's run.
        tags: Tags of every run below it.
        monitor: Watches the machine until the tracker is closed.
        features: Each model's own feature: the names of runs state another one.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment_id: str,
        parent_run_id: str,
        tags: Mapping[str, str] | None = None,
        monitor: Monitor | None = None,
        features: Mapping[str, str] | None = None,
    ) -> None:
        self._features = dict(features or {})
        self._tags = dict(tags or {})
        self._monitor = monitor
        self._client = client
        self._experiment_id = experiment_id
        self._parent_run_id = parent_run_id
        self._open: dict[tuple[Cell, str], MlflowCellRun] = {}
        # A runner's child processes have copies, which nobody closes.
        self._pid = os.getpid()
        # Nodes of one cell may run in several threads.
        self._opening = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        given = (self._client, self._experiment_id, self._parent_run_id, self._tags)
        return MlflowTracker, given, {"_pid": self._pid, "_features": self._features}

    def cell_run(self, cell: Cell, *, level: str = "cell") -> MlflowCellRun:
        """Return a run of the cell, opened at first use.

        Args:
            cell: The cell.
            level: What the run is about: see :class:`~genre_pipeline.logs.CellLog`.
        """
        with self._opening:
            if (cell, level) not in self._open:
                self._open[cell, level] = MlflowCellRun(
                    self._client,
                    self._experiment_id,
                    self._parent_run_id,
                    cell,
                    self._tags,
                    level,
                    run_name(cell, self._features),
                )
            return self._open[cell, level]

    def pages(self) -> dict[str, str]:
        """Return the address of the newest run of each cell of the experiment: see :func:`cell_pages`."""
        import mlflow

        uri = mlflow.get_tracking_uri()
        return cell_pages(self._client, uri, self._experiment_id, self._tags.get("experiment", ""))

    def write(self, log: CellLog) -> None:
        """Write what a node logs of a cell."""
        self.cell_run(log.cell, level=log.level).write(log)
        for key, value in log.session_tags.items():
            self.add_to_tag(key, value)

    def flush(self) -> None:
        """Write what waits to be written, in a runner's child process: nobody closes the tracker there."""
        if os.getpid() != self._pid:
            for run in self._open.values():
                run.flush()

    def log_artifact(self, content: Any, name: str) -> None:
        """Log a text, table, figure or JSON content as an artifact of the parent run."""
        _log_file(self._client, self._parent_run_id, content, name)

    def describe(self, note: str) -> None:
        """Describe the parent run in Markdown."""
        self._client.set_tag(self._parent_run_id, NOTE, note)

    def describe_experiment(self) -> None:
        """Describe the MLflow experiment by the newest description of each experiment's sessions.

        That of the parent run gets a link to its report, if it has one by now.
        """
        note = self._client.get_run(self._parent_run_id).data.tags.get(NOTE)
        if note and REPORT in {each.path for each in self._client.list_artifacts(self._parent_run_id)}:
            report = run_page(self._experiment_id, self._parent_run_id, artifact=REPORT)
            self.describe(f"{note}\n\n[Report]({report})")
        sessions = self._client.search_runs(
            [self._experiment_id], "tags.level = 'session'", max_results=_PAGE, order_by=["attributes.start_time DESC"]
        )
        notes: dict[str, str] = {}
        for run in sessions:
            if NOTE in run.data.tags:
                name = run.data.tags.get("experiment", "")
                notes.setdefault(name, f"## {name}\n\n{run.data.tags[NOTE]}")
        text = ""
        for note in notes.values():
            if len(text) + len(note) <= _MAX_EXPERIMENT_NOTE:
                text += f"{note}\n\n"
        if text:
            self._client.set_experiment_tag(self._experiment_id, NOTE, text)

    def add_to_tag(self, key: str, value: str) -> None:
        """Add a value to those that a tag of the parent run has."""
        # Read back, because nodes may run in several processes.
        known = self._client.get_run(self._parent_run_id).data.tags.get(key, "")
        values = sorted({*filter(None, known.split(", ")), value})
        self._client.set_tag(self._parent_run_id, key, ", ".join(values))

    def history(self, cell: Cell) -> tuple[CellRecord | None, CellRecord | None]:
        """Return the cell in the last finished session of this experiment that evaluated it, and in this session."""
        known = RunHistory(self._client, [self._experiment_id])
        return known.last_two(cell, self._tags.get("experiment", ""), self._parent_run_id)

    def register_model(self, name: str, **given: Any) -> dict[str, Any]:
        """Register a logged model: see :func:`~genre_pipeline.tracking.model_registry.register_model`."""
        from genre_pipeline.tracking.model_registry import register_model

        return register_model(self._client, self._experiment_id, name, **given)

    def close(self, status: str) -> None:
        """End every run that is still open, those that a runner's child processes opened included.

        Args:
            status: ``FINISHED``, ``FAILED`` or ``KILLED``.
        """
        if self._monitor is not None:
            self._monitor.finish()
        for run in self._open.values():
            run.finish(status)
        self._open.clear()
        # Those that other processes opened.
        for cell in _open_below(self._client, self._experiment_id, self._parent_run_id):
            for run_id in (*_open_below(self._client, self._experiment_id, cell), cell):
                self._client.set_terminated(run_id, status=status)


def run_name(cell: Cell, features: Mapping[str, str] | None = None) -> str:
    """Name the run of a cell: what differs most from run to run comes first.

    Args:
        cell: The cell.
        features: Each model's own feature, which is not named.

    Example:
        >>> cell = Cell("demo", "artist_kfold", "log_mel_128", "net1")
        >>> run_name(cell), run_name(cell, {"net1": "log_mel_256"})
        ('artist_kfold · net1 · demo', 'artist_kfold · net1 · demo · log_mel_128')
    """
    parts = [cell.protocol, cell.model, cell.dataset]
    if (features or {}).get(cell.model, cell.feature) != cell.feature:
        parts.append(cell.feature)
    return " · ".join(parts)


def _open_below(client: MlflowClient, experiment_id: str, parent_run_id: str) -> dict[str, Run]:
    """Return the runs right below a run that are not finished, by id."""
    query = f"attributes.status = 'RUNNING' and tags.`mlflow.parentRunId` = '{parent_run_id}'"
    return {run.info.run_id: run for run in client.search_runs([experiment_id], query, max_results=_PAGE)}


def close_runs(tracker: MlflowTracker | None, status: str) -> None:
    """Close the open runs of a session that did not finish; where that fails, say so: the disk may be full.

    Args:
        tracker: The session's tracker, if it has begun.
        status: ``FAILED``, or ``KILLED``: then the session's own run is closed, too, which nobody else closes.
    """
    import mlflow

    try:
        if tracker is not None:
            tracker.close(status)
        while status == "KILLED" and mlflow.active_run() is not None:
            mlflow.end_run(status)
    except Exception as error:
        # Another error is on its way already.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        logger.warning("Open runs of MLflow could not be closed (%s): the next session closes them.", reason)


def owner_tags(owner: Owner) -> dict[str, str]:
    """Return the tags of a run that say which process writes it."""
    return {f"{_OWNER}{each.name}": str(getattr(owner, each.name)) for each in fields(owner)}


def close_runs_of_the_dead(client: MlflowClient, experiment_id: str) -> None:
    """Mark the runs as killed which a process of this machine left open that does not run any more.

    Those of other machines and containers are left alone: whether their processes run cannot be known here.

    Args:
        client: Client of the MLflow server.
        experiment_id: The MLflow experiment.
    """
    this = owner_tags(Owner.this_process())
    names = (f"{_OWNER}host", f"{_OWNER}machine")
    here = " and ".join(f"tags.`{name}` = '{this[name]}'" for name in names)
    query = f"attributes.status = 'RUNNING' and {here}"
    killed: set[str] = set()
    n_closed = 0
    # Those that were closed are not found again.
    while dead := [run for run in client.search_runs([experiment_id], query, max_results=_PAGE) if _is_dead(run)]:
        for run in dead:
            client.set_terminated(run.info.run_id, status="KILLED")
        killed.update(run.data.tags[f"{_OWNER}pid"] for run in dead)
        n_closed += len(dead)
    if n_closed:
        logger.warning(
            "MLflow: %d runs were left open by killed processes (%s); they are closed as KILLED.",
            n_closed,
            ", ".join(sorted(killed, key=int)),
        )


def _is_dead(run: Run) -> bool:
    tags = run.data.tags
    try:
        pid, start = (int(tags[f"{_OWNER}{name}"]) for name in ("pid", "process_start"))
    except (KeyError, ValueError):
        return False
    return Owner(pid, tags[f"{_OWNER}host"], start, tags[f"{_OWNER}machine"]).is_dead


def flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Flatten nested mappings to dotted keys.

    Example:
        >>> flatten({"training": {"batch_size": 50}, "seed": 0})
        {'training.batch_size': 50, 'seed': 0}
    """
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _log_file(client: MlflowClient, run_id: str, content: Any, name: str) -> None:
    """Log an artifact, by the type of its content: a table as its name says, as CSV or Parquet."""
    import pandas as pd

    if isinstance(content, pd.DataFrame) and not name.endswith(".csv"):
        with TemporaryDirectory() as folder:
            content.to_parquet(Path(folder, name), index=False)
            client.log_artifact(run_id, str(Path(folder, name)))
    elif isinstance(content, str | pd.DataFrame):
        client.log_text(run_id, content if isinstance(content, str) else content.to_csv(index=False), name)
    elif isinstance(content, Mapping):
        client.log_dict(run_id, dict(content), name)
    else:
        client.log_figure(run_id, content, name)


def _tags(values: Mapping[str, object]) -> list[RunTag]:
    from mlflow.entities import RunTag

    return [RunTag(key, str(value)) for key, value in values.items()]


def _metrics(values: Mapping[str, float], step: int = 0) -> list[Metric]:
    import math

    from mlflow.entities import Metric

    now_ms = int(time.time() * 1000)
    return [Metric(key, float(value), now_ms, step) for key, value in values.items() if math.isfinite(value)]
