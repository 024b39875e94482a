"""Checkpoints that are damaged, foreign or from another version."""

import json
import logging

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.preprocessing import FunctionTransformer

from genre_pipeline.errors import CheckpointError
from genre_pipeline.training import Checkpoint, train_repeat
from genre_pipeline.training.checkpoints import _checksum, kept_folder, replaced_folders

NETWORK_FILES = ("card.json", "weights.safetensors", "normalisation.safetensors", "history.parquet")


class Stranger(BaseEstimator):
    """A type that is not scikit-learn's."""


@pytest.fixture
def network(arguments):
    return train_repeat(**arguments)


@pytest.fixture
def estimator(arguments, make_model):
    return train_repeat(**{**arguments, "model": make_model("svm")})


def rewrite(checkpoint, **changes):
    """Change fields of the card."""
    path = checkpoint.folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def replace(checkpoint, name, content):
    """Change a file together with its checksum."""
    (checkpoint.folder / name).write_bytes(content)
    rewrite(checkpoint, checksums={**checkpoint.card.checksums, name: _checksum(content)})


def test_opening_gives_the_same_checkpoint(network):
    again = Checkpoint.open(network.folder)
    assert again == network
    assert again.fingerprint == network.card.fingerprint
    assert len(again.history) == 4


@pytest.mark.parametrize("kind", ["network", "estimator"])
def test_predictions_survive_the_disk(request, kind, arguments):
    checkpoint = request.getfixturevalue(kind)
    features = arguments["validation"].features
    first = checkpoint.predictor().predict_probabilities(features)
    again = Checkpoint.open(checkpoint.folder).predictor(device="cpu").predict_probabilities(features)
    assert np.array_equal(first, again)


@pytest.mark.parametrize("kind", ["network", "estimator"])
def test_predictions_do_not_depend_on_the_batch(request, kind, make_segments):
    predictor = request.getfixturevalue(kind).predictor()
    features = make_segments(70).features
    alone = np.concatenate([predictor.predict_probabilities(each[None]) for each in features[:5]])
    np.testing.assert_allclose(predictor.predict_probabilities(features)[:5], alone, atol=1e-6)


@pytest.mark.parametrize("name", NETWORK_FILES)
def test_a_missing_file_is_named(network, name):
    (network.folder / name).unlink()
    with pytest.raises(CheckpointError, match=rf"{name} is missing\. Delete the folder and run again"):
        Checkpoint.open(network.folder)


@pytest.mark.parametrize("name", NETWORK_FILES)
def test_a_truncated_file_is_named_and_trained_again(network, name, arguments, caplog):
    content = (network.folder / name).read_bytes()
    (network.folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=f"repeat_1 cannot be used: {name}"):
        Checkpoint.open(network.folder)
    again = train_repeat(**arguments)
    assert not again.reused
    assert [record.levelno for record in caplog.records if name in record.getMessage()] == [logging.WARNING]
    assert Checkpoint.open(network.folder) == again


def test_a_file_changed_after_opening_is_noticed(network):
    (network.folder / "weights.safetensors").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is not the file that was written"):
        network.predictor()


def test_a_card_with_a_missing_field_is_refused(network):
    path = network.folder / "card.json"
    card = json.loads(path.read_text())
    del card["genres"]
    path.write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match=r"card\.json cannot be read.*\s.*genres: is missing"):
        Checkpoint.open(network.folder)


def test_weights_of_another_architecture_are_refused(network):
    architecture = {**network.card.model["architecture"], "n_filters": 7}
    rewrite(network, model={**network.card.model, "architecture": architecture})
    with pytest.raises(CheckpointError, match="weights do not fit the architecture"):
        Checkpoint.open(network.folder).predictor()


def test_a_family_that_is_gone_is_named(network):
    rewrite(network, model={**network.card.model, "family": "crnm"})
    with pytest.raises(CheckpointError, match="Unknown model family 'crnm'. Did you mean 'crnn'"):
        Checkpoint.open(network.folder).predictor()


@pytest.mark.parametrize("stranger", [Stranger(), FunctionTransformer(json.loads)])
def test_foreign_types_are_not_loaded(estimator, stranger):
    replace(estimator, "estimator.skops", skops.io.dumps(stranger))
    with pytest.raises(CheckpointError, match="types that are not trusted"):
        Checkpoint.open(estimator.folder).predictor()


def test_an_estimator_of_another_scikit_learn_is_refused(estimator):
    rewrite(estimator, versions={"scikit-learn": "0.1"})
    with pytest.raises(CheckpointError, match=r"made with scikit-learn 0\.1"):
        Checkpoint.open(estimator.folder).predictor()


@pytest.mark.parametrize("shape", [(2, 6, 9), (2, 5, 8), (6, 8)])
def test_segments_of_another_shape_are_refused(network, shape):
    with pytest.raises(CheckpointError, match="segments of 6 bins and 8 frames"):
        network.predictor().predict_probabilities(np.zeros(shape, dtype=np.float32))


def test_a_replaced_checkpoint_is_kept_and_found_again(arguments, caplog):
    first = train_repeat(**{**arguments, "seed": 0})
    weights = (first.folder / "weights.safetensors").read_bytes()
    second = train_repeat(**{**arguments, "seed": 1})
    assert second.folder == first.folder
    kept = kept_folder(first.folder, first.fingerprint)
    assert replaced_folders(first.folder.parent) == [kept]
    assert (kept / "weights.safetensors").read_bytes() == weights

    with caplog.at_level(logging.INFO):
        again = train_repeat(**{**arguments, "seed": 0})
    assert "going back to its earlier training" in caplog.text
    assert again.reused
    assert (again.folder, again.fingerprint) == (first.folder, first.fingerprint)
    assert (again.folder / "weights.safetensors").read_bytes() == weights
    assert replaced_folders(first.folder.parent) == [kept_folder(first.folder, second.fingerprint)]


def test_a_damaged_checkpoint_is_replaced_and_not_kept(arguments):
    first = train_repeat(**arguments)
    (first.folder / "history.parquet").unlink()
    assert not train_repeat(**arguments).reused
    assert replaced_folders(first.folder.parent) == []
