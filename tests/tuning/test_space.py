"""Search spaces: what is allowed, and what is said of the rest."""

from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from genre_pipeline.errors import ConfigError
from genre_pipeline.tuning.space import parse_space, with_values

MODEL = {"family": "crnn", "feature": "log_mel_100", "training": {"schedule": {"kind": "cosine", "warm_up": 0.1}}}
RATE = {"kind": "float", "low": 1e-4, "high": 1e-2, "log": True}


def space_of(**parts):
    return parse_space("crnn", parts, MODEL, {"batch_size": 8})


def test_each_kind_is_optunas_and_gives_the_values_back():
    blocks = [{"time_reversal": 0.0}, {"time_reversal": 0.5, "mixup": 0.2}]
    space = space_of(
        architecture={"n_dense": {"kind": "integer", "low": 8, "high": 64, "log": True}},
        training={
            "learning_rate": RATE,
            "class_weights": {"kind": "choice", "values": ["none", "balanced"]},
            "patience": {"kind": "choice", "values": [None, 5]},
            "augmentation": {"kind": "choice", "values": blocks},
            "schedule": {"warm_up": {"kind": "float", "low": 0.0, "high": 0.5}},
        },
    )
    assert space.distributions() == {
        "architecture.n_dense": IntDistribution(8, 64, log=True),
        "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "training.class_weights": CategoricalDistribution(['"none"', '"balanced"']),
        "training.patience": CategoricalDistribution(["null", "5"]),
        "training.augmentation": CategoricalDistribution(
            ['{"time_reversal": 0.0}', '{"mixup": 0.2, "time_reversal": 0.5}']
        ),
        "training.schedule.warm_up": FloatDistribution(0.0, 0.5),
    }
    drawn = {
        "architecture.n_dense": 8,
        "training.learning_rate": 0.001,
        "training.class_weights": '"balanced"',
        "training.patience": "null",
        "training.augmentation": '{"mixup": 0.2, "time_reversal": 0.5}',
        "training.schedule.warm_up": 0.2,
    }
    assert space.values(drawn) == {
        **drawn,
        "training.class_weights": "balanced",
        "training.patience": None,
        "training.augmentation": blocks[1],
    }
    assert space.dump()["training.learning_rate"] == RATE


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"training": {"learning_rate": {**RATE, "low": 0.1}}},
            r"spaces\.crnn\.training\.learning_rate: .*low=0\.1 must",
        ),
        ({"training": {"learning_rate": {**RATE, "low": 0.0}}}, "A logarithmic range begins above zero, and low is 0"),
        ({"training": {"learning_rate": {**RATE, "lgo": True}}}, r"learning_rate\.lgo: is not a parameter"),
        ({"training": {"batch_size": {"kind": "integer", "low": 1.5, "high": 3}}}, r"batch_size\.low: got 1\.5"),
        ({"training": {"batch_size": {"kind": "integer", "low": 3, "high": 3}}}, "low=3 must be less than high=3"),
        ({"training": {"batch_size": {"kind": "choice", "values": [8]}}}, r"batch_size\.values: got \[8\]"),
        ({"training": {"batch_size": {"kind": "choice", "values": [8, 8]}}}, "A value is there twice"),
        ({"training": {"batch_size": {"kind": "chioce", "values": [8, 16]}}}, r"\.kind: 'chioce' .* mean 'choice'"),
        ({"training": {"batch_size": 8}}, r"spaces\.crnn\.training\.batch_size: expected a dimension, .* got 8"),
        (
            {"training": {"batch_sise": {"kind": "choice", "values": [8, 16]}}},
            r"training\.batch_sise: 8 is no value .*mean",
        ),
        ({"training": {"batch_size": {"kind": "choice", "values": [8, 0]}}}, r"training\.batch_size: 0 is no value of"),
        (
            {"training": {"label_smoothing": {"kind": "float", "low": 0, "high": 1}}},
            r"label_smoothing: 1\.0 is no value",
        ),
        ({"feature": {"kind": "choice", "values": ["a", "b"]}}, r"spaces\.crnn\.feature: is not searched"),
        (
            {"training": {"selection": {"kind": "choice", "values": ["last", "best_test"]}}},
            "'best_test' would use",
        ),
        ({}, r"spaces\.crnn: has no dimension"),
        # Merged with what the model has, as an environment is.
        (
            {"training": {"schedule": {"kind": "choice", "values": [None, {"kind": "plateau"}]}}},
            r"training\.schedule: \{'kind': 'plateau'\} is no value .*warm_up: is not a parameter",
        ),
    ],
)
def test_what_is_not_a_space_is_said(parts, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        space_of(**parts)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    low=st.floats(1e-6, 0.4),
    width=st.floats(1e-3, 0.4),
    share=st.floats(0.0, 1.0),
)
def test_every_value_between_valid_ends_is_valid(low, width, share):
    values = {"label_smoothing": {"kind": "float", "low": low, "high": low + width}}
    space = space_of(training=values)
    (dimension,) = space.dimensions.values()
    least, greatest = dimension.ends()
    between = min(greatest, least + share * (greatest - least))
    assert space.distributions()["training.label_smoothing"]._contains(between)


def test_values_are_put_in_place_and_the_model_stays():
    before = deepcopy(MODEL)
    changed = with_values(
        MODEL, {"training.schedule.warm_up": 0.3, "architecture.n_dense": 7, "training.patience": None}
    )
    assert changed["training"] == {"schedule": {"kind": "cosine", "warm_up": 0.3}, "patience": None}
    assert changed["architecture"] == {"n_dense": 7}
    assert before == MODEL
