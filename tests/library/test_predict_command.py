"""``genre-pipeline predict`` with the folder of a trained cell, which needs no experiment that was run."""

import json
import os
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner

from genre_pipeline import predicting
from genre_pipeline.cli import cli
from genre_pipeline.evaluation.prediction import GenrePredictor
from genre_pipeline.reporting.prediction import model_facts
from genre_pipeline.work import backends
from genre_pipeline.work.processes import Ended
from tiny_music import write_clip


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "songs"
    for number, genre in enumerate(("jazz", "rock")):
        write_clip(folder / f"{number}.wav", genre, seed=number)
    return folder


@pytest.fixture
def predict(cell_folder, tmp_path, monkeypatch):
    """A function that runs the command with the trained cell."""
    monkeypatch.setenv("GENRE_PIPELINE_DATA", str(tmp_path / "data"))

    def run(*words, **options):
        return CliRunner().invoke(cli, ["predict", "--model", str(cell_folder), *map(str, words)], **options)

    return run


def test_json_states_the_model_and_an_answer_for_each_file(predict, folder, cell_folder):
    result = predict("--format", "json", "--timeline", "--top", 2, folder, "missing.wav")
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    model = GenrePredictor.open(*sorted(cell_folder.iterdir()))
    assert content["model"] == model_facts(model, {})
    first, second, failed = content["files"]
    answer = model.answer(folder / "0.wav")
    means = answer.probabilities.mean(axis=0)
    assert (first["genre"], first["probability"], first["duration_s"]) == ("jazz", means.max(), 1.0)
    assert [each["probability"] for each in first["genres"]] == sorted(means, reverse=True)[:2]
    assert first["timeline"] == model.timeline(answer).to_dict("records")
    assert (first["sure"], first["error"], second["genre"]) == (None, None, "rock")
    assert failed["path"] == "missing.wav"
    assert "there is no such file" in failed["error"]
    assert "Not classified: missing.wav: there is no such file" in result.stderr


def test_each_line_of_jsonl_is_whole(predict, folder):
    result = predict("--format", "jsonl", folder)
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["genre"] for line in lines] == ["jazz", "rock"]
    assert {line["model"]["cell"] for line in lines} == {"tiny.folds.log_mel_8.net"}
    assert "timeline" not in lines[0]


def test_a_folder_of_music_is_no_model(predict, folder):
    result = predict("--model", folder, folder)
    assert result.exit_code == 1
    assert f"--model {folder}: expected the folder of a trained cell, which holds repeat_00/" in result.stderr
    assert sorted(folder.iterdir()) == [folder / "0.wav", folder / "1.wav"]


def test_csv_has_a_row_per_file_or_per_segment(predict, folder):
    bad = folder / "bad.wav"
    bad.write_text("no audio")
    files = pd.read_csv(StringIO(predict("--format", "csv", folder).stdout))
    assert files["genre"].tolist()[:2] == ["jazz", "rock"]
    assert files["error"].isna().tolist() == [True, True, False]
    assert {"p_blues", "p_jazz", "p_rock", "sure", "model", "model_accuracy"} <= set(files)
    segments = pd.read_csv(StringIO(predict("--format", "csv", "--timeline", folder).stdout))
    assert segments["path"].tolist() == [str(folder / name) for name in ("0.wav",) * 3 + ("1.wav",) * 3 + ("bad.wav",)]
    assert segments["start_s"].tolist()[:3] == [0.0, 0.256, 0.512]
    assert "bad.wav" in segments["error"][6]


def test_names_that_are_not_text_or_too_long_are_bad_files(predict, folder):
    path = os.fsencode((folder / "0.wav").rename(folder / os.fsdecode(b"\xff.wav")))
    long = os.fsencode(folder / ("x" * 999))
    listed = b"\0".join([path, long, os.fsencode(folder / "1.wav"), b""])
    for form in ("csv", "jsonl"):
        result = predict("--format", form, "-", input=listed)
        assert result.exit_code == 1
        assert "songs/\\udcff.wav: its name is not UTF-8, and libsndfile opens no other. Rename it." in result.stderr
        assert "File name too long" in result.stderr
        assert "rock" in result.stdout.splitlines()[-1]
    assert "songs/\\udcff.wav: its name is not UTF-8" in predict("-", input=listed).stdout


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_a_song_without_an_answer_is_a_bad_file(predict, tmp_path):
    samples = np.float32(1e38) * np.random.default_rng(0).uniform(-1, 1, 8000)
    soundfile.write(tmp_path / "loud.wav", samples, 8000, "FLOAT")
    result = predict("--format", "json", tmp_path / "loud.wav")
    assert result.exit_code == 1
    (answer,) = json.loads(result.stdout)["files"]
    assert "genre" not in answer
    assert "loud.wav: The feature is not finite everywhere" in answer["error"]


def test_a_table_shows_stretches_of_one_genre(predict, folder):
    text = predict("--timeline", folder / "1.wav").stdout
    assert [line.split() for line in text.splitlines() if line.startswith("0:00.0")] == [
        ["0:00.0", "0:00.8", "rock", "100.0"]
    ]


def test_a_second_call_takes_what_has_not_changed_from_the_index(predict, folder, tmp_path, monkeypatch):
    first = predict("--incremental", "--format", "jsonl", folder)
    assert (tmp_path / "data/07_model_output/library.sqlite").is_file()
    write_clip(folder / "2.wav", "blues", seed=3)
    asked = []
    answer = GenrePredictor.answer
    monkeypatch.setattr(
        GenrePredictor, "answer", lambda self, path, **on: asked.append(path) or answer(self, path, **on)
    )
    second = predict("--incremental", "--format", "jsonl", folder)
    assert asked == [folder / "2.wav"]
    assert second.stdout.startswith(first.stdout)
    assert second.stdout.count("\n") == 3


def test_worker_processes_answer_as_this_one_does(predict, folder, monkeypatch):
    expected = predict("--format", "jsonl", folder).stdout
    monkeypatch.setattr(backends, "_CLIPS_FOR_PROCESSES", 2)
    monkeypatch.setattr(GenrePredictor, "_classified", None)  # of this process
    assert predict("--params", "compute.n_workers=2", "--format", "jsonl", folder).stdout == expected


def test_a_watch_goes_on_until_a_signal_ends_it(predict, folder, monkeypatch):
    waited = []

    class Pause:
        def wait(self, seconds):
            waited.append(seconds)
            if len(waited) == 1:
                write_clip(folder / "new.wav", "blues", seed=3)
            if len(waited) == 4:
                raise Ended(15)

    monkeypatch.setattr(predicting, "threading", SimpleNamespace(Event=Pause))
    result = predict("--watch", "--interval", 7, "--format", "csv", folder)
    assert result.exit_code == 143
    assert waited == [7.0] * 4
    table = pd.read_csv(StringIO(result.stdout))
    assert table["path"].tolist() == [str(folder / name) for name in ("0.wav", "1.wav", "new.wav")]
    assert "Watching; a look every 7 s" in result.stderr
    assert "Ended by SIGTERM." in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--watch", "--format", "json", "."], "--watch never ends, and --format json is one document: take jsonl"),
        (["--label-next", "3", "--incremental", "."], "--label-next cannot be combined with --incremental"),
        (["--watch", "--interval", "nan", "."], "expected a finite number, got nan"),
        (["--format", "csv", "--top", "2", "."], "--top: a csv has all genres"),
        (["-"], "The list on the standard input (-) names no file"),
        (["--model", "nothing", __file__], "--model nothing: expected champion, an experiment, the id of"),
        (["nothing*.wav"], "nothing*.wav matches no file"),
        (["missing.wav"], "Error: missing.wav: there is no such file."),
        (["one.wav", "other.wav"], "Error: None of the 2 files is there, such as one.wav."),
        (["--model", "x.onnx", "--max-error", "1", __file__], "x.onnx holds its configuration and its threshold"),
        (["--model", "x.onnx", __file__], "x.onnx is not there. Expected an ONNX file."),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(predict, words, message):
    result = predict(*words)
    assert result.exit_code in {1, 2}
    assert message in result.stderr
    assert "Traceback" not in result.output
