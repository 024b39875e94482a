"""Refresh: which results are stale and why, found from cheap facts before anything runs."""

from genre_pipeline.ops.refresh.content import content_parts
from genre_pipeline.ops.refresh.graph import Entry, Graph, Source, Step
from genre_pipeline.ops.refresh.planning import Cause, Plan, make_plan
from genre_pipeline.ops.refresh.records import Record, Recorder

__all__ = [
    "Cause",
    "Entry",
    "Graph",
    "Plan",
    "Record",
    "Recorder",
    "Source",
    "Step",
    "content_parts",
    "make_plan",
]
