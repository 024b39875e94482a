"""What the machine does during a session, logged to the session's run."""

from __future__ import annotations

import logging
from typing import Protocol


class Monitor(Protocol):
    """Something that runs until it is stopped."""

    def start(self) -> None:
        """Begin."""

    def finish(self) -> None:
        """Stop."""


def watch_system(run_id: str) -> Monitor:
    """Log the use of processors, memory, disk, network and GPUs every ten seconds, as metrics ``system/...``.

    Args:
        run_id: The run to log to.

    Returns:
        What must be finished in the end.
    """
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    # It logs each start and end, and a missing GPU.
    logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
    monitor: Monitor = SystemMetricsMonitor(run_id)  # type: ignore[no-untyped-call]
    monitor.start()
    return monitor
