"""Unseen genres: whether models that are trained without a genre are less sure of its tracks."""

from genre_pipeline.pipelines.unseen.pipeline import create_pipeline

__all__ = ["create_pipeline"]
