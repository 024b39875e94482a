"""The served model: audio files in, genres out."""

import base64
import importlib.metadata
import json
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import invocations

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.prediction import GenrePredictor
from genre_pipeline.logs import ServedModel
from genre_pipeline.tracking.tracker import MlflowTracker
from genre_pipeline.tracking.trained import open_run
from tiny_music import GENRES

KEPT = {"validation_kept": 99, "validation_wrong": 10, "test_kept": 9, "test_wrong": 1}
THRESHOLDS = ({**KEPT, "threshold": 2.0, "validation_wrong": 0}, {**KEPT, "threshold": 0.0})
COLUMNS = ["genre", "probability", "sure", "error", *(f"p_{genre}" for genre in GENRES)]


@pytest.fixture(scope="module")
def served(database, trained, tmp_path_factory):
    """The model, logged to a cell's run and loaded again."""
    mlflow.set_tracking_uri(database)
    client = mlflow.MlflowClient(database)
    experiment_id = client.create_experiment("served", artifact_location=tmp_path_factory.mktemp("artifacts").as_uri())
    session = client.create_run(experiment_id, run_name="session")
    tracker = MlflowTracker(client, experiment_id, session.info.run_id)
    run = tracker.cell_run(Cell("tiny", "folds", "log_mel_8", "net"))
    run.log_model(ServedModel((trained[0].folder,), GENRES, "abc", THRESHOLDS))
    run.finish()
    (model,) = mlflow.search_logged_models([experiment_id], output_format="list")
    assert model.source_run_id == run.run_id
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert mlflow.active_run() is None
    return mlflow.pyfunc.load_model(model.model_uri)


def test_paths_become_genres(served, music, trained):
    paths = [music.path("jazz/jazz_3"), music.path("rock/rock_3")]
    table = served.predict(pd.DataFrame({"path": [str(path) for path in paths]}))
    assert list(table) == COLUMNS
    expected = GenrePredictor.open(trained[0].folder).classify(paths)
    pd.testing.assert_frame_equal(table[COLUMNS[4:]].astype(float), expected[COLUMNS[4:]])
    assert table["genre"].tolist() == expected["genre"].tolist()


def test_audio_in_base64_is_classified_as_the_file(served, music):
    paths = [music.path("jazz/jazz_3"), music.path("rock/rock_3")]
    audio = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    given = served.predict(pd.DataFrame({"audio": audio}))
    pd.testing.assert_frame_equal(given, served.predict(pd.DataFrame({"path": [str(path) for path in paths]})))


def test_a_bad_row_does_not_fail_the_others(served, music, tmp_path):
    path, missing = str(music.path("jazz/jazz_3")), str(tmp_path / "missing.wav")
    rows = [(path, None), (missing, None), (None, "no base64!"), (None, "bm8gYXVkaW8="), (None, None), (path, "eA==")]
    table = served.predict(pd.DataFrame(rows, columns=["path", "audio"]))
    assert table["genre"].map(bool).tolist() == [True, False, False, False, False, False]
    whole, *errors = table["error"]
    assert whole == ""
    wanted = (
        "missing.wav: there is no such file",
        "in base64",
        "audio: is not an audio file",
        "one of the",
        "one of the",
    )
    assert all(part in error for part, error in zip(wanted, errors, strict=True)), errors
    assert table["p_jazz"].isna().tolist() == [False, True, True, True, True, True]


def test_it_says_when_it_is_not_sure(served, music):
    row = pd.DataFrame({"path": [str(music.path("jazz/jazz_3"))]})
    assert served.predict(row)["sure"].tolist() == [True]
    assert served.predict(row, params={"max_error": 0.05})["sure"].tolist() == [False]


@pytest.mark.parametrize(
    "content",
    [
        {"dataframe_split": {"columns": ["path"], "data": [["PATH"], ["missing.wav"]]}},
        {"dataframe_records": [{"audio": "AUDIO"}, {"audio": "x"}], "params": {"max_error": 0.05}},
    ],
)
def test_mlflows_server_answers(served, music, content):
    """What `mlflow models serve` does with a request."""
    path = music.path("jazz/jazz_3")
    audio = base64.b64encode(path.read_bytes()).decode()
    text = json.dumps(content).replace("PATH", str(path)).replace("AUDIO", audio)
    answer = invocations(text, "application/json", served, served.metadata.get_input_schema())
    assert answer.status == 200
    good, bad = json.loads(answer.response)["predictions"]
    assert (good["error"], good["sure"]) == ("", "params" not in content)
    assert bad["error"]
    assert (bad["genre"], bad["p_jazz"], bad["sure"]) == ("", None, None)


def test_the_input_is_enforced(served, music):
    with pytest.raises(MlflowException, match="path"):
        served.predict(pd.DataFrame({"path": [7]}))


def test_the_signature_names_the_columns(served):
    assert served.metadata.signature.inputs.input_names() == ["path", "audio"]
    assert served.metadata.signature.outputs.input_names() == COLUMNS


def test_requirements_are_pinned(served):
    (environment,) = Path(served._model_impl.context.artifacts["checkpoint_00"]).parents[1].glob("requirements.txt")
    lines = environment.read_text().splitlines()
    assert f"soundfile=={importlib.metadata.version('soundfile')}" in lines
    assert all("==" in line and "+" not in line for line in lines)


def test_a_model_is_stored_once_and_found_from_later_runs(client, parent, database, trained):
    mlflow.set_tracking_uri(database)
    first = MlflowTracker(client, parent.info.experiment_id, parent.info.run_id)
    first.cell_run(Cell("tiny", "folds", "log_mel_8", "net")).log_model(
        ServedModel((trained[0].folder,), GENRES, "abc")
    )
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
    experiment = client.get_experiment(parent.info.experiment_id).name
    first_model, later_model = (open_run(database, experiment, each) for each in (model.source_run_id, later.run_id))
    assert first_model == later_model
    assert later_model.fingerprint == "abc"


def test_another_model_is_stored_too(client, parent, database, trained):
    mlflow.set_tracking_uri(database)
    first = MlflowTracker(client, parent.info.experiment_id, parent.info.run_id)
    first.cell_run(Cell("tiny", "folds", "log_mel_8", "net")).log_model(
        ServedModel((trained[0].folder,), GENRES, "abc")
    )
    tracker = MlflowTracker(client, parent.info.experiment_id, parent.info.run_id)
    tracker.cell_run(Cell("tiny", "folds", "log_mel_8", "net")).log_model(
        ServedModel((trained[0].folder,), GENRES, "def")
    )
    assert len(mlflow.search_logged_models([parent.info.experiment_id], output_format="list")) == 2
