"""Robustness: how trained models predict test tracks whose audio was changed."""

from genre_pipeline.pipelines.robustness.pipeline import create_pipeline

__all__ = ["create_pipeline"]
