"""``kedro refresh``: find what is stale, have Kedro run it, and report the changes."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from genre_pipeline.configuration import load_configuration
from genre_pipeline.errors import ConfigError, RefreshError
from genre_pipeline.freshness import conclude, experiment_graph
from genre_pipeline.ingest.inspections import forget_inspections
from genre_pipeline.ops.refresh.changes import compare_scores, describe_changes, notify, read_scores
from genre_pipeline.ops.refresh.graph import Graph, source_hash
from genre_pipeline.ops.refresh.journal import Journal
from genre_pipeline.ops.refresh.place import journal_path, one_refresh_at_a_time
from genre_pipeline.ops.refresh.planning import Plan, make_plan
from genre_pipeline.ops.refresh.watching import watch
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.storage import write_json
from genre_pipeline.work.processes import Ended, started

_CREDENTIALS = "refresh_webhook"
_LEADERBOARD = "leaderboard"


@dataclass(frozen=True)
class Request:
    """What is to be refreshed.

    Attributes:
        env: Name of the configuration environment; ``None`` means the default.
        experiment: Name of the experiment; ``None`` means the default.
        params: The text of ``--params``.
        runtime_params: What it says.
        check_content: Whether to read the datasets' files.
    """

    env: str | None = None
    experiment: str | None = None
    params: str = ""
    runtime_params: dict[str, Any] | None = None
    check_content: bool = False


def read_graph(request: Request) -> Graph:
    """Return what the experiment consists of, from the file that keeps it where nothing has changed since.

    Args:
        request: The environment, experiment and parameters.

    Raises:
        ConfigError: If a parameter is wrong.
        StorageError: If it cannot be kept.
    """
    return experiment_graph(load_configuration(request.env, request.runtime_params, experiment=request.experiment))


def plan_refresh(request: Request) -> Plan:
    """Find out what is stale. Nothing is run.

    Args:
        request: What is to be refreshed.

    Raises:
        ConfigError: If a parameter is wrong.
    """
    return make_plan(read_graph(request), check_content=request.check_content)


def refresh_once(
    request: Request, *, say: Callable[[str], None], confirm: Callable[[str], object] | None = None
) -> None:
    """Run what is stale, and only that.

    Args:
        request: What is to be refreshed.
        say: Tells people what is stale.
        confirm: Asks a person whether to begin what takes long, and raises an exception if not.

    Raises:
        ConfigError: If a parameter is wrong.
        RefreshError: If another process refreshes, or something failed.
    """
    plan = plan_refresh(request)
    say(plan.summary())
    if plan.stale:
        if any(".train_" in name for name in plan.stale):
            # It needs torch, which takes seconds to import.
            from genre_pipeline.ops.estimating import look_ahead

            loader = load_configuration(request.env, request.runtime_params, experiment=request.experiment)
            look_ahead(loader["parameters"], plan.graph, plan.stale, confirm)
        run_stale(request, plan)
    elif lines := conclude(plan.graph.entries):
        say("\n".join(lines))


def watch_and_refresh(
    request: Request,
    *,
    say: Callable[[str], None],
    interval_s: float,
    settle_s: float,
    wait: Callable[[float], object] | None = None,
) -> None:
    """Run what is stale whenever something is, until the waiting is interrupted.

    Args:
        request: What is to be refreshed.
        say: Tells people what is stale.
        interval_s: Seconds between two looks.
        settle_s: Seconds for which files must have stayed as they are.
        wait: Waits for some seconds; what it raises ends the watch.

    Raises:
        ConfigError: If the project's code is not that with which the watch began: its planner may be another one.
    """
    code = source_hash()
    pause = threading.Event()

    def wait_with_the_same_code(seconds: float) -> None:
        (wait or pause.wait)(seconds)
        if source_hash() != code:
            raise ConfigError("The project's code has changed since this watch began. Start it again.")

    def run(plan: Plan) -> None:
        say(plan.summary())
        run_stale(request, plan)

    say(f"Watching; a look every {interval_s:g} s. Ctrl-C ends it.")
    watch(lambda: plan_refresh(request), run, wait=wait_with_the_same_code, interval_s=interval_s, settle_s=settle_s)


def run_stale(request: Request, plan: Plan, *, run: Callable[[list[str]], tuple[int, int]] | None = None) -> None:
    """Have Kedro run what is stale, in a separate process, and report the changes.

    What changed is written to ``changes.json`` beside the report, and posted to the webhook if there is one.

    Args:
        request: What is to be refreshed.
        plan: What is stale.
        run: Runs a command and returns its process and how it ended; by default :func:`run_command`.

    Raises:
        RefreshError: If another process refreshes, or something failed.
    """
    with one_refresh_at_a_time():
        for step in plan.graph.steps:
            if step.source is not None and (altered := plan.listings[step.source.dataset].altered):
                forget_inspections(step.source.cache, frozenset(altered))
    leaderboard = plan.graph.entries[_LEADERBOARD].place
    before = read_scores(leaderboard)
    # Fresh, because this runner checks each node, and the plan has listed the music already.
    command = [sys.executable, "-m", "kedro", "run", "--fresh", "--runner", "genre_pipeline.runner.StaleRunner"]
    command += ["--env", request.env] if request.env else []
    command += ["--experiment", request.experiment] if request.experiment else []
    command += ["--params", request.params] if request.params else []
    pid, code = (run or run_command)(command)
    journal = _journal_of(pid, code)
    scores = compare_scores(before, read_scores(leaderboard))
    changes = describe_changes(plan, journal, scores, experiment=leaderboard.parent.name)
    write_json(leaderboard.with_name("changes.json"), changes)
    if (url := webhook()) is not None:
        notify(url, changes)
    if code:
        raise RefreshError(
            f"The refresh ended with code {code}: see above. Once the cause is gone: Rerun the command to resume."
        )


def _journal_of(pid: int, code: int) -> Journal:
    """Return the journal of a process; without one, that the process failed."""
    journal = Journal.read(journal_path())
    if journal.pid != pid:
        journal = Journal(journal.path, pid)
    if code and not journal.failures:
        journal.failures["kedro run"] = f"ended with code {code}"
    return journal


def run_command(command: list[str]) -> tuple[int, int]:
    """Run a command in the project's folder, which signals reach once, through this process.

    Args:
        command: Program and arguments.

    Returns:
        Its process, and how it ended.

    Raises:
        KeyboardInterrupt: On a signal that ends this process, once the command has ended too.
    """
    with started(command, PROJECT_ROOT) as process:
        try:
            return process.pid, process.wait()
        except KeyboardInterrupt as error:
            # The same: what is ignored here from the start is ignored there, too.
            process.send_signal(error.number if isinstance(error, Ended) else signal.SIGINT)
            process.wait()
            raise


def webhook() -> str | None:
    """Return the webhook's URL from the credentials of this machine; ``None`` if there is none.

    Raises:
        ConfigError: If the credentials have another form.
    """
    from kedro.config import MissingConfigException

    try:
        credentials = load_configuration("local")["credentials"]
    except MissingConfigException:
        return None
    if _CREDENTIALS not in credentials:
        return None
    try:
        return str(credentials[_CREDENTIALS]["url"])
    except (KeyError, TypeError):
        raise ConfigError(f"credentials.yml: expected the key 'url' below '{_CREDENTIALS}'.") from None
