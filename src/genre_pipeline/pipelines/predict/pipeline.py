"""Wiring of the prediction stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.pipelines.predict.nodes import predict_genres


def create_pipeline() -> Pipeline:
    """Make the node that classifies audio files with a trained cell."""
    node = Node(
        predict_genres,
        inputs=["params:predict", "params:experiment.name", "params:storage"],
        outputs="predicted_genres",
        name="predict_genres",
        tags="predict",
    )
    return Pipeline([node])
