"""Features: every clip once through the front-end, into a packed store."""

from genre_pipeline.pipelines.features.pipeline import create_pipeline

__all__ = ["create_pipeline"]
