"""Train: the repeats of one cell."""

from genre_pipeline.pipelines.train.pipeline import create_pipeline

__all__ = ["create_pipeline"]
