import io

import pytest
from rich.console import Console

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
