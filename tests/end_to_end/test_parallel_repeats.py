"""Repeats that are trained side by side in a session: their epochs, log lines and runs are those of any other."""

import logging

import mlflow
import pytest

from genre_pipeline.training import Checkpoint
from kedro_sessions import OWN_MUSIC, children, run, sessions_of, write_own_music

PLACE = "my_music/artist_kfold/mfcc_20/net1"
NET = {
    "experiment": {**OWN_MUSIC["experiment"], "models": ["net1"], "features": {"net1": ["mfcc_20"]}},
    "models": {"net1": {"training": {"max_epochs": 3, "precision": "float32", "n_threads": 1}}},
    "compute": {"training_workers": 2},
}


def test_epochs_of_both_reach_mlflow_through_the_parent(data, caplog):
    caplog.set_level(logging.INFO)
    write_own_music(data)
    run("train_net1", **NET)
    client = mlflow.MlflowClient(f"sqlite:///{data}/mlflow/mlflow.db")
    (cell,) = children(client, sessions_of(client)[-1])
    repeats = children(client, cell)
    assert [each.data.tags["repeat"] for each in repeats] == ["0", "1"]
    for number, each in enumerate(repeats):
        history = Checkpoint.open(data / f"06_models/test/{PLACE}/repeat_{number:02d}").history
        logged = client.get_metric_history(each.info.run_id, "train_loss")
        assert [point.step for point in logged] == [1, 2, 3]
        assert [point.value for point in logged] == pytest.approx(history["train_loss"].tolist())
        assert f"net1, repeat {number}: epoch 3/3" in caplog.text
