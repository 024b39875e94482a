"""``kedro prune`` frees what nobody needs, never what somebody trained, and what is left works."""

import json
import shutil

import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from genre_pipeline.cli import cli
from genre_pipeline.ops.refresh.place import one_refresh_at_a_time
from genre_pipeline.project import PROJECT_ROOT
from kedro_sessions import new_session, run

CELL = "demo.artist_kfold.mfcc_20.svm"
OLD = "2020-01-01T00.00.00.000Z"


@pytest.fixture
def prune(monkeypatch):
    bootstrap_project(PROJECT_ROOT)
    return lambda *arguments: CliRunner().invoke(cli, ["prune", "--keep", "1", *arguments])


@pytest.fixture
def crowded(finished_copy):
    """A finished experiment, with what may go, and what somebody trained, however it was started."""
    data = finished_copy
    models = data / "06_models"
    cells = models / "test" / "demo" / "artist_kfold" / "mfcc_20"
    may_go = [
        _version(data / "03_primary/demo/artist_kfold/split.parquet"),
        _copy(data / "04_feature" / "demo" / "mfcc_20", data / "04_feature" / "never_trained" / "mfcc_20"),
    ]
    trained = [
        # --params experiment.models, experiment.datasets with experiment.protocols, protocols.artist_kfold.n_folds.
        _copy(cells / "svm", cells / "another_model"),
        _copy(cells / "svm", models / "base" / "my_music" / "artist_kfold" / "mfcc_20" / "svm"),
        _copy(cells / "svm" / "repeat_00", cells / "svm" / "repeat_07"),
        # An experiment whose file was removed since, with a dataset of its own.
        _copy(cells / "svm", models / "removed" / "gone" / "folds" / "mfcc_20" / "svm"),
        _copy(data / "04_feature" / "demo" / "mfcc_20", data / "04_feature" / "gone" / "mfcc_20"),
    ]
    # A training that another one replaced, and that no version names any more.
    may_go.insert(1, _copy(cells / "svm" / "repeat_00", cells / "svm" / f"repeat_00.{'0' * 16}"))
    return data, may_go, trained


def _version(entry):
    newest = max(entry.glob("*"))
    return _copy(newest, entry / OLD)


def _copy(source, target):
    shutil.copytree(source, target)
    return target


def test_what_is_left_over_goes_and_what_was_trained_stays_and_works(crowded, prune):
    data, may_go, trained = crowded
    told = prune("--dry-run")
    assert told.exit_code == 0, told.output
    assert "would be freed" in told.output
    assert all(path.exists() for path in [*may_go, *trained])

    with one_refresh_at_a_time():
        refused = prune("--yes")
    assert refused.exit_code == 1
    assert "is refreshing" in refused.output
    assert all(path.exists() for path in may_go)

    done = prune("--yes")
    assert done.exit_code == 0, done.output
    assert not any(path.exists() for path in may_go)
    assert all(path.exists() for path in trained)
    *listed, freed = done.output.splitlines()
    assert len(listed) == len(may_go)
    assert all(str(path.relative_to(data)) in line for path, line in zip(may_go, listed, strict=True))
    assert freed.endswith("freed.")
    assert prune("--dry-run").output == "Nothing is left over.\n"

    # The last report, and a model, are what they were.
    catalog = new_session().load_context().catalog
    tracks = catalog.load("demo.tracks")
    audio = data / "01_raw" / "demo" / tracks.loc[~tracks["quarantined"], "path"].iloc[0]
    run("predict", predict={"cell": CELL, "repeat": 1, "audio": [str(audio)]})
    assert (data / "07_model_output" / "test" / "predicted_genres.csv").exists()
    assert "svm" in catalog.load("report_markdown")
    assert len(catalog.load("demo.artist_kfold.split")) > 0
    assert json.loads(json.dumps(catalog.load(f"{CELL}.results")))["cell"]["model"] == "svm"


def test_nothing_is_deleted_without_a_yes(crowded, prune):
    _, may_go, trained = crowded
    asked = CliRunner().invoke(cli, ["prune", "--keep", "1"], input="n\n")
    assert asked.exit_code == 1
    assert "Delete them, and free" in asked.output
    assert all(path.exists() for path in [*may_go, *trained])


def test_at_least_one_version_is_kept():
    assert CliRunner().invoke(cli, ["prune", "--keep", "0"]).exit_code == 2
