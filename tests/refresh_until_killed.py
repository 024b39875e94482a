"""Refreshes that are killed by SIGKILL at one point after another, and two at once: run by ``test_refresh.py``.

Each attempt runs in a fork of this process, which has no threads, and all that it imports.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.startup import bootstrap_project

from genre_pipeline.errors import RefreshError
from genre_pipeline.ingest import inspections
from genre_pipeline.ops.refresh.journal import Journal
from genre_pipeline.ops.refresh.place import journal_path
from genre_pipeline.ops.refresh.planning import make_plan
from genre_pipeline.ops.refresh.records import read_record
from genre_pipeline.ops.refreshing import Request, read_graph
from genre_pipeline.pipelines.compare import nodes as compare_nodes
from genre_pipeline.pipelines.evaluate import nodes as evaluate_nodes
from genre_pipeline.pipelines.train import nodes as train_nodes
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.runner import StaleRunner
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.tracking.tracker import MlflowTracker
from kedro_sessions import do_without_drawing, given, new_session

REFUSED = 7


def kill(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_when_trained() -> None:
    """Die when the first repeat is trained and on disk, but nothing says so."""
    train_repeat = train_nodes.train_repeat

    def train_and_die(**arguments: Any) -> Any:
        train_repeat(**arguments)
        kill()

    train_nodes.train_repeat = train_and_die


POINTS: dict[str, Callable[[], None]] = {
    "inspecting": lambda: setattr(inspections, "inspect_audio", kill),
    "extracting": lambda: setattr(FeatureStore, "stage", kill),
    "trained": kill_when_trained,
    "scoring": lambda: setattr(evaluate_nodes, "log_evaluation", kill),
    "reporting": lambda: setattr(compare_nodes, "build_report", kill),
}


def refresh(parameters: dict[str, Any]) -> None:
    with new_session(**parameters) as session:
        session.run(runner=StaleRunner())


def fork(data: Path, parameters: dict[str, Any], prepare: Callable[[], None] = lambda: None) -> int:
    """Refresh a data folder in a fork, and return the process."""
    child = os.fork()
    if child:
        return child
    os.environ["GENRE_PIPELINE_DATA"] = str(data)
    code = 0
    try:
        prepare()
        refresh(parameters)
    except RefreshError as error:
        sys.stderr.write(f"{error}\n")
        code = REFUSED
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)


def ended(child: int) -> int:
    """Wait for a process, and return its exit code, or its signal below zero."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def state(data: Path, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what all results hold, but for the time that they took."""
    os.environ["GENRE_PIPELINE_DATA"] = str(data)
    graph = read_graph(Request(runtime_params=given(**parameters)))
    parts = {name: record.parts for name, entry in graph.entries.items() if (record := read_record(entry.record))}
    # What other pipelines make, such as robustness, is not there.
    assert parts.keys() == graph.producers.keys()
    # Mistakes name files, which lie in folders of different names.
    for name in [name for name in parts if name.endswith(".mistakes")]:
        parts[name] = json.loads(graph.entries[name].path.read_text(encoding="utf-8").replace(str(data), ""))
    timed = {"cost", "history", "inference_s", "inference_s_per_clip", "training_s"}
    return {
        "stale": make_plan(graph).stale,
        "ran": Journal.read(journal_path()).steps_run,
        "parts": {
            name: {part: value for part, value in held.items() if part not in timed}
            for name, held in parts.items()
            # Summaries hold the results again, with their costs; the figure shows them.
            if not name.endswith(".summary") and name != "quality_and_cost"
        },
    }


def main(straight: Path, killed: Path, parameters: dict[str, Any]) -> None:
    bootstrap_project(PROJECT_ROOT)
    do_without_drawing(pytest.MonkeyPatch())
    MlflowTracker.write = lambda *_: None  # type: ignore[method-assign]
    MlflowTracker.history = lambda *_: (None, None)  # type: ignore[method-assign]
    codes = {name: ended(fork(killed, parameters, prepare)) for name, prepare in POINTS.items()}
    codes["finished"] = ended(fork(killed, parameters))

    # The first refresh of two waits in the middle until the second has been refused.
    is_inside, says_inside = os.pipe()
    may_go_on, says_go_on = os.pipe()
    inspect_audio = inspections.inspect_audio

    def wait_inside() -> None:
        def inspect(path: Path) -> Any:
            os.write(says_inside, b"1")
            os.read(may_go_on, 1)
            return inspect_audio(path)

        inspections.inspect_audio = inspect

    first = fork(straight, parameters, wait_inside)
    os.read(is_inside, 1)
    codes["second of two"] = ended(fork(straight, parameters))
    os.write(says_go_on, b"1")
    codes["first of two"] = ended(first)
    states = {"straight": state(straight, parameters), "killed": state(killed, parameters)}
    sys.stdout.write(json.dumps({"codes": codes, **states}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
