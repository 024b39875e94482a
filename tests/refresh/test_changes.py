"""What a refresh tells: the scores side by side, the reasons, and the webhook."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest

from genre_pipeline.ops.refresh.changes import Score, compare_scores, describe_changes, notify, read_scores
from genre_pipeline.ops.refresh.journal import Journal
from genre_pipeline.ops.refresh.planning import make_plan

CELLS = ["d.p.f.m", "d.p.f.n"]


def write_leaderboard(path, *accuracies):
    rows = [dict(zip(("dataset", "protocol", "feature", "model"), cell.split("."), strict=True)) for cell in CELLS]
    pd.DataFrame(rows).assign(track_accuracy_mean=accuracies).to_csv(path, index=False)
    return path


@pytest.fixture
def server():
    """A local webhook: what it was sent, and what it will answer."""

    class Hook(BaseHTTPRequestHandler):
        received: list = []  # noqa: RUF012
        answer = 200

        def do_POST(self):
            self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(self.answer)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        Hook.url = f"http://127.0.0.1:{listener.server_port}/secret"
        yield Hook
        listener.shutdown()
        thread.join()


def test_scores_are_read_by_cell(tmp_path):
    path = write_leaderboard(tmp_path / "leaderboard.csv", 0.5, None)
    scores = read_scores(path)
    assert scores["d.p.f.m"] == 0.5
    assert compare_scores(scores, {"d.p.f.m": 0.75}) == [Score("d.p.f.m", 0.5, 0.75), Score("d.p.f.n", None, None)]
    assert read_scores(tmp_path / "nowhere.csv") == {}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"dataset,protocol\nd,p\n", b"a,b\n1,2,3\n"])
def test_a_leaderboard_that_cannot_be_read_has_no_scores_and_is_named(tmp_path, content, caplog):
    path = tmp_path / "leaderboard.csv"
    path.write_bytes(content)
    assert read_scores(path) == {}
    assert f"{path} cannot be read" in caplog.text


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{}", b'{"pid": 1, "ran": 2, "failed": {}, "blocked": {}}'])
def test_a_journal_that_cannot_be_read_is_empty_and_named(tmp_path, content, caplog):
    path = tmp_path / "journal.json"
    path.write_bytes(content)
    journal = Journal.read(path)
    assert (journal.pid, journal.steps_run, journal.failures) == (0, [], {})
    assert f"{path} cannot be read" in caplog.text


@pytest.mark.parametrize(("before", "after", "change"), [(0.5, 0.75, 0.25), (None, 0.5, None), (0.5, None, None)])
def test_a_change_takes_two_scores(before, after, change):
    assert Score("d.p.f.m", before, after).change == change


def test_everything_that_changed_is_told(finished):
    finished.write("rock/new.wav")
    plan = make_plan(finished.graph)
    journal = Journal(finished.folder / "journal.json")
    journal.ran("d.ingest")
    scores = compare_scores({"a.b.c.d": 0.5, "a.b.c.e": 0.5}, {"a.b.c.d": 0.75, "a.b.c.e": 0.25, "a.b.c.f": 1.0})
    told = describe_changes(plan, journal, scores, experiment="test")
    assert told["status"] == "succeeded"
    assert told["ran"] == ["d.ingest"]
    assert told["why"] == {"d.ingest": ["1 file new: rock/new.wav"]}
    assert told["data"]["d"]["new"] == ["rock/new.wav"]
    assert (told["improved"], told["worsened"]) == (["a.b.c.d"], ["a.b.c.e"])
    assert told["scores"][2] == {"cell": "a.b.c.f", "before": None, "after": 1.0}
    json.dumps(told)


def test_what_broke_is_told(finished):
    journal = Journal(finished.folder / "journal.json")
    journal.failed("d.segment", ["d.segments"], "The disk is full.")
    journal.blocked("d.p.f.m.train", ["d.model"], ["d.segments"])
    told = describe_changes(make_plan(finished.graph), Journal.read(journal.path), [], experiment="test")
    assert told["status"] == "failed"
    assert told["failed"] == {"d.segment": "The disk is full."}
    assert told["blocked"] == {"d.p.f.m.train": ["d.segments"]}
    assert told["data"] == {}
    assert journal.unmade == {"d.segments", "d.model"}


def test_a_webhook_receives_json(server):
    notify(server.url, {"status": "succeeded"})
    assert server.received == [{"status": "succeeded"}]


def test_a_webhook_that_refuses_fails_nothing_and_keeps_its_secret(server, caplog):
    server.answer = 500
    notify(server.url, {})
    assert "was not reached: it answered 500." in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/secret", "no address: secret", "ftp://secret"])
def test_a_webhook_that_is_not_there_fails_nothing(url, caplog):
    notify(url, {})
    assert "was not reached" in caplog.text
    assert "secret" not in caplog.text
