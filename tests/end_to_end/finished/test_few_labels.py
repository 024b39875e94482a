"""``few_labels`` on what was trained before, and its figure in the report."""

import pandas as pd
import pytest

from kedro_sessions import run


def newest(data, entry):
    path = data / entry
    return max(path.glob(f"*/{path.name}"))


def test_all_artists_give_the_numbers_of_the_leaderboard_without_training(finished_copy, caplog):
    run("few_labels", "compare", few_labels={"n_artists": [1, 2]})
    table = pd.read_parquet(newest(finished_copy, "08_reporting/test/versions/few_labels.parquet"))
    # Only what is trained without epochs, unless cells are named. No genre has more than one artist to train on.
    assert set(table["model"]) == {"svm", "naive_bayes"}
    assert table["all_artists"].all()
    assert "no genre has more than 1 artists to train on" in caplog.text
    board = pd.read_csv(finished_copy / "08_reporting/test/leaderboard.csv")
    keys = ["dataset", "protocol", "feature", "model"]
    both = table.merge(board, on=keys)
    assert len(both) == len(table)
    assert both["mean"].tolist() == pytest.approx(both["track_accuracy_mean"].tolist())
    assert both["ci_low"].tolist() == pytest.approx(both["track_accuracy_ci_low"].tolist())
    assert both["ci_high"].tolist() == pytest.approx(both["track_accuracy_ci_high"].tolist())
    assert 'id="few-labels-1"' in (finished_copy / "08_reporting/test/report.html").read_text()


def test_artists_are_drawn_from_each_repeat_whether_the_cell_was_trained_or_not(finished_copy):
    chosen = {
        "experiment": {"models": ["naive_bayes"], "protocols": ["artist_kfold"], "exclude": []},
        "datasets": {"demo": {"n_genres": 2, "n_artists_per_genre": 6, "n_clips_per_genre": 6}},
        "few_labels": {"n_artists": [1], "n_draws": 2},
    }
    run("ingest", "split", "segment", "features", "few_labels", **chosen)
    table = pd.read_parquet(newest(finished_copy, "08_reporting/test/versions/few_labels.parquet"))
    # Three folds: two of six artists train.
    assert table[["n_artists", "mean_artists", "n_draws"]].to_numpy().tolist() == [[1, 2, 2], [2, 4, 1]]
