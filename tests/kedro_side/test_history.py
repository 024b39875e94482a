"""Runs that were tracked are found again, and read as they were logged."""

import logging
import math
import os
import shutil

import mlflow
import pytest

from genre_pipeline.cells import Cell
from genre_pipeline.errors import TrackingError
from genre_pipeline.evaluation.run_changes import compare_sessions
from genre_pipeline.logs import OUTCOMES, CellLog
from genre_pipeline.pipelines.evaluate.nodes import compare_with_previous
from genre_pipeline.tracking import RunHistory
from genre_pipeline.tracking import history as history_module
from genre_pipeline.tracking.tracker import MlflowTracker
from invented_runs import answers

CELL = Cell("demo", "folds", "mfcc_20", "svm")
OTHER = Cell("demo", "folds", "mfcc_20", "naive_bayes")
METRICS = {"test_track_accuracy": 0.5, "test_track_accuracy_ci_low": 0.4, "test_track_accuracy_ci_high": 0.6}
TAGS = {"split_hash": "aaaa", "dataset_fingerprint": "bbbb", "leaky": False, "subset": "", "design": "kfold"}


@pytest.fixture
def client(empty_data):
    """A client of a database of the test's own."""
    return mlflow.MlflowClient(f"sqlite:///{empty_data}/mlflow/mlflow.db")


@pytest.fixture
def experiment_id(client, tmp_path):
    return client.create_experiment(tmp_path.name, artifact_location=(tmp_path / "artifacts").as_uri())


@pytest.fixture
def history(client, experiment_id):
    return RunHistory(client, [experiment_id])


@pytest.fixture
def track(client, experiment_id):
    """A function that tracks a session with its cells; each begins a second after the one before."""
    times = iter(range(1_700_000_000_000, 1_800_000_000_000, 1000))

    def track_session(*cells, experiment="base", status="FINISHED", metrics=METRICS, name="base · train_all"):
        tags = {"experiment": experiment, "git_commit": "c0ffee"}
        run = client.create_run(experiment_id, start_time=next(times), run_name=name, tags={"level": "session", **tags})
        tracker = MlflowTracker(client, experiment_id, run.info.run_id, tags)
        for cell in cells:
            cell_run = tracker.cell_run(cell)
            cell_run.set_tags(TAGS)
            cell_run.log_params({"model": {"c": 1.0}, "seed": 0})
            if metrics is None:  # trained only
                cell_run.finish()
                continue
            cell_run.set_tags({"statistic": "mean of 2 repeats (kfold)"})
            cell_run.log_metrics({**metrics, "tracks/n_test_tracks": 24.0, "tracks/test_ratio": 0.25})
            cell_run.finish("FINISHED" if metrics else "FAILED")
        if status is not None:
            client.set_terminated(run.info.run_id, status=status)
        return run.info.run_id

    return track_session


def test_a_session_is_read_as_it_was_logged(history, track):
    run_id = track(CELL, OTHER)
    session = history.find(run_id, "base")
    assert (session.run_id, session.name, session.experiment) == (run_id, "base · train_all", "base")
    assert (session.started, session.status, session.commit) == ("2023-11-14 22:13 UTC", "FINISHED", "c0ffee")
    assert set(session.cells) == {CELL, OTHER}
    cell = session.cells[CELL]
    assert cell.cell == CELL
    assert cell.parameters == {"model.c": "1.0", "seed": "0"}
    assert cell.metrics == METRICS
    assert cell.data == {
        "split_hash": "aaaa",
        "dataset_fingerprint": "bbbb",
        "leaky": "False",
        "subset": "",
        "n_test_tracks": "24",
    }
    assert (cell.commit, cell.design, cell.test_ratio) == ("c0ffee", "kfold", 0.25)
    assert cell.outcomes is None


def test_a_cell_that_failed_is_there_and_one_that_was_only_trained_is_not(history, track):
    assert history.find(track(CELL, metrics={}), "base").cells[CELL].metrics == {}
    assert history.find(track(CELL, metrics=None), "base").cells == {}


class TestFinding:
    def test_by_position(self, history, track):
        ids = [track(CELL) for _ in range(3)]
        track(CELL, experiment="gtzan6")
        track(CELL, status="FAILED")
        track(CELL, status=None)
        track(CELL, metrics=None)
        track()
        names = ["latest", "latest~0", "previous", "latest~1", "previous~1", "latest~2"]
        assert [ids.index(history.find(name, "base").run_id) for name in names] == [2, 2, 1, 1, 0, 0]
        with pytest.raises(TrackingError, match=r"no run 'latest~3': of the experiment 'base', 3 finished sessions"):
            history.find("latest~3", "base")
        with pytest.raises(TrackingError, match=r"no run 'previous': of the experiment 'gtzan6', 1 finished"):
            history.find("previous", "gtzan6")

    def test_by_the_first_digits_of_its_id(self, history, track):
        run_id = track(CELL, status="FAILED", experiment="gtzan6")
        assert history.find(run_id[:12], "base").run_id == run_id

    def test_by_a_cells_run(self, history, track):
        run_id = track(CELL, OTHER)
        cell_run = history.find(run_id, "base").cells[OTHER].run_id
        found = history.find(cell_run, "base")
        assert (found.run_id, set(found.cells)) == (run_id, {OTHER})

    def test_by_its_name_the_newest(self, history, track):
        ids = [track(CELL, name="tried") for _ in range(2)]
        assert history.find("tried", "base").run_id == ids[1]
        assert set(history.find("folds · svm · demo", "base").cells) == {CELL}

    def test_several_of_the_same_digits(self, history, track, monkeypatch):
        ids = sorted(track(CELL) for _ in range(2))
        runs = [history._client.get_run(each) for each in ids]
        monkeypatch.setattr(history, "search", lambda query: iter(runs if "session" in query else []))
        with pytest.raises(TrackingError, match=rf"Several runs begin with 'abcd': {ids[0]}, {ids[1]}"):
            history.find("abcd", "base")

    @pytest.mark.parametrize("reference", ["abcdef12", "nothing", "it's", "latest~x", ""])
    def test_of_what_is_not_there_it_says_what_is_expected(self, history, track, reference):
        track(CELL)
        with pytest.raises(TrackingError, match=f"no run '{reference}'. Expected latest, previous, latest~N"):
            history.find(reference, "base")


class TestLastPairs:
    """Each cell beside its own run before, by the runs of the sessions that they were in."""

    @staticmethod
    def pairs(history, experiment="base", pattern="*"):
        return [
            (before and before.run_id, after.run_id, set(after.cells))
            for before, after in history.last_pairs(experiment, pattern)
        ]

    def test_a_narrowed_session_in_between_hides_nothing(self, history, track):
        first, narrowed, last = track(CELL, OTHER), track(OTHER), track(CELL, OTHER)
        assert self.pairs(history) == [(first, last, {CELL}), (narrowed, last, {OTHER})]
        # Also where the last session is the narrowed one.
        newest = track(OTHER)
        assert self.pairs(history) == [(first, last, {CELL}), (last, newest, {OTHER})]

    def test_another_experiment_in_between_counts_for_nothing(self, history, track):
        first = track(CELL)
        other = track(CELL, experiment="gtzan6")
        last = track(CELL)
        track(CELL, experiment="gtzan6", status="FAILED")
        assert self.pairs(history) == [(first, last, {CELL})]
        assert self.pairs(history, "gtzan6") == [(None, other, {CELL})]

    def test_sessions_that_did_not_finish_or_evaluate_count_for_nothing(self, history, track):
        first, last = track(CELL), track(CELL)
        track(CELL, status="FAILED")
        track(CELL, metrics=None)
        track(CELL, status=None)
        track()
        assert self.pairs(history) == [(first, last, {CELL})]

    def test_what_failed_is_compared_with_the_last_that_did_not(self, history, track):
        first = track(CELL)
        track(CELL, metrics={})
        last = track(CELL, metrics={})
        assert self.pairs(history) == [(first, last, {CELL})]

    def test_new_tracks_are_named_and_the_cell_is_compared_all_the_same(self, client, history, track):
        first, last = track(CELL), track(OTHER) and track(CELL)
        answered = {first: [False] * 12 + [True] * 4, last: [True] * 20}
        for session, right in answered.items():
            run_id = history.find(session, "base").cells[CELL].run_id
            tables = MlflowTracker(client, history._experiment_ids[0], session).cell_run(CELL)
            tables.write(CellLog(cell=CELL, files={OUTCOMES: answers(right)}, tags={"split_hash": session}))
            assert tables.run_id == run_id
        ((before, after),) = [pair for pair in history.last_pairs("base") if CELL in pair[1].cells]
        (change,) = compare_sessions(before, after, n_resamples=199).cells
        assert (change["verdict"], change["metrics"][0]["n_tracks"]) == ("improvement", 16)
        assert change["metrics"][0]["difference"] == 0.75
        assert [(each["key"], each["before"], each["after"]) for each in change["changes"]] == [
            ("split_hash", first, last),
            ("tracks", "16", "20 (4 new)"),
        ]

    def test_only_cells_of_a_pattern(self, history, track):
        track(CELL, OTHER)
        last = track(CELL, OTHER)
        assert [cells for _, _, cells in self.pairs(history, pattern="*.svm")] == [{CELL}]
        with pytest.raises(TrackingError, match=r"evaluated no cell like 'x\*'. It evaluated: demo.folds.*naive_bayes"):
            history.last_pairs("base", "x*")
        assert history.find("latest", "base").run_id == last

    def test_there_may_be_none(self, history, track):
        track(CELL, status="KILLED")
        with pytest.raises(TrackingError, match="No finished session of the experiment 'base' evaluated a cell"):
            history.last_pairs("base")

    def test_pages_are_turned(self, history, track, monkeypatch):
        monkeypatch.setattr(history_module, "_PAGE", 1)
        first, last = track(CELL), track(CELL)
        track(CELL, status="FAILED")
        assert self.pairs(history) == [(first, last, {CELL})]


class TestTracker:
    def test_it_knows_what_was_and_what_is(self, client, experiment_id, track):
        tags = {"experiment": "base"}
        tracker = MlflowTracker(client, experiment_id, track(), tags)
        run = tracker.cell_run(CELL)
        run.set_tags({**TAGS, "statistic": "mean of 2 repeats (kfold)"})
        assert tracker.history(CELL)[0] is None
        earlier = RunHistory(client, [experiment_id]).find(track(CELL), "base").cells[CELL]
        before, after = tracker.history(CELL)
        assert (before.run_id, after.run_id) == (earlier.run_id, run.run_id)
        assert math.isnan(after.test_ratio)

    def test_a_cell_that_the_session_did_not_evaluate_has_its_last_two_runs(self, client, experiment_id, track):
        first, last = track(CELL), track(CELL)
        tracker = MlflowTracker(client, experiment_id, track(status=None), {"experiment": "base"})
        find = RunHistory(client, [experiment_id]).find
        expected = [find(session, "base").cells[CELL].run_id for session in (first, last)]
        assert [each.run_id for each in tracker.history(CELL)] == expected

    def test_outside_a_session_nothing_is_known(self):
        change, _ = compare_with_previous({}, {}, None, cell=CELL)
        assert (change["verdict"], change["before"]) == ("new", None)

    def test_a_regression_is_a_tag_that_can_be_searched_for(self, client, experiment_id, track):
        before = track(CELL)
        tracker = MlflowTracker(client, experiment_id, track(status=None), {"experiment": "base"})
        run = tracker.cell_run(CELL)
        run.set_tags({**TAGS, "split_hash": "cccc", "statistic": "mean of 2 repeats (kfold)"})
        run.log_metrics({key: value / 4 for key, value in METRICS.items()})
        change, log = compare_with_previous({}, {"confidence": 0.95}, tracker.history(CELL), cell=CELL)
        tracker.write(log)
        assert change["verdict"] == "regression"
        assert [each["key"] for each in change["changes"]][-1] == "git_commit"
        (found,) = client.search_runs([experiment_id], "tags.regression = 'True'")
        earlier = RunHistory(client, [experiment_id]).find(before, "base").cells[CELL]
        assert found.info.run_id == run.run_id
        assert found.data.tags["previous_run_id"] == earlier.run_id == change["before"]
        assert found.data.tags["since_previous"] == "regression"


class TestOutcomes:
    @pytest.fixture
    def logged(self, client, experiment_id, track):
        tracker = MlflowTracker(client, experiment_id, track())
        run = tracker.cell_run(CELL)
        run.write(CellLog(cell=CELL, files={OUTCOMES: answers([True, False, True])}))
        return run.run_id

    @pytest.mark.parametrize("switch", [None, "true"])
    def test_they_come_back_without_a_word(self, history, logged, monkeypatch, capfd, switch):
        name = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
        monkeypatch.delenv(name, raising=False)
        if switch is not None:
            monkeypatch.setenv(name, switch)
        capfd.readouterr()
        assert history.cell(logged).outcomes.equals(answers([True, False, True]))
        assert os.environ.get(name) == switch
        assert capfd.readouterr() == ("", "")

    def test_what_cannot_be_read_is_told_of(self, history, logged, tmp_path, caplog):
        (path,) = tmp_path.rglob(OUTCOMES)
        path.write_bytes(b"no table")
        with caplog.at_level(logging.WARNING):
            assert history.cell(logged).outcomes is None
        assert f"of run {logged} cannot be read" in caplog.text

    def test_what_is_deleted_is_not_missed(self, history, logged, tmp_path):
        shutil.rmtree(tmp_path / "artifacts")
        assert history.cell(logged).outcomes is None
