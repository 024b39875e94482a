"""What a process is known by, and how signals end it."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, replace

import pytest

from genre_pipeline.work.processes import Ended, Owner, ends_on_signals, is_of_the_dead

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
WHO = "import json, sys; from dataclasses import asdict; from genre_pipeline.work.processes import Owner; "
SAY = "print(json.dumps(asdict(Owner.this_process())), Owner.this_process().mark, flush=True); sys.stdin.read()"


@pytest.mark.usefixtures("obeyed_signals")
class TestSignals:
    @pytest.mark.parametrize("number", SIGNALS)
    def test_each_ends_the_work_with_its_own_exit_code(self, number):
        before = signal.getsignal(number)
        with pytest.raises(Ended, match=rf"^Ended by {number.name}\.$") as caught, ends_on_signals():
            os.kill(os.getpid(), number)
        assert caught.value.exit_code == 128 + number
        assert isinstance(caught.value, KeyboardInterrupt)
        assert signal.getsignal(number) is before

    @pytest.mark.parametrize("number", SIGNALS)
    def test_what_was_ignored_from_the_start_stays_ignored(self, number):
        signal.signal(number, signal.SIG_IGN)
        with ends_on_signals():
            os.kill(os.getpid(), number)
            assert signal.getsignal(number) is signal.SIG_IGN

    def test_further_ones_do_not_disturb_the_closing(self):
        closed = []
        with pytest.raises(Ended, match="SIGTERM"), ends_on_signals():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                for number in SIGNALS:
                    os.kill(os.getpid(), number)
                closed.append(True)
        assert closed == [True]

    def test_where_a_library_swallows_one_the_next_ends(self):
        with pytest.raises(Ended, match="SIGHUP"), ends_on_signals():
            with suppress(BaseException):
                os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)

    def test_a_thread_leaves_them_to_the_main_one(self):
        before = [signal.getsignal(number) for number in SIGNALS]
        found = []

        def work():
            with ends_on_signals():
                found.extend(signal.getsignal(number) for number in SIGNALS)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert found == before


# signal.pause() would wait for ever if the signal came just before it.
STARTED = """
import os, signal, sys, threading
from genre_pipeline.work.processes import Ended, ends_on_signals
with ends_on_signals():
    try:
        os.kill(os.getppid(), signal.SIGKILL)
        while not threading.Event().wait(0.1):
            pass
    except Ended as error:
        print(error)
"""
STARTING = """
import sys
from pathlib import Path
from genre_pipeline.work.processes import started
with started([sys.executable, "-c", sys.argv[1]], Path.cwd()):
    pass
"""


@pytest.mark.usefixtures("obeyed_signals")
def test_a_command_ends_when_the_process_that_started_it_is_killed():
    """Its output ends when both have: the command itself kills the other."""
    command = [sys.executable, "-c", STARTING, STARTED]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout == "Ended by SIGTERM.\n"


@pytest.fixture
def other():
    """Another process, as it describes itself and marks its files; it ends when its input does."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", WHO + SAY], text=True, **pipes) as process:
        described, _, mark = process.stdout.readline().rpartition(" ")
        yield process, Owner(**json.loads(described)), mark.strip()


class TestOwner:
    def test_a_process_that_runs_is_not_dead(self, other):
        _, owner, mark = other
        assert owner.mark == mark
        assert not owner.is_dead
        assert is_of_the_dead(mark) is False
        assert asdict(owner) == asdict(replace(Owner.this_process(), pid=owner.pid, process_start=owner.process_start))

    def test_a_killed_one_is_dead_even_if_nobody_asked_how_it_ended(self, other):
        process, owner, mark = other
        process.kill()
        # Waits for its end, and leaves it a zombie.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owner.is_dead
        assert is_of_the_dead(mark) is True

    def test_a_later_process_of_the_same_number_is_another(self):
        earlier = replace(Owner.this_process(), process_start=1)
        assert earlier.is_dead
        assert is_of_the_dead(earlier.mark) is True

    @pytest.mark.parametrize("where", [{"host": "elsewhere.example"}, {"machine": "another container"}])
    def test_of_one_elsewhere_nothing_is_known(self, where):
        elsewhere = replace(Owner.this_process(), pid=2**30, **where)
        assert not elsewhere.is_dead
        assert is_of_the_dead(elsewhere.mark) is None
