"""Split: which track trains, validates or tests in which repeat, and what leaks."""

from genre_pipeline.pipelines.split.pipeline import create_pipeline

__all__ = ["create_pipeline"]
