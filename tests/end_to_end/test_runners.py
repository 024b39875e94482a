"""Kedro's runners of threads and processes skip, record and track as its default one does."""

import logging
from functools import partial

import mlflow
import pytest
from kedro.runner import ParallelRunner, ThreadRunner

from genre_pipeline.errors import GenrePipelineError
from kedro_sessions import OWN_MUSIC, children, forget_sessions, new_session, run, sessions_of, write_own_music

START_METHOD = "KEDRO_MP_CONTEXT"


@pytest.fixture(params=["threads", "processes", "fork", "spawn"])
def runner(request, monkeypatch):
    """A function that makes a runner: of threads, or of processes started in the project's way or another."""
    monkeypatch.delenv(START_METHOD, raising=False)
    if request.param in {"fork", "spawn"}:
        monkeypatch.setenv(START_METHOD, request.param)
    if request.param == "threads":
        return partial(ThreadRunner, max_workers=2)
    # A process takes seconds to start; that several work side by side is looked at below.
    return partial(ParallelRunner, max_workers=1)


@pytest.fixture
def client(data):
    return mlflow.MlflowClient(f"sqlite:///{data}/mlflow/mlflow.db")


def run_with(runner, *pipelines, fresh=False):
    with new_session(**OWN_MUSIC) as session:
        results = session.run(pipeline_names=list(pipelines), runner=runner(), fresh=fresh)
    forget_sessions()
    return results


def test_only_what_is_stale_runs(data, client, runner, caplog):
    write_own_music(data)
    assert run_with(runner, "ingest", "split")
    assert run_with(runner, "ingest", "split") == {}
    (first,) = sessions_of(client)
    assert first.data.params["protocols.artist_kfold.kind"] == "artist_kfold"

    card = data / "08_reporting/own/data_cards/my_music.html"
    card.unlink()
    with caplog.at_level(logging.DEBUG, logger="genre_pipeline"):
        caplog.clear()
        run_with(runner, "ingest", "split")
    assert card.is_file()
    assert "my_music.write_card: my_music.html is not there" in caplog.messages
    assert {"my_music.ingest: up to date", "my_music.artist_kfold.split: up to date"} <= set(caplog.messages)
    assert [each.info.status for each in sessions_of(client)] == ["FINISHED", "FINISHED"]


def tree(client, run):
    """Return what a run and those below it hold, without their ids and times."""
    metrics = {key for key in run.data.metrics if not key.startswith("system/")}
    below = [tree(client, each) for each in children(client, run)]
    return (run.info.status, run.data.params, metrics, run.data.tags.keys(), below)


def test_processes_track_to_the_same_runs(data, client):
    write_own_music(data)
    run("train_naive_bayes", **OWN_MUSIC)
    forget_sessions()
    run_with(partial(ParallelRunner, max_workers=2), "train_naive_bayes", fresh=True)
    one_process, several = (tree(client, each) for each in sessions_of(client))
    assert several[:3] == one_process[:3]
    # One run of the cell with two repeats, whichever processes ran its nodes; that an earlier run has the model.
    assert len(several[-1]) == 1
    assert len(several[-1][0][-1]) == 2
    assert several[-1][0][:3] == one_process[-1][0][:3]
    assert [each[0] for each in several[-1][0][-1]] == ["FINISHED", "FINISHED"]
    assert [each[2] for each in several[-1][0][-1]] == [each[2] for each in one_process[-1][0][-1]]


def test_an_error_in_a_process_is_the_projects_own(data, client):
    with pytest.raises(GenrePipelineError, match="my_music does not exist"):
        run_with(partial(ParallelRunner, max_workers=1), "ingest")
    forget_sessions()
    assert [each.info.status for each in sessions_of(client)] == ["FAILED"]
