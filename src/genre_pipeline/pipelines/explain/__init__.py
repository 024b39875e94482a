"""Explain: which time-frequency regions drove a trained model's decision about chosen tracks."""

from genre_pipeline.pipelines.explain.pipeline import create_pipeline

__all__ = ["create_pipeline"]
