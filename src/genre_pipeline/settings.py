"""Kedro's settings of the project."""

import os
import warnings

from genre_pipeline.configuration import LOADER_OPTIONS, ConfigLoader
from genre_pipeline.hooks import ExtractionsHook, FailuresHook, ProgressHook, RecordsHook, TrackingHook
from genre_pipeline.pipeline_registry import ParametrisedContext
from genre_pipeline.progress import log_in_lines
from genre_pipeline.session import InterruptibleSession

log_in_lines()

# kedro-mlflow defines a class that MLflow warns of on import; it is not ours and not used.
warnings.filterwarnings("ignore", message=r".*Add type hints to the `predict` method")

# MLflow would draw a bar for every model that is logged, in the middle of the log.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

HOOKS = (ExtractionsHook(), TrackingHook(), FailuresHook(), RecordsHook(), ProgressHook())
SESSION_CLASS = InterruptibleSession
CONTEXT_CLASS = ParametrisedContext
CONFIG_LOADER_CLASS = ConfigLoader
CONFIG_LOADER_ARGS = LOADER_OPTIONS
