"""A look whether the MLflow server answers, before anything relies on it."""

import http.server
import socket
import threading

import pytest

from genre_pipeline.errors import TrackingError
from genre_pipeline.tracking import check_server
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
