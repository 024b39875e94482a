"""Kedro hooks: decodes shared, runs tracked, failures reported, results recorded, progress shown."""

from genre_pipeline.hooks.extractions import ExtractionsHook
from genre_pipeline.hooks.failures import FailuresHook
from genre_pipeline.hooks.progress import ProgressHook
from genre_pipeline.hooks.records import RecordsHook
from genre_pipeline.hooks.tracking import TrackingHook

__all__ = ["ExtractionsHook", "FailuresHook", "ProgressHook", "RecordsHook", "TrackingHook"]
