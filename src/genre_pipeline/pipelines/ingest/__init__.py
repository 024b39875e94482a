"""Ingest: from a dataset's folder to a track table and a report of what is wrong with it."""

from genre_pipeline.pipelines.ingest.pipeline import create_pipeline

__all__ = ["create_pipeline"]
