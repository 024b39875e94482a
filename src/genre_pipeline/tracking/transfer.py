"""Sessions taken from one MLflow server to another, as a file, where a machine that trains reaches no server."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from genre_pipeline.errors import TrackingError
from genre_pipeline.project import sqlite_uri
from genre_pipeline.storage import atomic_file
from genre_pipeline.tracking.history import RunHistory
from genre_pipeline.tracking.server import tracking_client
from genre_pipeline.tracking.tracker import log_params

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Of a run that was imported: its id where it was recorded.
_ORIGIN = "imported_from"
_DATABASE, _ARTIFACTS = "mlflow.db", "artifacts"
# [D] MLflow takes no more metrics or tags in one request.
_MAX_METRICS, _MAX_TAGS = 1000, 100


def export_session(uri: str, experiment: str, session_id: str, path: Path) -> None:
    """Write a session, its runs, their files and models to a file: a database of MLflow with its files, zipped.

    Args:
        uri: The tracking URI.
        experiment: The MLflow experiment's name.
        session_id: The session's run.
        path: The file.

    Raises:
        TrackingError: If MLflow refuses a request.
    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary, "content")
        folder.mkdir()
        copied = sqlite_uri(folder / _DATABASE)
        location = (folder / _ARTIFACTS).as_uri()
        tracking_client(copied).create_experiment(experiment, artifact_location=location)
        _copy(uri, copied, experiment, session_id)
        with closing(sqlite3.connect(folder / _DATABASE)) as database:
            _move(database, location, "")
        packed = Path(shutil.make_archive(str(Path(temporary, "packed")), "zip", folder))
        with atomic_file(path) as place:
            shutil.copyfile(packed, place)


def import_sessions(uri: str, experiment: str, path: Path, location: str | None) -> list[str]:
    """Copy the sessions of an exported file to a server; those that are there already are left alone.

    Args:
        uri: The tracking URI.
        experiment: The MLflow experiment's name.
        path: The file.
        location: Where a new MLflow experiment keeps its files; ``None`` leaves it to the server.

    Returns:
        The names of the sessions that were copied.

    Raises:
        TrackingError: If it is no such file, or MLflow refuses a request.
    """
    target = tracking_client(uri)
    if target.get_experiment_by_name(experiment) is None:
        target.create_experiment(experiment, artifact_location=location)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            with ZipFile(path) as packed:
                packed.extractall(folder)
            with closing(sqlite3.connect(f"{(folder / _DATABASE).as_uri()}?mode=rw", uri=True)) as database:
                _move(database, "", (folder / _ARTIFACTS).as_uri())
        except (OSError, BadZipFile, sqlite3.Error) as error:
            raise TrackingError(
                f"{path} cannot be imported ({error}): expected a file that 'runs export' has written."
            ) from error
        copied = sqlite_uri(folder / _DATABASE)
        sessions = _runs(tracking_client(copied), experiment, "tags.level = 'session'")
        return [str(run.info.run_name) for run in sessions if _copy(copied, uri, experiment, run.info.run_id)]


def _move(database: sqlite3.Connection, before: str, after: str) -> None:
    """Let the files of all runs and models be in another folder."""
    for table, column in (
        ("experiments", "artifact_location"),
        ("runs", "artifact_uri"),
        ("logged_models", "artifact_location"),
    ):
        statement = f"UPDATE {table} SET {column} = ? || substr({column}, ?)"  # noqa: S608 - names from above
        database.execute(statement, [after, len(before) + 1])
    database.commit()


def _runs(client: MlflowClient, experiment: str, query: str) -> Iterator[Run]:
    found = client.get_experiment_by_name(experiment)
    if found is not None:
        yield from RunHistory(client, [found.experiment_id]).search(query)


def _copy(before: str, after: str, experiment: str, session_id: str) -> bool:
    """Copy a session and the runs below it; return whether it was not there."""
    source, target = tracking_client(before), tracking_client(after)
    session = source.get_run(session_id)
    origin = session.data.tags.get(_ORIGIN, session_id)
    for query in (f"attributes.run_id = '{origin}'", f"tags.{_ORIGIN} = '{origin}'"):
        if next(_runs(target, experiment, query), None) is not None:
            return False
    found = target.get_experiment_by_name(experiment)
    assert found is not None, "it was made before"
    experiment_id = found.experiment_id
    runs = [session]
    for run in runs:
        runs += _runs(source, experiment, f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    ids: dict[str, str] = {}
    for run in runs:
        made = target.create_run(experiment_id, start_time=run.info.start_time, run_name=run.info.run_name)
        ids[run.info.run_id] = made.info.run_id
    for run in runs:
        ids |= _copy_models(source, target, before, experiment_id, run, ids)
    # Runs name each other, and models, in tags. The session comes last: until it is marked, it counts as missing.
    for run in reversed(runs):
        _copy_content(source, target, run, ids)
        tags = {key: _renamed(value, ids) for key, value in run.data.tags.items()}
        origin = run.data.tags.get(_ORIGIN, run.info.run_id)
        _log_tags(target, ids[run.info.run_id], {**tags, _ORIGIN: origin})
        target.set_terminated(ids[run.info.run_id], status=run.info.status, end_time=run.info.end_time)
    return True


def _copy_content(source: MlflowClient, target: MlflowClient, run: Run, ids: Mapping[str, str]) -> None:
    from mlflow.entities import LoggedModelOutput

    run_id = ids[run.info.run_id]
    log_params(target, run_id, run.data.params)
    points = [point for key in run.data.metrics for point in source.get_metric_history(run.info.run_id, key)]
    for start in range(0, len(points), _MAX_METRICS):
        target.log_batch(run_id, metrics=points[start : start + _MAX_METRICS])
    if run.inputs and run.inputs.dataset_inputs:
        target.log_inputs(run_id, run.inputs.dataset_inputs)
    models = [each.model_id for each in run.outputs.model_outputs] if run.outputs else []
    if known := [LoggedModelOutput(ids[each], step=0) for each in models if each in ids]:
        target.log_outputs(run_id, known)
    if source.list_artifacts(run.info.run_id):
        with TemporaryDirectory() as folder:
            source.download_artifacts(run.info.run_id, "", folder)
            target.log_artifacts(run_id, folder)


def _copy_models(
    source: MlflowClient, target: MlflowClient, uri: str, experiment_id: str, run: Run, ids: Mapping[str, str]
) -> dict[str, str]:
    """Copy the models that a run holds, and return their new ids by their old ones."""
    from mlflow.artifacts import download_artifacts

    made: dict[str, str] = {}
    query = f"source_run_id = '{run.info.run_id}'"
    for model in source.search_logged_models([run.info.experiment_id], query):
        with TemporaryDirectory() as folder:
            local = download_artifacts(artifact_uri=model.artifact_location, dst_path=folder, tracking_uri=uri)
            new = target.create_logged_model(
                experiment_id, name=model.name, source_run_id=ids[run.info.run_id], model_type=model.model_type
            )
            target.log_model_artifacts(new.model_id, os.fspath(local))
            target.finalize_logged_model(new.model_id, "READY")
        made[model.model_id] = new.model_id
    return made


def _log_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    made = [RunTag(*each) for each in tags.items()]
    for start in range(0, len(made), _MAX_TAGS):
        client.log_batch(run_id, tags=made[start : start + _MAX_TAGS])


def _renamed(text: str, ids: Mapping[str, str]) -> str:
    for old, new in ids.items():
        text = text.replace(old, new)
    return text
