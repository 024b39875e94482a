"""The network of musicnn as a model: what it begins with, and what training changes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from genre_pipeline.blocks import parse_block
from genre_pipeline.configuration import load_configuration
from genre_pipeline.errors import ConfigError
from genre_pipeline.experiment import load_experiment
from genre_pipeline.features import FEATURES
from genre_pipeline.features.log_mel import LogMelBlock
from genre_pipeline.features.pretrained.musicnn import MusicnnBlock, _network
from genre_pipeline.models import InputShape
from genre_pipeline.models.costs import count_parameters
from genre_pipeline.models.musicnn import FineTuned, MusicnnNetworkBlock, build_musicnn
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.reporting.model_cards import read_presets
from genre_pipeline.training import SegmentSet, parse_model
from genre_pipeline.training.fitting import Task, fit
from pretrained_weights import needs_weights

SHAPE = InputShape(n_bins=96, n_frames=187)
PRESETS = {preset.name: preset for preset in read_presets(PROJECT_ROOT / "conf/base")}
FEATURE = PRESETS["musicnn_frozen"].feature
N_GENRES = 3


def build(n_classes: int = N_GENRES, **architecture) -> FineTuned:
    block = parse_block(MusicnnNetworkBlock, architecture, key="architecture")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_musicnn(block, SHAPE, n_classes)


def patches(n_patches: int, seed: int = 0) -> torch.Tensor:
    return 4.0 * torch.rand(n_patches, 96, 187, generator=torch.Generator().manual_seed(seed))


def make_task(trained: str, weights: str | None = "MSD_musicnn", **training) -> Task:
    recipe = {"max_epochs": 1, "batch_size": 2, "precision": "float32", "device": "cpu", "n_threads": 1, **training}
    model = parse_model(
        "mine",
        {
            "family": "musicnn",
            "feature": "log_mel_musicnn",
            "architecture": {"weights": weights, "trained": trained, "rate_decay": 0.5},
            "training": recipe,
        },
    )
    targets = np.arange(N_GENRES, dtype=np.int64)
    sides = (SegmentSet(patches(N_GENRES, seed).numpy(), targets) for seed in (1, 2))
    return Task("demo", model, FEATURE, N_GENRES, 5, *sides)


def changed(before: FineTuned, after: FineTuned) -> set[str]:
    """Return the parts of the trunk of which a parameter, or a statistic, differs."""
    old, new = before.state_dict(), after.state_dict()
    return {name.split(".")[1] for name in old if not torch.equal(old[name], new[name])}


# Of the front-end, the middle, the dense layer with what scales it, and the head: filters, shifts and normalisation.
FRONT = sum(n * (bands * frames + 3) for bands, frames, n in ((38, 7, 204), (67, 7, 204)))
FRONT += sum(51 * (frames + 3) for frames in (128, 64, 32))
MIDDLE = 64 * (561 * 7 + 3) + 2 * 64 * (64 * 7 + 3)
DENSE = 2 * 1506 + 200 * (1506 + 3)


@pytest.mark.parametrize(
    ("preset", "n_parameters"),
    [
        ("musicnn_frozen", 201 * 10),
        ("musicnn_last_block", DENSE + 201 * 10),
        ("musicnn_fine_tuned", FRONT + MIDDLE + DENSE + 201 * 10),
        ("musicnn_from_scratch", FRONT + MIDDLE + DENSE + 201 * 10),
    ],
)
def test_the_presets_train_as_much_as_they_say(preset, n_parameters):
    block = PRESETS[preset].model.architecture
    assert count_parameters(build_musicnn(block, SHAPE, 10)) == n_parameters


def test_with_fifty_tags_it_is_as_large_as_published():
    # 787,000 [P], of which scale and shift of the input are not trained.
    assert sum(parameter.numel() for parameter in build(50).parameters()) == 787_159


def test_presets_differ_in_what_they_begin_with_and_train_alone():
    fine_tuned, scratch = (PRESETS[f"musicnn_{name}"].model for name in ("fine_tuned", "from_scratch"))
    assert fine_tuned.training == scratch.training
    assert {preset.model.feature for name, preset in PRESETS.items() if name.startswith("musicnn_")} == {
        "log_mel_musicnn"
    }


def test_step_sizes_fall_from_the_head_to_the_front_end():
    factors = build(rate_decay=0.5).rate_factors()
    found = {name.split(".")[1]: factor for name, factor in factors.items()}
    assert found == {
        "output": 1.0,
        "pooled_norm": 0.5,
        "dense": 0.5,
        "dense_norm": 0.5,
        "middle": 0.25,
        "front": 0.125,
    }
    trained = {name for name, parameter in build().named_parameters() if parameter.requires_grad}
    assert trained == set(factors)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trained": "head"}, "trained=head would leave random weights as they are"),
        ({"weights": "MTT_musicnn", "width": 0.5}, "width=0.5 does not fit the weights MTT_musicnn"),
        ({"weights": "MSD_vgg"}, "architecture.weights"),
    ],
)
def test_what_does_not_fit_together_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        parse_block(MusicnnNetworkBlock, values, key="architecture")


def test_published_weights_need_their_bands():
    block = MusicnnNetworkBlock(weights="MSD_musicnn")
    with pytest.raises(ConfigError, match=r"MSD_musicnn need segments of 96 mel bands; the feature gives 128 bins"):
        build_musicnn(block, InputShape(128, 187), N_GENRES)


def test_the_weights_count_and_their_place_does_not():
    here, there = (MusicnnNetworkBlock(weights="MSD_musicnn", weights_path=path) for path in (None, Path("there")))
    assert here.deciding() == there.deciding()
    assert here.deciding()["checksum"].startswith("8579734ee6388f79")
    models = [make_task("all", weights).model for weights in ("MSD_musicnn", "MTT_musicnn", None)]
    assert len({str(model.deciding()) for model in models}) == 3


def test_pretraining_is_stated_of_published_weights_alone():
    assert make_task("all", None).model.pretraining is None
    stated = make_task("head").model.pretraining
    assert (stated.part, "Million Song" in stated.trained_on, stated.licence[:3]) == ("network", True, "ISC")


def test_the_beginning_that_is_not_trained_and_the_rest_are_the_network():
    network = build(weights="MSD_musicnn", trained="last_block").eval()
    beginning, rest = network.split()
    with torch.inference_mode():
        torch.testing.assert_close(rest.eval()(beginning(patches(3))), network(patches(3)))
    assert {f"network.{name}" for name in network.rate_factors()} == set(rest.rate_factors())
    assert build().split() is None


def test_random_weights_learn_statistics_and_pretrained_ones_keep_them():
    def modes(**architecture):
        norms = [each for each in build(**architecture).train().modules() if isinstance(each, nn.BatchNorm1d)]
        return {each.training for each in norms}

    assert modes() == {True}
    assert modes(weights="MSD_musicnn") == {False}


def test_dropout_is_where_training_is():
    def places(**architecture):
        network = build(weights="MSD_musicnn", **architecture).train()
        return network.trunk.pooled_dropout.training, network.trunk.dropout.training

    assert places(trained="head") == (False, True)
    assert places(trained="last_block") == places(trained="all") == (True, True)


@needs_weights
class TestPretrained:
    def test_its_trunk_gives_the_features_of_the_published_network(self):
        network = build(weights="MSD_musicnn").eval()
        network.load_pretrained()
        with torch.inference_mode():
            found = network.trunk(patches(2))
            expected = _network("MSD_musicnn", None, "cpu")(patches(2))
        for layer in ("penultimate", "mean_pool", "max_pool"):
            assert torch.equal(found[layer], expected[layer])

    def test_the_stored_front_end_leads_to_the_feature_musicnn(self):
        waveform = (0.1 * np.random.default_rng(0).standard_normal(16_000 * 4)).astype(np.float32)
        values = {"kind": "musicnn", "weights": "MSD_musicnn", "layer": "penultimate"}
        block = parse_block(MusicnnBlock, values, key="features.mine")
        expected = FEATURES["musicnn"].extract(waveform, block)[:, 0]
        assert isinstance(FEATURE, LogMelBlock)
        levels = FEATURES["log_mel"].extract(waveform, FEATURE)[:, :187].astype(np.float16).astype(np.float32)
        network = build(weights="MSD_musicnn").eval()
        network.load_pretrained()
        with torch.inference_mode():
            found = network.trunk.embed(network.trunk.pool(torch.from_numpy(levels[None])))[0].numpy()
        # Stored in half precision, as the published network was trained.
        assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()

    @pytest.mark.parametrize(
        ("trained", "parts"),
        [
            ("head", {"output"}),
            ("last_block", {"output", "pooled_norm", "dense", "dense_norm"}),
            ("all", {"output", "pooled_norm", "dense", "dense_norm", "middle", "front"}),
        ],
    )
    def test_an_epoch_moves_what_is_trained_and_nothing_else(self, trained, parts):
        task = make_task(trained)
        before = build(weights="MSD_musicnn", trained=trained)
        before.load_pretrained()
        fitted = fit(task, lambda _: None)
        assert changed(before, fitted.model) == parts
        assert not any(module.training for module in fitted.model.modules())

    def test_what_is_not_trained_is_computed_alike_once_or_in_every_epoch(self):
        once = fit(make_task("last_block", max_epochs=2), lambda _: None)
        # Nothing is changed, but it could be.
        each = fit(make_task("last_block", max_epochs=2, augmentation={"max_time_mask": 1}), lambda _: None)
        for name, tensor in once.model.state_dict().items():
            torch.testing.assert_close(tensor, each.model.state_dict()[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"gain": None}, r"features\.log_mel_musicnn\.gain: the weights of musicnn_frozen need 10000\.0, got None\."),
        ({"normalisation": "training"}, r"features\.log_mel_musicnn\.normalisation: .* need 'none', got 'training'\."),
    ],
)
def test_published_weights_take_only_the_feature_that_they_were_trained_on(feature, message):
    given = {
        "experiment": {"name": "mine", "datasets": ["demo"], "models": ["musicnn_frozen"]},
        "features": {"log_mel_musicnn": feature},
    }
    parameters = load_configuration(None, given, experiment="mine")["parameters"]
    with pytest.raises(ConfigError, match=message):
        load_experiment(parameters)
    parameters["models"]["musicnn_frozen"]["architecture"] = {"weights": None}
    load_experiment(parameters)
