"""``genre-pipeline export``: the file answers as the model does, says what it is, or is not written."""

import json
import tarfile

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from genre_pipeline import load_model
from genre_pipeline.audio.io import read_waveform
from genre_pipeline.cli import cli
from genre_pipeline.errors import AudioError, ConfigError
from genre_pipeline.exports import files
from genre_pipeline.exports.running import CARD, ExportedModel

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
    _write_silence(short, exported.card["min_samples"] - 1)
    with pytest.raises(AudioError, match=r"short\.wav is shorter than one segment"):
        exported.probabilities(short)


def _write_silence(path, n_samples):
    import soundfile

    soundfile.write(path, np.zeros(n_samples, dtype=np.float32), 22050)


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


def test_a_file_that_is_no_export_is_named(tmp_path):
    path = tmp_path / "other.onnx"
    path.write_bytes(b"no ONNX")
    with pytest.raises(ConfigError, match=r"other\.onnx cannot be read as an ONNX file"):
        ExportedModel.open(path)
