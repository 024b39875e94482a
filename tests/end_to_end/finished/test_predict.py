"""``kedro run --pipelines predict`` on audio files, with a cell that was trained before."""

import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from genre_pipeline.cli import cli
from genre_pipeline.errors import CheckpointError, ConfigError
from genre_pipeline.project import PROJECT_ROOT
from kedro_sessions import run


def audio_of(data):
    tracks = pd.read_parquet(max((data / "02_intermediate/demo/tracks.parquet").glob("*/tracks.parquet")))
    return [str(data / "01_raw/demo" / path) for path in tracks.loc[~tracks["quarantined"], "path"].iloc[[0, -1]]]


@pytest.mark.parametrize("cell", ["demo.artist_kfold.log_mel_256.net1", "demo.demo_official.mfcc_20.naive_bayes"])
def test_files_are_classified_and_bad_ones_named(finished_copy, cell):
    audio = audio_of(finished_copy)
    run("predict", predict={"cell": cell, "repeat": 1, "audio": [*audio, "missing.wav"]})
    table = pd.read_csv(finished_copy / "07_model_output/test/predicted_genres.csv")
    assert table["path"].tolist() == [*audio, "missing.wav"]
    assert table["genre"].notna().tolist() == [True, True, False]
    probabilities = table.filter(regex="^p_").iloc[:2]
    assert probabilities.shape == (2, 3)
    assert probabilities.sum(axis=1).tolist() == pytest.approx([1.0, 1.0])
    assert "missing.wav" in table["error"][2]


@pytest.mark.parametrize(
    ("predict", "error", "message"),
    [
        ({"audio": []}, ConfigError, "predict.audio: is empty"),
        ({"audio": ["a.wav"], "cell": "net1"}, ConfigError, "'net1' is not a cell"),
        ({"audio": ["a.wav"], "repeat": 7}, CheckpointError, r"There is no checkpoint at .*repeat_07"),
        (
            {"audio": ["a.wav"], "cell": "demo.artist_kfold.mfcc_20.lstm"},
            CheckpointError,
            r"mfcc_20\.lstm is not trained\. Trained cells of this experiment: .*demo\.artist_kfold\.mfcc_20\.svm",
        ),
        ({"audio": ["a.wav"], "repeat": -1}, ConfigError, r"predict\.repeat: got -1"),
    ],
)
def test_what_cannot_be_predicted_is_named(finished_copy, predict, error, message):
    with pytest.raises(error, match=message):
        run("predict", predict=predict)


def test_the_leaderboard_is_printed(finished_copy):
    bootstrap_project(PROJECT_ROOT)
    result = CliRunner().invoke(cli, ["leaderboard", "--experiment", "test"])
    assert result.exit_code == 0
    for model in ("naive_bayes", "svm", "net1", "net2", "crnn_gru_small"):
        assert model in result.output
    assert "report.html" in result.output
