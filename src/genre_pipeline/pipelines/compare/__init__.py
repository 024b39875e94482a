"""Compare: leaderboard, figures and report over all cells."""

from genre_pipeline.pipelines.compare.pipeline import create_pipeline

__all__ = ["create_pipeline"]
