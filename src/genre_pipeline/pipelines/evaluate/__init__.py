"""Evaluate: predictions, metrics and their uncertainty, for one cell."""

from genre_pipeline.pipelines.evaluate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
