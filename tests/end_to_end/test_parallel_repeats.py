"""Repeats and cells that are trained side by side in a session: epochs, log lines and runs are those of any other."""

import logging

import mlflow
import pytest

from dask_programs import dask_programs
from genre_pipeline.runner import ClusterRunner
from genre_pipeline.training import Checkpoint
from kedro_sessions import OWN_MUSIC, children, new_session, run, sessions_of, write_own_music

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
    check_epochs(client, cell, data)
    for number in range(2):
        assert f"net1, repeat {number} (" in caplog.text
        assert f" ({number + 1} of 2): " in caplog.text


def test_a_cluster_trains_the_repeats_of_several_cells(data, monkeypatch):
    pytest.importorskip("distributed", reason="needs the optional extra 'dask'")
    write_own_music(data)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with dask_programs() as programs:
        compute = {"training_backend": "dask", "address": programs.start_cluster(2)}
        experiment = {**NET["experiment"], "models": ["naive_bayes", "net1"]}
        with new_session(**{**NET, "experiment": experiment, "compute": compute}) as session:
            session.run(pipeline_names=["train_naive_bayes", "train_net1", "evaluate"], runner=ClusterRunner())
    client = mlflow.MlflowClient(f"sqlite:///{data}/mlflow/mlflow.db")
    (together,) = sessions_of(client)
    cells = children(client, together)
    assert [each.data.tags["model"] for each in cells] == ["naive_bayes", "net1"]
    for cell in cells:
        assert [each.info.status for each in (cell, *children(client, cell))] == ["FINISHED"] * 3
        assert 0.0 <= cell.data.metrics["test_track_accuracy"] <= 1.0
    check_epochs(client, cells[1], data)


def check_epochs(client, cell, data):
    """Check that the repeats' runs have the curves of their checkpoints."""
    repeats = children(client, cell)
    assert [each.data.tags["repeat"] for each in repeats] == ["0", "1"]
    for number, each in enumerate(repeats):
        history = Checkpoint.open(data / f"06_models/own/{PLACE}/repeat_{number:02d}").history
        logged = client.get_metric_history(each.info.run_id, "train_loss")
        assert [point.step for point in logged] == [1, 2, 3]
        assert [point.value for point in logged] == pytest.approx(history["train_loss"].tolist())
