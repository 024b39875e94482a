"""Wiring of the prediction stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.binding import plain
from genre_pipeline.pipelines.predict.nodes import predict_genres


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make the node that classifies audio files with the model for use, or that of the chosen cell."""
    cell = experiment.predict.cell
    known = f"{cell}.results_if_any" if cell else f"{experiment.settings.datasets[0]}.leader_if_any"
    entries = plain([known, "trained_models"])
    node = Node(
        predict_genres,
        inputs=["params:predict", *entries],
        outputs="predicted_genres",
        name="predict_genres",
        tags="predict",
    )
    return Pipeline([node], inputs=entries, parameters={"params:predict"})
