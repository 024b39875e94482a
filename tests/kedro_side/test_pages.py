"""Links to MLflow's pages, and the view of the runs that is saved there."""

import json

import mlflow
import pytest

from genre_pipeline.cells import Cell
from genre_pipeline.errors import TrackingError
from genre_pipeline.logs import CellLog, ServedModel
from genre_pipeline.project import sqlite_uri
from genre_pipeline.tracking import MlflowTracker, runs_page
from genre_pipeline.tracking.pages import cell_pages, save_view
from genre_pipeline.tracking.tracker import NOTE
from genre_pipeline.tracking.transfer import export_session, import_sessions
from kedro_sessions import children, copy_database, sessions_of

CELL = Cell("demo", "folds", "log_mel", "net1")


class TestLink:
    def test_it_opens_the_saved_view_of_the_experiment(self, database, parent, tmp_path):
        page = f"http://127.0.0.1:5000/#/experiments/{parent.info.experiment_id}/runs"
        found = runs_page(database, tmp_path.name)
        assert found == f"{page}?workflowType=machine_learning&viewStateShareKey=cells"

    @pytest.mark.parametrize("place", ["missing.db", "damaged.db"])
    def test_without_a_run_it_opens_the_list_of_experiments(self, tmp_path, place):
        (tmp_path / "damaged.db").write_bytes(b"no database" * 100)
        found = runs_page(sqlite_uri(tmp_path / place), "genre_pipeline")
        assert found == "http://127.0.0.1:5000/#/experiments?workflowType=machine_learning"
        assert not (tmp_path / "missing.db").exists()

    def test_the_link_to_a_server_holds_no_password(self):
        assert runs_page("https://me:secret@mlflow.example.org/", "demo").startswith("https://mlflow.example.org/#/")

    def test_a_cell_has_the_page_of_its_newest_run_on_a_server_without_the_password(self, client, parent):
        experiment_id = parent.info.experiment_id
        coordinates = {"dataset": "demo", "protocol": "folds", "feature": "log_mel", "model": "net1"}
        runs = [
            client.create_run(
                experiment_id, start_time=time, tags={"level": level, "experiment": experiment, **coordinates}
            )
            for time, level, experiment in (
                (1, "cell", "mine"),
                (2, "cell", "mine"),
                (3, "study", "mine"),
                (4, "cell", "x"),
            )
        ]
        found = cell_pages(client, "https://me:secret@tracker.example/mlflow/", experiment_id, "mine")
        address = f"#/experiments/{experiment_id}/runs/{runs[1].info.run_id}?workflowType=machine_learning"
        assert found == {"demo.folds.log_mel.net1": f"https://tracker.example/mlflow/{address}"}
        assert cell_pages(client, "sqlite:///runs.db", experiment_id, "mine") == {}

    def test_the_view_is_saved_once_and_changed_with_the_release(self, client, parent):
        experiment_id = parent.info.experiment_id
        for _ in range(2):
            save_view(client, experiment_id)
        view = json.loads(client.get_experiment(experiment_id).tags["mlflow.sharedViewState.cells"])
        assert view["searchFilter"] == 'tags.level = "cell"'
        assert view["orderByKey"] == "metrics.`test_track_accuracy`"
        assert view["columnOrder"][:3] == ["attributes.`Run Name`", "tags.`track_accuracy`", "tags.`marks`"]


@pytest.fixture
def tracker(client, parent):
    return MlflowTracker(client, parent.info.experiment_id, parent.info.run_id, {"experiment": "base"})


def test_descriptions_link_to_the_report(tracker, client, parent):
    client.set_tag(parent.info.run_id, "level", "session")
    client.set_tag(parent.info.run_id, "experiment", "base")
    tracker.write(CellLog(cell=CELL, note="**61.7 %**"))
    tracker.describe("Most accurate: net1")
    tracker.log_artifact("<p>", "report.html")
    tracker.describe_experiment()
    session = f"#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}"
    report = f"[Report]({session}/artifacts/report.html?workflowType=machine_learning)"
    (cell,) = children(client, parent)
    assert cell.data.tags[NOTE].startswith(f"**61.7 %**\n\n{report} of [this session](")
    note = f"Most accurate: net1\n\n{report}"
    assert client.get_run(parent.info.run_id).data.tags[NOTE] == note
    assert client.get_experiment(parent.info.experiment_id).tags[NOTE] == f"## base\n\n{note}\n\n"


def test_inputs_are_datasets_with_their_fingerprints(tracker, client, parent):
    tracker.write(CellLog(cell=CELL, inputs={"demo": "aaaa", "demo.folds": "bbbb"}))
    (cell,) = children(client, parent)
    found = {each.dataset.name: each.dataset.digest for each in cell.inputs.dataset_inputs}
    assert found == {"demo": "aaaa", "demo.folds": "bbbb"}


class TestTransfer:
    @pytest.fixture
    def session(self, client, database, parent, tracker, trained):
        """A finished session with a cell, a repeat, metrics of two epochs, a file and a model."""
        # Models are logged by MLflow's fluent function.
        mlflow.set_tracking_uri(database)
        client.set_tag(parent.info.run_id, "level", "session")
        model = ServedModel((trained[0].folder,), ("jazz", "rock"), "ffff")
        log = CellLog(
            cell=CELL,
            params={"seed": 1},
            metrics={"test_track_accuracy": 0.5},
            epochs={1: {"train_loss": 2.0}, 2: {"train_loss": 1.0}},
            files={"result.json": {"genres": ["jazz"]}},
            inputs={"demo": "aaaa"},
            note="A cell",
            model=model,
            ends="FINISHED",
        )
        tracker.write(log)
        client.set_terminated(parent.info.run_id)
        return client.get_run(parent.info.run_id)

    def test_a_session_is_imported_as_it_was(self, session, client, database, database_elsewhere, tmp_path):
        path = tmp_path / "session.zip"
        export_session(database, tmp_path.name, session.info.run_id, path)
        there, location = database_elsewhere
        assert import_sessions(there.tracking_uri, tmp_path.name, path, location) == ["session"]
        assert import_sessions(there.tracking_uri, tmp_path.name, path, location) == []
        assert import_sessions(database, tmp_path.name, path, location) == []
        (copy,) = sessions_of(there)
        (cell,), (before,) = children(there, copy), children(client, session)
        for new, old in ((copy, session), (cell, before)):
            assert (new.info.status, new.info.start_time, new.info.end_time, new.info.run_name) == (
                old.info.status,
                old.info.start_time,
                old.info.end_time,
                old.info.run_name,
            )
        assert cell.data.params == before.data.params
        assert cell.data.metrics == before.data.metrics
        curve = there.get_metric_history(cell.info.run_id, "train_loss")
        assert [(point.step, point.value) for point in curve] == [(1, 2.0), (2, 1.0)]
        assert [each.dataset.digest for each in cell.inputs.dataset_inputs] == ["aaaa"]
        assert [each.path for each in there.list_artifacts(cell.info.run_id)] == ["result.json"]
        assert copy.info.run_id in cell.data.tags[NOTE]
        (model,) = there.search_logged_models([cell.info.experiment_id])
        assert cell.data.tags["model_uri"] == model.model_uri
        assert (model.name, model.source_run_id) == ("demo-folds-log_mel-net1", cell.info.run_id)
        assert [each.model_id for each in cell.outputs.model_outputs] == [model.model_id]

    def test_another_file_is_named(self, database, tmp_path):
        path = tmp_path / "other.zip"
        path.write_text("no archive")
        with pytest.raises(TrackingError, match=r"other\.zip cannot be imported .* 'runs export' has written"):
            import_sessions(database, tmp_path.name, path, None)


@pytest.fixture
def database_elsewhere(empty_database, tmp_path):
    """A client of another database, and where its files go."""
    folder = tmp_path / "elsewhere"
    return mlflow.MlflowClient(copy_database(empty_database, folder)), (folder / "artifacts").as_uri()
