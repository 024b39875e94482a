"""``kedro run --pipelines predict`` on audio files, with a cell that was trained before."""

import json
import os
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from genre_pipeline import load_model, predict
from genre_pipeline.cli import cli
from genre_pipeline.errors import CheckpointError, ConfigError
from genre_pipeline.project import PROJECT_ROOT
from kedro_sessions import run, settle, write_own_clip


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


def test_the_leading_cell_predicts_with_the_mean_of_its_repeats(finished_copy):
    audio = audio_of(finished_copy)
    leader = json.loads(max((finished_copy / "07_model_output/test/demo/leader.json").glob("*/*.json")).read_text())
    assert leader["cell"].split(".")[1] != "random_track"
    run("predict", predict={"audio": audio})
    table = pd.read_csv(finished_copy / "07_model_output/test/predicted_genres.csv").filter(regex="^p_")
    single = [load_model("test", cell=leader["cell"], repeat=repeat).classify(audio) for repeat in range(2)]
    expected = (single[0].filter(regex="^p_") + single[1].filter(regex="^p_")) / 2
    pd.testing.assert_frame_equal(table, expected)
    pd.testing.assert_frame_equal(predict(audio, experiment="test").filter(regex="^p_"), expected)


def test_a_test_track_is_predicted_as_its_stored_features_were(finished_copy):
    tracks = pd.read_parquet(max((finished_copy / "02_intermediate/demo/tracks.parquet").glob("*/tracks.parquet")))
    path_of = dict(zip(tracks["track_id"], tracks["path"], strict=True))
    results = finished_copy / "07_model_output/test"
    files = sorted(results.glob("demo/*/*/*/predictions.parquet"))
    assert len(files) == 7
    for file in files:
        stored = pd.read_parquet(max(file.glob("*/*.parquet")))
        row = stored[(stored["split"] == "test") & (stored["repeat"] == 1)].iloc[0]
        of_track = stored[(stored["track_id"] == row["track_id"]) & (stored["repeat"] == 1)]
        model = load_model("test", cell=".".join(file.parent.relative_to(results).parts), repeat=1)
        found = model.segment_probabilities(finished_copy / "01_raw/demo" / path_of[row["track_id"]])
        np.testing.assert_allclose(found, of_track[[f"p_{genre}" for genre in model.genres]], atol=1e-4)


def test_the_champion_is_the_leading_model_and_each_run_of_a_cell_has_its_own(finished, monkeypatch):
    settle(monkeypatch, finished.data, finished.data.parent)
    audio = audio_of(finished.data)

    def answers(*options):
        result = CliRunner().invoke(cli, ["predict", "--experiment", "test", "--format", "json", *options, *audio])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    leading = answers()
    assert leading["model"]["accuracy"] is not None
    assert answers("--model", "champion") == leading
    assert answers("--model", "test", "--experiment", "demo") == leading
    cell = "demo.artist_kfold.mfcc_20.naive_bayes"
    chosen = " and ".join(
        f"tags.{key} = '{each}'"
        for key, each in zip(("dataset", "protocol", "feature", "model"), cell.split("."), strict=True)
    )
    query = f"tags.level = 'cell' and {chosen}"
    runs = finished.client.search_runs([finished.session.info.experiment_id], query)
    # A later run may have tested the model of an earlier one.
    tracked = [each for each in runs if "model_uri" in each.data.tags]
    assert tracked
    for each in tracked:
        other = answers("--model", each.info.run_id[:12])
        assert other["model"]["cell"] == cell
        assert other["model"]["accuracy"] == each.data.metrics["test_track_accuracy"]
    folder = finished.data.joinpath("06_models/test", *cell.split("."))
    assert answers("--model", str(folder))["files"][0]["genres"] == other["files"][0]["genres"]
    result = CliRunner().invoke(cli, ["predict", "--experiment", "test", "--model", 12 * "dead", *audio])
    assert "--model deaddead" in result.output
    result = CliRunner().invoke(cli, ["predict", "--experiment", "test", "--model", 8 * "dead", *audio])
    assert "Expected the id of a cell's run, but no run of a cell begins with 'deaddead" in result.output


def test_the_command_shows_genres_and_names_what_it_cannot_classify(finished_copy):
    audio = audio_of(finished_copy)
    result = CliRunner().invoke(cli, ["predict", "--experiment", "test", *audio, "missing.wav"])
    assert result.exit_code == 1
    for path in audio:
        assert path in result.stdout
    assert "Not classified: missing.wav: there is no such file" in result.stdout
    assert "of the test tracks" in result.stdout
    assert CliRunner().invoke(cli, ["predict", "--experiment", "test", *audio]).exit_code == 0


def test_the_command_is_not_sure_where_too_many_answers_would_be_wrong(finished_copy):
    audio = audio_of(finished_copy)
    cell = ["--params", "predict.cell=demo.artist_kfold.mfcc_20.naive_bayes"]

    def said(*options):
        result = CliRunner().invoke(cli, ["predict", "--experiment", "test", *options, *audio])
        return result.exit_code, " ".join(result.output.replace("\N{NO-BREAK SPACE}", " ").split())

    for chosen in ([], cell):
        code, text = said(*chosen, "--max-error", "0.1%")
        assert code == 0
        assert text.count("not sure") == len(audio)
        assert "It is sure of nothing: no threshold of the probability reaches an error rate of 0.1 %." in text
        code, text = said(*chosen, "--max-error", "100 %")
        assert "not sure" not in text
        assert "It is sure of everything, however low the probability: it was wrong about" in text
    assert "expected a share from 0 to 1, or 0% to 100%, got '20'." in said("--max-error", "20")[1]
    assert "expected a share such as 20% or 0.2, got 'few'." in said("--max-error", "few")[1]


def test_a_loaded_model_has_what_its_threshold_is_worth(finished_copy):
    audio = audio_of(finished_copy)
    model = load_model("test", max_error=1.0)
    assert (model.abstention.threshold, model.abstention.kept) == (0.0, 1.0)
    assert model.abstention.error == model.abstention.error_of_all
    assert model.classify(audio)["sure"].tolist() == [True, True]
    assert predict(audio, experiment="test", max_error=0.001)["sure"].tolist() == [False, False]
    assert load_model("test").abstention.max_error == 0.2


def test_the_command_classifies_all_music_in_a_folder(finished_copy):
    house = finished_copy / "01_raw/demo/house"
    result = CliRunner().invoke(cli, ["predict", "--experiment", "test", str(house)])
    assert result.stdout.count("house_0") >= len(list(house.glob("*.wav"))) > 1
    empty = house / "empty"
    empty.mkdir()
    result = CliRunner().invoke(cli, ["predict", "--experiment", "test", str(empty)])
    assert result.exit_code == 1
    assert "holds no audio files" in result.output
    (house / "song.m4a").write_bytes(b"")
    result = CliRunner().invoke(cli, ["predict", "--experiment", "test", str(house)])
    assert result.exit_code == 0
    assert result.stderr.startswith("Left out: audio in formats that are not read: 1 (.m4a: 1; convert it to FLAC")


def test_what_to_label_next_is_listed_and_can_be_played(finished_copy):
    known, folder = finished_copy / "01_raw/demo/house", finished_copy / "new songs & more"
    folder.mkdir()
    for number in range(3):
        write_own_clip(folder / f"new_{number}.wav", seed=number)
    (folder / "broken.wav").write_bytes(b"no audio")
    command = ["predict", "--experiment", "test", "--label-next", "2", str(known), str(folder)]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 1, "a file cannot be classified"
    assert "broken.wav" in result.stdout
    reports = finished_copy / "08_reporting/test"
    table = pd.read_csv(reports / "label_next.csv")
    # What is labelled is not listed.
    assert all(path.startswith(str(folder)) for path in table["path"])
    assert table["rank"].tolist() == [1, 2]
    assert {"uncertainty", "distance", "n_alike", "genre", "p_house"} <= set(table)
    assert all(path in result.stdout for path in table["path"])
    page = (reports / "label_next.html").read_text()
    assert "media-src file:" in page
    for path in table["path"]:
        url = quote(os.path.relpath(path, reports))
        assert f'<audio controls preload="none" src="{url}"' in page
        assert (reports / unquote(url)).is_file()
    assert "label_next.html" in result.stdout


def test_nothing_can_be_chosen_of_files_that_cannot_be_classified(finished_copy):
    broken = finished_copy / "broken.wav"
    broken.write_bytes(b"no music")
    result = CliRunner().invoke(cli, ["predict", "--experiment", "test", "--label-next", "2", str(broken)])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: No file could be classified. The first of 1: {broken}")
    result = CliRunner().invoke(cli, ["predict", "--experiment", "test", "--label-next", "2", "missing.wav"])
    assert result.output == "Error: missing.wav: there is no such file.\n"
    assert not (finished_copy / "08_reporting/test/label_next.html").exists()
    result = CliRunner().invoke(cli, ["predict", "--experiment", "test", "--label-next", "0", "missing.wav"])
    assert "Invalid value for '--label-next': 0 is not in the range x>=1" in result.output


def test_the_card_of_the_model_lies_beside_the_report(finished_copy):
    card = (finished_copy / "08_reporting/test/model_cards/demo.md").read_text()
    for heading in ("What it was trained on", "How good it is", "Limits", "Licence", "Use"):
        assert f"## {heading}" in card
    assert "2 models, one of each repeat of the comparison, whose probabilities are averaged" in card
    assert "CC0-1.0" in card


def test_status_says_who_leads_and_what_is_stale(finished_copy):
    result = CliRunner().invoke(cli, ["status", "--experiment", "test"])
    assert result.exit_code == 0, result.output
    assert "demo, artist_kfold: " in result.output
    assert " leads with " in result.output
    assert "Nothing is stale (" in result.output
    assert "report.html" in result.output


def test_the_report_is_found(finished_copy):
    result = CliRunner().invoke(cli, ["report", "--experiment", "test"])
    assert result.output.strip().endswith("08_reporting/test/report.html")


@pytest.mark.parametrize(
    ("predict", "error", "message"),
    [
        ({"audio": []}, ConfigError, "predict.audio: is empty"),
        ({"audio": ["a.wav"], "cell": "net1"}, ConfigError, "'net1' is not a cell"),
        (
            {"audio": ["a.wav"], "repeat": 7, "cell": "demo.artist_kfold.mfcc_20.svm"},
            CheckpointError,
            r"There is no checkpoint at .*repeat_07",
        ),
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
