"""Runs of MLflow for cells and repeats, written through explicit run ids so that sessions cannot mix.

MLflow's fluent functions write to whatever run is active in the process. Every call here names its run instead;
outside ``kedro run`` (tests, notebooks) the tracker of :func:`current_tracker` does nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from genre_pipeline.cells import Cell
from genre_pipeline.results.run_changes import CellRecord
from genre_pipeline.tracking.history import RunHistory
from genre_pipeline.tracking.server import tracking_errors
from genre_pipeline.tracking.system import Monitor
from genre_pipeline.work.processes import Owner

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run, RunTag
    from plotly.graph_objects import Figure as PlotlyFigure

    from genre_pipeline.tracking.model_registry import Decide

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
# Seconds between writes of per-epoch metrics: a SQLite write costs tens of milliseconds, some epochs cost less.
_FLUSH_S = 2.0


# What the runs below one are, where they are no repeats.
_LEVELS_BELOW = {"study": "trial"}


class CellRun:
    """The run of one cell. This base logs nothing: it is what nodes get outside ``kedro run``."""

    run_id: str = ""

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags."""

    def log_params(self, params: Mapping[str, object], repeat: int | None = None) -> None:
        """Log parameters, one per field, of the cell or of one repeat: nested mappings are flattened with dots."""

    def log_epoch(self, repeat: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log an epoch's metrics of a repeat, with the epoch as step."""

    def log_repeat(self, repeat: int, metrics: Mapping[str, float], tags: Mapping[str, object]) -> None:
        """Log a repeat's final metrics and finish its run."""

    def fail_repeat(self, repeat: int, reason: str, tags: Mapping[str, object]) -> None:
        """Finish a repeat's run as failed, with the reason in its tag ``failure``."""

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log metrics of the whole cell; values that are not finite are left out."""

    def log_curve(self, key: str, values: Sequence[float]) -> None:
        """Log one value an epoch, beginning with epoch 1."""

    def log_figure(self, figure: Figure | PlotlyFigure, name: str) -> None:
        """Log a figure as an artifact: one of matplotlib as a picture, one of Plotly as a page (``.html``)."""

    def log_text(self, text: str, name: str) -> None:
        """Log a text as an artifact."""

    def log_repeat_figure(self, repeat: int, figure: Figure, name: str) -> None:
        """Log a matplotlib figure as an artifact of a repeat whose run is open."""

    def log_json(self, content: Any, name: str) -> None:
        """Log plain JSON content as an artifact."""

    def log_table(self, table: pd.DataFrame, name: str) -> None:
        """Log a table as an artifact, in Parquet."""

    def log_model(self, checkpoint: Path, genres: Sequence[str], *, fingerprint: str) -> None:
        """Log a trained model as a pyfunc that maps audio paths to genre probabilities.

        A model that an earlier run holds already is not stored again; ``model_run_id`` says which run holds it.
        """

    def flush(self) -> None:
        """Write metrics of epochs that wait to be written."""

    def finish(self, status: str = "FINISHED") -> None:
        """End the run, and those of its repeats that are still open; more than once does no harm."""


class Tracker:
    """Gives the run of each cell. This base tracks nothing."""

    def cell_run(self, cell: Cell, *, level: str = "cell") -> CellRun:
        """Return a run of the cell, opened at first use.

        Args:
            cell: The cell.
            level: What the run is about, as its tag ``level``: ``cell`` for the run with the cell's metrics, ``study``
                for its tuning, whose repeats are trials, another word for what was done with its models later.
        """
        del cell, level
        return CellRun()

    def log_artifacts(self, contents: Mapping[str, str]) -> None:
        """Log texts as artifacts of the parent run, by file name."""

    def add_to_tag(self, key: str, value: str) -> None:
        """Add a value to those that a tag of the parent run has."""

    def history(self, cell: Cell) -> tuple[CellRecord | None, CellRecord | None]:
        """Return the cell in the last finished session of this experiment, and in this session, as far as tracked."""
        del cell
        return None, None

    def register_model(
        self, name: str, *, fingerprint: str, outcomes: pd.DataFrame, decide: Decide
    ) -> dict[str, Any] | None:
        """Register a logged model, see :func:`~genre_pipeline.tracking.model_registry.register_model`.

        None where nothing is tracked.
        """
        del name, fingerprint, outcomes, decide
        return None

    def log_figure(self, figure: Figure, name: str) -> None:
        """Log a matplotlib figure as an artifact of the parent run."""

    def flush(self) -> None:
        """Write what waits to be written, because another process may go on with a cell's run."""

    def close(self, status: str) -> None:
        """End every run that is still open."""


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


class MlflowCellRun(CellRun):
    """A cell's run in MLflow, child of the session's run, or that of its tuning.

    Args:
        client: Client of the MLflow server.
        experiment_id: The MLflow experiment.
        parent_run_id: The session's run.
        cell: The cell.
        tags: Tags of this run and of those below it.
        level: What the run is, as its tag ``level``.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment_id: str,
        parent_run_id: str,
        cell: Cell,
        tags: Mapping[str, str],
        level: str = "cell",
    ) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._cell = cell
        self._repeats: dict[int, str] = {}
        self._pending: dict[int, list[Metric]] = {}
        self._flushed_s = time.monotonic()
        self._is_open = True
        self._tags = tags
        self._level_below = _LEVELS_BELOW.get(level, "repeat")
        self._name = f"{cell.model} / {cell.dataset} / {cell.protocol}" + ("" if level == "cell" else f" / {level}")
        # A node of the cell may have opened it in another process.
        known = self._find(parent_run_id, level)
        if known is None:
            self.run_id = self._open(self._name, parent_run_id, {"level": level})
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
        run = self._client.create_run(
            self._experiment_id,
            run_name=name,
            tags={MLFLOW_PARENT_RUN_ID: parent_run_id, **coordinates, **self._tags, **tags},
        )
        return str(run.info.run_id)

    def _repeat(self, repeat: int) -> str:
        if repeat not in self._repeats:
            level = self._level_below
            tags = {"level": level, level: str(repeat)}
            self._repeats[repeat] = self._open(f"{self._name} / {level} {repeat}", self.run_id, tags)
        return self._repeats[repeat]

    @override
    def set_tags(self, tags: Mapping[str, object]) -> None:
        self._client.log_batch(self.run_id, tags=_tags(tags))

    @override
    def log_params(self, params: Mapping[str, object], repeat: int | None = None) -> None:
        log_params(self._client, self.run_id if repeat is None else self._repeat(repeat), params)

    @override
    def log_epoch(self, repeat: int, epoch: int, metrics: Mapping[str, float]) -> None:
        self._pending.setdefault(repeat, []).extend(_metrics(metrics, step=epoch))
        if time.monotonic() - self._flushed_s >= _FLUSH_S:
            self.flush()

    @override
    def flush(self) -> None:
        for repeat, pending in self._pending.items():
            self._write(self._repeat(repeat), pending)
        self._pending.clear()
        self._flushed_s = time.monotonic()

    def _write(self, run_id: str, metrics: Sequence[Metric]) -> None:
        for start in range(0, len(metrics), _MAX_METRICS):
            self._client.log_batch(run_id, metrics=metrics[start : start + _MAX_METRICS])

    @override
    def log_repeat(self, repeat: int, metrics: Mapping[str, float], tags: Mapping[str, object]) -> None:
        self.flush()
        run_id = self._repeat(repeat)
        self._client.log_batch(run_id, metrics=_metrics(metrics), tags=_tags(tags))
        self._client.set_terminated(run_id)
        del self._repeats[repeat]

    @override
    def fail_repeat(self, repeat: int, reason: str, tags: Mapping[str, object]) -> None:
        self.flush()
        run_id = self._repeat(repeat)
        self._client.log_batch(run_id, tags=_tags({**tags, "failure": reason}))
        self._client.set_terminated(run_id, status="FAILED")
        del self._repeats[repeat]

    @override
    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        self._write(self.run_id, _metrics(metrics))

    @override
    def log_curve(self, key: str, values: Sequence[float]) -> None:
        points = [point for step, value in enumerate(values, start=1) for point in _metrics({key: value}, step=step)]
        self._write(self.run_id, points)

    @override
    def log_figure(self, figure: Figure | PlotlyFigure, name: str) -> None:
        self._client.log_figure(self.run_id, figure, name)

    @override
    def log_repeat_figure(self, repeat: int, figure: Figure, name: str) -> None:
        self._client.log_figure(self._repeat(repeat), figure, name)

    @override
    def log_text(self, text: str, name: str) -> None:
        self._client.log_text(self.run_id, text, name)

    @override
    def log_json(self, content: Any, name: str) -> None:
        self._client.log_dict(self.run_id, content, name)

    @override
    def log_table(self, table: pd.DataFrame, name: str) -> None:
        with TemporaryDirectory() as folder:
            table.to_parquet(Path(folder, name), index=False)
            self._client.log_artifact(self.run_id, str(Path(folder, name)))

    @override
    def log_model(self, checkpoint: Path, genres: Sequence[str], *, fingerprint: str) -> None:
        import mlflow

        from genre_pipeline.tracking.model import log_genre_model

        query = f"tags.model_fingerprint = '{fingerprint}' and attributes.run_id != '{self.run_id}'"
        holders = self._client.search_runs([self._experiment_id], query, max_results=1)
        if holders:
            self.set_tags({"model_run_id": holders[0].info.run_id})
            return
        with tracking_errors(mlflow.get_tracking_uri()):
            log_genre_model(self.run_id, checkpoint, genres)
        # Last, so that an interrupted upload is not taken for a model.
        self.set_tags({"model_run_id": self.run_id, "model_fingerprint": fingerprint})

    @override
    def finish(self, status: str = "FINISHED") -> None:
        self.flush()
        if self._is_open:
            for run_id in (*self._repeats.values(), self.run_id):
                self._client.set_terminated(run_id, status=status)
        self._repeats.clear()
        self._is_open = False


class MlflowTracker(Tracker):
    """Tracks the cells of one session below its parent run.

    A copy in another process writes to the same runs.

    Args:
        client: Client of the MLflow server.
        experiment_id: The MLflow experiment.
        parent_run_id: The session's run.
        tags: Tags of every run below it.
        monitor: Watches the machine until the tracker is closed.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment_id: str,
        parent_run_id: str,
        tags: Mapping[str, str] | None = None,
        monitor: Monitor | None = None,
    ) -> None:
        self._tags = dict(tags or {})
        self._monitor = monitor
        self._client = client
        self._experiment_id = experiment_id
        self._parent_run_id = parent_run_id
        self._open: dict[tuple[Cell, str], MlflowCellRun] = {}
        # Nodes of one cell may run in several threads.
        self._opening = threading.Lock()

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return MlflowTracker, (self._client, self._experiment_id, self._parent_run_id, self._tags)

    @override
    def cell_run(self, cell: Cell, *, level: str = "cell") -> CellRun:
        with self._opening:
            if (cell, level) not in self._open:
                self._open[cell, level] = MlflowCellRun(
                    self._client, self._experiment_id, self._parent_run_id, cell, self._tags, level
                )
            return self._open[cell, level]

    @override
    def log_artifacts(self, contents: Mapping[str, str]) -> None:
        for name, text in contents.items():
            self._client.log_text(self._parent_run_id, text, name)

    @override
    def add_to_tag(self, key: str, value: str) -> None:
        # Read back, because nodes may run in several processes.
        known = self._client.get_run(self._parent_run_id).data.tags.get(key, "")
        values = sorted({*filter(None, known.split(", ")), value})
        self._client.set_tag(self._parent_run_id, key, ", ".join(values))

    @override
    def history(self, cell: Cell) -> tuple[CellRecord | None, CellRecord | None]:
        known = RunHistory(self._client, [self._experiment_id])
        return known.previous(cell, self._tags.get("experiment", "")), known.cell(self.cell_run(cell).run_id)

    @override
    def register_model(
        self, name: str, *, fingerprint: str, outcomes: pd.DataFrame, decide: Decide
    ) -> dict[str, Any] | None:
        from genre_pipeline.tracking.model_registry import register_model

        return register_model(
            self._client, self._experiment_id, name, fingerprint=fingerprint, outcomes=outcomes, decide=decide
        )

    @override
    def log_figure(self, figure: Figure, name: str) -> None:
        self._client.log_figure(self._parent_run_id, figure, name)

    @override
    def flush(self) -> None:
        for run in self._open.values():
            run.flush()

    @override
    def close(self, status: str) -> None:
        if self._monitor is not None:
            self._monitor.finish()
        for run in self._open.values():
            run.finish(status)
        self._open.clear()
        # Those that other processes opened.
        for cell in _open_below(self._client, self._experiment_id, self._parent_run_id):
            for run_id in (*_open_below(self._client, self._experiment_id, cell), cell):
                self._client.set_terminated(run_id, status=status)


def _open_below(client: MlflowClient, experiment_id: str, parent_run_id: str) -> dict[str, Run]:
    """Return the runs right below a run that are not finished, by id."""
    query = f"attributes.status = 'RUNNING' and tags.`mlflow.parentRunId` = '{parent_run_id}'"
    return {run.info.run_id: run for run in client.search_runs([experiment_id], query, max_results=_PAGE)}


_current: Tracker = Tracker()


def current_tracker() -> Tracker:
    """Return the tracker of the session that runs in this process, or one that does nothing."""
    return _current


def start_tracking(tracker: Tracker) -> None:
    """Make a tracker the current one.

    Args:
        tracker: The session's tracker.
    """
    global _current  # noqa: PLW0603 - Kedro's nodes are plain functions: this is how they reach their session
    _current = tracker


def tracking_elsewhere() -> Callable[[], None]:
    """Return a function with which another process tracks as this one does. It can be pickled."""
    import mlflow
    from kedro_mlflow.framework.hooks.mlflow_hook import mlflow_hook

    return partial(_track_as, current_tracker(), mlflow.get_tracking_uri(), vars(mlflow_hook))


def _track_as(tracker: Tracker, uri: str, plugin: Mapping[str, Any]) -> None:
    import mlflow
    from kedro_mlflow.framework.hooks.mlflow_hook import mlflow_hook

    mlflow.set_tracking_uri(uri)
    # The session's run, which kedro-mlflow opens, and how it logs parameters.
    vars(mlflow_hook).update(plugin)
    start_tracking(tracker)


def stop_tracking(status: str) -> None:
    """End the current tracker's open runs and go back to tracking nothing.

    Args:
        status: Status of the runs that are still open: ``FINISHED``, ``FAILED`` or ``KILLED``.
    """
    tracker = current_tracker()
    start_tracking(Tracker())
    tracker.close(status)


def close_interrupted_runs() -> None:
    """Mark every open run, the session's own included, as killed; where that fails, say so."""
    import mlflow

    close_failed_runs("KILLED")
    with _said():
        while mlflow.active_run() is not None:
            mlflow.end_run("KILLED")


def close_failed_runs(status: str = "FAILED") -> None:
    """Mark the open runs below the session's as failed; where that fails, say so: the disk may be full.

    Args:
        status: ``FAILED`` or ``KILLED``.
    """
    with _said():
        stop_tracking(status)


@contextmanager
def _said() -> Iterator[None]:
    """Log an error instead of raising it: another one is on its way already."""
    try:
        yield
    except Exception as error:
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


def _tags(values: Mapping[str, object]) -> list[RunTag]:
    from mlflow.entities import RunTag

    return [RunTag(key, str(value)) for key, value in values.items()]


def _metrics(values: Mapping[str, float], step: int = 0) -> list[Metric]:
    import math

    from mlflow.entities import Metric

    now_ms = int(time.time() * 1000)
    return [Metric(key, float(value), now_ms, step) for key, value in values.items() if math.isfinite(value)]
