"""One network trained by two processes, with gloo on the processor."""

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import train_until_killed
from genre_pipeline.errors import ConfigError, RepeatFailedError, StorageError, TrainingError
from genre_pipeline.training import devices, parse_model, train_repeat
from genre_pipeline.training.launching import train_in_ranks
from genre_pipeline.training.ranks import ALONE, Ranks
from train_until_killed import train
from training_jobs import die_in_rank, fail_in_rank, fill_disk_in_rank

# Without what draws random numbers, which two processes draw otherwise than one. 27 segments make batches of 13, 13 and
# 1: shares that differ, and one that is empty.
PLAIN = {
    "optimiser": "adamw",
    "augmentation": {},
    "ema_decay": 0.9,
    "batch_size": 13,
    "max_epochs": 4,
    "patience": None,
    "stopping": None,
    "class_weights": "balanced",
    "label_smoothing": 0.1,
    "architecture": {"first_l2": 0.01, "l2": 0.01, "dropout": 0.0, "dense_dropout": 0.0},
}
CURVES = ["train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "gradient_norm"]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """A training of eight epochs by two processes, with all that has a state of its own."""
    return train(tmp_path_factory.mktemp("together") / "repeat_00", n_ranks=2)


def test_two_processes_learn_what_one_does_of_the_whole_batch(tmp_path):
    alone = train(tmp_path / "alone", **PLAIN)
    two = train(tmp_path / "two", n_ranks=2, micro_batch_size=2, **PLAIN)
    assert two.card.micro_batch_size == 2
    for curve in CURVES:
        np.testing.assert_allclose(two.history[curve], alone.history[curve], rtol=1e-4, atol=1e-6, err_msg=curve)
    tensors = [load_file(each.folder / "weights.safetensors") for each in (alone, two)]
    for name, tensor in tensors[0].items():
        torch.testing.assert_close(tensors[1][name], tensor, rtol=1e-3, atol=1e-5)


def test_the_same_seed_gives_the_same_curve_and_weights(together, tmp_path):
    heard = []
    again = train(tmp_path / "repeat_00", n_ranks=2, on_epoch=heard.append)
    assert [record.epoch for record in heard] == list(range(1, 9))
    assert bytes_of(again) == bytes_of(together)
    pd.testing.assert_frame_equal(again.history[CURVES], together.history[CURVES], check_exact=True)
    assert [path.name for path in tmp_path.iterdir()] == ["repeat_00"]


def test_a_killed_training_ends_as_if_nothing_had_happened(together, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="genre_pipeline")
    folder = tmp_path / "repeat_00"
    command = [sys.executable, train_until_killed.__file__, str(folder), "after_epoch", "3", json.dumps({"n_ranks": 2})]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not folder.exists()
    resumed = train(folder, n_ranks=2)
    assert "resuming after epoch" in caplog.text
    assert bytes_of(resumed) == bytes_of(together)
    pd.testing.assert_frame_equal(resumed.history[CURVES], together.history[CURVES], check_exact=True)


def bytes_of(checkpoint):
    return (checkpoint.folder / "weights.safetensors").read_bytes()


def test_a_divergence_is_diagnosed(tmp_path):
    message = r"repeat 0: the loss of epoch 1, batch \d of 4 is (nan|inf)\. First not finite: .* in batch"
    with pytest.raises(RepeatFailedError, match=message):
        train(tmp_path / "repeat_00", n_ranks=2, learning_rate=1e30)


def test_a_divergence_in_the_validation_is_found_by_the_first_for_all(tmp_path):
    with pytest.raises(RepeatFailedError, match="the validation loss after epoch 1 is (nan|inf)"):
        train(tmp_path / "repeat_00", n_ranks=2, learning_rate=1e30, batch_size=27)


@pytest.mark.parametrize(
    ("work", "kind", "message"),
    [
        (
            die_in_rank,
            RepeatFailedError,
            "^net: of the 2 processes that train it together, .*rank 1 was killed by SIGKILL",
        ),
        (fail_in_rank, RepeatFailedError, "rank 1 failed with ZeroDivisionError: not expected.* Rerun the command"),
        (fill_disk_in_rank, StorageError, "^the disk is full$"),
    ],
)
def test_one_that_fails_ends_the_others(work, kind, message):
    with pytest.raises(kind, match=message):
        train_in_ranks(work, label="net", device="cpu", n_ranks=2, slot=0, tell=lambda record: None)
    assert not multiprocessing.active_children()


def test_what_telling_raises_ends_them(tmp_path):
    def refuse(record):
        raise OSError("no server")

    with pytest.raises(OSError, match="no server"):
        train(tmp_path / "repeat_00", n_ranks=2, on_epoch=refuse)


def test_an_interruption_ends_them_and_leaves_the_signals_alone(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "repeat_00", n_ranks=2, on_epoch=lambda record: os.kill(os.getpid(), signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is before
    assert not multiprocessing.active_children()


def test_splits_that_cannot_be_trained_on_are_refused_as_ever(arguments, make_model):
    arguments |= {"genres": ("blues", "jazz", "rock", "zouk"), "model": make_model(n_ranks=2)}
    with pytest.raises(TrainingError, match="no training segment of zouk"):
        train_repeat(**arguments)


@pytest.mark.parametrize(("kind", "message"), [("cuda", "each process needs a CUDA device"), ("mps", "one MPS device")])
def test_devices_that_are_not_there_are_refused(monkeypatch, tmp_path, kind, message):
    monkeypatch.setattr(devices, f"_has_{kind}", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=message):
        train(tmp_path / "repeat_00", n_ranks=2, device=kind)


def test_alone_there_is_nobody_to_agree_with():
    values = torch.ones(2)
    assert ALONE.agree("x") == "x"
    assert ALONE.sum(values) is values
    state = torch.get_rng_state()
    ALONE.reseed(1, 1)
    assert torch.equal(torch.get_rng_state(), state)


def test_others_draw_their_own_numbers_each_epoch():
    drawn = []
    with torch.random.fork_rng():
        for rank, epoch in ((1, 1), (1, 2), (2, 1), (1, 1)):
            Ranks(rank, 3).reseed(5, epoch)
            drawn.append(float(torch.rand(())))
    assert drawn[0] == drawn[3]
    assert len(set(drawn)) == 3


def test_experts_that_only_one_process_uses_learn_all_the_same(arguments, tmp_path):
    """Few segments and many experts: some have no segment, and so no gradient, in one of the processes."""
    architecture = {"n_experts": 5, "n_hidden": None, "width": 2, "freeze_gate_after": 1}
    values = {"family": "lgnet", "feature": "log_mel_6", "architecture": architecture}
    checkpoints = []
    for n_ranks in (1, 2):
        # Batch statistics are each process's own: two epochs of it stay near those of the whole batch.
        training = {"max_epochs": 2, "batch_size": 8, "learning_rate": 1e-4, "precision": "float32", "device": "cpu"}
        model = parse_model("lgnet", {**values, "training": {**training, "n_ranks": n_ranks}})
        checkpoints.append(train_repeat(**{**arguments, "model": model, "folder": tmp_path / str(n_ranks)}))
    alone, two = checkpoints
    assert two.routing["n_segments"].sum() == alone.routing["n_segments"].sum() == 2 * 9
    np.testing.assert_allclose(two.history["train_loss"], alone.history["train_loss"], rtol=0.2)
