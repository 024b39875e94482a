"""The served model: audio paths in, genre probabilities out."""

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from genre_pipeline.cells import Cell
from genre_pipeline.errors import AudioError
from genre_pipeline.evaluation.prediction import GenrePredictor
from genre_pipeline.logs import ServedModel
from genre_pipeline.tracking.tracker import MlflowTracker
from tiny_music import GENRES


@pytest.fixture
def served(client, parent, database, trained):
    """The model, logged to a cell's run and loaded again."""
    mlflow.set_tracking_uri(database)
    tracker = MlflowTracker(client, parent.info.experiment_id, parent.info.run_id)
    run = tracker.cell_run(Cell("tiny", "folds", "log_mel_8", "net"))
    run.log_model(ServedModel((trained[0].folder,), GENRES, "abc"))
    run.finish()
    (model,) = mlflow.search_logged_models([parent.info.experiment_id], output_format="list")
    assert model.source_run_id == run.run_id
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert mlflow.active_run() is None
    return mlflow.pyfunc.load_model(model.model_uri)


def test_paths_become_probabilities(served, music, trained):
    paths = [music.path("jazz/jazz_3"), music.path("rock/rock_3")]
    table = served.predict(pd.DataFrame({"path": [str(path) for path in paths]}))
    assert tuple(table) == GENRES
    assert np.allclose(table.sum(axis=1), 1.0)
    expected = GenrePredictor.open(trained[0].folder).predict_probabilities(paths)
    assert np.allclose(table, expected)


def test_the_input_is_enforced(served, music):
    with pytest.raises(MlflowException, match="missing inputs.*path"):
        served.predict(pd.DataFrame({"file": [str(music.path("jazz/jazz_3"))]}))
    with pytest.raises(MlflowException, match="path"):
        served.predict(pd.DataFrame({"path": [7]}))


def test_the_signature_names_the_genres(served):
    assert served.metadata.signature.inputs.input_names() == ["path"]
    assert tuple(served.metadata.signature.outputs.input_names()) == GENRES


def test_a_file_that_cannot_be_read_is_named(served, tmp_path):
    with pytest.raises(AudioError, match=r"missing\.wav"):
        served.predict(pd.DataFrame({"path": [str(tmp_path / "missing.wav")]}))


def test_a_model_is_stored_once_and_found_from_later_runs(served, client, parent, trained):
    session = client.create_run(parent.info.experiment_id)
    tracker = MlflowTracker(client, parent.info.experiment_id, session.info.run_id)
    later = tracker.cell_run(Cell("tiny", "folds", "log_mel_8", "net"))
    later.log_model(ServedModel((trained[0].folder,), GENRES, "abc"))
    later.finish()
    (model,) = mlflow.search_logged_models([parent.info.experiment_id], output_format="list")
    tags = client.get_run(later.run_id).data.tags
    assert tags["model_run_id"] == model.source_run_id != later.run_id
    assert "model_fingerprint" not in tags
    assert client.get_run(model.source_run_id).data.tags["model_run_id"] == model.source_run_id


def test_another_model_is_stored_too(served, client, parent, trained):
    tracker = MlflowTracker(client, parent.info.experiment_id, parent.info.run_id)
    tracker.cell_run(Cell("tiny", "folds", "log_mel_8", "net")).log_model(
        ServedModel((trained[0].folder,), GENRES, "def")
    )
    assert len(mlflow.search_logged_models([parent.info.experiment_id], output_format="list")) == 2
