"""Wiring of the training stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.cells import Cell
from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.binding import bind
from genre_pipeline.pipelines.train.nodes import train_cell


def create_pipeline(experiment: Experiment, *, model: str) -> Pipeline:
    """Make one namespace per cell of that model, with its training node."""
    return Pipeline([_train(cell) for cell in experiment.cells if cell.model == model])


def wire_training(cell: Cell) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a cell's training reads.

    Args:
        cell: The cell.

    Returns:
        Catalog entries and parameters, by the names that a node in the cell's namespace gives them.
    """
    inputs = {
        "split": f"{cell.dataset}.{cell.protocol}.split",
        "audit": f"{cell.dataset}.{cell.protocol}.audit",
        "segments": f"{cell.dataset}.{cell.feature}.segments",
        "features": f"{cell.dataset}.{cell.feature}.features",
        "training": f"{cell.name}.training",
    }
    parameters = {
        "params:dataset": f"params:datasets.{cell.dataset}",
        "params:protocol": f"params:protocols.{cell.protocol}",
        "params:feature": f"params:features.{cell.feature}",
        "params:model": f"params:models.{cell.model}",
        "params:seed": "params:experiment.seed",
        "params:compute": "params:compute",
    }
    return inputs, parameters


def _train(cell: Cell) -> Pipeline:
    inputs, parameters = wire_training(cell)
    node = Node(
        bind(train_cell, f"train_{cell.model}", cell=cell),
        inputs=["split", "audit", "segments", "features", *parameters, "training", "session_log"],
        outputs="checkpoints",
        name=f"train_{cell.model}",
        tags=["train", f"train_{cell.model}"],
    )
    return Pipeline(
        [node],
        namespace=cell.name,
        inputs={**inputs, "session_log": "session_log"},
        parameters=parameters,
    )
