"""Kedro hooks: parameters are checked before any work, runs are tracked, failed trainings told of."""

from genre_pipeline.hooks.failures import FailuresHook
from genre_pipeline.hooks.parameters import ParametersHook
from genre_pipeline.hooks.tracking import TrackingHook

__all__ = ["FailuresHook", "ParametersHook", "TrackingHook"]
