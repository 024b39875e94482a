"""The YAML in conf/, the registries and the pipelines fit together."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import get_type_hints

import pytest
from kedro.framework.project import pipelines
from kedro.io import DataCatalog, MemoryDataset

import genre_pipeline.catalog
from genre_pipeline.catalog import PlaceDataset, SessionDataset
from genre_pipeline.configuration import load_configuration
from genre_pipeline.datasets import DATASETS
from genre_pipeline.errors import ConfigError
from genre_pipeline.experiment import SECTIONS, load_experiment
from genre_pipeline.features import FEATURES
from genre_pipeline.features.pretrained.encoders import EncoderBlock
from genre_pipeline.models import MODELS
from genre_pipeline.pipeline_registry import build_pipelines, register_pipelines
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.splits import PROTOCOLS
from kedro_sessions import new_session

EXPERIMENTS = sorted(path.stem for path in (PROJECT_ROOT / "conf" / "base" / "experiments").iterdir())
LAYERS = [
    "1 ingest",
    "2 split",
    "3 segment",
    "4 features",
    "5 train",
    "tune",
    "6 evaluate",
    "7 compare",
    "robustness",
    "unseen genres",
    "few labels",
    "explain",
    "predict",
]
HANDED_ON = {"all_tracks", "all_splits", "all_segments", "all_features", "all_checkpoints", "all_results"}
STAGES = ["ingest", "split", "segment", "features", "evaluate", "compare", "predict"]


@cache
def read(experiment, section):
    return load_configuration(experiment=experiment)[section]


def load(experiment_name, section="parameters"):
    return deepcopy(read(experiment_name, section))


@pytest.fixture(params=EXPERIMENTS)
def experiment_name(request):
    return request.param


@cache
def pipelines_of(experiment_name):
    return build_pipelines(load(experiment_name))


@pytest.fixture
def registered(experiment_name):
    """The pipelines of an experiment."""
    return pipelines_of(experiment_name)


@pytest.fixture
def test_pipelines():
    """The pipelines of the experiment ``test``."""
    return pipelines_of("test")


def entries_of(pipeline):
    return {name for name in pipeline.datasets() if not name.startswith("params:") and name != "parameters"}


def is_lent(entry):
    """Whether a catalog entry is no result: a place to work in, or what a session lends."""
    kind = getattr(genre_pipeline.catalog, entry["type"].rpartition(".")[2], MemoryDataset)
    return issubclass(kind, SessionDataset | PlaceDataset)


def results_among(entries):
    """Leave out parameters, places to work in, and what a session lends."""
    catalog = DataCatalog.from_config(load("demo", "catalog"))
    return {
        entry
        for entry in entries
        if not entry.startswith("params:") and not isinstance(catalog[entry], SessionDataset | PlaceDataset)
    }


def test_every_experiment_is_valid(experiment_name):
    parameters = load(experiment_name)
    experiment = load_experiment(parameters)
    assert experiment.cells
    assert experiment.settings.name == experiment_name
    assert set(parameters) <= set(SECTIONS)


def test_what_is_used_only_by_name_is_in_no_experiment_but_a_papers(experiment_name):
    experiment = load_experiment(load(experiment_name))
    by_name = {name for name, block in experiment.protocols.items() if PROTOCOLS[block.kind].only_by_name}
    assert not by_name or experiment_name.startswith(("paper_", "papers_"))


def test_every_section_has_defaults():
    assert sorted(load("demo")) == list(SECTIONS)


@pytest.mark.parametrize(
    ("registry", "section", "key"),
    [
        (DATASETS, "datasets", "kind"),
        (PROTOCOLS, "protocols", "kind"),
        (FEATURES, "features", "kind"),
        (MODELS, "models", "family"),
    ],
)
def test_whatever_is_registered_is_used_by_some_block(registry, section, key):
    used = {block[key] for experiment_name in EXPERIMENTS for block in load(experiment_name)[section].values()}
    # An encoder from a file has no preset: the file is a person's own.
    from_files = {spec.name for spec in registry if issubclass(spec.block, EncoderBlock)}
    assert used == set(registry.names()) - from_files


def test_every_model_has_its_feature(experiment_name):
    parameters = load(experiment_name)
    assert {block["feature"] for block in parameters["models"].values()} <= set(parameters["features"])


def test_the_best_cell_predicts_by_default(experiment_name):
    predict = load_experiment(load(experiment_name)).predict
    assert (predict.cell, predict.repeat, predict.audio) == (None, None, ())


def test_every_entry_of_every_pipeline_has_a_pattern(registered):
    catalog = DataCatalog.from_config(load("demo", "catalog"))
    # Pipelines share most of them, and a look takes a millisecond.
    named = {entry: name for name, pipeline in registered.items() for entry in entries_of(pipeline)}
    assert {entry: name for entry, name in named.items() if entry not in catalog} == {}


def test_no_pattern_is_unused_and_each_has_its_own(test_pipelines):
    config = load("demo", "catalog")
    resolver = DataCatalog.from_config(config).config_resolver
    # Some entries are used only where a cell is chosen.
    parameters = load("test")
    parameters["predict"]["cell"] = load_experiment(parameters).cells[0].name
    built = [*test_pipelines.values(), build_pipelines(parameters, only={"predict"})["predict"]]
    entries = {entry for pipeline in built for entry in entries_of(pipeline)}
    matched = {resolver.match_dataset_pattern(entry) or entry for entry in entries}
    # The others stand for what a stage hands on, in Kedro-Viz alone.
    assert matched == {name for name in config if not name.startswith("_")} - HANDED_ON


def test_entries_with_the_same_pattern_lie_in_files_of_their_own(test_pipelines):
    catalog = DataCatalog.from_config(load("test", "catalog"))
    entries = {entry for pipeline in test_pipelines.values() for entry in entries_of(pipeline)}
    passing = (MemoryDataset, SessionDataset, PlaceDataset)
    # A file that may be missing for the one who reads it.
    own = {entry for entry in entries if not entry.endswith(".leader_if_any")}
    kept = [catalog[entry] for entry in own if not isinstance(catalog[entry], passing)]
    assert len({str(entry._filepath) for entry in kept}) == len(kept)


def test_results_of_experiments_lie_apart():
    paths = {
        str(DataCatalog.from_config(load(experiment_name, "catalog"))[entry]._filepath)
        for experiment_name in EXPERIMENTS
        for entry in ("leaderboard", "demo.artist_kfold.log_mel_256.net1.results")
    }
    assert len(paths) == 2 * len(EXPERIMENTS)


def test_every_entry_has_a_layer(experiment_name):
    for name, entry in load(experiment_name, "catalog").items():
        if isinstance(entry, Mapping) and not name.startswith("_") and not is_lent(entry):
            assert entry["metadata"]["kedro-viz"]["layer"] in LAYERS, name


def test_the_patterns_are_versioned_or_say_why_not():
    """In place: pointers, whose content has its own checks, trials, which grow, and what costs little to make again."""
    plain = {
        name for name, entry in load("demo", "catalog").items() if not entry.get("versioned") and not is_lent(entry)
    }
    assert plain - HANDED_ON == {
        "{dataset}.{feature}.features",
        "{dataset}.{feature}.examples",
        "{dataset}.{protocol}.{feature}.{model}.development",
        "{dataset}.{protocol}.{feature}.{model}.trials",
        "{dataset}.{protocol}.{feature}.{model}.best_parameters",
        "{dataset}.{protocol}.{feature}.{model}.tuning_history",
        "{dataset}.{protocol}.{feature}.{model}.parameter_importance",
        "predicted_genres",
        "{dataset}.{protocol}.{feature}.{model}.mistakes",
        "{dataset}.robustness.{intervention}.answers",
        "{dataset}.{protocol}.{feature}.{model}.robustness",
    }


class TestPipelines:
    def test_the_registry_is_complete(self, registered, experiment_name):
        models, experiment = load(experiment_name)["models"], load_experiment(load(experiment_name))
        # Only a model with a search space can be tuned; of those that are trained further none has one.
        is_tuned = experiment.tuning.choose_cell(experiment.cells) is not None
        assert is_tuned == (experiment_name != "fine_tuning")
        expected = {
            *STAGES,
            *(f"train_{model}" for model in models),
            *(["tune"] if is_tuned else []),
            "robustness",
            "unseen_genres",
            "few_labels",
            "explain",
            "train_all",
            "__default__",
        }
        assert set(registered) == expected
        assert registered["__default__"] == registered["train_all"]

    def test_every_node_is_named_and_tagged(self, registered):
        for pipeline in registered.values():
            assert len({node.name for node in pipeline.nodes}) == len(pipeline.nodes)
            for node in pipeline.nodes:
                assert node._name
                assert node.tags
                assert node.namespace or node._name in {
                    "rank_cells",
                    "tabulate_metrics",
                    "compare_settings",
                    "join_pairs",
                    "draw_comparison",
                    "write_report",
                    "predict_genres",
                    "join_scores",
                    "join_unseen",
                    "join_few_labels",
                    "explain_tracks",
                }

    def test_kedro_can_read_the_hints_of_every_node(self, registered):
        """It warns of those that name what is imported for type checking only."""
        for pipeline in registered.values():
            for node in pipeline.nodes:
                # What gathers inputs has none of its own.
                function = getattr(node.func, "function", node.func)
                assert get_type_hints(getattr(function, "func", function))

    def test_train_all_needs_nothing_but_parameters(self, registered):
        # What other pipelines leave is shown where it is there.
        optional = {"robustness", "unseen_genres", "few_labels", "explanations"}
        assert results_among(registered["train_all"].inputs()) <= optional

    def test_train_all_ends_in_what_people_read(self, test_pipelines):
        assert {
            "leaderboard",
            "metrics",
            "ranks",
            "protocol_gaps",
            "papers_and_measured",
            "stills.accuracy_comparison_png",
            "stills.accuracy_comparison_svg",
            "report",
            "report_markdown",
        } <= test_pipelines["train_all"].outputs()

    def test_train_all_has_every_stage(self, test_pipelines):
        everything = {node.name for node in test_pipelines["train_all"].nodes}
        for stage in set(STAGES) - {"predict"}:
            assert {node.name for node in test_pipelines[stage].nodes} <= everything

    def test_a_model_alone_is_taken_from_audio_to_its_results(self, test_pipelines):
        pipeline = test_pipelines["train_net1"]
        names = {node.name for node in pipeline.nodes}
        assert {
            "demo.ingest",
            "demo.artist_kfold.split",
            "demo.log_mel_256.segment",
            "demo.log_mel_256.extract",
            "demo.artist_kfold.log_mel_256.net1.train_net1",
        } <= names
        cells = {node.namespace for node in pipeline.nodes if node.namespace.count(".") == 3}
        assert cells == {"demo.artist_kfold.log_mel_256.net1", "demo.demo_official.log_mel_256.net1"}
        assert {f"{cell}.results" for cell in cells} <= pipeline.all_outputs()
        assert not any("mfcc" in name or "net2" in name for name in names)
        assert not results_among(pipeline.inputs())

    def test_cells_that_are_excluded_have_no_nodes(self, test_pipelines):
        names = {node.namespace for node in test_pipelines["train_all"].nodes}
        assert "demo.artist_kfold.mfcc_20.svm" in names
        assert "demo.demo_official.mfcc_20.svm" not in names

    def test_a_dataset_can_be_chosen_by_its_namespace(self, registered, experiment_name):
        for dataset in load_experiment(load(experiment_name)).datasets:
            chosen = registered["train_all"].filter(node_namespaces=[dataset])
            assert {node.namespace.split(".")[0] for node in chosen.nodes} == {dataset}


@pytest.mark.parametrize("change", [{"models": ["svm"]}, {"models": ["bbnn"]}, {"datasets": ["my_music"]}], ids=str)
def test_every_experiment_can_be_changed(experiment_name, change):
    parameters = load(experiment_name)
    parameters["experiment"].update(change)
    experiment = load_experiment(parameters)
    for section, names in change.items():
        assert list(getattr(experiment, section)) == names


@pytest.mark.parametrize("section", ["models", "datasets", "protocols"])
def test_every_experiment_can_be_narrowed_to_a_part_of_its_own(experiment_name, section):
    parameters = load(experiment_name)
    for name in parameters["experiment"][section]:
        narrowed = {**parameters, "experiment": {**parameters["experiment"], section: [name]}}
        assert list(getattr(load_experiment(narrowed), section)) == [name]


class TestWithoutSession:
    """``kedro registry list`` builds pipelines without a session."""

    def test_the_variable_chooses_the_experiment(self, monkeypatch):
        monkeypatch.setenv("GENRE_PIPELINE_EXPERIMENT", "test")
        assert "demo.demo_official.split" in {node.name for node in register_pipelines()["split"].nodes}

    def test_the_demo_is_the_default(self):
        assert "demo.random_track.split" in {node.name for node in register_pipelines()["split"].nodes}

    def test_other_parameters_give_other_pipelines(self):
        for models in (["net1"], ["svm", "naive_bayes"]):
            parameters = load("test")
            parameters["experiment"]["models"] = models
            trained = {node.name for node in build_pipelines(parameters)["train_all"].nodes if "train" in node.tags}
            assert {name.rsplit(".", 1)[1] for name in trained} == {f"train_{model}" for model in models}

    def test_a_model_outside_the_experiment_has_a_pipeline_of_its_own(self):
        parameters = load("test")
        assert "bbnn" not in parameters["experiment"]["models"]
        outputs = build_pipelines(parameters)["train_bbnn"].all_outputs()
        assert outputs >= {
            f"demo.{protocol}.log_mel_128.bbnn.results" for protocol in ("artist_kfold", "demo_official")
        }

    def test_a_bad_parameter_is_named(self):
        parameters = load("test")
        parameters["experiment"]["models"] = ["nett1"]
        with pytest.raises(ConfigError, match="experiment.models: 'nett1' is not defined. Did you mean 'net1'"):
            build_pipelines(parameters)


@pytest.mark.usefixtures("empty_data")
class TestWithSession:
    """Sessions fill Kedro's ``pipelines`` from their own parameters, through private parts of Kedro 1.7."""

    def test_each_session_has_its_own(self):
        for models in (["net1"], ["svm", "naive_bayes"]):
            new_session(experiment={"models": models}).load_context()
            trained = {node.name for node in pipelines["train_all"].nodes if "train" in node.tags}
            assert {name.rsplit(".", 1)[1] for name in trained} == {f"train_{model}" for model in models}

    def test_only_what_is_asked_for_is_built_of_models_outside_the_experiment(self):
        session = new_session()
        pipelines.set_requested(["train_bbnn"])
        session.load_context()
        assert "train_bbnn" in pipelines
        assert "train_bbnn_selu" not in pipelines
        new_session().load_context()
        assert "train_bbnn_selu" in pipelines
