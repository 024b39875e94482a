"""Trainings that are killed for real, and go on."""

import json
import logging
import signal
import subprocess
import sys

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import train_until_killed
from genre_pipeline.errors import StorageError
from genre_pipeline.training import resumption
from genre_pipeline.training.resumption import Resumption
from train_until_killed import train

CURVES = [
    "epoch",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "gradient_norm",
]


def kill(folder, when, number, **recipe):
    """Train in a process of its own until it is killed."""
    command = [sys.executable, train_until_killed.__file__, str(folder), when, str(number), json.dumps(recipe)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not folder.exists()


def state_of(folder):
    return folder.with_name(f"{folder.name}.state")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return train(tmp_path_factory.mktemp("whole") / "repeat_00")


@pytest.mark.parametrize(
    ("when", "number", "n_kept"),
    [("after_epoch", 3, 3), ("in_epoch", 6, 5), ("while_writing", 5, 4), ("in_epoch", 1, 0)],
)
def test_a_killed_training_ends_as_if_nothing_had_happened(tmp_path, uninterrupted, when, number, n_kept, caplog):
    caplog.set_level(logging.INFO, logger="genre_pipeline.training")
    folder = tmp_path / "repeat_00"
    kill(folder, when, number)
    heard = []
    assert any(tmp_path.glob(".repeat_00-*.state")) == (when == "while_writing")
    resumed = train(folder, on_epoch=heard.append)
    assert (f"resuming after epoch {n_kept}," in caplog.text) == (n_kept > 0)
    assert [record.epoch for record in heard] == uninterrupted.history["epoch"].tolist()
    pd.testing.assert_frame_equal(resumed.history[CURVES], uninterrupted.history[CURVES], check_exact=True)
    assert resumed.card.selected_epoch == uninterrupted.card.selected_epoch
    tensors, expected = (load_file(each.folder / "weights.safetensors") for each in (resumed, uninterrupted))
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    assert resumed.card.training_s == pytest.approx(resumed.history["seconds"].sum())
    assert [path.name for path in tmp_path.iterdir()] == ["repeat_00"]


def test_twice_killed_is_no_worse(tmp_path, uninterrupted):
    folder = tmp_path / "repeat_00"
    kill(folder, "after_epoch", 2)
    kill(folder, "in_epoch", 5)
    resumed = train(folder)
    assert load_file(folder / "weights.safetensors").keys() == resumed.predictor().network.state_dict().keys()
    assert (folder / "weights.safetensors").read_bytes() == (uninterrupted.folder / "weights.safetensors").read_bytes()


def test_a_state_of_other_parameters_is_left_alone(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="genre_pipeline.training")
    folder = tmp_path / "repeat_00"
    kill(folder, "after_epoch", 3)
    other = train(folder, learning_rate=0.02)
    assert "resuming after" not in caplog.text
    assert other.history["learning_rate"].iloc[0] == pytest.approx(0.02)
    assert not state_of(folder).exists()


@pytest.mark.parametrize("keep", [10, 1000])
def test_a_damaged_state_is_ignored(tmp_path, uninterrupted, caplog, keep):
    folder = tmp_path / "repeat_00"
    kill(folder, "after_epoch", 3)
    state_of(folder).write_bytes(state_of(folder).read_bytes()[:keep])
    train(folder)
    assert "repeat_00.state is damaged: the training starts again" in caplog.text
    assert (folder / "weights.safetensors").read_bytes() == (uninterrupted.folder / "weights.safetensors").read_bytes()


def test_nothing_that_runs_code_is_loaded(tmp_path, caplog):
    class Stranger:
        def __reduce__(self):
            return print, ("running",)

    kept = Resumption(tmp_path / "x.state", "f", 0.0)
    kept.keep(lambda: {"stranger": Stranger()})
    assert kept.recall() is None
    assert "x.state cannot be read" in caplog.text


def test_a_short_training_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "save", lambda *_: pytest.fail("was written"))
    train(tmp_path / "repeat_00", resume_interval_s=1e6)


def test_a_state_that_cannot_be_written_says_so(tmp_path, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("genre_pipeline.storage.tempfile.mkstemp", full)
    with pytest.raises(StorageError, match=r"repeat_00\.state: the disk is full"):
        train(tmp_path / "repeat_00")


def test_writing_takes_a_fiftieth_of_the_time_at_most(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(resumption.time, "monotonic", lambda: clock[0])
    kept = Resumption(tmp_path / "x.state", "f", 10.0)
    written = []

    def state():
        written.append(clock[0])
        clock[0] += 1.0
        return {}

    for second in (5.0, 10.0, 60.0, 61.0):
        clock[0] = second
        kept.keep(state)
    assert written == [10.0, 61.0]
