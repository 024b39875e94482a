"""Own music without a table of artists: everything that promises artists apart says that nobody can check it."""

import json

import mlflow
import pandas as pd
import pytest

from genre_pipeline.reporting.leaderboard import format_leaderboard
from kedro_sessions import OWN_MUSIC, children, run, sessions_of, write_own_music

MARK = "artists unknown: 100 %"


@pytest.fixture
def caution(data, caplog):
    write_own_music(data)
    run("train_all", **OWN_MUSIC)
    return [record.getMessage() for record in caplog.records if "artists unknown" in record.getMessage()]


def test_nothing_looks_as_honest_as_it_would_with_artists(data, caution):
    ingest, split, conclusion = caution
    assert ingest.startswith(
        "my_music: artists unknown: 8 of 8 tracks; artist_kfold cannot keep the tracks of each artist together."
    )
    assert "metadata.csv" in ingest
    assert split.startswith("my_music.artist_kfold: artists unknown: 8 of 8 tracks")
    assert conclusion.startswith(f"my_music, artist_kfold ({MARK}): naive_bayes leads")

    reporting = data / "08_reporting" / "own"
    rows = pd.read_csv(reporting / "leaderboard.csv")
    assert rows[["leaky", "artists_unknown"]].to_numpy().tolist() == [[False, 1.0]]
    assert MARK in format_leaderboard(rows)
    for name in ("report.html", "report.md", "accuracy_comparison.json", "confusion_matrices.json"):
        assert MARK in (reporting / name).read_text()
    card = (reporting / "splits" / "my_music.artist_kfold.md").read_text()
    assert MARK in card
    assert "| artist | yes | 0 | cannot be checked |" in card
    assert MARK in (reporting / "data_cards" / "my_music.md").read_text()
    audit = data / "03_primary" / "my_music" / "artist_kfold" / "audit.json"
    assert json.loads(max(audit.glob("*/*")).read_text())["verdicts"]["artist"] == "cannot be checked"

    client = mlflow.MlflowClient(f"sqlite:///{data}/mlflow/mlflow.db")
    (session,) = sessions_of(client)
    assert session.data.tags["artists_unknown"] == "my_music.artist_kfold: 100 %"
    (cell,) = children(client, session)
    assert cell.data.metrics["tracks/artists_unknown"] == 1.0
    for each in (cell, *children(client, cell)):
        assert (each.data.tags["artists_unknown"], each.data.tags["leaky"]) == ("100 %", "False")
