"""A search for parameters as people start it: what is written, logged and left out."""

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from genre_pipeline.cells import Cell
from genre_pipeline.errors import ConfigError
from genre_pipeline.pipelines import tune
from kedro_sessions import OWN_MUSIC, children, new_session, run, sessions_of, write_own_music

CELL = "my_music.artist_kfold.mfcc_20.naive_bayes"
SMOOTHING = "architecture.var_smoothing"
SPACE = {"architecture": {"var_smoothing": {"kind": "float", "low": 1e-9, "high": 10.0, "log": True}}}
CURVES = {"train_loss", "train_accuracy", "validation_loss", "validation_accuracy"}


def parameters(**tuning):
    return {**OWN_MUSIC, "tuning": {"cell": CELL, "spaces": {"naive_bayes": SPACE}, **tuning}}


def test_the_node_that_tunes_is_given_nothing_of_the_test_split():
    by_name = {node.name.rpartition(".")[2]: node for node in tune.create_pipeline(Cell.parse(CELL)).nodes}
    entries = {each for each in by_name["tune_naive_bayes"].inputs if not each.startswith("params:")}
    # The others are the folder in which it resumes, and what writes logs.
    assert entries == {f"{CELL}.development", f"{CELL}.training", "session_log"}
    assert by_name["hold_out"].outputs == [f"{CELL}.development"]


def test_a_search_is_written_logged_and_continued(data):
    write_own_music(data)
    run("tune", **parameters(n_trials=2))
    folder = data / "08_reporting/own/tuning" / CELL
    assert sorted(each.name for each in folder.iterdir()) == [
        "best_parameters.yml", "history.json", "importance.json", "trials.csv",
    ]  # fmt: skip
    first = pd.read_csv(folder / "trials.csv")
    assert first["trial"].tolist() == [0, 1]
    # Not one model was trained or tested beside the trials.
    assert not list(data.glob("06_models/**/repeat_*"))
    assert not (data / "07_model_output").exists()

    run("tune", **parameters(n_trials=3))
    second = pd.read_csv(folder / "trials.csv")
    pd.testing.assert_frame_equal(second.head(2), first)
    best = second.loc[second["value"].idxmax()]
    found = yaml.safe_load((folder / "best_parameters.yml").read_text())
    assert found == {"models": {"naive_bayes": {"architecture": {"var_smoothing": pytest.approx(best[SMOOTHING])}}}}

    client = MlflowClient(f"sqlite:///{data}/mlflow/mlflow.db")
    trials = []
    for session in sessions_of(client):
        (study,) = children(client, session)
        assert (
            study.data.tags | {"level": "study", "model": "naive_bayes", "metric": "validation_accuracy"}
            == study.data.tags
        )
        artifacts = {each.path for each in client.list_artifacts(study.info.run_id)}
        assert artifacts == {"best_parameters.yml", "parameter_importance.html", "trials.csv", "tuning_history.html"}
        trials.append(children(client, study))
    assert [[each.data.tags["trial"] for each in of_session] for of_session in trials] == [["0", "1"], ["2"]]
    assert study.data.metrics["best_validation_accuracy"] == pytest.approx(second["value"].max())
    for trial, row in zip([*trials[0], *trials[1]], second.itertuples(), strict=True):
        assert (trial.info.status, trial.data.tags["state"]) == ("FINISHED", "complete")
        assert float(trial.data.params[SMOOTHING]) == pytest.approx(second[SMOOTHING][row.Index])
        assert trial.data.metrics["value"] == pytest.approx(row.value)
        assert set(trial.data.metrics) >= CURVES
        assert not [key for key in trial.data.metrics if key.startswith("test")]
    # What is shown in Kedro-Viz.
    with new_session(**parameters()) as session:
        catalog = session.load_context().catalog
        history, importance = (catalog.load(f"{CELL}.{name}") for name in ("tuning_history", "parameter_importance"))
        assert list(history.data[0].y) == pytest.approx(second["value"].tolist())
        # One parameter explains all there is to explain, if there is anything.
        shares = [list(each.x) for each in importance.data]
        assert shares == ([[1.0]] if second["value"].nunique() > 1 else [])
        assert catalog.get(f"{CELL}.trials").metadata["kedro-viz"]["preview_args"]


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        ({"cell": "demo.artist_kfold.mfcc_20.naive_bayes", "spaces": {}}, "'naive_bayes' has no search space"),
        ({"cell": "demo.artist_kfold.mfcc_20"}, "is not a cell: expected dataset.protocol.feature.model"),
        (
            {"cell": CELL.replace("mfcc_20", "mfcc_21")},
            r"tuning\.cell: 'mfcc_21' is not defined\. Did you mean 'mfcc_20'",
        ),
        ({"cell": CELL.replace("my_music", "my_musik")}, r"tuning\.cell: 'my_musik' is not defined"),
        ({"n_trial": 3}, r"tuning\.n_trial: is not a parameter\. Did you mean 'n_trials'"),
        ({"spaces": {"net3": SPACE}}, r"tuning\.spaces\.net3: there is no such model\. Did you mean 'net"),
    ],
)
def test_a_bad_parameter_stops_before_any_work(data, tuning, message):
    with pytest.raises(ConfigError, match=message):
        run("tune", **parameters(**tuning))
    assert not (data / "02_intermediate").exists()
