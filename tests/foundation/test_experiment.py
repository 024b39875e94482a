import pytest
import torch

from genre_pipeline.blocks import parse_block
from genre_pipeline.cells import Cell
from genre_pipeline.errors import ConfigError
from genre_pipeline.experiment import ComputeBlock, load_experiment
from genre_pipeline.training.recipes import TrainingBlock
from genre_pipeline.training.workers import Trainers
from genre_pipeline.work.backends import Workers


def test_the_grid_is_every_model_under_every_protocol(parameters):
    experiment = load_experiment(parameters)
    assert experiment.cells == (
        Cell("music", "folds", "cepstrum", "bayes"),
        Cell("music", "folds", "mel", "net"),
        Cell("music", "random", "cepstrum", "bayes"),
        Cell("music", "random", "mel", "net"),
    )
    assert list(experiment.datasets) == ["music"]
    assert list(experiment.features) == ["cepstrum", "mel"]
    assert experiment.protocols["folds"].n_folds == 3


def test_a_model_may_be_given_other_features(parameters):
    parameters["experiment"]["features"] = {"net": ["mel", "cepstrum"]}
    cells = [cell.name for cell in load_experiment(parameters).cells if cell.protocol == "folds"]
    assert cells == ["music.folds.cepstrum.bayes", "music.folds.mel.net", "music.folds.cepstrum.net"]


def test_cells_can_be_excluded_by_pattern(parameters):
    parameters["experiment"]["exclude"] = ["*.random.*", "*.bayes"]
    assert [cell.name for cell in load_experiment(parameters).cells] == ["music.folds.mel.net"]


class TestNarrowing:
    def test_what_is_set_for_models_outside_the_experiment_is_passed_over(self, parameters):
        parameters["experiment"]["features"] = {"net": ["mel", "cepstrum"], "bayes": ["mel"]}
        parameters["robustness"]["cells"] = ["*.net", "music.folds.*"]
        parameters["experiment"]["models"] = ["bayes"]
        experiment = load_experiment(parameters)
        assert {cell.name for cell in experiment.cells} == {"music.folds.mel.bayes", "music.random.mel.bayes"}
        assert {cell.name for cell in experiment.robustness_cells} == {"music.folds.mel.bayes"}

    def test_so_is_what_is_set_for_other_datasets_and_protocols(self, parameters):
        parameters["robustness"]["cells"] = ["music.folds.mel.net", "*.random.*"]
        for section, name in (("protocols", "random"), ("datasets", "unused")):
            parameters["experiment"][section] = [name]
            load_experiment(parameters)

    def test_a_name_that_is_nobodys_is_still_an_error(self, parameters):
        parameters["experiment"].update(models=["bayes"], features={"nett": ["mel"]})
        with pytest.raises(ConfigError, match=r"experiment\.features: 'nett' is not defined. Did you mean 'net'"):
            load_experiment(parameters)

    @pytest.mark.parametrize("key", ["predict", "explain"])
    def test_a_cell_of_another_experiment_is_known_and_a_slip_is_not(self, parameters, key):
        parameters["experiment"]["models"] = ["bayes"]
        parameters[key] = {"cell": "unused.folds.mel.net"}
        load_experiment(parameters)
        parameters[key] = {"cell": "music.folds.mell.net"}
        with pytest.raises(ConfigError, match=rf"{key}\.cell: 'mell' is not defined. Did you mean 'mel'"):
            load_experiment(parameters)


def test_excluding_everything_is_an_error(parameters):
    parameters["experiment"]["exclude"] = ["*"]
    with pytest.raises(ConfigError, match=r"experiment.exclude: \['\*'\] leaves no cell to run"):
        load_experiment(parameters)


def test_shared_training_parameters_are_the_models_defaults(parameters):
    net = load_experiment(parameters).models["net"]
    assert net.training.batch_size == 16
    assert net.training.max_epochs == 3


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("experiment", "datasets", ["musik"], r"experiment.datasets: 'musik' is not defined. Did you mean 'music'\?"),
        ("experiment", "protocols", ["fold"], r"experiment.protocols: 'fold' is not defined. Did you mean 'folds'\?"),
        ("experiment", "models", ["nett"], r"experiment.models: 'nett' is not defined. Did you mean 'net'\?"),
        ("experiment", "features", {"net": ["mell"]}, r"experiment.features.net: 'mell' is not defined. Did you mean"),
        ("experiment", "features", {"nett": ["mel"]}, r"experiment.features: 'nett' is not defined. Did you mean"),
        ("experiment", "name", "No Good", "The experiment name 'No Good' cannot be used"),
        ("experiment", "seed", -1, "experiment.seed: got -1. Input should be greater than or equal to 0"),
        ("experiment", "seeds", 3, "experiment.seeds: is not a parameter. Did you mean 'seed'"),
        ("storage", "models", None, "storage.models: got None"),
        ("training", "batch_sise", 3, "training.batch_sise: is not a parameter. Did you mean 'batch_size'"),
    ],
)
def test_a_bad_value_is_named_with_its_key(parameters, section, key, value, message):
    parameters[section][key] = value
    with pytest.raises(ConfigError, match=message):
        load_experiment(parameters)


@pytest.mark.parametrize(
    ("section", "name", "values", "message"),
    [
        ("datasets", "music", {"kind": "foldr", "path": "/"}, r"datasets.music.kind: Unknown dataset kind 'foldr'"),
        ("datasets", "music", {"path": "/"}, r"datasets.music.kind: is missing. Known: .*folder"),
        ("datasets", "unused", {"kind": "gtzan"}, r"datasets.unused.path: is missing"),
        ("protocols", "folds", {"kind": "artist_fold"}, r"protocols.folds.kind: Unknown protocol kind 'artist_fold'"),
        ("protocols", "fair", {"kind": "random_segment"}, r"protocols.fair.kind: .* leaky .* begins with 'random_seg"),
        ("protocols", "folds", {"kind": "artist_kfold", "n_folds": 1}, r"protocols.folds.n_folds: got 1"),
        ("features", "mel", {"kind": "log_mell"}, r"features.mel.kind: Unknown feature kind 'log_mell'. Did"),
        ("models", "net", {"family": "crn", "feature": "mel"}, r"models.net.family: Unknown model family 'crn'. Did"),
        ("models", "net", 3, r"models.net: expected a mapping"),
        ("models", "Net", {}, r"The model name 'Net' cannot be used"),
    ],
)
def test_a_bad_block_is_named_even_where_the_experiment_does_not_use_it(parameters, section, name, values, message):
    parameters[section][name] = values
    with pytest.raises(ConfigError, match=message):
        load_experiment(parameters)


def test_a_feature_that_would_leave_gaps_is_refused(parameters):
    parameters["features"]["mel"]["segment"] = {"n_frames": 64, "hop_frames": 65}
    with pytest.raises(ConfigError, match="segment.hop_frames=65 is greater than segment.n_frames=64"):
        load_experiment(parameters)


def test_a_models_own_feature_must_exist(parameters):
    parameters["models"]["net"]["feature"] = "mfcc"
    with pytest.raises(ConfigError, match=r"models.net.feature: 'mfcc' is not defined. Known: cepstrum, mel"):
        load_experiment(parameters)


@pytest.mark.parametrize("key", ["ingest", "splits", "features", "models", "reports", "features_url"])
class TestPlacesOfResults:
    @pytest.fixture(autouse=True)
    def _data_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("GENRE_PIPELINE_DATA", str(tmp_path / "data"))
        (tmp_path / "data").mkdir()
        monkeypatch.chdir(tmp_path / "data")

    @pytest.mark.parametrize("place", ["../../escape", "..", "a/../../b", "{data}/../escape", "~/../../x"])
    def test_one_that_leads_out_of_the_data_folder_is_refused(self, parameters, tmp_path, key, place):
        parameters["storage"][key] = place.format(data=tmp_path / "data")
        with pytest.raises(ConfigError, match=rf"storage\.{key}: .*leads out of the data folder {tmp_path}/data, to "):
            load_experiment(parameters)

    @pytest.mark.parametrize("place", ["here", "a/../b", "{data}/sub", "{data}"])
    def test_one_inside_is_taken_as_it_is(self, parameters, tmp_path, key, place):
        for each in ("ingest", "splits", "features", "models", "reports", key):
            parameters["storage"][each] = place.format(data=tmp_path / "data")
        storage = load_experiment(parameters).storage
        assert str(getattr(storage, key)).startswith(f"{tmp_path}/data")
        assert {name for name in storage.elsewhere() if name != "features_url"} == set()

    def test_another_disk_is_said(self, parameters, tmp_path, key):
        for each in ("ingest", "splits", "features", "models", "reports"):
            parameters["storage"][each] = str(tmp_path / "data")
        parameters["storage"][key] = "/other/disk"
        assert load_experiment(parameters).storage.elsewhere() == {key: "/other/disk"}


def test_a_store_on_a_server_is_no_path(parameters):
    parameters["storage"]["features_url"] = "s3://bucket/../features"
    assert load_experiment(parameters).storage.features_url == "s3://bucket/../features"


@pytest.mark.parametrize("section", ["experiment", "datasets", "models", "storage"])
def test_a_missing_section_is_named(parameters, section):
    del parameters[section]
    with pytest.raises(ConfigError, match=f"no section '{section}'"):
        load_experiment(parameters)


def test_an_unknown_section_is_named(parameters):
    parameters["modles"] = {}
    with pytest.raises(ConfigError, match=r"'modles' is not a section of the parameters. Did you mean 'models'\?"):
        load_experiment(parameters)


def test_a_section_must_map_names(parameters):
    parameters["datasets"] = ["music"]
    with pytest.raises(ConfigError, match="datasets: expected a mapping from names to parameters"):
        load_experiment(parameters)


def test_protocols_and_features_of_one_name_would_share_a_namespace(parameters):
    parameters["features"]["folds"] = parameters["features"]["mel"]
    with pytest.raises(ConfigError, match="'folds' names both a protocol and a feature"):
        load_experiment(parameters)


def test_workers_default_to_the_cores_of_the_process():
    assert ComputeBlock().workers() >= 1
    assert ComputeBlock(n_workers=3).workers() == 3


def test_who_extracts_features():
    assert ComputeBlock(n_workers=3).extraction == Workers("auto", 3)
    address = "tcp://127.0.0.1:8786"
    assert ComputeBlock(backend="dask", n_workers=2, address=address).extraction == Workers("dask", 2, address)


def test_who_trains(monkeypatch):
    address = "tcp://127.0.0.1:8786"
    cluster = ComputeBlock(training_backend="dask", training_workers=3, address=address)
    assert cluster.trainers(TrainingBlock(device="cpu")) == Trainers("dask", 3, address)
    assert ComputeBlock(training_workers=2).trainers(TrainingBlock()) == Trainers("processes", 2)
    assert ComputeBlock().trainers(TrainingBlock(device="cpu")) == Trainers("processes", 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert ComputeBlock().trainers(TrainingBlock()) == Trainers("processes", 4)


def test_an_address_that_nobody_would_use_is_refused():
    message = "address=tcp://a:1 is a Dask scheduler's, but backend is 'auto' and training_backend 'processes'"
    with pytest.raises(ConfigError, match=message):
        parse_block(ComputeBlock, {"address": "tcp://a:1"}, key="compute")


class TestRobustness:
    def test_all_cells_are_asked_unless_some_are_chosen(self, parameters):
        assert load_experiment(parameters).robustness_cells == load_experiment(parameters).cells
        parameters["robustness"]["cells"] = ["*.net"]
        assert {cell.model for cell in load_experiment(parameters).robustness_cells} == {"net"}

    def test_what_divides_tracks_or_is_read_is_left_out_unless_named(self, parameters):
        parameters["protocols"]["random_segment"] = {"kind": "random_segment"}
        parameters["experiment"]["protocols"] = ["folds", "random_segment"]
        asked = load_experiment(parameters).robustness_cells
        assert {cell.protocol for cell in asked} == {"folds"}
        parameters["robustness"]["cells"] = ["music.random_segment.mel.net"]
        with pytest.raises(ConfigError, match=r"robustness\.cells: .* cannot be asked"):
            load_experiment(parameters)

    @pytest.mark.parametrize(
        ("section", "values", "message"),
        [
            ("robustness", {"interventions": ["louder"]}, r"robustness\.interventions: 'louder' is not defined"),
            ("robustness", {"interventions": []}, r"robustness\.interventions"),
            (
                "robustness",
                {"interventions": ["quieter"], "cells": ["*.tree"]},
                r"robustness\.cells: '\*\.tree' is no cell of the experiment",
            ),
            ("interventions", {"x": {"kind": "shout"}}, r"interventions\.x\.kind: Unknown intervention kind 'shout'"),
            ("interventions", {"x": {"kind": "gain"}}, r"interventions\.x\.gain_db: is missing"),
            ("explain", {"cell": "net"}, r"explain\.cell: .*'net' is not a cell"),
            ("explain", {"cell": "music.folds.mel.net", "method": "guess"}, r"explain\.method"),
        ],
    )
    def test_nonsense_stops_before_any_work(self, parameters, section, values, message):
        parameters[section] = values
        with pytest.raises(ConfigError, match=message):
            load_experiment(parameters)
