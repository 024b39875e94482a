"""Kedro hooks: parameters are checked before any work, decodes shared, runs tracked, failed trainings told of."""

from genre_pipeline.hooks.extractions import ExtractionsHook
from genre_pipeline.hooks.failures import FailuresHook
from genre_pipeline.hooks.parameters import ParametersHook
from genre_pipeline.hooks.tracking import TrackingHook

__all__ = ["ExtractionsHook", "FailuresHook", "ParametersHook", "TrackingHook"]
