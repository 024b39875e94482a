import io
import logging

import pytest
from rich.console import Console
from rich.logging import RichHandler

from genre_pipeline import progress


def test_nothing_is_printed_where_nobody_watches(capsys):
    with progress.progress_bar("Reading", total=2) as advance:
        advance("first")
        advance()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_what_is_done_and_how_much(monkeypatch: pytest.MonkeyPatch):
    screen = io.StringIO()
    monkeypatch.setattr(progress, "get_console", lambda: Console(file=screen, force_terminal=True, width=100))
    with progress.progress_bar("Reading", total=2) as advance:
        advance("blues.wav")
        advance("jazz.wav")
    assert "Reading" in screen.getvalue()
    assert "2/2" in screen.getvalue()
    assert "jazz.wav" in screen.getvalue()


def test_a_pipe_gets_a_line_now_and_then(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    with progress.progress_bar("Reading", total=3) as advance:
        advance("blues.wav")
        monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
        advance("jazz.wav")
        monkeypatch.setattr(progress, "_is_quiet", True)
        advance("rock.wav")
    assert caplog.messages == ["Reading: 2 of 3, jazz.wav"]


def test_a_pipe_hears_now_and_then_which_step_begins(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    progress.begin_steps({"ingest": (1.0, 1), "train": (1.0, 1)})
    progress.step_begins("ingest")
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    progress.step_begins("train")
    assert caplog.messages == ["train begins."]


class TestLog:
    """A record in the log, on a terminal and where the output goes elsewhere."""

    @staticmethod
    def written(monkeypatch, message, **console):
        screen = Console(file=io.StringIO(), width=80, **console)
        monkeypatch.setattr(progress, "get_console", lambda: screen)
        root = logging.getLogger()
        monkeypatch.setattr(root, "handlers", [RichHandler(show_path=False, markup=False, console=screen)])
        progress.log_in_lines()
        root.handlers[0].emit(logging.LogRecord("genre_pipeline", logging.INFO, "x.py", 1, message, (), None))
        return screen.file.getvalue()

    def test_a_pipe_gets_one_line_that_is_neither_wrapped_nor_padded(self, monkeypatch):
        message = "demo: [bold] " + "a long message " * 20 + "ends :smile:"
        written = self.written(monkeypatch, message, force_terminal=False)
        assert written[19:] == f" INFO     {message}\n"

    def test_a_terminal_gets_its_width(self, monkeypatch):
        written = self.written(monkeypatch, "a long message " * 20, force_terminal=True)
        assert written.count("\n") > 3


class TestSession:
    """One bar for all steps of a session; what would be bars of their own are its note."""

    @pytest.fixture
    def screen(self, monkeypatch):
        screen = Console(file=io.StringIO(), force_terminal=True, width=160)
        monkeypatch.setattr(progress, "get_console", lambda: screen)
        yield screen
        progress.end_steps()

    @staticmethod
    def shown():
        (task,) = progress._steps.progress.tasks
        return task.description, task.percentage, task.fields["note"]

    def test_it_moves_by_how_long_steps_take(self, screen):
        progress.begin_steps({"ingest": (10.0, 1), "train": (80.0, 2), "report": (10.0, 1)})
        progress.step_begins("ingest")
        progress.step_ended("ingest")
        assert self.shown() == ("1 of 3 steps", 10.0, "")
        progress.step_begins("train")
        with progress.progress_bar("net1, repeat 0", 4) as advance:
            advance("loss 0.5")
            assert self.shown() == ("1 of 3 steps", pytest.approx(19.9), "net1, repeat 0: 1 of 4, loss 0.5")
        # It stopped early, and the other repeat was trained before.
        progress.step_ended("train")
        assert self.shown() == ("2 of 3 steps", 90.0, "")
        progress.step_ended("report")
        progress.end_steps()
        assert "100%" in screen.file.getvalue()
        with progress.progress_bar("Reading", 1) as advance:
            advance("")
        assert "1/1" in screen.file.getvalue()

    def test_there_is_none_without_a_terminal(self, monkeypatch):
        monkeypatch.setattr(progress, "get_console", lambda: Console(file=io.StringIO(), force_terminal=False))
        progress.begin_steps({"ingest": (1.0, 1)})
        progress.step_ended("ingest")
        assert progress._steps is None
