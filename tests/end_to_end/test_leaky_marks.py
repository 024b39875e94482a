"""A leaky protocol: every file, row, figure and run that it touches says so."""

import json

import mlflow
import numpy as np
import pandas as pd
import pytest
import soundfile

from genre_pipeline.cells import Cell
from genre_pipeline.reporting.leaderboard import format_leaderboard
from genre_pipeline.training import Checkpoint
from kedro_sessions import (
    OWN_MUSIC,
    children,
    copy_database,
    do_without_drawing,
    forget_sessions,
    run,
    sessions_of,
    settle,
)

CELL = Cell("my_music", "random_segment", "mfcc_20", "naive_bayes")
PLACE = CELL.name.replace(".", "/")
LEAKY = {
    "experiment": {**OWN_MUSIC["experiment"], "protocols": ["random_segment"]},
    "protocols": {"random_segment": {"repeats": 2}},
}


@pytest.fixture(scope="module")
def leaky(tmp_path_factory, database):
    """A finished run; two genres of four clips of three segments each, most of which stand on two sides."""
    folder = tmp_path_factory.mktemp("leaky")
    data = folder / "data"
    copy_database(database, data)
    for number, genre in enumerate(("jazz", "rock")):
        for track in range(4):
            path = data / "01_raw" / "my_music" / genre / f"{track}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(10 * number + track).standard_normal(int(9.5 * 22050))
            soundfile.write(path, 0.1 * noise, 22050)
    with pytest.MonkeyPatch.context() as patch:
        settle(patch, data, folder)
        do_without_drawing(patch)
        run("train_all", **LEAKY)
        forget_sessions()
        yield data
        forget_sessions()


def newest(data, entry):
    path = data / entry
    return max(path.glob(f"*/{path.name}")) if path.is_dir() else path


def test_everything_that_a_leaky_split_touches_is_marked(leaky):
    split = pd.read_parquet(newest(leaky, "03_primary/my_music/random_segment/split.parquet"))
    audit = json.loads(newest(leaky, "03_primary/my_music/random_segment/audit.json").read_text())
    assert split["leaky"].all()
    assert {"start_s", "end_s"} <= set(split)
    assert split.attrs["leaky"] is audit["leaky"] is True
    assert split.attrs["split_hash"] == audit["split_hash"]
    assert audit["leaks"]["overall"]["track"] > 0

    for repeat in range(2):
        folder = leaky / "06_models/own" / PLACE
        assert Checkpoint.open(folder / f"repeat_{repeat:02d}").card.leaky
        assert pd.read_parquet(folder / f"repeat_{repeat:02d}.predictions.parquet")["leaky"].all()
    predictions = pd.read_parquet(newest(leaky, f"07_model_output/own/{PLACE}/predictions.parquet"))
    assert predictions["leaky"].all()
    result = json.loads(newest(leaky, f"07_model_output/own/{PLACE}/results.json").read_text())
    assert result["leaky"] is True
    assert result["split_hash"] == audit["split_hash"]
    assert {row["unit"] for row in result["summary"]} == {"segment", "track"}

    rows = pd.read_csv(leaky / "08_reporting/own/leaderboard.csv")
    assert rows[["leaky", "split_hash"]].to_numpy().tolist() == [[True, audit["split_hash"]]]
    assert "naive_bayes !" in format_leaderboard(rows)
    for name in ("accuracy_comparison.json", "learning_curves.json", "confusion_matrices.json", "report.html"):
        assert "random_segment" in (text := (leaky / "08_reporting/own" / name).read_text())
        assert "LEAKY" in text
    assert "**LEAKY** naive_bayes" in (leaky / "08_reporting/own/report.md").read_text()


def test_the_runs_of_a_leaky_cell_are_tagged(leaky):
    client = mlflow.MlflowClient(f"sqlite:///{leaky}/mlflow/mlflow.db")
    audit = json.loads(newest(leaky, "03_primary/my_music/random_segment/audit.json").read_text())
    (session,) = sessions_of(client)
    (cell,) = children(client, session)
    repeats = children(client, cell)
    assert len(repeats) == 2
    for each in (cell, *repeats):
        assert each.data.metrics
        assert each.data.tags["leaky"].lower() == "true"
        assert each.data.tags["split_hash"] == audit["split_hash"]
        assert each.data.tags["subset"] == audit["subset"]
    assert cell.data.metrics["tracks/shared_tracks"] == audit["leaks"]["overall"]["track"] > 0


def test_predictions_of_a_model_of_a_leaky_cell_say_so(leaky, caplog):
    clip = leaky / "01_raw/my_music/jazz/0.wav"
    run("predict", **LEAKY, predict={"cell": CELL.name, "audio": [str(clip)]})
    assert pd.read_csv(leaky / "07_model_output/own/predicted_genres.csv")["leaky"].tolist() == [True]
    assert any("LEAKY cell" in record.getMessage() for record in caplog.records)
