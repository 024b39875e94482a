"""Wiring of the evaluation stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.cells import Cell
from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.binding import bind
from genre_pipeline.pipelines.evaluate.nodes import (
    compare_with_previous,
    predict_segments,
    register_model,
    score_cell,
)


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make one namespace per cell, with the nodes that predict, score and compare, and one that registers its model."""
    registered = experiment.cells if experiment.registry.enabled else ()
    return Pipeline(
        [_evaluate(cell, experiment) for cell in experiment.cells] + [_register(cell) for cell in registered]
    )


def _register(cell: Cell) -> Pipeline:
    parameters = {
        "params:experiment_name": "params:experiment.name",
        "params:evaluation": "params:evaluation",
        "params:margin": "params:registry.margin",
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
            "session_registry",
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
            "session_registry": "session_registry",
        },
        parameters=parameters,
    )


def _evaluate(cell: Cell, experiment: Experiment) -> Pipeline:
    predict = Node(
        bind(predict_segments, "predict", cell=cell),
        inputs=["checkpoints", "split", "segments", "features", "training"],
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
            "session",
        ],
        outputs=["results", "scores_log"],
        name="score",
        tags="evaluate",
    )
    compare = Node(
        bind(compare_with_previous, cell=cell),
        inputs=["results", "params:confidence", "history"],
        outputs=["change", "change_log"],
        name="compare_with_previous",
        tags="evaluate",
    )
    return Pipeline(
        [predict, score, compare],
        namespace=cell.name,
        inputs={
            "checkpoints": f"{cell.name}.checkpoints",
            "tracks": f"{cell.dataset}.tracks",
            "split": f"{cell.dataset}.{cell.protocol}.split",
            "audit": f"{cell.dataset}.{cell.protocol}.audit",
            "segments": f"{cell.dataset}.{cell.feature}.segments",
            "features": f"{cell.dataset}.{cell.feature}.features",
            "training": f"{cell.name}.training",
            "history": f"{cell.name}.history",
            "session": "session",
        },
        parameters={"params:evaluation": "params:evaluation", "params:confidence": "params:evaluation.confidence"},
    )
