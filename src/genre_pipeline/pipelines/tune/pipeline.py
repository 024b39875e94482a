"""Wiring of the tuning stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.cells import Cell
from genre_pipeline.pipelines.binding import bind
from genre_pipeline.pipelines.tune.nodes import hold_out, tune_model


def create_pipeline(cell: Cell) -> Pipeline:
    """Make the namespace of one cell with two nodes: the node that tunes never gets the test split."""
    parameters = {
        "params:feature": f"params:features.{cell.feature}",
        "params:model": f"params:models.{cell.model}",
        "params:training": "params:training",
        "params:tuning": "params:tuning",
        "params:seed": "params:experiment.seed",
    }
    nodes = [
        Node(
            bind(hold_out, cell=cell),
            inputs=["split", "segments", "features", "params:tuning"],
            outputs="development",
            name="hold_out",
            tags="tune",
        ),
        Node(
            bind(tune_model, f"tune_{cell.model}", cell=cell),
            inputs=["development", *parameters, "training", "session_log"],
            outputs=["trials", "best_parameters", "tuning_history", "parameter_importance", "tuning_log"],
            name=f"tune_{cell.model}",
            tags="tune",
        ),
    ]
    return Pipeline(
        nodes,
        namespace=cell.name,
        inputs={
            "split": f"{cell.dataset}.{cell.protocol}.split",
            "segments": f"{cell.dataset}.{cell.feature}.segments",
            "features": f"{cell.dataset}.{cell.feature}.features",
            "training": f"{cell.name}.training",
            "session_log": "session_log",
        },
        parameters=parameters,
    )
