"""MLflow tracking: a parent run per ``kedro run``, a child run per cell, a grandchild run per repeat."""

from genre_pipeline.tracking.history import OUTCOMES, RunHistory
from genre_pipeline.tracking.server import check_server, open_database, tracking_client, tracking_errors, tracking_fault
from genre_pipeline.tracking.tracker import (
    CellRun,
    Tracker,
    close_failed_runs,
    close_interrupted_runs,
    close_runs_of_the_dead,
    current_tracker,
    start_tracking,
    stop_tracking,
    tracking_elsewhere,
)

__all__ = [
    "OUTCOMES",
    "CellRun",
    "RunHistory",
    "Tracker",
    "check_server",
    "close_failed_runs",
    "close_interrupted_runs",
    "close_runs_of_the_dead",
    "current_tracker",
    "open_database",
    "start_tracking",
    "stop_tracking",
    "tracking_client",
    "tracking_elsewhere",
    "tracking_errors",
    "tracking_fault",
]
