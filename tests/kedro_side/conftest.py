import socket
import sys

import mlflow
import pytest

from kedro_sessions import copy_database, do_without_drawing, forget_sessions, new_database
from tiny_music import make_tiny_music, train_tiny


@pytest.fixture(autouse=True)
def _own_place(monkeypatch, tmp_path):
    """Give each test its own data folder and no MLflow server, and forget its sessions."""
    monkeypatch.setenv("GENRE_PIPELINE_DATA", str(tmp_path / "data"))
    for name in ("MLFLOW_TRACKING_URI", "KEDRO_ENV", "GENRE_PIPELINE_EXPERIMENT", "GENRE_PIPELINE_REAL_DATA"):
        monkeypatch.delenv(name, raising=False)
    # Kedro-Viz writes statistics of runs into the project in whose folder it is started.
    monkeypatch.chdir(tmp_path)
    # A model that MLflow loads puts the code it was logged with first, which child processes would import.
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    forget_sessions()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """Address of a SQLite database with MLflow's tables, only to be copied: making them takes seconds."""
    return new_database(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="session")
def database(empty_database, tmp_path_factory):
    """Address of the database that tests share whose runs each lie in an experiment of their own."""
    return copy_database(empty_database, tmp_path_factory.mktemp("shared"))


@pytest.fixture
def empty_data(empty_database, tmp_path, monkeypatch):
    """The data folder of the test, empty but for MLflow's tables; its sessions draw nothing."""
    folder = tmp_path / "data"
    copy_database(empty_database, folder)
    do_without_drawing(monkeypatch)
    return folder


@pytest.fixture
def client(database):
    return mlflow.MlflowClient(database)


@pytest.fixture
def parent(client, tmp_path):
    """An open run, as kedro-mlflow opens one a session."""
    experiment_id = client.create_experiment(tmp_path.name, artifact_location=(tmp_path / "artifacts").as_uri())
    return client.create_run(experiment_id, run_name="session")


@pytest.fixture(scope="session")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="session")
def trained(music, tmp_path_factory):
    """Two repeats' checkpoints."""
    folder = tmp_path_factory.mktemp("models")
    return [train_tiny(music, folder / f"repeat_{repeat:02d}", repeat=repeat) for repeat in (0, 1)]


@pytest.fixture
def dead_server():
    """Address of a port of this machine where nothing answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"
