"""Kedro hooks: parameters are checked before any work, and runs are tracked."""

from genre_pipeline.hooks.parameters import ParametersHook
from genre_pipeline.hooks.tracking import TrackingHook

__all__ = ["ParametersHook", "TrackingHook"]
