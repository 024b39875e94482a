"""Wiring of the explaining stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.cells import Cell
from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.binding import plain
from genre_pipeline.pipelines.explain.nodes import explain_tracks


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make the node that explains tracks of the chosen cell."""
    cell = Cell.parse(experiment.explain.cell)
    names = plain(
        [
            f"{cell.dataset}.{cell.protocol}.split",
            f"{cell.dataset}.{cell.feature}.segments",
            f"{cell.dataset}.{cell.feature}.features",
            f"{cell.name}.checkpoints",
        ]
    )
    node = Node(
        explain_tracks,
        inputs=["params:explain", *names],
        outputs=["explanations", "explanations_picture"],
        name="explain_tracks",
        tags="explain",
    )
    return Pipeline([node], inputs=names, parameters={"params:explain"})
