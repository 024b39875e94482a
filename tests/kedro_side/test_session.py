"""Sessions: what interrupts and fails is closed, and sessions of one process do not mix."""

import importlib
import logging
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import mlflow
import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.project import pipelines

from genre_pipeline.errors import ConfigError, GenrePipelineError, StoreError, TrackingError, TrainingError
from genre_pipeline.hooks import TrackingHook
from genre_pipeline.pipelines.train import nodes as train_nodes
from genre_pipeline.project import tracking_uri
from genre_pipeline.session import _after_the_last
from genre_pipeline.tracking.tracker import owner_tags
from genre_pipeline.work.processes import Owner
from kedro_sessions import OWN_MUSIC, children, new_session, run, sessions_of, write_own_music


@pytest.fixture
def data(empty_data):
    """A data folder with one's own music."""
    write_own_music(empty_data)
    return empty_data


@pytest.fixture
def second_repeat_raises(monkeypatch):
    """A context in which the training of each cell's second repeat raises an error."""

    @contextmanager
    def raising(error):
        train_repeat = train_nodes.train_repeat

        def train(**arguments):
            if arguments["repeat"] == 1:
                raise error
            return train_repeat(**arguments)

        with monkeypatch.context() as patch:
            patch.setattr(train_nodes, "train_repeat", train)
            yield

    return raising


def test_an_interruption_closes_the_runs_and_the_next_session_goes_on(data, second_repeat_raises, caplog):
    with second_repeat_raises(KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        run("train_naive_bayes", **OWN_MUSIC)
    assert "Interrupted. Finished work is kept. Rerun the command to resume." in caplog.text
    assert mlflow.active_run() is None
    client = mlflow.MlflowClient()
    (session,) = sessions_of(client)
    (cell,) = children(client, session)
    assert session.info.status == cell.info.status == "KILLED"

    with caplog.at_level(logging.INFO):
        run("train_naive_bayes", **OWN_MUSIC)
    assert "repeat 0: already trained" in caplog.text
    assert "repeat 1: already trained" not in caplog.text
    assert [each.info.status for each in sessions_of(client)] == ["KILLED", "FINISHED"]


def test_a_session_tidies_up_after_killed_ones(data, caplog):
    run("ingest", **OWN_MUSIC)
    client = mlflow.MlflowClient()
    (first,) = sessions_of(client)
    this, dead = Owner.this_process(), replace(Owner.this_process(), process_start=1)
    assert {**first.data.tags, **owner_tags(this)} == first.data.tags
    killed = client.create_run(first.info.experiment_id, tags=owner_tags(dead))
    living = client.create_run(first.info.experiment_id, tags=owner_tags(this))
    places = ["01_raw", "02_intermediate/my_music", "04_feature/my_music", "06_models", "08_reporting/own", "refresh"]
    for place in places:
        folder = data / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f".left-{dead.mark}-abcdefgh.json").touch()
        (folder / f".kept-{this.mark}-abcdefgh.json").touch()

    with caplog.at_level(logging.INFO):
        run("ingest", fresh=True, **OWN_MUSIC)
    assert client.get_run(killed.info.run_id).info.status == "KILLED"
    assert client.get_run(living.info.run_id).info.status == "RUNNING"
    assert f"MLflow: 1 runs were left open by killed processes ({dead.pid})" in caplog.text
    assert "Removed temporary files that killed processes left: 6." in caplog.text
    assert sorted(path.name.split("-")[0] for path in data.rglob("*-abcdefgh.json")) == [".kept"] * len(places)


def test_a_failure_closes_the_runs_as_failed(data, second_repeat_raises):
    error = TrainingError("the loss is not finite")
    with second_repeat_raises(error), pytest.raises(TrainingError, match="the loss is not finite"):
        run("train_naive_bayes", **OWN_MUSIC)
    client = mlflow.MlflowClient()
    (session,) = sessions_of(client)
    (cell,) = children(client, session)
    assert session.info.status == cell.info.status == "FAILED"
    assert mlflow.active_run() is None


def test_sessions_of_one_process_do_not_mix(data):
    """Both are made before either runs, with another environment, model and protocol."""
    other = {
        "experiment": {**OWN_MUSIC["experiment"], "name": "other", "models": ["svm"], "protocols": ["track_kfold"]},
        "protocols": {"track_kfold": {"n_folds": 4, "repeats": 1}},
        "models": {"svm": {"architecture": {"n_calibration_folds": 2}}},
    }
    first, second = new_session(**OWN_MUSIC), new_session(**other)
    first.run(pipeline_names=["train_naive_bayes"])
    second.run(pipeline_names=["train_svm"])
    client = mlflow.MlflowClient()
    sessions = sessions_of(client)
    assert [each.data.tags["experiment"] for each in sessions] == ["own", "other"]
    assert [each.info.status for each in sessions] == ["FINISHED", "FINISHED"]
    cells = [children(client, session) for session in sessions]
    assert [[each.data.tags["model"] for each in runs] for runs in cells] == [["naive_bayes"], ["svm"]]
    assert [[each.data.tags["protocol"] for each in runs] for runs in cells] == [["artist_kfold"], ["track_kfold"]]
    assert [len(children(client, runs[0])) for runs in cells] == [2, 1]


def test_a_pipeline_of_another_session_is_not_there(data):
    mine = {"my_bayes": {"family": "naive_bayes", "feature": "mfcc_20"}}
    run("train_my_bayes", **OWN_MUSIC, models=mine)
    with pytest.raises(ConfigError, match="There is no pipeline 'train_my_bayes'. Did you mean"):
        run("train_my_bayes", **OWN_MUSIC)


def test_a_pipeline_that_is_misspelt_is_named_before_anything_is_done(empty_data):
    with pytest.raises(ConfigError, match="There is no pipeline 'train_al'. Did you mean 'train_all'"):
        run("train_al")
    assert not (empty_data / "01_raw").exists()
    assert sessions_of(mlflow.MlflowClient(tracking_uri())) == []


def test_a_model_outside_the_experiment_is_suggested(data):
    with pytest.raises(ConfigError, match="There is no pipeline 'train_bbnnn'. Did you mean 'train_bbnn'"):
        run("train_bbnnn", **OWN_MUSIC)


def test_a_run_builds_what_it_was_asked_for(data):
    run("ingest", **OWN_MUSIC)
    assert {"train_naive_bayes", "train_all"} <= set(pipelines)
    assert "train_bbnn" not in pipelines


@pytest.mark.parametrize("arguments", [("train_bbnn",), (None, ["train_bbnn"])])
def test_pipelines_may_be_named_in_the_order_of_the_arguments(empty_data, arguments):
    with pytest.raises(GenrePipelineError, match="my_music does not exist"), new_session(**OWN_MUSIC) as session:
        session.run(*arguments)
    assert "train_bbnn" in pipelines


def test_a_session_that_does_not_run_has_all_pipelines():
    new_session(**OWN_MUSIC).load_context()
    assert {"train_naive_bayes", "train_bbnn"} <= set(pipelines)


def test_a_stage_whose_inputs_are_missing_says_which(data):
    with pytest.raises(ConfigError, match=r"my_music\.tracks was not made yet.* 'kedro run --pipelines ingest' "):
        run("split", **OWN_MUSIC)


def test_an_error_of_a_catalog_entry_is_the_projects_own(data):
    run("features", "ingest", "segment", **OWN_MUSIC)
    run("split", **OWN_MUSIC)
    (data / "04_feature" / "my_music" / "mfcc_20" / "frames.bin").write_bytes(b"")
    with pytest.raises(StoreError, match=r"mfcc_20.frames\.bin: is missing or cut short"):
        # From the stored features on: the stage that would find the fault itself is left out.
        new_session(**OWN_MUSIC).run(pipeline_names=["train_naive_bayes"], tags=["train"])


def test_a_dead_server_stops_the_session_at_once(empty_data, dead_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_server)
    with pytest.raises(TrackingError, match=f"The MLflow server at {dead_server} does not answer"):
        run("train_all")
    assert not (empty_data / "01_raw").exists()


@pytest.mark.parametrize("given", [None, "sqlite:///{}/own.db"])
def test_a_session_does_not_choose_the_server_of_the_next_one(data, tmp_path, monkeypatch, given):
    uri = given.format(tmp_path) if given else None
    if uri:
        shutil.copy(data / "mlflow" / "mlflow.db", tmp_path / "own.db")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run("ingest", **OWN_MUSIC)
    assert os.environ.get("MLFLOW_TRACKING_URI") == uri


def test_a_configuration_without_mlflow_has_no_server_to_ask(tmp_path):
    loader = OmegaConfigLoader(conf_source=str(tmp_path), base_env=".", default_run_env=".")
    loader.config_patterns["mlflow"] = ["mlflow*"]
    TrackingHook().after_context_created(SimpleNamespace(config_loader=loader))


def test_without_tracking_nothing_is_tracked(data, monkeypatch):
    """kedro-mlflow can be told to leave pipelines alone: then there is no run to log below."""
    hooks = importlib.import_module("kedro_mlflow.framework.hooks.mlflow_hook")
    monkeypatch.setattr(hooks, "_assert_mlflow_enabled", lambda *_: False)
    # The plug-in's only hook remembers the run of the session before.
    monkeypatch.setattr(hooks.mlflow_hook, "run_id", None)
    run("train_naive_bayes", **OWN_MUSIC)
    assert sessions_of(mlflow.MlflowClient()) == []
    assert (data / "06_models").is_dir()


@pytest.mark.parametrize("content", [b"zzz", b"", b"\xff\xfe", b"2026", b"9999-12-31T23.59.59.999Z"])
def test_the_last_session_s_id_that_cannot_be_read_is_written_anew(empty_data, content, caplog):
    path = empty_data / "refresh" / "last_session"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    now = "2026-01-01T00.00.00.000Z"
    assert _after_the_last(now) == now
    assert path.read_text() == now
    assert (f"{path} cannot be read" in caplog.text) == (b"9999" not in content)


def test_a_clock_that_was_set_back_goes_on_after_the_last_session(empty_data, caplog):
    (empty_data / "refresh").mkdir(exist_ok=True)
    (empty_data / "refresh" / "last_session").write_text("2030-01-01T00.00.00.999Z")
    assert _after_the_last("2026-01-01T00.00.00.000Z") == "2030-01-01T00.00.01.000Z"
    assert "The clock was set back" in caplog.text
