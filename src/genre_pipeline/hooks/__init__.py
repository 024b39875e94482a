"""Kedro hooks: decodes shared, runs tracked, failures reported, results recorded."""

from genre_pipeline.hooks.extractions import ExtractionsHook
from genre_pipeline.hooks.failures import FailuresHook
from genre_pipeline.hooks.records import RecordsHook
from genre_pipeline.hooks.tracking import TrackingHook

__all__ = ["ExtractionsHook", "FailuresHook", "RecordsHook", "TrackingHook"]
