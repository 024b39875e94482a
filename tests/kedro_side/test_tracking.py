"""Runs of MLflow: their tree, what they hold, and how they end."""

import json
import logging
import math
import pickle
import unicodedata
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import mlflow
import pandas as pd
import pytest
from matplotlib.figure import Figure

from genre_pipeline.cells import Cell
from genre_pipeline.errors import StorageError
from genre_pipeline.logs import CellLog, RunLog
from genre_pipeline.pipelines.evaluate.logs import genre_keys
from genre_pipeline.tracking import MlflowTracker, close_runs, close_runs_of_the_dead
from genre_pipeline.tracking import tracker as tracker_module
from genre_pipeline.tracking.system import watch_system
from genre_pipeline.tracking.tracker import owner_tags
from genre_pipeline.work.processes import Owner
from kedro_sessions import children

CELL = Cell("demo", "folds", "log_mel", "net1")
OTHER = Cell("demo", "folds", "log_mel", "net2")


@pytest.fixture
def tracker(client, parent):
    return MlflowTracker(client, parent.info.experiment_id, parent.info.run_id)


def log_repeat(tracker, repeat, metrics, *, cell=CELL, ends="FINISHED", **tags):
    tracker.write(CellLog(cell=cell, repeats={repeat: RunLog(metrics=metrics, tags=tags, ends=ends)}))


@pytest.fixture
def get_run(client):
    """A function that reads a run again, by id or of a cell."""
    return lambda run: client.get_run(run if isinstance(run, str) else run.run_id)


def test_a_session_has_a_run_a_cell_and_a_run_a_repeat(tracker, client, parent):
    for cell in (CELL, OTHER):
        for repeat in (0, 1):
            log_repeat(tracker, repeat, {"test_track_accuracy": 0.5}, cell=cell, seed=repeat)
    tracker.close("FINISHED")
    cells = children(client, parent)
    assert [run.info.run_name for run in cells] == ["folds · net1 · demo", "folds · net2 · demo"]
    for cell, run in zip((CELL, OTHER), cells, strict=True):
        assert run.data.tags | {"level": "cell"} == run.data.tags
        assert {name: run.data.tags[name] for name in ("dataset", "protocol", "feature", "model")} == vars(cell)
        repeats = children(client, run)
        assert [each.info.run_name for each in repeats] == [f"repeat {i} · {run.info.run_name}" for i in (0, 1)]
        assert [each.data.tags["repeat"] for each in repeats] == ["0", "1"]
        assert [each.data.tags["seed"] for each in repeats] == ["0", "1"]
        assert {each.data.tags["level"] for each in repeats} == {"repeat"}
        assert {each.data.tags["model"] for each in repeats} == {cell.model}


def test_a_cell_has_one_run(tracker, client, parent):
    assert tracker.cell_run(CELL) is tracker.cell_run(CELL)
    assert len(children(client, parent)) == 1


def test_a_copy_in_another_process_writes_to_the_same_runs(tracker, client, parent):
    copy = pickle.loads(pickle.dumps(tracker))
    copy.cell_run(CELL).log_epoch(0, 1, {"train_loss": 1.0})
    copy.cell_run(CELL).flush()
    log_repeat(tracker, 0, {"test_track_accuracy": 0.5})
    (cell,) = children(client, parent)
    (repeat,) = children(client, cell)
    assert repeat.info.status == "FINISHED"
    assert repeat.data.metrics == {"train_loss": 1.0, "test_track_accuracy": 0.5}


def test_closing_ends_what_copies_have_opened(tracker, client, parent):
    pickle.loads(pickle.dumps(tracker)).cell_run(CELL).log_params({"seed": 0}, repeat=0)
    tracker.close("KILLED")
    (cell,) = children(client, parent)
    (repeat,) = children(client, cell)
    assert (cell.info.status, repeat.info.status) == ("KILLED", "KILLED")


def test_nothing_is_logged_to_the_active_run(tracker, client, parent, database, get_run):
    mlflow.set_tracking_uri(database)
    with mlflow.start_run(run_id=parent.info.run_id):
        run = tracker.cell_run(CELL)
        run.log_params({"seed": 1})
        run.log_metrics({"test_track_accuracy": 0.5})
        log_repeat(tracker, 0, {"test_track_accuracy": 0.5})
        run.finish()
    data = get_run(parent.info.run_id).data
    assert data.params == {}
    assert data.metrics == {}


def test_parameters_are_one_a_field(tracker, get_run):
    run = tracker.cell_run(CELL)
    many = {f"field_{index:03d}": index for index in range(230)}
    run.log_params({"model": {"training": {"batch_size": 50}}, "seed": 0, "genres": None, "many": many})
    params = get_run(run).data.params
    assert params["model.training.batch_size"] == "50"
    assert params["seed"] == "0"
    assert params["genres"] == "None"
    assert len(params) == 233


def test_long_parameters_are_cut(tracker, get_run):
    run = tracker.cell_run(CELL)
    run.log_params({"path": "x" * 10_000})
    assert get_run(run).data.params["path"] == "x" * 6000


def test_epochs_are_steps_of_the_repeat(tracker, client, parent):
    run = tracker.cell_run(CELL)
    for epoch in (1, 2, 3):
        run.log_epoch(0, epoch, {"train_loss": 1.0 / epoch, "validation_loss": math.nan})
    log_repeat(tracker, 0, {"test_track_accuracy": 0.5})
    (repeat,) = children(client, client.get_run(run.run_id))
    history = client.get_metric_history(repeat.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5), (3, 1.0 / 3)]
    assert repeat.data.metrics == {"train_loss": 1.0 / 3, "test_track_accuracy": 0.5}
    assert repeat.info.status == "FINISHED"


def test_epochs_are_written_while_training_goes_on(tracker, client, monkeypatch):
    run = tracker.cell_run(CELL)
    run.log_epoch(0, 1, {"train_loss": 1.0})
    assert children(client, client.get_run(run.run_id)) == []
    monkeypatch.setattr(tracker_module, "_FLUSH_S", 0.0)
    run.log_epoch(0, 2, {"train_loss": 0.5})
    (repeat,) = children(client, client.get_run(run.run_id))
    assert repeat.info.status == "RUNNING"
    assert [point.step for point in client.get_metric_history(repeat.info.run_id, "train_loss")] == [1, 2]


def test_more_points_than_one_request_takes(tracker, client):
    run = tracker.cell_run(CELL)
    for epoch in range(1, 1203):
        run.log_epoch(0, epoch, {"train_loss": 0.0})
    run.finish()
    (repeat,) = children(client, client.get_run(run.run_id))
    assert len(client.get_metric_history(repeat.info.run_id, "train_loss")) == 1202


def test_numbers_that_are_not_finite_are_left_out(tracker, get_run):
    run = tracker.cell_run(CELL)
    run.log_metrics({"a": 0.5, "b": math.nan, "c": math.inf, "d": 2})
    assert get_run(run).data.metrics == {"a": 0.5, "d": 2.0}


def test_a_curve_has_one_point_an_epoch(tracker, client):
    values = {1: 3.0, 2: math.nan, 3: 1.0}
    tracker.write(CellLog(cell=CELL, epochs={epoch: {"train_loss": value} for epoch, value in values.items()}))
    history = client.get_metric_history(tracker.cell_run(CELL).run_id, "train_loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (3, 1.0)]


def test_tags_and_artifacts(tracker, client, parent, tmp_path):
    run = tracker.cell_run(CELL)
    table = pd.DataFrame({"track_id": ["a"], "right": [True]})
    files = {"result.json": {"genres": ["jazz"]}, "confusion.png": Figure(), "outcomes.parquet": table}
    with mpl.rc_context({"figure.dpi": 20}):
        tracker.write(CellLog(cell=CELL, tags={"leaky": False, "split_hash": "ab"}, files=files))
    for name, content in {"report.html": "<p>", "robustness.csv": table}.items():
        tracker.log_artifact(content, name)
    tags = client.get_run(run.run_id).data.tags
    assert tags["leaky"] == "False"
    assert tags["split_hash"] == "ab"
    assert sorted(each.path for each in client.list_artifacts(run.run_id)) == sorted(files)
    assert sorted(each.path for each in client.list_artifacts(parent.info.run_id)) == ["report.html", "robustness.csv"]
    local = client.download_artifacts(run.run_id, "result.json", str(tmp_path))
    assert json.loads(Path(local).read_text()) == {"genres": ["jazz"]}
    local = client.download_artifacts(run.run_id, "outcomes.parquet", str(tmp_path))
    pd.testing.assert_frame_equal(pd.read_parquet(local), table)
    local = client.download_artifacts(parent.info.run_id, "robustness.csv", str(tmp_path))
    assert Path(local).read_text() == "track_id,right\na,True\n"


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_open_runs_end_with_the_session(tracker, client, parent, get_run, status):
    run = tracker.cell_run(CELL)
    log_repeat(tracker, 0, {})
    run.log_epoch(1, 1, {"train_loss": 1.0})
    tracker.close(status)
    assert get_run(run).info.status == status
    first, second = children(client, get_run(run))
    assert first.info.status == "FINISHED"
    assert second.info.status == status
    assert second.data.metrics == {"train_loss": 1.0}
    # The session's own run is kedro-mlflow's to close.
    assert get_run(parent.info.run_id).info.status == "RUNNING"


def test_a_finished_cell_stays_finished(tracker, get_run):
    run = tracker.cell_run(CELL)
    run.finish()
    tracker.close("FAILED")
    assert get_run(run).info.status == "FINISHED"


def test_an_interruption_ends_the_session_too(tracker, client, parent, database, get_run):
    mlflow.set_tracking_uri(database)
    mlflow.start_run(run_id=parent.info.run_id)
    run = tracker.cell_run(CELL)
    close_runs(tracker, "KILLED")
    assert mlflow.active_run() is None
    assert get_run(run).info.status == "KILLED"
    assert get_run(parent.info.run_id).info.status == "KILLED"


def test_a_failed_repeat_is_marked_and_keeps_its_curves(tracker, client, get_run):
    run = tracker.cell_run(CELL)
    run.log_epoch(0, 1, {"train_loss": 0.5})
    log_repeat(tracker, 0, {}, ends="FAILED", failure="The loss is nan.", seed=3)
    run.finish()
    (repeat,) = children(client, get_run(run))
    assert (repeat.info.status, get_run(run).info.status) == ("FAILED", "FINISHED")
    assert repeat.data.tags | {"failure": "The loss is nan.", "seed": "3"} == repeat.data.tags
    assert repeat.data.metrics == {"train_loss": 0.5}


class Watch:
    """A monitor of MLflow that only says whether it runs."""

    def __init__(self, run_id):
        self.run_id = run_id
        self.heard = []

    def start(self):
        self.heard.append("start")

    def finish(self):
        self.heard.append("finish")


def test_the_machine_is_watched_until_the_session_ends(client, parent, monkeypatch):
    monkeypatch.setattr("mlflow.system_metrics.system_metrics_monitor.SystemMetricsMonitor", Watch)
    monitor = watch_system(parent.info.run_id)
    assert (monitor.run_id, monitor.heard) == (parent.info.run_id, ["start"])
    MlflowTracker(client, parent.info.experiment_id, parent.info.run_id, monitor=monitor).close("FINISHED")
    assert monitor.heard == ["start", "finish"]


def test_every_genre_has_a_metric_of_its_own(tracker, get_run):
    """Names whose characters MLflow does not take, which are too long, or which look like folders."""
    hindi = ["हिप", "हाप"]  # They differ in vowel signs, which are no letters to MLflow.
    spellings = ["R&B", "R+B", "R_B", unicodedata.normalize("NFD", "bébé"), "bébé"]
    genres = ["流行", "摇滚", *hindi, "🎸", "🥁", *spellings, ".", "..", "x" * 255, "x" * 254]
    keys = genre_keys(genres)
    cell = tracker.cell_run(CELL)
    cell.log_metrics({f"test_segment_precision/{keys[genre]}": i for i, genre in enumerate(genres)})
    logged = get_run(cell).data.metrics
    assert sorted(logged.values()) == list(range(len(genres)))
    assert [logged[f"test_segment_precision/{genre}"] for genre in ("流行", "摇滚", "R_B", "bébé")] == [0, 1, 8, 10]
    assert genre_keys(["Old-Time / Historic", "jazz"]) == {"Old-Time / Historic": "Old-Time _ Historic", "jazz": "jazz"}


def test_a_tag_of_the_session_gathers_values(tracker, client, parent):
    for value in ("b.folds: 8.1 %", "a.folds: 100 %", "b.folds: 8.1 %"):
        tracker.add_to_tag("artists_unknown", value)
    assert client.get_run(parent.info.run_id).data.tags["artists_unknown"] == "a.folds: 100 %, b.folds: 8.1 %"


class TestOwners:
    """Who is gone: processes that ended, or earlier ones of a number that another has now."""

    THIS = Owner.this_process()
    DEAD = replace(THIS, process_start=1)

    def session(self, client, experiment, owner):
        """Open the runs of a session, a cell and a repeat, and return them."""
        tags = owner_tags(owner)
        session = client.create_run(experiment, run_name="session", tags=tags)
        tracker = MlflowTracker(client, experiment, session.info.run_id, tags)
        cell = tracker.cell_run(CELL)
        cell.log_params({"seed": 1}, repeat=0)
        (repeat,) = children(client, client.get_run(cell.run_id))
        return [session.info.run_id, cell.run_id, repeat.info.run_id]

    def states(self, client, runs):
        return [client.get_run(run).info.status for run in runs]

    def test_the_runs_of_a_dead_process_are_closed_and_named_once(self, client, parent, caplog):
        experiment = parent.info.experiment_id
        runs = self.session(client, experiment, self.DEAD)
        close_runs_of_the_dead(client, experiment)
        assert self.states(client, runs) == ["KILLED"] * 3
        assert caplog.messages == [
            f"MLflow: 3 runs were left open by killed processes ({self.DEAD.pid}); they are closed as KILLED."
        ]
        caplog.clear()
        close_runs_of_the_dead(client, experiment)
        assert caplog.messages == []

    @pytest.mark.parametrize(
        "owner",
        [
            THIS,
            replace(DEAD, host="elsewhere.example"),
            replace(DEAD, machine="another container"),
            replace(THIS, pid=2**30, process_start=None),
        ],
        ids=["living", "other machine", "other container", "start unknown"],
    )
    def test_no_others_are(self, client, parent, owner, caplog):
        runs = self.session(client, parent.info.experiment_id, owner)
        close_runs_of_the_dead(client, parent.info.experiment_id)
        assert self.states(client, runs) == ["RUNNING"] * 3
        assert caplog.messages == []

    def test_what_is_finished_stays_so(self, client, parent):
        experiment = parent.info.experiment_id
        session, cell, repeat = self.session(client, experiment, self.DEAD)
        client.set_terminated(repeat)
        close_runs_of_the_dead(client, experiment)
        assert self.states(client, [session, cell, repeat]) == ["KILLED", "KILLED", "FINISHED"]


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_runs_that_cannot_be_closed_hide_no_error(tracker, monkeypatch, status, caplog):
    def close(_):
        raise StorageError("Cannot write mlflow.db: the disk is full.")

    monkeypatch.setattr(tracker, "close", close)
    with caplog.at_level(logging.WARNING):
        close_runs(tracker, status)
    assert "(Cannot write mlflow.db: the disk is full.): the next session closes them." in caplog.text


def test_a_child_process_goes_on_with_the_runs_that_others_opened(tracker, client, parent):
    """As with a runner of processes, each of which has a copy of the tracker."""
    copies = [pickle.loads(pickle.dumps(tracker)) for _ in range(2)]
    for epoch, copy in enumerate(copies, start=1):
        copy.write(CellLog(cell=CELL, repeats={0: RunLog(epochs={epoch: {"train_loss": 1.0}})}))
        copy.cell_run(CELL).flush()
    (cell,) = children(client, parent)
    (repeat,) = children(client, cell)
    assert [point.step for point in client.get_metric_history(repeat.info.run_id, "train_loss")] == [1, 2]
    assert repeat.info.status == "RUNNING"
    tracker.close("FINISHED")
    assert [client.get_run(run.info.run_id).info.status for run in (cell, repeat)] == ["FINISHED", "FINISHED"]
