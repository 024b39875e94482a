"""What hooks lend to nodes and take from them, and places to work in."""

from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Node, Pipeline

from genre_pipeline.catalog import PlaceDataset, SessionDataset, SessionFactsDataset, SplitRecordsDataset
from genre_pipeline.cells import Cell
from genre_pipeline.errors import ConfigError
from genre_pipeline.hooks import TrackingHook
from genre_pipeline.logs import CellLog
from genre_pipeline.splits import SplitRecord, read_record
from genre_pipeline.tracking import MlflowTracker
from kedro_sessions import children, new_session

CELL = Cell("demo", "folds", "log_mel", "net1")


@pytest.fixture
def tracked(client, parent):
    """The hook of a session that is tracked, and the tracker."""
    hook = TrackingHook()
    hook._tracker = MlflowTracker(client, parent.info.experiment_id, parent.info.run_id)
    return hook, hook._tracker


def node(*inputs):
    return Node(lambda *values: values, inputs=list(inputs), outputs="result", name="node")


def test_a_node_is_lent_what_it_takes_and_no_more(tracked):
    hook, tracker = tracked
    lent = hook.before_node_run(node("tracks", f"{CELL.name}.history", "session_log", "session_registry"))
    assert lent == {
        f"{CELL.name}.history": (None, None),
        "session_log": tracker.write,
        "session_registry": tracker.register_model,
    }
    assert hook.before_node_run(node("tracks", "params:seed")) == {}
    # A local database has no pages.
    assert hook.before_node_run(node("session_pages")) == {"session_pages": {}}


def test_without_tracking_nothing_is_lent_or_written(client):
    hook = TrackingHook()
    assert hook.before_node_run(node("session_log", f"{CELL.name}.history")) == {}
    hook.after_node_run(DataCatalog({}), {"log": CellLog(cell=CELL)})
    hook.after_pipeline_run(Pipeline([]), DataCatalog({}))


def test_what_a_node_logs_is_written_and_artifacts_are_attached(tracked, client, parent):
    hook, _ = tracked
    catalog = DataCatalog({"card": SessionDataset(metadata={"artifact": "cards/card.md"}), "other": SessionDataset()})
    log = CellLog(cell=CELL, tags={"unit": "track"}, session_tags={"artists_unknown": "demo.folds: 8 %"})
    hook.after_node_run(catalog, {"card": "# a card", "other": "# none", "log": log})
    (cell,) = children(client, parent)
    assert cell.data.tags["unit"] == "track"
    run = client.get_run(parent.info.run_id)
    assert run.data.tags["artists_unknown"] == "demo.folds: 8 %"
    assert [each.path for each in client.list_artifacts(run.info.run_id, "cards")] == ["cards/card.md"]


def test_nothing_is_stored_of_what_a_session_lends():
    lent = SessionDataset()
    lent.save(CellLog(cell=CELL))
    assert lent.load() is None
    assert lent.exists()


def test_the_facts_of_a_session_are_those_of_the_process_that_runs(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/kedro", "run", "--params", "a b"])
    facts = SessionFactsDataset().load()
    assert facts["command"] == "kedro run --params 'a b'"
    assert set(facts) == {"command", "created", "git_commit", "versions"}
    assert {"python", "torch", "kedro"} <= set(facts["versions"])


def test_a_place_is_a_path_that_need_not_be_there(tmp_path):
    place = PlaceDataset(filepath=str(tmp_path / "nothing"))
    assert place.load() == tmp_path / "nothing"
    with pytest.raises(DatasetError, match="is a place to work in: expected no result for it, got str"):
        place.save("something")


def test_the_record_of_a_split_is_saved_under_its_key(tmp_path):
    records = SplitRecordsDataset(filepath=str(tmp_path / "demo" / "folds"))
    units = pd.DataFrame({"track_id": ["a"], "audio_hash": [""], "genre": ["jazz"], "present": [True], "0": [0]}, ["a"])
    records.save({"key": SplitRecord(units, "hash", None)})
    assert read_record(records.load() / "key.parquet").split_hash == "hash"


@pytest.mark.parametrize(
    "entry", ["session", "session_log", "demo.folds.mfcc.svm.training", "demo.folds.split_records"]
)
def test_entries_can_be_written_as_configuration_and_read_back(entry):
    with new_session() as session:
        catalog = session.load_context().catalog
    dataset = catalog.get(entry)
    config, _, _, _ = DataCatalog({"it": dataset}).to_config()
    again = DataCatalog.from_config(config)["it"]
    assert (type(again), again._describe()) == (type(dataset), dataset._describe())


def test_a_place_follows_the_parameters_and_stays_in_the_data_folder(tmp_path):
    with new_session(storage={"models": str(tmp_path / "disk")}) as session:
        catalog = session.load_context().catalog
    assert catalog.load("demo.folds.mfcc.svm.training") == tmp_path / "disk/test/demo/folds/mfcc/svm"
    assert catalog.load("feature_library") == Path(tmp_path / "data/04_feature")
    with (
        pytest.raises(ConfigError, match="leads out of the data folder"),
        new_session(storage={"models": "../../out"}) as session,
    ):
        session.load_context()
