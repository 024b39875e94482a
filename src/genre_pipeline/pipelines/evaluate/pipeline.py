"""Wiring of the evaluation stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.cells import Cell
from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.binding import bind
from genre_pipeline.pipelines.evaluate.nodes import predict_segments, register_model, score_cell


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make one namespace per cell, with its prediction and its scoring node, and one that registers its model."""
    registered = experiment.cells if experiment.registry.enabled else ()
    return Pipeline(
        [_evaluate(cell, experiment) for cell in experiment.cells] + [_register(cell) for cell in registered]
    )


def _register(cell: Cell) -> Pipeline:
    parameters = {
        "params:experiment_name": "params:experiment.name",
        "params:evaluation": "params:evaluation",
        "params:registry": "params:registry",
    }
    node = Node(
        bind(register_model, "register", cell=cell),
        inputs=[
            "checkpoints",
            "predictions",
            "results",
            "tracks",
            "audit",
            *parameters,
        ],
        outputs="registration",
        name="register",
        tags="evaluate",
    )
    return Pipeline(
        [node],
        namespace=cell.name,
        inputs={
            "checkpoints": f"{cell.name}.checkpoints",
            "predictions": f"{cell.name}.predictions",
            "results": f"{cell.name}.results",
            "tracks": f"{cell.dataset}.tracks",
            "audit": f"{cell.dataset}.{cell.protocol}.audit",
        },
        parameters=parameters,
    )


def _evaluate(cell: Cell, experiment: Experiment) -> Pipeline:
    predict = Node(
        bind(predict_segments, "predict", cell=cell),
        inputs=["checkpoints", "split", "segments", "features", "params:experiment_name", "params:storage"],
        outputs=["predictions", "inference"],
        name="predict",
        tags="evaluate",
    )
    score = Node(
        bind(score_cell, "score", cell=cell, reference=experiment.models[cell.model].spec.reference),
        inputs=[
            "checkpoints",
            "predictions",
            "inference",
            "tracks",
            "split",
            "audit",
            "segments",
            "features",
            "params:evaluation",
        ],
        outputs=["results", "change"],
        name="score",
        tags="evaluate",
    )
    return Pipeline(
        [predict, score],
        namespace=cell.name,
        inputs={
            "checkpoints": f"{cell.name}.checkpoints",
            "tracks": f"{cell.dataset}.tracks",
            "split": f"{cell.dataset}.{cell.protocol}.split",
            "audit": f"{cell.dataset}.{cell.protocol}.audit",
            "segments": f"{cell.dataset}.{cell.feature}.segments",
            "features": f"{cell.dataset}.{cell.feature}.features",
        },
        parameters={
            "params:evaluation": "params:evaluation",
            "params:experiment_name": "params:experiment.name",
            "params:storage": "params:storage",
        },
    )
