"""Few labels: how accurate models are that learn from a few artists of each genre."""

from genre_pipeline.pipelines.few_labels.pipeline import create_pipeline

__all__ = ["create_pipeline"]
