"""Trainings that fail: every file, row and run that they touch says so, and the others go on."""

import json
import logging

import mlflow
import pandas as pd
import pytest
import torch

from genre_pipeline.errors import TrainingError
from genre_pipeline.reporting.leaderboard import format_leaderboard
from genre_pipeline.training import fitting
from kedro_sessions import OWN_MUSIC, children, forget_sessions, run, sessions_of, write_own_music

NET = "my_music.artist_kfold.mfcc_20.net1"
PLACE = NET.replace(".", "/")
TWO_MODELS = {
    "experiment": {**OWN_MUSIC["experiment"], "models": ["naive_bayes", "net1"], "features": {"net1": ["mfcc_20"]}},
    "models": {"net1": {"training": {"max_epochs": 1, "precision": "float32"}}},
}


@pytest.fixture
def music(data):
    write_own_music(data)
    return data


@pytest.fixture
def fail(monkeypatch):
    """A function that makes the loss of some seeds infinite."""
    step = fitting._Loop.step

    def choose(*seeds):
        def broken(loop, batch, epoch):
            loss, *others = step(loop, batch, epoch)
            return (loss * torch.inf if loop.task.seed in seeds else loss, *others)

        monkeypatch.setattr(fitting._Loop, "step", broken)

    return choose


def newest(data, entry):
    path = data / entry
    return max(path.glob(f"*/{path.name}")) if path.is_dir() else path


def cell_runs(data):
    client = mlflow.MlflowClient(f"sqlite:///{data}/mlflow/mlflow.db")
    session = sessions_of(client)[-1]
    runs = {each.data.tags["model"]: each for each in children(client, session)}
    return session, runs, {each.data.tags["repeat"]: each for each in children(client, runs["net1"])}


def test_one_failed_repeat_is_marked_and_the_others_count(music, fail, caplog):
    fail(1)
    run("train_all", **TWO_MODELS)
    assert "1 of 4 trainings failed: my_music.artist_kfold.mfcc_20.net1, repeat 1." in caplog.text
    assert [each.levelno for each in caplog.records if "The other repeats go on" in each.getMessage()] == [
        logging.ERROR
    ]

    result = json.loads(newest(music, f"07_model_output/own/{PLACE}/results.json").read_text())
    (failure,) = result["failures"]
    assert (failure["repeat"], failure["seed"]) == (1, 1)
    message = "net1, repeat 1: the loss of epoch 1, batch 1 of 1 is inf. First not finite: the loss itself"
    assert message in failure["reason"]
    assert result["n_repeats"] == 1
    assert {row["repeat"] for row in result["repeats"]} == {row["repeat"] for row in result["history"]} == {0}

    rows = pd.read_csv(music / "08_reporting/own/leaderboard.csv").set_index("model")
    assert rows["n_failed"].to_dict() == {"naive_bayes": 0, "net1": 1}
    assert rows["statistic"]["net1"] == "1 of 2 folds"
    assert "net1 FAILED 1 of 2" in format_leaderboard(rows.reset_index())
    for name in ("report.html", "report.md"):
        text = (music / "08_reporting/own" / name).read_text()
        assert "FAILED 1 of 2" in text
        assert "repeat 1 (seed 1): my" in text.replace("\\", "")

    session, cells, repeats = cell_runs(music)
    assert (session.info.status, cells["net1"].info.status) == ("FINISHED", "FINISHED")
    assert cells["net1"].data.tags["failed_repeats"] == "1"
    assert {repeat: each.info.status for repeat, each in repeats.items()} == {"0": "FINISHED", "1": "FAILED"}
    assert repeats["1"].data.tags["failure"] == failure["reason"]

    # Nothing is trained again, and nothing is hidden.
    forget_sessions()
    with caplog.at_level(logging.INFO):
        caplog.clear()
        assert run("train_all", **TWO_MODELS) == {}
    assert "Nothing new: every result is up to date." in caplog.messages
    failed = f"1 of 4 trainings failed: {NET}, repeat 1. '--fresh' trains them again; finished repeats are kept."
    assert failed in caplog.messages


def test_a_failed_cell_is_in_the_leaderboard_without_numbers(music, fail):
    fail(0, 1)
    run("train_all", **TWO_MODELS)
    rows = pd.read_csv(music / "08_reporting/own/leaderboard.csv").set_index("model")
    assert rows.index.tolist() == ["naive_bayes", "net1"]
    assert rows["n_failed"]["net1"] == 2
    assert rows["statistic"]["net1"] == "0 of 2 folds"
    assert pd.isna(rows["track_accuracy_mean"]["net1"])
    assert "net1 FAILED 2 of 2" in format_leaderboard(rows.reset_index())
    _, cells, repeats = cell_runs(music)
    assert cells["net1"].info.status == "FAILED"
    assert cells["naive_bayes"].info.status == "FINISHED"
    assert {each.info.status for each in repeats.values()} == {"FAILED"}


def test_a_session_of_failures_ends_with_an_error_and_a_report(music, fail):
    fail(0, 1)
    alone = {**TWO_MODELS, "experiment": {**TWO_MODELS["experiment"], "models": ["net1"]}}
    with pytest.raises(TrainingError, match=r"2 of 2 trainings failed: my_music\..*\.net1, repeat 0; "):
        run("train_all", **alone)
    assert mlflow.active_run() is None
    assert "FAILED 2 of 2" in (music / "08_reporting/own/report.html").read_text()
    forget_sessions()
    with pytest.raises(TrainingError, match=r"2 of 2 trainings failed: .*'--fresh' trains them again"):
        run("train_all", **alone)
    # Trained again, it finds nothing of the failed one.
    fail()
    run("train_all", fresh=True, **alone)
    assert pd.read_csv(music / "08_reporting/own/leaderboard.csv")["n_failed"].tolist() == [0]


def test_an_epoch_chosen_by_the_test_split_is_leaky_everywhere(music):
    selected = {"net1": {"training": {"max_epochs": 2, "precision": "float32", "selection": "best_test"}}}
    run("train_all", **{**TWO_MODELS, "models": selected})
    rows = pd.read_csv(music / "08_reporting/own/leaderboard.csv").set_index("model")
    assert rows["leaky"].to_dict() == {"naive_bayes": False, "net1": True}
    assert rows["selection"]["net1"] == "best test"
    result = json.loads(newest(music, f"07_model_output/own/{PLACE}/results.json").read_text())
    assert (result["leaky"], result["selection"]) == (True, "best test")
    assert pd.read_parquet(newest(music, f"07_model_output/own/{PLACE}/predictions.parquet"))["leaky"].all()
    _, cells, repeats = cell_runs(music)
    assert {each.data.tags["leaky"] for each in (cells["net1"], *repeats.values())} == {"True"}
    assert cells["naive_bayes"].data.tags["leaky"] == "False"
    for each in repeats.values():
        assert {"test_accuracy", "gradient_norm"} <= set(each.data.metrics)
