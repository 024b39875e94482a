"""Trained models that MLflow holds: the champion of an experiment, or the model of a cell's run."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from genre_pipeline.errors import TrackingError
from genre_pipeline.logs import unfile_metrics
from genre_pipeline.results.run_changes import JUDGED
from genre_pipeline.tracking.history import RunHistory
from genre_pipeline.tracking.model_registry import CHAMPION, FINGERPRINT
from genre_pipeline.tracking.server import tracking_client


class TrackedModel(NamedTuple):
    """A trained model that MLflow holds.

    Attributes:
        checkpoints: The folders of its checkpoints, in the order of the repeats.
        fingerprint: The joint fingerprint of the checkpoints.
        known: How good it was on the test tracks: ``accuracy``, ``ci_low``, ``ci_high``, ``statistic``, ``leaky``;
            empty where its run did not score it.
    """

    checkpoints: tuple[Path, ...]
    fingerprint: str
    known: Mapping[str, Any]


def open_champion(uri: str, experiment: str, name: str) -> TrackedModel:
    """Return the champion of a registered model.

    Args:
        uri: The tracking URI.
        experiment: The MLflow experiment's name.
        name: The registered model's name.

    Raises:
        TrackingError: If there is none, or the server does not answer.
    """
    history = RunHistory.open(uri, experiment)
    client = tracking_client(uri)
    found = client.search_registered_models(f"name = '{name}'")
    version = found[0].aliases.get(CHAMPION) if found else None
    if version is None:
        raise TrackingError(f"MLflow has no champion '{name}' yet. Make one: kedro run --pipelines train_all.")
    return _open(history, str(client.get_model_version(name, version).run_id), uri)


def open_run(uri: str, experiment: str, run_id: str) -> TrackedModel:
    """Return the model of a cell's run.

    Args:
        uri: The tracking URI.
        experiment: The MLflow experiment's name.
        run_id: The run's id, or its first digits.

    Raises:
        TrackingError: If there is no such run, several begin with these digits, or it holds no model.
    """
    return _open(RunHistory.open(uri, experiment), run_id, uri)


def _open(history: RunHistory, run_id: str, uri: str) -> TrackedModel:
    from mlflow.artifacts import download_artifacts

    runs = list(history.search(f"tags.level = 'cell' and run_id LIKE '{run_id}%'"))
    if len(runs) != 1:
        given = "several runs of cells begin" if runs else "no run of a cell begins"
        raise TrackingError(
            f"Expected the id of a cell's run, but {given} with '{run_id}'. MLflow shows them: make mlflow."
        )
    tags, metrics = runs[0].data.tags, unfile_metrics(runs[0].data.metrics)
    if "model_uri" not in tags:
        raise TrackingError(
            f"The run {runs[0].info.run_id} holds no model. Name the run that trained it: make mlflow shows them."
        )
    client = tracking_client(uri)
    # A run that tested the model of an earlier run holds no fingerprint of its own.
    fingerprint = tags.get(FINGERPRINT) or client.get_run(tags["model_run_id"]).data.tags[FINGERPRINT]
    logged = client.get_logged_model(tags["model_uri"].rpartition("/")[2])
    place = str(logged.artifact_location)
    folder = Path(download_artifacts(artifact_uri=place, dst_path=None if place.startswith("file:") else _folder()))
    known: dict[str, Any] = {}
    if JUDGED in metrics:
        known = {
            "accuracy": metrics[JUDGED],
            "ci_low": metrics.get(f"{JUDGED}_ci_low"),
            "ci_high": metrics.get(f"{JUDGED}_ci_high"),
            "statistic": tags.get("statistic", "mean"),
            "leaky": tags.get("leaky") == "True",
        }
    checkpoints = tuple(sorted(path.parent for path in folder.glob("artifacts/*/card.json")))
    if not checkpoints:
        raise TrackingError(
            f"The model of the run {runs[0].info.run_id} ({place}) holds no checkpoint. Train it again."
        )
    return TrackedModel(checkpoints, fingerprint, known)


def _folder() -> str:
    """Return a folder for what comes from a server, which worker processes read and which goes with this process."""
    folder = tempfile.mkdtemp(prefix="genre_pipeline-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
