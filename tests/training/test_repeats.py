"""Training of one repeat, from segments to a checkpoint."""

import errno
import logging
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from genre_pipeline.errors import StorageError, TrainingError
from genre_pipeline.training import SegmentSet, train_repeat
from genre_pipeline.training.fitting import Task, fit
from genre_pipeline.training.repeats import repeat_fingerprint

CURVE = ["train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate"]


def weights_of(checkpoint):
    return (checkpoint.folder / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["net", "crnn", "svm", "naive_bayes"])
@pytest.mark.parametrize("normalisation", ["none", "per_segment", "training"])
def test_learns_and_predicts_probabilities(arguments, make_model, make_feature, name, normalisation):
    arguments |= {"model": make_model(name, max_epochs=25), "feature": make_feature(normalisation)}
    checkpoint = train_repeat(**arguments)
    features, targets = arguments["validation"].features, arguments["validation"].targets
    probabilities = checkpoint.predictor().predict_probabilities(features)
    assert probabilities.dtype == np.float64
    assert probabilities.shape == (9, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-12)
    accuracy = float((probabilities.argmax(axis=1) == targets).mean())
    assert accuracy > 0.5
    row = checkpoint.history.set_index("epoch").loc[checkpoint.card.selected_epoch]
    assert row["validation_accuracy"] == pytest.approx(accuracy)
    loss = -np.log(probabilities[np.arange(9), targets]).mean()
    assert row["validation_loss"] == pytest.approx(loss, rel=1e-4)


def test_the_card_says_what_it_is(arguments):
    card = train_repeat(**arguments).card
    assert (card.cell, card.repeat, card.seed) == ("demo.artist_kfold.log_mel_6.net", 1, 5)
    assert card.genres == arguments["genres"]
    assert card.feature == arguments["feature"].dump()
    assert card.model == arguments["model"].dump()
    assert (card.kind, card.device, card.precision) == ("network", "cpu", "float32")
    assert (card.n_bins, card.n_frames, card.n_train_segments, card.n_validation_segments) == (6, 8, 24, 9)
    assert card.n_parameters == 677
    assert set(card.versions) == {"genre-pipeline", "numpy", "scikit-learn", "torch"}
    assert set(card.checksums) == {"weights.safetensors", "normalisation.safetensors", "history.parquet"}
    assert card.training_s > 0


def test_an_estimators_card_has_no_parameters_and_one_epoch(arguments, make_model):
    checkpoint = train_repeat(**{**arguments, "model": make_model("svm")})
    assert (checkpoint.card.kind, checkpoint.card.n_parameters) == ("estimator", None)
    assert checkpoint.history["epoch"].tolist() == [1]
    assert {path.name for path in checkpoint.folder.iterdir()} == {
        "card.json",
        "estimator.skops",
        "history.parquet",
        "normalisation.safetensors",
    }


def test_the_callback_hears_of_every_epoch(arguments):
    heard = []
    checkpoint = train_repeat(**arguments, on_epoch=heard.append)
    assert [(record.epoch, record.n_epochs) for record in heard] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert heard[-1].seconds_left == 0
    pd.testing.assert_frame_equal(checkpoint.history[CURVE], pd.DataFrame([vars(each) for each in heard])[CURVE])


@pytest.mark.parametrize("name", ["net", "crnn"])
def test_the_same_seed_gives_the_same_curve_and_weights(arguments, make_model, tmp_path, name):
    state = torch.get_rng_state()
    arguments |= {"model": make_model(name, precision="auto")}
    first, second, other = (
        train_repeat(**{**arguments, "folder": tmp_path / folder, "seed": seed})
        for folder, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    pd.testing.assert_frame_equal(first.history[CURVE], second.history[CURVE])
    assert weights_of(first) == weights_of(second) != weights_of(other)
    assert torch.equal(torch.get_rng_state(), state)


def test_segments_are_gathered_only_if_there_is_something_to_train(arguments):
    gathered = []

    def gather(side):
        gathered.append(side)
        return arguments[side]

    lazy = arguments | {side: partial(gather, side) for side in ("train", "validation")}
    assert not train_repeat(**lazy).reused
    assert gathered == ["train", "validation"]
    assert train_repeat(**lazy).reused
    assert gathered == ["train", "validation"]


def test_a_checkpoint_that_is_there_is_reused(arguments, make_model, caplog):
    caplog.set_level(logging.INFO, logger="genre_pipeline.training")
    heard = []
    first = train_repeat(**arguments)
    before = {path.name: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    elsewhere = make_model(device="auto", n_threads=1)
    second = train_repeat(**{**arguments, "model": elsewhere}, on_epoch=heard.append)
    assert (first.reused, second.reused) == (False, True)
    assert heard == []
    assert {path.name: path.stat().st_mtime_ns for path in first.folder.iterdir()} == before
    assert "already trained" in caplog.messages[-1]


@pytest.mark.parametrize("changed", [{"seed": 6}, {"inputs": "other"}, {"genres": ("a", "b", "c")}])
def test_other_arguments_train_again(arguments, changed):
    first = train_repeat(**arguments)
    second = train_repeat(**{**arguments, **changed})
    assert not second.reused
    assert second.fingerprint != first.fingerprint


def test_fingerprints_follow_what_decides_the_result(arguments, make_model, make_feature):
    def mark(model, feature="training"):
        return repeat_fingerprint(
            inputs="x", genres=arguments["genres"], feature=make_feature(feature), model=model, seed=0
        )

    usual = mark(make_model())
    assert usual == mark(make_model(device="auto", n_threads=3))
    assert usual == mark(make_model().model_copy(update={"reference": "elsewhere", "name": "other"}))
    others = [mark(make_model(learning_rate=0.5)), mark(make_model("crnn")), mark(make_model(), "none")]
    assert len({usual, *others}) == 4
    assert mark(make_model("svm")) == mark(make_model("svm", learning_rate=0.5))


def test_fingerprints_of_a_network_are_those_of_earlier_releases(arguments, make_model, make_feature):
    """Else every checkpoint would be trained again."""
    mark = repeat_fingerprint(inputs="x", genres=("a",), feature=make_feature(), model=make_model(), seed=0)
    assert mark == "0e501f93d25ba83d"


def test_an_interruption_leaves_nothing(arguments, tmp_path):
    def interrupt(record):
        if record.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_repeat(**arguments, on_epoch=interrupt)
    assert not any(tmp_path.iterdir())
    assert not train_repeat(**arguments).reused


def test_an_interruption_leaves_the_old_checkpoint(arguments):
    def interrupt(_record):
        raise KeyboardInterrupt

    first = train_repeat(**arguments)
    with pytest.raises(KeyboardInterrupt):
        train_repeat(**{**arguments, "seed": 6}, on_epoch=interrupt)
    assert train_repeat(**arguments).reused
    assert [path.name for path in first.folder.parent.iterdir()] == [first.folder.name]


def test_a_full_disk_is_named_and_leaves_nothing(arguments, monkeypatch):
    def refuse(_path, _content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(StorageError, match=r"repeat_1: the disk is full"):
        train_repeat(**arguments)
    assert not any(arguments["folder"].parent.iterdir())


def test_normalisation_looks_at_the_training_split_only(arguments):
    train = arguments["train"]
    far = SegmentSet(arguments["validation"].features * 50 + 1000, arguments["validation"].targets)
    checkpoint = train_repeat(**{**arguments, "validation": far})
    normalisation = checkpoint.predictor().normalisation
    np.testing.assert_allclose(normalisation.mean.flatten(), train.features.mean(axis=(0, 2)), rtol=1e-4)
    np.testing.assert_allclose(normalisation.deviation.flatten(), train.features.std(axis=(0, 2)), rtol=1e-4)


def test_best_validation_keeps_the_best_and_last_the_last_epoch(arguments, make_model, tmp_path):
    recipe = {"max_epochs": 12, "learning_rate": 0.2}
    best, last = (
        train_repeat(
            **{**arguments, "model": make_model(selection=selection, **recipe), "folder": tmp_path / selection}
        )
        for selection in ("best_validation", "last")
    )
    pd.testing.assert_frame_equal(best.history[CURVE], last.history[CURVE])
    ranks = list(zip(best.history["validation_accuracy"], -best.history["validation_loss"], strict=True))
    assert best.card.selected_epoch == ranks.index(max(ranks)) + 1 < 12
    assert last.card.selected_epoch == 12
    assert weights_of(best) != weights_of(last)


def test_patience_ends_the_training_early(arguments, make_model):
    model = make_model(max_epochs=60, patience=2, learning_rate=0.2)
    checkpoint = train_repeat(**{**arguments, "model": model})
    assert len(checkpoint.history) == checkpoint.card.selected_epoch + 2 < 60


def test_precision_is_recorded_and_rounding_stays_small(arguments, make_model, tmp_path):
    half = train_repeat(**{**arguments, "model": make_model(precision="bfloat16"), "folder": tmp_path / "half"})
    full = train_repeat(**arguments)
    assert (half.card.precision, full.card.precision) == ("bfloat16", "float32")
    np.testing.assert_allclose(half.history["validation_loss"], full.history["validation_loss"], rtol=0.05)
    assert weights_of(half) != weights_of(full)


def test_label_smoothing_is_for_training_only(arguments, make_model, make_feature):
    def first_epoch(**training):
        model = make_model(max_epochs=1, batch_size=24, **training)
        task = Task("x", model, make_feature(), 3, 0, arguments["train"], arguments["validation"])
        return fit(task, lambda _record: None).history[0]

    plain, smooth = first_epoch(learning_rate=1e-12), first_epoch(learning_rate=1e-12, label_smoothing=0.5)
    assert plain.train_loss != pytest.approx(smooth.train_loss)
    assert plain.validation_loss == pytest.approx(smooth.validation_loss, rel=1e-6)


def test_penalties_reach_the_weights_with_decoupled_decay_too(arguments, make_model, make_feature):
    def norm(l2):
        model = make_model(optimiser="adamw", max_epochs=10)
        model = model.model_copy(update={"architecture": model.architecture.model_copy(update={"l2": l2})})
        task = Task("x", model, make_feature(), 3, 0, arguments["train"], arguments["validation"])
        return float(fit(task, lambda _record: None).model.conv2.weight.detach().norm())

    assert norm(10.0) < 0.95 * norm(0.0)


def test_a_loss_that_is_not_finite_stops_the_repeat(arguments, make_model):
    model = make_model("net", learning_rate=1e30, max_epochs=3)
    message = r"demo\.artist_kfold\.log_mel_6\.net, repeat 1: the loss of epoch 1, batch 2 of 3 is (nan|inf).*lower"
    with pytest.raises(TrainingError, match=message):
        train_repeat(**{**arguments, "model": model})
    assert not arguments["folder"].exists()


def test_a_validation_loss_that_is_not_finite_stops_the_repeat(arguments, make_model):
    model = make_model("net", learning_rate=1e30, batch_size=24)
    with pytest.raises(TrainingError, match=r"repeat 1: the validation loss after epoch 1 is (nan|inf)"):
        train_repeat(**{**arguments, "model": model})


def test_read_only_features_train_without_warnings(arguments):
    arguments["train"].features.flags.writeable = False
    assert not train_repeat(**arguments).reused


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": 0}, "the training split is empty"),
        ({"validation": 0}, "the validation split is empty"),
        ({"genres": ("blues", "jazz")}, "the training targets must be indices of the 2 genres, from 0 to 1"),
        ({"genres": ("blues", "jazz", "rock", "zouk")}, "no training segment of zouk"),
        ({"validation": 9, "n_frames": 7}, r"training segments are .*n_frames=8.*validation segments .*n_frames=7"),
    ],
)
def test_splits_that_cannot_be_trained_on_are_refused(arguments, make_segments, changed, message):
    n_frames = changed.pop("n_frames", 8)
    for split in ("train", "validation"):
        if split in changed:
            changed[split] = make_segments(changed[split], n_frames=n_frames)
    with pytest.raises(TrainingError, match=f"repeat 1: {message}"):
        train_repeat(**{**arguments, **changed})


def test_the_test_split_selects_only_where_it_is_asked_to(arguments, make_model, make_segments):
    test = make_segments(12, seed=2)
    with pytest.raises(TrainingError, match=r"only if, models\.net\.training\.selection is 'best_test'; it is 'last'"):
        train_repeat(**{**arguments, "model": make_model(selection="last")}, test=test)
    with pytest.raises(TrainingError, match=r"it is 'best_test'"):
        train_repeat(**{**arguments, "model": make_model(selection="best_test")})
    assert not arguments["folder"].exists()


def test_an_epoch_chosen_by_the_test_split_is_leaky(arguments, make_model, make_segments, tmp_path):
    # Turned targets: what is best for the test split is worst for the validation split.
    test = make_segments(12, seed=2)
    test.targets[:] = (test.targets + 1) % 3
    chosen = train_repeat(**{**arguments, "model": make_model(selection="best_test", max_epochs=8)}, test=lambda: test)
    history = chosen.history.set_index("epoch")
    ranks = history.sort_values(["test_accuracy", "test_loss"], ascending=[False, True], kind="stable")
    assert chosen.card.selected_epoch == ranks.index[0]
    assert chosen.card.leaky
    probabilities = chosen.predictor().predict_probabilities(test.features)
    assert float((probabilities.argmax(axis=1) == test.targets).mean()) == pytest.approx(ranks["test_accuracy"].iloc[0])
    usual = train_repeat(**{**arguments, "model": make_model(max_epochs=8), "folder": tmp_path / "usual"})
    assert usual.history["test_accuracy"].isna().all()
    assert not usual.card.leaky
    # Apart from the choice it is the same training.
    pd.testing.assert_series_equal(usual.history["train_loss"], chosen.history["train_loss"])


def test_an_estimator_has_no_epoch_to_choose(arguments, make_model):
    checkpoint = train_repeat(**{**arguments, "model": make_model("svm", selection="best_test")})
    assert not checkpoint.card.leaky
