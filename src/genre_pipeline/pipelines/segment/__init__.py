"""Segment: an index of fixed-length pieces of each clip."""

from genre_pipeline.pipelines.segment.pipeline import create_pipeline

__all__ = ["create_pipeline"]
