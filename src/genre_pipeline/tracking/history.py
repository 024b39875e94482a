"""Runs that were tracked before, read back: sessions and their cells, and which of them a person means."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.errors import TrackingError
from genre_pipeline.logs import OUTCOMES, unfile_metrics
from genre_pipeline.project import sqlite_path
from genre_pipeline.results.run_changes import JUDGED, CellRecord, SessionRecord
from genre_pipeline.tracking.server import check_server, tracking_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

_LATEST = re.compile(r"(?:latest|previous)(?:~(\d+))?")
# Shorter beginnings of a run's id are names, or typing errors [?].
_RUN_ID = re.compile(r"[0-9a-f]{4,32}")
_COORDINATES = ("dataset", "protocol", "feature", "model")
_DATA_TAGS = ("split_hash", "dataset_fingerprint", "feature_hash", "subset", "leaky", "artists_unknown")
# Folders of metrics about the tracks; that of earlier releases comes second.
_OF_TRACKS = ("tracks/", "data/")
_DATA_COUNTS = ("n_train_tracks", "n_validation_tracks", "n_test_tracks")
# MLflow's largest page is 50,000 runs; sessions hold some hundred cells at most [?].
_PAGE = 1000


class RunHistory:
    """The tracked runs of some MLflow experiments.

    Args:
        client: Client of the MLflow server.
        experiment_ids: The MLflow experiments.
    """

    def __init__(self, client: MlflowClient, experiment_ids: Sequence[str]) -> None:
        self._client = client
        self._experiment_ids = list(experiment_ids)

    @classmethod
    def open(cls, uri: str, experiment: str) -> RunHistory:
        """Open the runs of an MLflow experiment.

        Args:
            uri: The tracking URI.
            experiment: The experiment's name.

        Raises:
            TrackingError: If the server does not answer, or there is no such experiment.
        """
        check_server(uri)
        # A client would make the database that it does not find.
        path = sqlite_path(uri)
        if path is None or path.exists():
            client = tracking_client(uri)
            found = client.get_experiment_by_name(experiment)
            if found is not None:
                return cls(client, [found.experiment_id])
        raise TrackingError(f"{uri}: there is no run yet. Make some: kedro run --pipelines train_all")

    def find(self, reference: str, experiment: str) -> SessionRecord:
        """Find the session that a person means, with its cells.

        Args:
            reference: ``latest`` is the last finished session of the experiment that evaluated a cell, ``previous``
                the one before, ``latest~3`` the third before. Else the id of a session's or a cell's run, four or more
                of its first digits, or a run's name, of which the newest is meant. Of a cell's run, only that cell is
                in the session.
            experiment: The experiment that ran.

        Raises:
            TrackingError: If there is none, or several begin with these digits.
        """
        position = _LATEST.fullmatch(reference)
        if position:
            n_back = int(position[1] or 0) + (1 if reference.startswith("previous") else 0)
            return self._latest(n_back, reference, experiment)
        levels = ("tags.level = 'session'", "tags.level = 'cell'")
        if _RUN_ID.fullmatch(reference):
            found = [run for level in levels for run in self.search(f"{level} and run_id LIKE '{reference}%'")]
            if len(found) > 1:
                ids = ", ".join(sorted(run.info.run_id for run in found))
                raise TrackingError(f"Several runs begin with '{reference}': {ids}. Give more digits.")
            if found:
                return self._session(found[0])
        if "'" not in reference:
            for level in levels:
                for run in self.search(f"{level} and run_name = '{reference}'"):
                    return self._session(run)
        raise TrackingError(
            f"There is no run '{reference}'. Expected latest, previous, latest~N, the first digits of a run's id, or a "
            "run's name, as MLflow shows them (make mlflow)."
        )

    def last_pairs(self, experiment: str, pattern: str = "*") -> list[tuple[SessionRecord | None, SessionRecord]]:
        """Return each cell's last run and its own run before: other sessions may lie between the two.

        Args:
            experiment: The experiment's name. Only its finished sessions count.
            pattern: Cells, like ``demo.*.*.net1``.

        Returns:
            Pairs of sessions, the oldest first, with the cells that have their two last runs in them: the run before
            could be trained, the last one maybe not. ``None`` before cells that were evaluated once.

        Raises:
            TrackingError: If no finished session evaluated such a cell.
        """
        last: dict[Cell, list[Run]] = {}
        sessions: dict[str, Run] = {}
        for run in self.search(f"tags.level = 'cell' and {_of(experiment)}"):
            found = last.setdefault(_cell_of(run), [])
            counts = JUDGED in run.data.metrics if found else "statistic" in run.data.tags
            if len(found) == 2 or not counts:
                continue
            session_id = _parent(run)
            if session_id not in sessions:
                sessions[session_id] = self._client.get_run(session_id)
            if sessions[session_id].info.status == "FINISHED":
                found.append(run)
        pairs: dict[tuple[str, str], list[list[Run]]] = {}
        for cell, found in last.items():
            if found and fnmatchcase(cell.name, pattern):
                before = _parent(found[1]) if len(found) == 2 else ""
                pairs.setdefault((before, _parent(found[0])), []).append(found)
        if not pairs:
            known = ", ".join(sorted(cell.name for cell, found in last.items() if found))
            if known:
                raise TrackingError(f"'{experiment}' evaluated no cell like '{pattern}'. It evaluated: {known}.")
            raise TrackingError(
                f"No finished session of the experiment '{experiment}' evaluated a cell. Run it (kedro run --pipelines "
                f"train_all --experiment {experiment}), or choose another one with --experiment."
            )
        began = {session_id: run.info.start_time for session_id, run in sessions.items()}
        return [
            (
                self._record(sessions[before], [found[1] for found in pairs[before, after]]) if before else None,
                self._record(sessions[after], [found[0] for found in pairs[before, after]]),
            )
            for before, after in sorted(pairs, key=lambda pair: (began[pair[1]], began.get(pair[0], 0)))
        ]

    def last_two(self, cell: Cell, experiment: str, session_id: str) -> tuple[CellRecord | None, CellRecord | None]:
        """Return the run before of a cell, and its last.

        Args:
            cell: The cell.
            experiment: The experiment's name.
            session_id: The run of the present session. The cell's last run is in it, or, if it did not evaluate the
                cell, in the last finished session that did.
        """
        finished = self._evaluated(cell, experiment)
        query = f"{_of_cell(cell)} and tags.`mlflow.parentRunId` = '{session_id}'"
        present = next((self._cell(run) for run in self.search(query) if "statistic" in run.data.tags), None)
        last = present or next(finished, None)
        return next(finished, None), last

    def _evaluated(self, cell: Cell, experiment: str) -> Iterator[CellRecord]:
        """Yield a cell's runs in finished sessions of an experiment that evaluated it, the newest first."""
        for run in self.search(f"{_of_cell(cell)} and {_of(experiment)} and metrics.{JUDGED} >= 0"):
            if self._client.get_run(_parent(run)).info.status == "FINISHED":
                yield self._cell(run)

    def cell(self, run_id: str) -> CellRecord:
        """Return what a cell's run holds.

        Args:
            run_id: The cell's run.
        """
        return self._cell(self._client.get_run(run_id))

    def _latest(self, n_back: int, reference: str, experiment: str) -> SessionRecord:
        n_found = 0
        for run in self.search(f"tags.level = 'session' and {_of(experiment)} and status = 'FINISHED'"):
            if next(self._cells(run.info.run_id), None) is not None:
                if n_found == n_back:
                    return self._session(run)
                n_found += 1
        raise TrackingError(
            f"There is no run '{reference}': of the experiment '{experiment}', {n_found} finished sessions evaluated "
            f"a cell. Run it (kedro run --pipelines train_all --experiment {experiment}), or choose another one with "
            "--experiment."
        )

    def search(self, query: str) -> Iterator[Run]:
        """Yield the runs that match a query of MLflow, the newest first."""
        token: str | None = None
        while True:
            page = self._client.search_runs(
                self._experiment_ids,
                query,
                max_results=_PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _cells(self, session_id: str) -> Iterator[Run]:
        """Yield the runs of a session's cells that were evaluated, with or without success."""
        for run in self.search(f"tags.level = 'cell' and tags.`mlflow.parentRunId` = '{session_id}'"):
            if "statistic" in run.data.tags:
                yield run

    def _session(self, run: Run) -> SessionRecord:
        tags = run.data.tags
        if tags["level"] == "cell":
            cells = [run]
            run = self._client.get_run(_parent(run))
        else:
            cells = list(self._cells(run.info.run_id))
        return self._record(run, cells)

    def _record(self, run: Run, cells: Sequence[Run]) -> SessionRecord:
        tags = run.data.tags
        started = datetime.fromtimestamp(run.info.start_time / 1000, tz=timezone.utc)
        records = [self._cell(each) for each in cells]
        return SessionRecord(
            run_id=run.info.run_id,
            name=str(run.info.run_name),
            experiment=tags.get("experiment", ""),
            commit=tags.get("git_commit", ""),
            started=started.strftime("%Y-%m-%d %H:%M UTC"),
            status=run.info.status,
            cells={record.cell: record for record in records},
        )

    def _cell(self, run: Run) -> CellRecord:
        tags, metrics = run.data.tags, unfile_metrics(run.data.metrics)
        tracks = {key.partition("/")[2]: each for key, each in metrics.items() if key.startswith(_OF_TRACKS)}
        counts = {key: f"{tracks[key]:g}" for key in _DATA_COUNTS if key in tracks}
        return CellRecord(
            cell=_cell_of(run),
            run_id=run.info.run_id,
            parameters=dict(run.data.params),
            data={key: tags[key] for key in _DATA_TAGS if key in tags} | counts,
            commit=tags.get("git_commit", ""),
            metrics={key: value for key, value in metrics.items() if key.startswith("test_")},
            design=tags.get("design", ""),
            test_ratio=tracks.get("test_ratio", math.nan),
            outcomes=self._outcomes(run.info.run_id),
        )

    def _outcomes(self, run_id: str) -> pd.DataFrame | None:
        from mlflow.exceptions import MlflowException

        try:
            if OUTCOMES not in {each.path for each in self._client.list_artifacts(run_id)}:
                return None
            with TemporaryDirectory() as folder, _without_progress_bars():
                return pd.read_parquet(Path(self._client.download_artifacts(run_id, OUTCOMES, folder)))
        except (MlflowException, OSError, ValueError) as error:
            logger.warning("The predictions for the test tracks of run %s cannot be read: %s", run_id, error)
            return None


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Keep MLflow from drawing a bar for every small file."""
    from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR

    name = MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.name
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _cell_of(run: Run) -> Cell:
    return Cell(*(run.data.tags[name] for name in _COORDINATES))


def _of_cell(cell: Cell) -> str:
    coordinates = " and ".join(f"tags.{name} = '{getattr(cell, name)}'" for name in _COORDINATES)
    return f"tags.level = 'cell' and {coordinates}"


def _of(experiment: str) -> str:
    return f"tags.experiment = '{experiment}'"


def _parent(run: Run) -> str:
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    parent: Any = run.data.tags[MLFLOW_PARENT_RUN_ID]
    return str(parent)
