"""A look whether the MLflow server answers, before anything relies on it."""

import http.server
import shutil
import socket
import sqlite3
import threading
from contextlib import closing
from types import SimpleNamespace

import mlflow
import pytest

from genre_pipeline.errors import StorageError, TrackingError
from genre_pipeline.project import artifact_location, sqlite_path, sqlite_uri, tracking_uri
from genre_pipeline.tracking import check_server, open_database, tracking_client, tracking_errors
from genre_pipeline.tracking import server as server_module


def _handler(status: int):
    class Handler(http.server.BaseHTTPRequestHandler):
        paths: list[str] = []  # noqa: RUF012

        def do_GET(self):
            self.paths.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    return Handler


@pytest.fixture
def serve():
    """A function that starts a server which answers everything with one status."""
    running = []

    def start(status: int):
        handler = _handler(status)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}", handler

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("uri", ["", "mlruns", "sqlite:///runs.db", "databricks", "file:///runs"])
def test_only_servers_are_asked(uri, monkeypatch):
    monkeypatch.setattr(server_module.urllib.request, "urlopen", lambda *_, **__: pytest.fail("something was asked"))
    check_server(uri)


def test_a_server_that_answers_is_fine(serve):
    uri, handler = serve(200)
    check_server(f"{uri}/")
    assert handler.paths == ["/health"]


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_server_that_refuses_is_there(serve, status):
    uri, _ = serve(status)
    check_server(uri)


def test_a_dead_server_is_named(dead_server):
    with pytest.raises(TrackingError, match=rf"{dead_server} does not answer \(.*refused.*unset MLFLOW_TRACKING_URI"):
        check_server(dead_server)


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(server_module, "_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TrackingError, match="does not answer"):
        check_server(f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_a_server_that_hangs_up_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up():
            connection, _ = listener.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(TrackingError, match="does not answer"):
            check_server(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


def test_a_server_of_another_kind_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example.org ready\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(TrackingError, match="does not answer"):
            check_server(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


def test_an_address_that_makes_no_sense_is_named():
    with pytest.raises(TrackingError, match="http://127.0.0.1:port does not answer"):
        check_server("http://127.0.0.1:port")


def write_garbage(path):
    path.write_bytes(b"no database at all\n" * 1000)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def make_folder(path):
    path.unlink()
    path.mkdir()


def change(statement):
    def execute(path):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement)

    return execute


@pytest.fixture
def tables(database, tmp_path):
    """A database of MLflow of its own."""
    path = tmp_path / "new" / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(sqlite_path(database), path)
    return path


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (write_garbage, "it is damaged, or is no database of SQLite"),
        (cut, "it is damaged"),
        (make_folder, "a folder is in its place"),
        (change("UPDATE alembic_version SET version_num = '0a8213491aaa'"), "'mlflow db upgrade'"),
        (change("UPDATE alembic_version SET version_num = 'f00000000000'"), "another version of MLflow wrote it"),
        (change("ALTER TABLE experiments RENAME COLUMN name TO title"), "another version of MLflow wrote it"),
    ],
    ids=["garbage", "cut", "folder", "older", "newer", "other columns"],
)
def test_a_database_that_cannot_be_used_is_one_message(tables, damage, says):
    damage(tables)
    with pytest.raises(TrackingError, match=f"{tables} cannot be used .*{says}") as caught:
        open_database(sqlite_uri(tables))
    assert "\n" not in str(caught.value)


def test_runs_are_in_the_data_folder_whatever_that_is_called(tables, tmp_path, monkeypatch):
    data = tmp_path / "50%25 q?#; data"
    data.mkdir()
    tables.parent.rename(data / "mlflow")
    monkeypatch.setenv("GENRE_PIPELINE_DATA", str(data))
    open_database(tracking_uri())
    client = tracking_client(tracking_uri())
    experiment = client.create_experiment("any", artifact_location=artifact_location())
    client.log_text(client.create_run(experiment).info.run_id, "text", "note.txt")
    assert [path.relative_to(data).parts[:2] for path in tmp_path.rglob("note.txt")] == [("mlflow", "artifacts")]
    assert [path.name for path in tmp_path.iterdir()] == [data.name]


def test_a_database_that_another_program_holds_is_one_message(tables, monkeypatch):
    monkeypatch.setattr(server_module, "_PATIENCE_S", 0.0)
    with closing(sqlite3.connect(tables)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match="another program has been writing into it for long"):
            open_database(sqlite_uri(tables))


def test_a_full_disk_is_one_message():
    error = mlflow.MlflowException("(sqlite3.OperationalError) database or disk is full\n[SQL: UPDATE runs]")
    one_line = pytest.raises(StorageError, match=r"^Cannot write /x/mlflow\.db: the disk is full.*\Z")
    with one_line, tracking_errors("sqlite:////x/mlflow.db"):
        raise error


def test_what_else_mlflow_refuses_is_one_message(empty_data):
    refusal = mlflow.MlflowException("API request failed.\nResponse: 500")
    one_line = pytest.raises(TrackingError, match=r"refused a request: API request failed\. Check.*\Z")
    with one_line, tracking_errors("http://mlflow.example:5000"):
        raise refusal


def test_errors_of_the_program_pass_through():
    with pytest.raises(ZeroDivisionError), tracking_errors("sqlite:////x/mlflow.db"):
        raise ZeroDivisionError


def test_one_process_at_a_time_makes_the_tables(tmp_path, monkeypatch):
    alone, made = threading.Lock(), []

    def make(**_):
        assert alone.acquire(blocking=False)
        made.append(True)
        alone.release()

    monkeypatch.setattr(server_module, "tracking_client", lambda uri: SimpleNamespace(search_experiments=make))
    uri = sqlite_uri(tmp_path / "new" / "mlflow.db")
    threads = [threading.Thread(target=open_database, args=(uri,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8


def test_a_server_makes_its_own_tables(monkeypatch):
    monkeypatch.setattr(server_module, "tracking_client", lambda uri: pytest.fail("it was asked"))
    open_database("http://mlflow.example:5000")
