"""Champions and challengers in MLflow's registry, in a SQLite store."""

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from genre_pipeline.cells import Cell
from genre_pipeline.errors import NotLoggedError
from genre_pipeline.evaluation.promotion import Decision
from genre_pipeline.experiment import EvaluationBlock
from genre_pipeline.logs import ServedModel
from genre_pipeline.pipelines.compare.nodes import register_model
from genre_pipeline.tracking.tracker import MlflowTracker
from tiny_music import GENRES

CELL = Cell("tiny", "folds", "log_mel_8", "net")
OUTCOMES = pd.DataFrame({"repeat": [0, 0], "track_id": ["a", "b"], "right": [True, False]})


@pytest.fixture
def tracker(client, parent, database):
    mlflow.set_tracking_uri(database)
    return MlflowTracker(client, parent.info.experiment_id, parent.info.run_id)


@pytest.fixture
def name(tmp_path):
    """A registered model of the test's own: the database is shared."""
    return f"{tmp_path.name}.{CELL.name}"


@pytest.fixture
def register(tracker, client, name, parent, trained):
    """A function that logs and registers a model; it returns what came of it, and what the decision was made from."""

    def do(fingerprint, alias="champion", outcomes=OUTCOMES, *, log=True, leaky=False, genres=GENRES):
        if log:
            later = client.create_run(parent.info.experiment_id)
            session = MlflowTracker(client, parent.info.experiment_id, later.info.run_id)
            session.cell_run(CELL).log_model(ServedModel((trained[0].folder,), GENRES, fingerprint))
        seen = []

        def decide(champion):
            seen.append(champion)
            return Decision(alias, f"told to be {alias}", {"difference": 0.5, "p": 0.25, "n_tracks": 2})

        given = {"fingerprint": fingerprint, "outcomes": outcomes, "genres": genres, "decide": decide, "leaky": leaky}
        return tracker.register_model(name, **given), seen

    return do


def aliases(client, name):
    return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}


def test_versions_take_the_alias_or_stay_challengers(register, client, name, music):
    found, seen = register("first")
    assert found == {
        "model": name,
        "version": 1,
        "alias": "champion",
        "reason": "the first version",
        "champion": None,
        "comparison": {},
    }
    assert seen == []

    others = OUTCOMES.assign(right=[True, True])
    found, seen = register("second", "challenger", others)
    pd.testing.assert_frame_equal(seen[0], OUTCOMES)
    assert (found["version"], found["alias"], found["champion"]) == (2, "challenger", 1)
    assert aliases(client, name) == {"champion": "1", "challenger": "2"}
    tags = client.get_model_version(name, "2").tags
    assert tags["decision"] == "challenger"
    assert tags["reason"] == "told to be challenger"
    assert (tags["compared_with"], tags["difference"], tags["p"], tags["n_tracks"]) == ("1", "0.5", "0.25", "2")

    # The champion is found again, with what it is right about now; the challenger of old keeps waiting.
    found, seen = register("first", outcomes=others, log=False)
    assert (found["version"], found["reason"], seen) == (1, "the champion already", [])
    assert aliases(client, name) == {"champion": "1", "challenger": "2"}

    found, seen = register("third")
    pd.testing.assert_frame_equal(seen[0], others)
    assert (found["version"], found["alias"]) == (3, "champion")
    assert aliases(client, name) == {"champion": "3"}

    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    answer = model.predict(pd.DataFrame({"path": [str(music.path("jazz/jazz_3"))]}))
    assert list(answer)[-len(GENRES) :] == [f"p_{genre}" for genre in GENRES]


def test_a_challenger_that_is_found_again_may_become_the_champion(register, client, name):
    register("first")
    register("second", "challenger")
    found, _ = register("second", log=False)
    assert (found["version"], found["alias"]) == (2, "champion")
    assert aliases(client, name) == {"champion": "2"}
    assert len(client.search_model_versions(f"name = '{name}'")) == 2


def test_a_model_that_was_not_logged_is_an_error_and_no_version(register, client, name):
    with pytest.raises(NotLoggedError, match="is in no run of MLflow.*Run 'evaluate' again"):
        register("never logged", log=False)
    with pytest.raises(MlflowException):
        client.get_registered_model(name)


def test_a_killed_registration_is_finished_by_the_next(register, client, name, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "set_registered_model_alias", killed)
        with pytest.raises(KeyboardInterrupt):
            register("first")
    assert aliases(client, name) == {}
    found, _ = register("first", log=False)
    assert (found["version"], found["reason"]) == (1, "the first version")
    assert aliases(client, name) == {"champion": "1"}


def registered(leader, register, predictions=OUTCOMES):
    tracks = pd.DataFrame(columns=["track_id", "artist"])
    evaluation = EvaluationBlock()
    return register_model(
        leader, "the card", [predictions], tracks, evaluation, None, register, cells=[CELL], name="any"
    )


def test_nothing_is_registered_where_nothing_is_tracked():
    assert registered({"cell": CELL.name, "leaky": False}, None) == {"cell": CELL.name}


def test_a_model_that_knows_fewer_genres_stays_the_challenger(register, client, name):
    register("all")
    found, seen = register("fewer", genres=GENRES[1:])
    assert (found["alias"], found["reason"], seen) == (
        "challenger",
        f"it does not know '{GENRES[0]}', which the champion knows",
        [],
    )
    found, seen = register("more", genres=[*GENRES, "zydeco"])
    assert (found["alias"], len(seen)) == ("champion", 1)
    assert aliases(client, name) == {"champion": "3"}


def test_a_leaky_model_does_not_compete_with_an_honest_one(register, client, name):
    assert register("leaky", leaky=True)[0]["alias"] == "champion"
    found, seen = register("honest")
    assert (found["alias"], found["reason"]) == (
        "champion",
        "the champion's numbers are inflated (LEAKY), these are not",
    )
    found, more = register("leaky too", leaky=True)
    assert (found["alias"], found["reason"]) == (
        "challenger",
        "its numbers are inflated (LEAKY), the champion's are not",
    )
    assert seen == more == []
    assert aliases(client, name) == {"champion": "2", "challenger": "3"}


def test_nothing_is_registered_where_nothing_could_be_trained():
    assert registered({}, pytest.fail) == {}


def test_a_run_that_is_not_there_does_not_stop_the_session(caplog):
    def register(*_, **__):
        raise NotLoggedError("The model is in no run of MLflow.")

    leader = {"cell": CELL.name, "leaky": False, "genres": ["jazz", "rock"], "fingerprints": {"0": "f"}}
    row = {"repeat": 0, "split": "test", "track_id": "a", "segment_id": "a", "genre": "jazz", "p_jazz": 1.0}
    assert registered(leader, register, pd.DataFrame([{**row, "p_rock": 0.0}])) == {"cell": CELL.name}
    assert "is not registered. The model is in no run of MLflow." in caplog.text


def test_the_card_describes_the_version_and_is_kept_in_its_run(tracker, client, name, parent, trained):
    run = client.create_run(parent.info.experiment_id)
    session = MlflowTracker(client, parent.info.experiment_id, run.info.run_id)
    session.cell_run(CELL).log_model(ServedModel((trained[0].folder,), GENRES, "carded"))
    given = {"fingerprint": "carded", "outcomes": OUTCOMES, "genres": GENRES, "card": "# A classifier of 3 genres"}
    tracker.register_model(name, decide=pytest.fail, **given)
    version = client.get_model_version(name, "1")
    assert version.description == "# A classifier of 3 genres"
    assert mlflow.artifacts.load_text(f"runs:/{version.run_id}/model_card.md") == "# A classifier of 3 genres"
