"""Recipes and what is wrong with bad ones."""

import pytest

from genre_pipeline.errors import ConfigError
from genre_pipeline.training import TrainingBlock, parse_model
from genre_pipeline.training.augmentation import AugmentationBlock

NET1 = {"family": "duplicated_convolutions", "feature": "log_mel_256", "architecture": {"variant": "net1"}}


def test_the_models_own_recipe_wins_over_the_defaults():
    block = parse_model("net1", {**NET1, "training": {"batch_size": 50}}, {"batch_size": 64, "optimiser": "adadelta"})
    assert (block.training.batch_size, block.training.optimiser) == (50, "adadelta")
    assert block.training == TrainingBlock(batch_size=50, optimiser="adadelta")


def test_everything_but_family_and_feature_has_defaults():
    block = parse_model("bayes", {"family": "naive_bayes", "feature": "mfcc_20"})
    assert block.dump()["architecture"] == {"var_smoothing": 1e-9}
    assert block.spec.name == "naive_bayes"


def test_the_dump_is_complete_and_can_be_parsed_again():
    block = parse_model("net1", {**NET1, "reference": "paper"}, {"max_epochs": 3})
    values = block.dump()
    assert values["architecture"]["n_filters"] == 256
    assert parse_model(values.pop("name"), values) == block


def test_the_recipe_leaves_out_where_it_is_computed():
    assert TrainingBlock(device="cpu", n_threads=1).recipe() == TrainingBlock(n_threads=2).recipe()


def test_checkpoints_of_before_there_were_these_options_stay_valid():
    recipe = TrainingBlock().recipe()
    assert "segments_per_track" not in recipe
    assert "filtering" not in recipe["augmentation"]
    recipe = TrainingBlock(segments_per_track=3, augmentation=AugmentationBlock(filtering=0.5)).recipe()
    assert (recipe["segments_per_track"], recipe["augmentation"]["filtering"]) == (3, 0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], r"models\.net1: expected a mapping of parameters, got \[1\]"),
        ({"feature": "x"}, r"models\.net1\.family: is missing.*crnn"),
        ({**NET1, "family": "crn"}, r"models\.net1\.family: Unknown model family 'crn'\. Did you mean 'crnn'\?"),
        ({"family": "crnn"}, r"models\.net1\.feature: is missing"),
        ({**NET1, "architecture": {}}, r"models\.net1\.architecture\.variant: is missing"),
        (
            {**NET1, "architecture": {"variant": "net1", "l3": 1}},
            r"models\.net1\.architecture\.l3: .*Did you mean 'l2'",
        ),
        ({**NET1, "training": 3}, r"models\.net1\.training: expected a mapping of parameters, got 3"),
        ({**NET1, "training": {"learning_rate": -1}}, r"models\.net1\.training\.learning_rate: got -1"),
        ({**NET1, "training": {"optimiser": "adamm"}}, r"models\.net1\.training\.optimiser: .*Did you mean 'adam'"),
        ({**NET1, "training": {"batchsize": 1}}, r"models\.net1\.training\.batchsize: .*Did you mean 'batch_size'"),
        ({**NET1, "colour": 1}, r"models\.net1\.colour: is not a parameter"),
        # Its value is part of the fingerprints, but nothing reads it any more.
        ({**NET1, "training": {"n_ranks": 2}}, r"models\.net1\.training\.n_ranks: is not a parameter"),
    ],
)
def test_bad_values_name_their_key(values, message):
    with pytest.raises(ConfigError, match=message):
        parse_model("net1", values)


def test_bad_defaults_are_refused():
    with pytest.raises(ConfigError, match=r"training: expected a mapping of parameters, got 'fast'"):
        parse_model("net1", NET1, "fast")


def test_names_must_fit_into_file_names():
    with pytest.raises(ConfigError, match="model name 'Net 1'"):
        parse_model("Net 1", NET1)


def test_a_wrong_key_of_an_estimators_training_lists_its_own_parameters_and_not_those_of_networks():
    with pytest.raises(
        ConfigError, match=r"^models\.svm\.training\.max_epoch: is not a parameter\. svm is fitted"
    ) as e:
        parse_model("svm", {"family": "svm", "feature": "mfcc_20", "training": {"max_epoch": 3}})
    assert str(e.value).endswith("its parameters are in models.svm.architecture (c, gamma, n_calibration_folds).")
    with pytest.raises(ConfigError, match="Did you mean 'max_epochs'"):
        parse_model("net", {"family": "crnn", "feature": "mfcc_20", "training": {"max_epoch": 3}})
