"""Kedro's settings of the project."""

import os
import warnings

from genre_pipeline.configuration import ConfigLoader
from genre_pipeline.hooks import ExtractionsHook, FailuresHook, RecordsHook, TrackingHook
from genre_pipeline.pipeline_registry import ParametrisedContext
from genre_pipeline.project import artifact_location, data_root, environment_variable, tracking_uri
from genre_pipeline.session import InterruptibleSession

# kedro-mlflow defines a class that MLflow warns of on import; it is not ours and not used.
warnings.filterwarnings("ignore", message=r".*Add type hints to the `predict` method")

# MLflow would draw a bar for every model that is logged, in the middle of the log.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

HOOKS = (ExtractionsHook(), TrackingHook(), FailuresHook(), RecordsHook())
SESSION_CLASS = InterruptibleSession
CONTEXT_CLASS = ParametrisedContext
CONFIG_LOADER_CLASS = ConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
    # Environments state differences only: parameters are merged key by key.
    "merge_strategy": {"parameters": "soft", "mlflow": "soft", "globals": "soft"},
    "custom_resolvers": {
        "data": data_root,
        "tracking_uri": tracking_uri,
        "artifact_location": artifact_location,
        "env": environment_variable,
    },
}
