"""``kedro prune`` frees what nobody needs, and what is left works."""

import json
import shutil

import mlflow
import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from genre_pipeline.cli import cli
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.refresh.place import one_refresh_at_a_time
from genre_pipeline.tracking.model_registry import FINGERPRINT
from genre_pipeline.training import Checkpoint
from kedro_sessions import new_session, run

CELL = "demo.artist_kfold.mfcc_20.svm"
OLD = "2020-01-01T00.00.00.000Z"


@pytest.fixture
def prune(monkeypatch):
    bootstrap_project(PROJECT_ROOT)
    return lambda *arguments: CliRunner().invoke(cli, ["prune", "--keep", "1", *arguments])


@pytest.fixture
def crowded(finished_copy):
    """A finished experiment, with what may go and what must not."""
    data = finished_copy
    cells = data / "06_models" / "test" / "demo" / "artist_kfold" / "mfcc_20"
    paths = {
        "a version": _version(data / "03_primary/demo/artist_kfold/split.parquet"),
        "a repeat": _copy(cells / "svm" / "repeat_00", cells / "svm" / "repeat_07"),
        "a cell": _copy(cells / "svm", cells / "gone"),
        "a registered cell": _copy(cells / "naive_bayes", cells / "kept"),
        "a store": _copy(data / "04_feature" / "demo" / "mfcc_20", data / "04_feature" / "gone" / "mfcc_20"),
    }
    client = mlflow.MlflowClient(f"sqlite:///{data}/mlflow/mlflow.db")
    client.create_registered_model("any")
    fingerprint = Checkpoint.open(paths["a registered cell"] / "repeat_00").fingerprint
    client.create_model_version("any", source=str(data), tags={FINGERPRINT: fingerprint})
    return data, paths


def _version(entry):
    newest = max(entry.glob("*"))
    return _copy(newest, entry / OLD)


def _copy(source, target):
    shutil.copytree(source, target)
    return target


def test_what_is_left_over_goes_and_what_is_left_works(crowded, prune):
    data, paths = crowded
    told = prune("--dry-run")
    assert told.exit_code == 0, told.output
    assert "would be freed" in told.output
    assert all(path.exists() for path in paths.values())

    with one_refresh_at_a_time():
        refused = prune("--yes")
    assert refused.exit_code == 1
    assert "is refreshing" in refused.output
    assert all(path.exists() for path in paths.values())

    done = prune("--yes")
    assert done.exit_code == 0, done.output
    kept = {name for name, path in paths.items() if path.exists()}
    assert kept == {"a registered cell"}
    for path in paths.values():
        assert (path.name in done.output) == (path != paths["a registered cell"])
    assert prune("--dry-run").output == "Nothing is left over.\n"

    # The last report, and a model, are what they were.
    audio = next((data / "01_raw" / "demo").rglob("*.wav"))
    run("predict", predict={"cell": CELL, "repeat": 1, "audio": [str(audio)]})
    assert (data / "07_model_output" / "predicted_genres.csv").exists()
    catalog = new_session("test").load_context().catalog
    assert "svm" in catalog.load("report_markdown")
    assert len(catalog.load("demo.artist_kfold.split")) > 0
    assert json.loads(json.dumps(catalog.load(f"{CELL}.results")))["cell"]["model"] == "svm"


def test_nothing_is_deleted_without_a_yes(crowded, prune):
    _, paths = crowded
    asked = CliRunner().invoke(cli, ["prune", "--keep", "1"], input="n\n")
    assert asked.exit_code == 1
    assert "Delete them, and free" in asked.output
    assert all(path.exists() for path in paths.values())


def test_at_least_one_version_is_kept():
    assert CliRunner().invoke(cli, ["prune", "--keep", "0"]).exit_code == 2
