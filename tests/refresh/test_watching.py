"""Watching, without waiting: what happens while it would wait is given, step by step."""

import logging

import pytest

from genre_pipeline.errors import DatasetError, RefreshError
from genre_pipeline.ops.refresh.planning import make_plan
from genre_pipeline.ops.refresh.watching import watch


class OverError(Exception):
    """The last of the steps was done."""


def watched(project, *steps, run=None):
    """Watch a project; instead of each wait the next step is done. Return the waits, and the plans that were run."""
    waits, plans = [], []
    pending = list(steps)

    def wait(seconds):
        waits.append(seconds)
        if not pending:
            raise OverError
        pending.pop(0)()

    def run_all(plan):
        plans.append(plan)
        project.run()

    with pytest.raises(OverError):
        watch(lambda: make_plan(project.graph), run or run_all, wait=wait, interval_s=60.0, settle_s=5.0)
    return waits, plans


def rest():
    """Nothing happens."""


def test_nothing_stale_is_looked_at_again_and_again(finished):
    assert watched(finished, rest, rest) == ([60.0, 60.0, 60.0], [])


def test_what_is_stale_is_run_once_it_is_at_rest(finished):
    waits, plans = watched(finished, lambda: finished.write("rock/new.wav"), rest, rest)
    assert waits == [60.0, 5.0, 60.0, 60.0]
    assert [plan.listings["d"].new for plan in plans] == [("rock/new.wav",)]


def test_files_that_are_still_being_copied_are_waited_for(finished):
    waits, plans = watched(
        finished,
        lambda: finished.write("rock/new.wav", "one"),
        lambda: finished.write("rock/new.wav", "one two"),
        lambda: finished.write("rock/newer.wav"),
        rest,
    )
    assert waits == [60.0, 5.0, 5.0, 5.0, 60.0]
    assert [plan.listings["d"].new for plan in plans] == [("rock/new.wav", "rock/newer.wav")]


def test_a_change_that_is_taken_back_is_not_run(finished):
    waits, plans = watched(
        finished, lambda: finished.write("rock/new.wav"), (finished.music / "rock" / "new.wav").unlink, rest
    )
    assert waits == [60.0, 5.0, 5.0, 60.0]
    assert plans == []


def test_a_refresh_that_failed_is_not_tried_again_before_something_changes(finished, caplog):
    tried = []

    def fail(plan):
        tried.append(plan.listings["d"].new)
        raise RefreshError("The disk is full.")

    finished.write("rock/new.wav")
    watched(finished, rest, rest, rest, lambda: finished.write("rock/newer.wav"), rest, run=fail)
    assert tried == [("rock/new.wav",), ("rock/new.wav", "rock/newer.wav")]
    assert "The disk is full. Nothing is tried again before something has changed." in caplog.text


@pytest.mark.parametrize("when", ["at first", "while waiting"])
def test_what_cannot_be_looked_at_is_told_and_looked_at_again(finished, caplog, when):
    looks = {"at first": [True, False], "while waiting": [False, True, False]}[when]
    ran = []

    def plan():
        if looks and looks.pop(0):
            raise DatasetError("The folder is not mounted.")
        return make_plan(finished.graph)

    finished.write("rock/new.wav")
    n_waits = 0

    def wait(seconds):
        nonlocal n_waits
        n_waits += 1
        if n_waits > 4:
            raise OverError

    def run(found):
        ran.append(found)
        finished.run()

    with caplog.at_level(logging.WARNING), pytest.raises(OverError):
        watch(plan, run, wait=wait, interval_s=60.0, settle_s=5.0)
    assert "Cannot find out what is stale: The folder is not mounted." in caplog.text
    assert len(ran) == 1
