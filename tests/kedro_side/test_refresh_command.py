"""``kedro refresh`` as typed: what it says, what it has Kedro run, what it tells a webhook, and how it stops."""

import json
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from genre_pipeline import freshness
from genre_pipeline.cli import cli
from genre_pipeline.errors import ConfigError, RefreshError
from genre_pipeline.ops import refreshing
from genre_pipeline.ops.refresh.graph import Entry, Graph, load_graph
from genre_pipeline.ops.refresh.journal import Journal
from genre_pipeline.ops.refresh.listing import ListingCheck
from genre_pipeline.ops.refresh.place import journal_path, one_refresh_at_a_time, refresh_folder
from genre_pipeline.ops.refresh.planning import Cause, Plan
from genre_pipeline.ops.refreshing import Request, read_graph, refresh_once, run_stale, watch_and_refresh
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.work.processes import Ended, ends_on_signals
from kedro_sessions import write_own_music

CELL = "my_music.artist_kfold.mfcc_20.naive_bayes"
OWN_MUSIC = "experiment.datasets=[my_music],experiment.models=[naive_bayes],experiment.protocols=[artist_kfold]"


@pytest.fixture
def kedro(monkeypatch):
    """A function that runs a command of the project, as if typed in its folder."""
    bootstrap_project(PROJECT_ROOT)
    monkeypatch.setattr("kedro.framework.session.session.find_kedro_project", lambda _: PROJECT_ROOT)
    return lambda *arguments: CliRunner().invoke(
        cli, ["refresh", "--experiment", "own", "--params", OWN_MUSIC, *arguments]
    )


@pytest.fixture
def commands(monkeypatch):
    """The commands that would have been run in a process of their own; they do nothing and end well."""
    ran = []

    def run(command):
        ran.append(command)
        return os.getpid(), 0

    monkeypatch.setattr(refreshing, "run_command", run)
    return ran


@pytest.fixture
def no_webhook(monkeypatch):
    monkeypatch.setattr(refreshing, "webhook", lambda: None)


@pytest.fixture
def plan(tmp_path):
    """A plan with a single stale step."""
    entries = {"leaderboard": Entry(path=tmp_path / "reports" / "test" / "leaderboard.csv")}
    return Plan(Graph(key="k", steps=(), entries=entries), {"rank_cells": (Cause("there is no result of it yet"),)})


def changes(plan):
    return json.loads(plan.graph.entries["leaderboard"].path.with_name("changes.json").read_text())


def test_it_says_what_is_stale_and_has_kedro_run_it(kedro, commands, no_webhook, tmp_path):
    write_own_music(tmp_path / "data")
    result = kedro()
    assert result.exit_code == 0, result.output
    assert "Stale: 24 of 24 steps, 8 tracks." in result.output
    assert f"{CELL}.train_naive_bayes there is no result of it yet" in " ".join(result.output.split())
    (command,) = commands
    assert command[1:] == [
        "-m", "kedro", "run", "--fresh", "--runner", "genre_pipeline.runner.StaleRunner",
        "--experiment", "own", "--params", OWN_MUSIC,
    ]  # fmt: skip


def test_changes_lie_beside_the_report_with_the_scores(kedro, monkeypatch, no_webhook, tmp_path):
    write_own_music(tmp_path / "data")
    reports = tmp_path / "data/08_reporting/own"
    # Its versions have a folder of the same name.
    (reports / "versions/leaderboard.csv").mkdir(parents=True)

    def run(command):
        row = dict(zip(("dataset", "protocol", "feature", "model"), CELL.split("."), strict=True))
        pd.DataFrame([{**row, "track_accuracy_mean": 0.75}]).to_csv(reports / "leaderboard.csv")
        return os.getpid(), 0

    monkeypatch.setattr(refreshing, "run_command", run)
    assert kedro().exit_code == 0
    found = json.loads((reports / "changes.json").read_text())
    assert found["experiment"] == "own"
    assert [(each["cell"], each["after"]) for each in found["scores"]] == [(CELL, 0.75)]


def test_a_dry_run_and_an_explanation_run_nothing(kedro, commands, tmp_path):
    write_own_music(tmp_path / "data")
    assert "Stale: 24 of 24 steps" in kedro("--dry-run").output
    lines = kedro("--explain", "my_music.ingest").output.splitlines()
    assert lines == ["my_music.ingest: stale", "  - there is no result of it yet"]
    result = kedro("--explain", "my_musik")
    assert result.exit_code == 1
    assert "There is no cell or step 'my_musik'. Did you mean 'my_music'?" in result.output
    assert commands == []


def test_a_missing_dataset_is_what_the_run_will_tell(kedro, commands, no_webhook, tmp_path):
    assert "my_music.ingest" in kedro("--dry-run").output
    assert kedro("--params", "experiment.models=[nett1]").exit_code == 1


def test_the_graph_is_kept_until_parameters_change(tmp_path, monkeypatch):
    request = Request(None, "test", "", {"experiment": {"models": ["svm"], "exclude": []}})
    graph = read_graph(request)
    path = refresh_folder() / "graph_test.json"
    assert load_graph(path, graph.key) == graph
    with monkeypatch.context() as patch:
        patch.setattr(freshness, "_make_graph", lambda *_: pytest.fail("made again"))
        assert read_graph(request) == graph
    other = read_graph(Request(None, "test", "", {"experiment": {"models": ["naive_bayes"], "exclude": []}}))
    assert other.key != graph.key
    assert load_graph(path, graph.key) is None
    path.write_text("{")
    assert load_graph(path, other.key) is None


def test_planning_needs_no_torch(tmp_path):
    """Nor MLflow: they take longer to import than everything else."""
    write_own_music(tmp_path / "data")
    read_graph(Request(None, "own", OWN_MUSIC, refreshing_parameters()))
    code = (
        "import sys; from genre_pipeline.ops.refreshing import Request, plan_refresh; import json;"
        "plan = plan_refresh(Request(None, 'own', '', json.loads(sys.argv[1])));"
        "print(len(plan.stale), *sorted({'torch', 'mlflow', 'sklearn'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code, json.dumps(refreshing_parameters())]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "24"


def refreshing_parameters():
    return {"experiment": {"datasets": ["my_music"], "models": ["naive_bayes"], "protocols": ["artist_kfold"]}}


class TestOutcome:
    def test_what_ran_is_written_down_and_posted(self, plan, monkeypatch):
        posted = []
        monkeypatch.setattr(refreshing, "webhook", lambda: "http://hook")
        monkeypatch.setattr(refreshing, "notify", lambda url, content: posted.append((url, content)))

        def run(command):
            Journal.begin(journal_path()).ran("rank_cells")
            return os.getpid(), 0

        run_stale(Request(), plan, run=run)
        assert changes(plan)["ran"] == ["rank_cells"]
        assert changes(plan)["experiment"] == "test"
        assert posted == [("http://hook", changes(plan))]

    @pytest.mark.usefixtures("no_webhook")
    def test_a_process_that_dies_early_leaves_no_others_journal(self, plan):
        Journal.begin(journal_path()).ran("of_another_time")
        with pytest.raises(RefreshError, match=r"ended with code -9: .*Rerun the command to resume"):
            run_stale(Request(), plan, run=lambda command: (os.getpid() + 1, -9))
        assert changes(plan)["ran"] == []
        assert changes(plan)["failed"] == {"kedro run": "ended with code -9"}

    @pytest.mark.usefixtures("no_webhook")
    def test_another_refresh_is_named_and_nothing_is_run(self, plan):
        with (
            one_refresh_at_a_time(),
            pytest.raises(RefreshError, match=rf"process {os.getpid()} on .*since .* is refreshing"),
        ):
            run_stale(Request(), plan, run=lambda command: pytest.fail("ran"))

    @pytest.mark.usefixtures("commands", "no_webhook")
    def test_what_only_the_content_gives_away_is_forgotten(self, project_with_music, monkeypatch):
        forgotten = []
        monkeypatch.setattr(
            refreshing, "forget_inspections", lambda cache, paths: forgotten.append((cache.name, paths))
        )
        run_stale(Request(), project_with_music)
        assert forgotten == [("my_music.parquet", frozenset({"jazz/0.wav"}))]


@pytest.fixture
def project_with_music(tmp_path):
    write_own_music(tmp_path / "data")
    graph = read_graph(Request(None, "own", "", refreshing_parameters()))
    return Plan(graph, {}, {"my_music": ListingCheck(altered=("jazz/0.wav",))})


class TestWebhook:
    @pytest.fixture
    def credentials(self, monkeypatch):
        def use(content):
            monkeypatch.setattr(refreshing, "load_configuration", lambda env: {"credentials": content})

        return use

    def test_there_is_none_unless_asked_for(self, credentials):
        bootstrap_project(PROJECT_ROOT)
        credentials({})
        assert refreshing.webhook() is None

    def test_its_address_is_among_the_credentials(self, credentials):
        credentials({"refresh_webhook": {"url": "https://example.org/secret"}})
        assert refreshing.webhook() == "https://example.org/secret"

    @pytest.mark.parametrize("content", ["https://example.org", {}, None])
    def test_another_form_is_named(self, credentials, content):
        credentials({"refresh_webhook": content})
        with pytest.raises(ConfigError, match=r"credentials\.yml: expected the key 'url' below 'refresh_webhook'"):
            refreshing.webhook()

    def test_no_file_is_no_webhook(self, monkeypatch, tmp_path):
        loader = refreshing.load_configuration("local")
        monkeypatch.setattr(refreshing, "load_configuration", lambda env: loader)
        assert refreshing.webhook() is None


class TestWatching:
    @pytest.mark.usefixtures("commands", "no_webhook")
    def test_it_runs_what_is_stale_and_ends_with_the_waiting(self, plan, monkeypatch):
        said, waits = [], []
        monkeypatch.setattr(refreshing, "plan_refresh", lambda request: plan)

        def wait(seconds):
            waits.append(seconds)
            if len(waits) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            watch_and_refresh(Request(), say=said.append, interval_s=60.0, settle_s=5.0, wait=wait)
        assert waits == [5.0, 60.0]
        assert said == ["Watching; a look every 60 s. Ctrl-C ends it.", plan.summary()]
        assert changes(plan)["status"] == "succeeded"

    def test_it_ends_where_the_code_changes(self, plan, monkeypatch):
        hashes = iter(["before", "after"])
        monkeypatch.setattr(refreshing, "plan_refresh", lambda request: Plan(plan.graph, {}))
        monkeypatch.setattr(refreshing, "source_hash", lambda: next(hashes))
        with pytest.raises(ConfigError, match="code has changed since this watch began"):
            watch_and_refresh(Request(), say=str, interval_s=60.0, settle_s=5.0, wait=lambda seconds: None)

    @pytest.mark.usefixtures("obeyed_signals")
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_it_ends_on_a_signal(self, kedro, monkeypatch, number):
        def interrupted(*_, **__):
            os.kill(os.getpid(), number)

        monkeypatch.setattr(refreshing, "watch", interrupted)
        before = signal.getsignal(number)
        result = kedro("--watch")
        assert result.exit_code == 128 + number, result.output
        assert result.output.splitlines()[-1] == f"Ended by {number.name}."
        assert signal.getsignal(number) is before

    def test_nothing_stale_runs_nothing(self, plan, monkeypatch):
        said = []
        monkeypatch.setattr(refreshing, "plan_refresh", lambda request: Plan(plan.graph, {}))
        refresh_once(Request(), say=said.append)
        assert said == ["Nothing is stale (0 steps, 0 tracks)."]


class TestProcess:
    def test_it_says_how_it_ended(self):
        pid, code = refreshing.run_command([sys.executable, "-c", "raise SystemExit(3)"])
        assert pid != os.getpid()
        assert code == 3

    @pytest.mark.usefixtures("obeyed_signals")
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_reaches_it_once_and_it_is_waited_for(self, tmp_path, number):
        """The program tells that it has started, by a signal, and ends after it got the same."""
        code = (
            "import os, signal, sys, pathlib\n"
            "def end(*_): pathlib.Path(sys.argv[1]).write_text('interrupted'); sys.exit(0)\n"
            f"signal.signal({int(number)}, end)\n"
            f"os.kill(os.getppid(), {int(number)})\n"
            "signal.pause()\n"
        )
        with ends_on_signals(), pytest.raises(Ended, match=f"Ended by {number.name}"):
            refreshing.run_command([sys.executable, "-c", code, str(tmp_path / "told")])
        assert (tmp_path / "told").read_text() == "interrupted"
