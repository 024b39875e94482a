"""``genre-pipeline export``: the file answers as the model does, says what it is, or is not written."""

import json
import os
import pickle
import subprocess
import sys
import tarfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from click.testing import CliRunner
from kedro.io import DataCatalog

from genre_pipeline import load_model
from genre_pipeline.audio.io import read_waveform
from genre_pipeline.cli import cli
from genre_pipeline.configuration import load_configuration
from genre_pipeline.errors import AudioError, ConfigError
from genre_pipeline.exports import files
from genre_pipeline.exports.card import describe
from genre_pipeline.exports.running import CARD, ExportedModel
from genre_pipeline.reporting.prediction import model_facts

NET1 = "demo.artist_kfold.log_mel_256.net1"
SVM = "demo.artist_kfold.mfcc_20.svm"


def export(*arguments, cell):
    command = ["export", "--experiment", "test", "--params", f"predict.cell={cell}", *map(str, arguments)]
    return CliRunner().invoke(cli, command)


def audio_of(data):
    tracks = pd.read_parquet(max((data / "02_intermediate/demo/tracks.parquet").glob("*/tracks.parquet")))
    return [data / "01_raw/demo" / path for path in tracks.loc[~tracks["quarantined"], "path"].iloc[[0, -1]]]


def runtime_archive(folder):
    """What ``npm pack onnxruntime-web`` writes, with nothing in it that runs."""
    for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
        (folder / name).write_bytes(name.encode())
    path = folder / "runtime.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
            archive.add(folder / name, f"package/dist/{name}")
    return path


def test_an_onnx_file_answers_as_the_model_does_and_says_what_it_is(finished_copy, tmp_path):
    path, page = tmp_path / "out" / "svm.onnx", tmp_path / "page"
    result = export(path, "--page", page, "--web-runtime", runtime_archive(tmp_path), cell=SVM)
    assert result.exit_code == 0, result.output
    exported, model = ExportedModel.open(path), load_model("test", cell=SVM)
    for song in audio_of(finished_copy):
        expected = model.segment_probabilities(song)
        np.testing.assert_allclose(exported.segment_probabilities(song), expected, atol=1e-4)
        np.testing.assert_allclose(exported.probabilities(song), expected.mean(axis=0), atol=1e-4)
    assert exported.genres == model.genres
    assert exported.card["cell"] == SVM
    assert exported.card["sample_rate"] == 22050
    assert not exported.card["leaky"]
    assert exported.card["quality"].endswith("mean of 2 folds.")
    assert "CC0-1.0" in path.with_name("svm.onnx.md").read_text(encoding="utf-8")
    kept = (page / "model.js").read_text(encoding="utf-8")
    assert json.loads(kept.removeprefix("globalThis.model = ").removesuffix(";\n"))["card"] == exported.card
    short = tmp_path / "short.wav"
    soundfile.write(short, np.random.default_rng(0).uniform(-0.1, 0.1, exported.card["min_samples"] - 1), 22050)
    with pytest.raises(AudioError, match=r"short\.wav is shorter than one segment"):
        exported.probabilities(short)


def test_the_quality_of_a_leaky_model_is_marked_where_it_stands(finished_copy):
    model = load_model("test", cell=SVM)
    result = DataCatalog.from_config(load_configuration(experiment="test")["catalog"]).load(f"{SVM}.results_if_any")
    assert describe(model, result, "")["quality"].startswith("Right about ")
    assert describe(replace(model, leaky=True), result, "")["quality"].startswith("LEAKY: right about ")


def test_an_onnx_file_serves_as_model_without_torch_kedro_and_mlflow(finished_copy, tmp_path):
    path, audio = tmp_path / "net1.onnx", list(map(str, audio_of(finished_copy)))
    assert export(path, cell=NET1).exit_code == 0
    cell = ["--experiment", "test", "--params", f"predict.cell={NET1}"]

    def answers(*options):
        result = CliRunner().invoke(cli, ["predict", "--format", "json", "--timeline", *options, *audio])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    script = (
        "import sys; from genre_pipeline.cli import cli; cli(sys.argv[1:], standalone_mode=False); "
        "print(sorted({'torch', 'kedro', 'mlflow', 'sklearn', 'librosa', 'pandas'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", script, "predict", "--model", str(path), "--top", "2", *audio]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "[]"
    assert audio[0] in done.stdout
    assert "of the test tracks" in " ".join(done.stdout.split())
    model, found, expected = load_model("test", cell=NET1), answers("--model", str(path)), answers(*cell)
    assert found["model"]["abstention"] == model_facts(model, {})["abstention"]
    assert found["model"]["accuracy"] is not None
    for one, other in zip(found["files"], expected["files"], strict=True):
        for key in ("genre", "sure", "duration_s", "path", "error"):
            assert one[key] == other[key]
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-4)
        assert [each["genre"] for each in one["genres"]] == [each["genre"] for each in other["genres"]]
        assert [each["end_s"] for each in one["timeline"]] == pytest.approx(
            [each["end_s"] for each in other["timeline"]]
        )
        assert [each["probability"] for each in one["timeline"]] == pytest.approx(
            [each["probability"] for each in other["timeline"]], abs=1e-4
        )
    result = CliRunner().invoke(cli, ["predict", "--model", str(path), "--label-next", "2", *audio])
    assert "--label-next needs a model that was trained here" in result.output
    reopened = pickle.loads(pickle.dumps(ExportedModel.open(path)))
    assert (reopened.genres, reopened.abstention) == (model.genres, model.abstention)


def test_a_network_in_eight_bits_is_close_to_the_model(finished_copy, tmp_path):
    path = tmp_path / "net1.onnx"
    assert export(path, "--quantise", cell=NET1).exit_code == 0
    song = audio_of(finished_copy)[0]
    expected = load_model("test", cell=NET1).segment_probabilities(song).mean(axis=0)
    found = ExportedModel.open(path).probabilities(song)
    assert found == pytest.approx(expected, abs=0.2)
    assert found != pytest.approx(expected, abs=1e-6)
    assert "in eight bits" in path.with_name("net1.onnx.md").read_text(encoding="utf-8")


def test_an_archive_of_torch_export_answers_as_the_model_does(finished_copy, tmp_path):
    path = tmp_path / "net1.pt2"
    assert export(path, "--format", "torch", cell=NET1).exit_code == 0
    extra = {CARD: ""}
    with path.open("rb") as file:
        program = torch.export.load(file, extra_files=extra).module()
    assert json.loads(extra[CARD])["cell"] == NET1
    song = audio_of(finished_copy)[0]
    expected = load_model("test", cell=NET1).segment_probabilities(song)
    _, segments = program(torch.from_numpy(read_waveform(song, sample_rate=22050)))
    np.testing.assert_allclose(segments.numpy(), expected, atol=1e-4)


def test_a_file_that_answers_otherwise_is_not_written(finished_copy, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "compare", lambda run, recordings: files.Comparison(0.1, 0.2, 1.0))
    path = tmp_path / "net1.pt2"
    path.write_bytes(b"what was there")
    result = export(path, "--format", "torch", cell=NET1)
    assert result.exit_code == 1
    assert "was not written: its probabilities differ from the model's by up to 2.0e-01" in result.output
    assert path.read_bytes() == b"what was there"
    assert [each.name for each in tmp_path.glob("*.pt2*")] == ["net1.pt2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "torch", "--quantise"], "--quantise and --page need --format onnx."),
        (["--page", "page"], "npm pack onnxruntime-web"),
        (["--check", "missing.wav"], "missing.wav: there is no such file"),
    ],
)
def test_wrong_options_are_said_in_one_line(finished_copy, tmp_path, arguments, message):
    result = export(tmp_path / "x.onnx", *arguments, cell=SVM)
    assert result.exit_code != 0
    assert message in result.output
    assert list(tmp_path.glob("x*")) == []


def test_a_pipe_is_not_replaced(finished_copy, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is a device or a pipe. Name a file." in export(tmp_path / "pipe", cell=SVM).output
    assert (tmp_path / "pipe").is_fifo()


def test_a_file_that_is_no_export_is_named(tmp_path):
    path = tmp_path / "other.onnx"
    path.write_bytes(b"no ONNX")
    with pytest.raises(ConfigError, match=r"other\.onnx cannot be read as an ONNX file"):
        ExportedModel.open(path)
