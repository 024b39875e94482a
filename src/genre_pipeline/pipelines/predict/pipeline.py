"""Wiring of the prediction stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.binding import plain
from genre_pipeline.pipelines.predict.nodes import predict_genres


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make the node that classifies audio files with the chosen cell."""
    folder = plain([f"{experiment.predict.cell}.training"])
    node = Node(
        predict_genres,
        inputs=["params:predict", *folder],
        outputs="predicted_genres",
        name="predict_genres",
        tags="predict",
    )
    return Pipeline([node], inputs=folder, parameters={"params:predict"})
