"""MLflow's pages: links to them, and the table of runs as it is saved in the MLflow experiment."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from genre_pipeline.project import sqlite_path
from genre_pipeline.results.run_changes import JUDGED

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Where "make mlflow" listens.
_LOCAL = "http://127.0.0.1:5000"
# Without it, MLflow shows its pages for language models.
_WORKFLOW = "workflowType=machine_learning"
_VIEW = "cells"
# [?] The newest runs: enough for 25 sessions of 40 cells.
_PAGE = 1000
# MLflow's button "Share" saves a view of an experiment under such a tag.
_VIEW_TAG = f"mlflow.sharedViewState.{_VIEW}"
# [?] Widths in pixels at which nothing is cut in a window of 1400.
_COLUMNS = {
    "attributes.`Run Name`": 330,
    "tags.`track_accuracy`": 160,
    "tags.`marks`": 190,
    "tags.`model`": 120,
    "tags.`dataset`": 110,
    "tags.`protocol`": 120,
    "tags.`experiment`": 100,
    "runDateAndNestInfo": 150,
    "duration": 90,
}


def save_view(client: MlflowClient, experiment_id: str) -> None:
    """Save the view of the cells in their order of accuracy, which :func:`runs_page` opens, in the MLflow experiment.

    Args:
        client: Client of the MLflow server.
        experiment_id: The MLflow experiment.
    """
    view = {
        "searchFilter": 'tags.level = "cell"',
        # In an order by time MLflow folds the cells below their session.
        "orderByKey": f"metrics.`{JUDGED}`",
        "orderByAsc": False,
        "selectedColumns": [column for column in _COLUMNS if column.startswith("tags.")],
        "columnOrder": list(_COLUMNS),
        "columnWidths": _COLUMNS,
    }
    text = json.dumps(view)
    if client.get_experiment(experiment_id).tags.get(_VIEW_TAG) != text:
        client.set_experiment_tag(experiment_id, _VIEW_TAG, text)


def runs_page(uri: str, experiment: str) -> str:
    """Return the address of the page with the runs of an MLflow experiment.

    Args:
        uri: The tracking URI. A user and password in it are left out of the address.
        experiment: The experiment's name.

    Returns:
        The page that ``make mlflow`` serves; of all experiments if there is no such one yet, and on a server, which
        is not asked for its number.
    """
    server = _server(uri) or _LOCAL
    found = _experiment_id(uri, experiment)
    if found is None:
        return f"{server}/#/experiments?{_WORKFLOW}"
    return f"{server}/#/experiments/{found}/runs?{_WORKFLOW}&viewStateShareKey={_VIEW}"


def _server(uri: str) -> str:
    """Return the address of a server, without user and password; empty for a database."""
    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"}:
        return ""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def _experiment_id(uri: str, experiment: str) -> str | None:
    path = sqlite_path(uri)
    if path is None or not path.exists():
        return None
    # Importing MLflow would take seconds.
    query = "SELECT experiment_id FROM experiments WHERE name = ?"
    try:
        with closing(sqlite3.connect(path)) as connection:
            row = connection.execute(query, [experiment]).fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])


def cell_pages(client: MlflowClient, uri: str, experiment_id: str, experiment: str) -> dict[str, str]:
    """Return the addresses of the newest run of each cell of an experiment; none where no server serves them.

    Args:
        client: Client of the MLflow server.
        uri: The tracking URI. A user and password in it are left out of the addresses.
        experiment_id: The MLflow experiment.
        experiment: The experiment's name.
    """
    server = _server(uri)
    if not server:
        return {}
    query = f"tags.level = 'cell' and tags.experiment = '{experiment}'"
    found: dict[str, str] = {}
    for run in client.search_runs([experiment_id], query, order_by=["attributes.start_time DESC"], max_results=_PAGE):
        cell = ".".join(run.data.tags[key] for key in ("dataset", "protocol", "feature", "model"))
        found.setdefault(cell, f"{server}/{run_page(experiment_id, run.info.run_id)}")
    return found


def run_page(experiment_id: str, run_id: str, *, artifact: str = "") -> str:
    """Return the address of a run's page, relative to the server, or of one of its files.

    Args:
        experiment_id: The MLflow experiment.
        run_id: The run.
        artifact: The file.
    """
    place = f"/artifacts/{artifact}" if artifact else ""
    return f"#/experiments/{experiment_id}/runs/{run_id}{place}?{_WORKFLOW}"
