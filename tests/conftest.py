"""No network and no chance in what the tests start; whole sessions are not measured for coverage."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Read when the libraries are imported, which may be at collection.
os.environ.update(DO_NOT_TRACK="1", KEDRO_DISABLE_TELEMETRY="1", MLFLOW_DISABLE_TELEMETRY="true")
# Processes that compile librosa's functions at once, and read each other's, may crash (seen in a new environment).
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / "numba" / _WORKER)

# What tests write need not outlive the machine, and waiting for its disk takes as long as the rest of a small session.
os.fsync = lambda _: None

# The same examples each time, unless new ones are asked for: `make explore`.
# How long an example takes depends on what else the machine does, and fails nothing.
ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", ANY_SPEED, derandomize=True)
settings.register_profile("new", ANY_SPEED)
settings.load_profile("same")


@pytest.fixture
def obeyed_signals() -> Iterator[None]:
    """Signals do what they do in a terminal: below ``nohup``, or in the background of a script, some are ignored."""
    handlers = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Do not measure the coverage of end-to-end tests: it costs them half as much again, and others cover the code."""
    plugin = item.config.pluginmanager.get_plugin("_cov")
    controller = getattr(plugin, "cov_controller", None)
    if controller is None or "end_to_end" not in item.path.parts:
        return (yield)
    controller.pause()
    try:
        return (yield)
    finally:
        controller.resume()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the tests of a file to one process, and so those of a folder that share what takes minutes to make."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = super()._split_scope(nodeid)
            return str(Path(path).parent) if "/finished/" in path else path

    # Not the files with most tests first: some of the longest have few, and would leave the other processes idle at the
    # end. In the order of the folders, the end-to-end tests are early and short ones last.
    config.option.loadscopereorder = False
    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None
