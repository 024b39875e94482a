"""Predict: genres of audio files with a trained cell."""

from genre_pipeline.pipelines.predict.pipeline import create_pipeline

__all__ = ["create_pipeline"]
