import socket

import pytest

from kedro_sessions import copy_database, do_without_drawing, forget_sessions, new_database, settle


@pytest.fixture(scope="session")
def _quiet_threads():
    """One torch thread: more of them only wait for each other on so little work."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """Address of a SQLite database with MLflow's tables and no runs."""
    return new_database(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def data(tmp_path, database, monkeypatch):
    """An empty data folder, which the sessions of the test use; those of ``finished`` draw their figures."""
    folder = tmp_path / "data"
    copy_database(database, folder)
    settle(monkeypatch, folder, tmp_path)
    do_without_drawing(monkeypatch)
    yield folder
    forget_sessions()


@pytest.fixture
def dead_server():
    """Address of a port of this machine where nothing answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"
