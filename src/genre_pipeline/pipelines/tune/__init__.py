"""Tune: the search for one model's parameters."""

from genre_pipeline.pipelines.tune.pipeline import create_pipeline

__all__ = ["create_pipeline"]
