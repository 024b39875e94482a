"""What a person knows of Kedro works here, too: its commands, and the options of a run, with an experiment by name."""

import re
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from kedro.framework.cli.cli import KedroCLI
from kedro.framework.project import pipelines
from kedro_viz.data_access import DataAccessManager
from kedro_viz.integrations.kedro.data_loader import load_data
from kedro_viz.server import populate_data

from genre_pipeline.configuration import load_configuration
from genre_pipeline.pipeline_registry import build_pipelines
from genre_pipeline.project import PROJECT_ROOT
from kedro_sessions import copy_database, forget_sessions, settle, write_own_clip, write_own_music

OWN = "experiment.datasets=[my_music],experiment.models=[naive_bayes],protocols.artist_kfold.n_folds=3"
TABLES = {"tracks.parquet", "quality.json"}
SPLIT = {"split.parquet", "audit.json"}
SEGMENTS = {"segments.parquet", "segmentation.json"}


@pytest.fixture(scope="module")
def project(tmp_path_factory, empty_database):
    """A data folder in which a small experiment was run as far as its segments."""
    folder = tmp_path_factory.mktemp("project")
    copy_database(empty_database, folder / "data")
    write_own_music(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        settle(patch, folder / "data", folder)
        patch.setattr("kedro.framework.session.session.find_kedro_project", lambda _: PROJECT_ROOT)
        run("--pipelines", "ingest,split,segment")
    return folder / "data"


@pytest.fixture(autouse=True)
def _here(project, monkeypatch):
    settle(monkeypatch, project, project.parent)
    monkeypatch.setattr("kedro.framework.session.session.find_kedro_project", lambda _: PROJECT_ROOT)


def kedro(*words):
    result = CliRunner().invoke(KedroCLI(PROJECT_ROOT), list(words))
    assert result.exit_code == 0, result.output
    forget_sessions()
    return result.output


def run(*words):
    return kedro("run", "--experiment", "own", "--params", OWN, *words)


def versions(data):
    """Return the versions of tables, as the file's name and the version."""
    return {(path.name, path.parent.name) for path in data.glob("0[2-7]_*/**/*") if path.name == path.parents[1].name}


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (["--pipelines", "ingest"], TABLES),
        (["--tags", "split"], SPLIT),
        (["--tags", "split,segment"], SPLIT | SEGMENTS),
        (["--nodes", "my_music.artist_kfold.split"], SPLIT),
        (["--namespaces", "my_music.mfcc_20", "--pipelines", "segment"], SEGMENTS),
        (["--to-outputs", "my_music.artist_kfold.split"], TABLES | SPLIT),
        (["--from-nodes", "my_music.artist_kfold.split", "--to-outputs", "my_music.artist_kfold.split"], SPLIT),
        (["--from-inputs", "my_music.tracks", "--to-nodes", "my_music.mfcc_20.segment"], SEGMENTS),
        (["--runner", "ThreadRunner", "--pipelines", "ingest,split"], TABLES | SPLIT),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_choice_of_the_pipeline_is_run(project, choice, written):
    before = versions(project)
    run("--fresh", *choice)
    assert {name for name, _ in versions(project) - before} == written


def test_a_version_that_is_asked_for_is_read(project):
    tables = project / "02_intermediate" / "my_music" / "tracks.parquet"
    splits = project / "03_primary" / "my_music" / "artist_kfold" / "split.parquet"
    first = max(tables.iterdir()).name
    write_own_clip(project / "01_raw" / "my_music" / "rock" / "new.wav", seed=7)
    run("--pipelines", "ingest,split")
    assert "rock/new" in set(pd.read_parquet(max(splits.iterdir()))["track_id"])
    run("--pipelines", "split", "--load-versions", f"my_music.tracks:{first}")
    assert "rock/new" not in set(pd.read_parquet(max(splits.iterdir()))["track_id"])


def test_parameters_are_those_of_the_run(project):
    split = project / "03_primary" / "my_music" / "artist_kfold" / "split.parquet"
    kedro("run", "--pipelines", "split", "--params", OWN.replace("n_folds=3", "n_folds=4") + ",experiment.name=own")
    assert pd.read_parquet(max(split.iterdir()))["repeat"].nunique() == 4


def test_pipelines_are_listed_and_described(monkeypatch):
    monkeypatch.setenv("GENRE_PIPELINE_EXPERIMENT", "my_music")
    assert {"ingest", "train_all", "train_bbnn", "__default__"} <= set(yaml.safe_load(kedro("registry", "list")))
    assert "my_music.ingest (ingest_dataset)" in kedro("registry", "describe", "ingest")


def test_the_catalog_is_that_of_the_experiment(monkeypatch):
    monkeypatch.setenv("GENRE_PIPELINE_EXPERIMENT", "my_music")
    described = kedro("catalog", "describe-datasets", "--pipeline", "ingest")
    assert "my_music.tracks" in described
    assert "demo." not in described
    resolved = kedro("catalog", "resolve-patterns", "--pipeline", "ingest")
    assert re.search(r"filepath: .*/08_reporting/my_music/data_cards/versions/my_music.html", resolved)
    assert "{dataset}.tracks" in kedro("catalog", "list-patterns")


@pytest.mark.parametrize("hooks", [False, True])
def test_viz_shows_the_experiment(hooks):
    """It makes a plain session of Kedro, without hooks unless it is told to use them."""
    catalog, found, _ = load_data(PROJECT_ROOT, None, hooks, None, {"experiment": {"name": "my_music"}})
    assert {node.namespace.split(".")[0] for node in found["split"].nodes} == {"my_music"}
    assert str(catalog["report"]._filepath).endswith("08_reporting/my_music/versions/report.html")
    assert "train_bbnn" in found


def test_viz_follows_the_variable(monkeypatch):
    monkeypatch.setenv("GENRE_PIPELINE_EXPERIMENT", "test")
    load_data(PROJECT_ROOT)
    assert "demo.demo_official.split" in {node.name for node in pipelines["split"].nodes}


@pytest.fixture(scope="module")
def viz(project):
    """What Kedro-Viz finds of the demo: the catalog and the pipelines."""
    with pytest.MonkeyPatch.context() as patch:
        settle(patch, project, project.parent)
        return load_data(PROJECT_ROOT, extra_params={"experiment": {"name": "demo"}})[:2]


@pytest.mark.parametrize("name", ["__default__", "train_all"])
def test_the_first_picture_of_viz_is_the_stages_in_their_order(viz, name):
    catalog, found = viz
    manager = DataAccessManager()
    populate_data(manager, catalog, {each: found[each] for each in ("__default__", "train_all", "compare")}, {})
    tree = manager.create_modular_pipelines_tree_for_registered_pipeline(name)
    nodes = manager.nodes.as_dict()
    boxes = {nodes[child.id].name for child in tree["__root__"].children if child.type != "parameters"}
    stages = ["1_ingest", "2_split", "3_segment", "4_features", "5_train", "6_evaluate", "7_compare"]
    handed_on = ["all_tracks", "all_splits", "all_segments", "all_features", "all_checkpoints", "all_results"]
    assert boxes == {*stages, *handed_on, "leaderboard", "report"}
    layers = manager.get_sorted_layers_for_registered_pipeline(name)
    assert [each for each in layers if each[0].isdigit()] == [stage.replace("_", " ") for stage in stages]


def test_viz_names_nodes_as_a_run_does(viz):
    """A command that it shows for a node can be typed; what it adds stands for all nodes of a stage."""
    _, found = viz
    run_nodes = {
        node.name for node in build_pipelines(load_configuration(experiment="demo")["parameters"])["train_all"].nodes
    }
    shown = [node.name for node in found["__default__"].nodes]
    assert {name for each in shown for name in each.split(",") if name} == run_nodes - {"stills.draw_stills"}
    assert sum("," in each for each in shown) == 7


def test_viz_puts_formats_behind_what_they_show(viz):
    catalog, found = viz
    view = found["__default__"].datasets()
    formats = {
        name: catalog[name].metadata["format_of"]
        for name in found["compare"].all_outputs() | found["ingest"].all_outputs() | found["split"].all_outputs()
        if "format_of" in (getattr(catalog[name], "metadata", None) or {})
    }
    assert formats["stills.learning_curves_png"] == formats["stills.learning_curves_svg"] == "learning_curves"
    assert view.isdisjoint(formats)
    assert view >= set(formats.values())


def test_ipython_loads_the_experiment(monkeypatch, tmp_path):
    monkeypatch.setenv("GENRE_PIPELINE_EXPERIMENT", "my_music")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    code = (
        "%load_ext kedro.ipython\n"
        "print([node.name for node in pipelines['ingest'].nodes], catalog['report']._filepath)\n"
        "%reload_kedro --params experiment.name=gtzan\n"
        "print([node.name for node in pipelines['ingest'].nodes], context.params['experiment']['name'])\n"
    )
    (tmp_path / "code.ipy").write_text(code)
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", str(tmp_path / "code.ipy")]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert "['my_music.ingest', 'my_music.write_card'] " in done.stdout, done.stdout + done.stderr
    assert "08_reporting/my_music/versions/report.html" in done.stdout
    assert "['gtzan.ingest', 'gtzan.write_card'] gtzan" in done.stdout
