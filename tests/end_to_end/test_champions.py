"""A dataset grows, its model is trained again, and the registry and the report say which one is the champion."""

import json

import mlflow
import pandas as pd

from kedro_sessions import OWN_MUSIC, forget_sessions, run, write_own_clip, write_own_music

NAME = "own"


def registration(data):
    entry = data / "07_model_output/own/my_music/registration.json"
    return json.loads(max(entry.glob(f"*/{entry.name}")).read_text())


def train_all():
    run("train_all", **OWN_MUSIC)
    forget_sessions()


def test_a_retrained_model_is_compared_with_the_champion_on_their_common_tracks(data):
    root = write_own_music(data)
    train_all()
    first = registration(data)
    assert (first["model"], first["version"], first["alias"]) == (NAME, 1, "champion")

    # Artists unknown: a track in validation changes what the first repeat is trained on.
    for seed in range(1000, 1003):
        write_own_clip(root / "jazz" / f"new {seed}.wav", seed=seed)
    train_all()
    second = registration(data)
    assert (second["version"], second["champion"]) == (2, 1)
    # What tested before tests again, in both repeats; what is new is no part of the comparison.
    split = max((data / "03_primary/my_music/artist_kfold/split.parquet").glob("*/split.parquet"))
    tested = pd.read_parquet(split).query("split == 'test' and not track_id.str.contains('new')")
    assert second["comparison"]["n_tracks"] == tested["track_id"].nunique()

    client = mlflow.MlflowClient(f"sqlite:///{data}/mlflow/mlflow.db")
    assert str(client.get_registered_model(NAME).aliases[second["alias"]]) == "2"
    assert client.get_model_version(NAME, "2").tags["reason"] == second["reason"]
    for report in ("report.html", "report.md"):
        text = (data / "08_reporting/own" / report).read_text()
        assert "Champions" in text
        assert second["reason"].split(" (")[0] in text
