"""MLflow tracking: a parent run a ``kedro run``, a child run a cell, a grandchild run a repeat."""

from genre_pipeline.tracking.history import OUTCOMES, RunHistory
from genre_pipeline.tracking.server import check_server
from genre_pipeline.tracking.tracker import (
    CellRun,
    Tracker,
    close_interrupted_runs,
    current_tracker,
    start_tracking,
    stop_tracking,
)

__all__ = [
    "OUTCOMES",
    "CellRun",
    "RunHistory",
    "Tracker",
    "check_server",
    "close_interrupted_runs",
    "current_tracker",
    "start_tracking",
    "stop_tracking",
]
