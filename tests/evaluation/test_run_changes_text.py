"""What changed between runs, as people and programs read it."""

import json

import pytest

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.run_changes import compare_records, compare_sessions
from genre_pipeline.reporting.document import format_markdown, format_terminal
from genre_pipeline.reporting.run_changes import (
    conclude,
    describe,
    format_json,
    metric_entries,
    what_changed,
)
from invented_runs import CELL, record, session

GOOD = [True] * 36 + [False] * 4
BAD = [True] * 12 + [False] * 28
NET1 = Cell("demo", "artist_kfold", "log_mel_256", "net1")
OFFICIAL = Cell("demo", "official", "mfcc_20", "svm")


def compared(before, after):
    return compare_sessions(before, after, n_resamples=99)


@pytest.fixture(scope="module")
def steps():
    """Three runs: the SVM becomes worse with another parameter; then code and the networks' learning rate change."""
    first = session(record(GOOD), record(GOOD, cell=NET1), record(GOOD, cell=OFFICIAL), run_id="a1" * 16)
    worse = {"model.c": "2.0", "seed": "0"}
    second = session(
        record(BAD, parameters=worse), record(GOOD, cell=NET1), record(GOOD, cell=OFFICIAL), run_id="b2" * 16
    )
    third = session(
        record(BAD, parameters=worse, commit="f" * 40 + "-dirty"),
        record(metrics={}, cell=NET1, commit="f" * 40 + "-dirty"),
        run_id="c3" * 16,
        commit="f" * 40 + "-dirty",
        status="FAILED",
    )
    return [compared(first, second), compared(second, third)]


@pytest.fixture(scope="module")
def text(steps):
    return format_terminal(describe(steps, confidence=0.9), is_terminal=False)


def lines_with(text, *words):
    return [line.split() for line in text.splitlines() if all(word in line for word in words)]


def test_every_run_is_named_once(text):
    assert [line[:2] for line in lines_with(text, "train_all")] == [
        ["1", "a1a1a1a1"],
        ["2", "b2b2b2b2"],
        ["3", "c3c3c3c3"],
    ]
    assert "ffffffff-dirty   failed" in text


def test_a_change_is_told_once_with_its_cells(text):
    (line,) = lines_with(text, "model.c")
    assert line == ["parameter", "model.c", "1.0", "2.0", "demo.artist_kfold.mfcc_20.svm"]
    (line,) = lines_with(text, "git_commit")
    assert line == ["code", "git_commit", "01234567", "ffffffff-dirty", "all"]


def test_verdicts_stand_out_where_they_are_alarms(text):
    before, after = text.split("What changed from run 2 to run 3")
    (line,) = lines_with(before, "REGRESSION", "svm")
    assert line[:5] == ["svm", "mfcc_20", "90.0", "30.0", "\N{MINUS SIGN}60.0"]
    assert lines_with(after, "net1", "FAILED")
    assert lines_with(after, "svm", "gone")
    assert "unchanged" in after
    assert "their 90 % intervals" in after
    assert "On tracks: paired" in after
    assert "On intervals" not in after


def test_a_terminal_gets_colours_and_a_pipe_does_not(steps, text, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = format_terminal(describe(steps, confidence=0.9), is_terminal=True)
    assert "\x1b[1;31mREGRESSION" in coloured
    assert "\x1b[" not in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_other_metrics_are_shown_on_demand(steps, text):
    full = format_terminal(describe(steps[:1], confidence=0.95, all_metrics=True), is_terminal=False)
    (line,) = [line for line in lines_with(full, "log loss", "mfcc_20") if "regression" in line]
    assert line[5:8] == ["1.100", "1.700", "+0.600"]
    assert "log loss" not in text
    assert "On intervals: made of" not in text


def test_runs_without_answers_say_what_the_numbers_rest_on():
    step = compared(session(record(accuracy=0.5)), session(record(accuracy=0.6)))
    text = format_terminal(describe([step], confidence=0.95), is_terminal=False)
    assert lines_with(text, "svm", "intervals", "no difference shown")
    assert "On intervals: made of the intervals that both runs logged" in text
    assert "Nothing that is recorded" in text


def test_markdown_escapes_what_is_given(steps):
    step = compared(session(record(GOOD), name="a|b"), session(record(GOOD, parameters={"model.c": "*"}), run_id="s2"))
    text = format_markdown(describe([step], confidence=0.95))
    assert "## What changed from run 1 to run 2\n\n| What | Name | Before | After | Cells |" in text
    assert "| a\\|b |" in text
    assert "| parameter | model.c | 1.0 | \\* | all |" in text


def test_cells_with_other_runs_before_are_shown_apart():
    first = session(record(GOOD), run_id="a1" * 16)
    second = session(record(GOOD, cell=NET1), run_id="b2" * 16, started="2026-11-24 11:00 UTC")
    last = [
        session(each, run_id="c3" * 16, started="2026-11-24 12:00 UTC")
        for each in (record(BAD), record(BAD, cell=NET1), record(cell=OFFICIAL))
    ]
    steps = [
        compare_sessions(before, after, n_resamples=99)
        for before, after in zip((first, second, None), last, strict=True)
    ]
    text = format_terminal(describe(steps, confidence=0.95), is_terminal=False)
    assert [line[-1] for line in lines_with(text, "train_all")] == ["1", "1", "3"]
    (_, svm), (_, net1) = (text.split(f"What changed from run {number} to run 3") for number in (1, 2))
    assert lines_with(svm, "svm", "REGRESSION")
    assert not lines_with(net1, "svm", "REGRESSION")
    assert "Evaluated for the first time in run 3\ndemo.official.mfcc_20.svm" in text
    assert json.loads(format_json(steps, confidence=0.95))["comparisons"][2]["before"] is None


def test_runs_without_a_common_cell_are_not_called_the_same():
    step = compared(session(record(GOOD)), session(record(GOOD, cell=NET1), run_id="s2"))
    text = format_terminal(describe([step], confidence=0.95), is_terminal=False)
    assert "The two runs evaluated no cell in common" in text
    assert "Nothing that is recorded" not in text


def test_json_has_everything(steps):
    content = json.loads(format_json(steps, confidence=0.9))
    assert content["confidence"] == 0.9
    assert [run["run_id"] for run in content["runs"]] == ["a1" * 16, "b2" * 16, "c3" * 16]
    assert [run["n_cells"] for run in content["runs"]] == [3, 3, 2]
    assert [(each["before"], each["after"]) for each in content["comparisons"]] == [
        ("a1" * 16, "b2" * 16),
        ("b2" * 16, "c3" * 16),
    ]
    assert content["comparisons"][0]["cells"] == list(steps[0].cells)


def test_cells_that_make_no_pattern_are_named():
    names = [Cell("demo", "folds", feature, model) for feature in ("a", "b") for model in ("svm", "net1", "net2")]
    before = [record(GOOD, cell=cell) for cell in names]
    odd = [(cell.feature == "a") != (cell.model == "svm") for cell in names]
    after = [
        record(GOOD, cell=cell, parameters={"model.c": "9" if is_odd else "1.0", "seed": "0"})
        for cell, is_odd in zip(names, odd, strict=True)
    ]
    text = format_terminal(describe([compared(session(*before), session(*after))], confidence=0.95), is_terminal=False)
    (line,) = lines_with(text, "model.c")
    assert " ".join(line[4:]) == "demo.folds.a.net1, demo.folds.a.net2 and demo.folds.b.svm"


def test_many_cells_are_told_by_their_number():
    cells = [Cell("demo", protocol, "a", f"m{i}") for i in range(5) for protocol in ("x", "y")]
    before = [record(GOOD, cell=cell) for cell in cells]
    after = [
        record(GOOD, cell=cell, commit="b" if i not in {1, 2} else "0123456789abcdef") for i, cell in enumerate(cells)
    ]
    text = format_terminal(describe([compared(session(*before), session(*after))], confidence=0.95), is_terminal=False)
    assert "demo.x.a.m0, demo.x.a.m2, demo.x.a.m3 and 5 more" in text


def test_long_values_and_long_lists_are_shortened():
    values = {f"p{i}": "x" * 50 + str(i) for i in range(9)}
    change = compare_records(CELL, record(), record(parameters=values))
    text = what_changed(change["changes"])
    assert text.startswith("model.c 1.0 to \N{EN DASH}, p0 \N{EN DASH} to xxxxxxxxxxxxxxxxx…xxxxxxxxxxxxxxxx0, p1")
    assert text.endswith(" and 5 more")
    assert what_changed([]) == "nothing that is recorded"


def test_a_cell_without_numbers_has_dashes():
    assert [entry.text for entry in metric_entries(None)] == ["\N{EN DASH}"] * 5


class TestConclusion:
    """What a run says at its end of the accuracies that it changed."""

    def test_it_says_what_changed_whether_by_chance_and_why(self):
        worse = compare_records(CELL, record(GOOD), record(BAD, parameters={"model.c": "2.0"}), n_resamples=99)
        (line,) = conclude([worse])
        assert line.startswith(
            "demo.artist_kfold.mfcc_20.svm: 90.0 % before, 30.0 % now; on 40 common tracks \N{MINUS SIGN}60.0 points "
            "(\N{MINUS SIGN}"
        )
        assert line.endswith(
            "), WORSE, by more than chance. Changed meanwhile: model.c 1.0 to 2.0 and seed 0 to \N{EN DASH}."
        )

    def test_alarms_come_first_and_others_are_counted(self):
        cells = [Cell("demo", "folds", "a", f"m{i:02d}") for i in range(12)]
        changes = [compare_records(cell, record(), record(accuracy=0.55), n_resamples=99) for cell in cells]
        changes.append(compare_records(NET1, record(), record(metrics={}), n_resamples=99))
        changes += [compare_records(CELL, record(), record()), compare_records(OFFICIAL, None, record())]
        lines = conclude(changes)
        assert lines[0].startswith(f"{NET1.name}: FAILED. Changed meanwhile: nothing that is recorded.")
        assert lines[1].startswith("demo.folds.a.m00: 50.0 % before, 55.0 % now; +5.0 points (")
        assert "which may be chance" in lines[1]
        assert lines[8:] == [
            "Since the run before: 5 more cells changed, 1 cell unchanged and 1 cell evaluated for the first time."
        ]

    def test_nothing_was_evaluated(self):
        assert conclude([]) == []
