"""MLflow tracking: a parent run per ``kedro run``, a child run per cell, a grandchild run per repeat."""

from genre_pipeline.tracking.history import RunHistory
from genre_pipeline.tracking.pages import runs_page
from genre_pipeline.tracking.server import check_server, open_database, tracking_client, tracking_errors, tracking_fault
from genre_pipeline.tracking.tracker import MlflowTracker, close_runs, close_runs_of_the_dead

__all__ = [
    "MlflowTracker",
    "RunHistory",
    "check_server",
    "close_runs",
    "close_runs_of_the_dead",
    "open_database",
    "runs_page",
    "tracking_client",
    "tracking_errors",
    "tracking_fault",
]
