"""Wiring of the evaluation stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.cells import Cell
from genre_pipeline.experiment import Experiment
from genre_pipeline.features import FEATURES
from genre_pipeline.pipelines.binding import bind
from genre_pipeline.pipelines.evaluate.nodes import (
    compare_with_previous,
    predict_segments,
    score_cell,
)


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make one namespace per cell, with the nodes that predict, score and compare."""
    return Pipeline([_evaluate(cell, experiment) for cell in experiment.cells])


def _evaluate(cell: Cell, experiment: Experiment) -> Pipeline:
    feature, model = experiment.features[cell.feature], experiment.models[cell.model]
    predict = Node(
        bind(predict_segments, "predict", cell=cell),
        inputs=["checkpoints", "split", "segments", "features", "training"],
        outputs=["predictions", "inference"],
        name="predict",
        tags="evaluate",
    )
    score = Node(
        bind(
            score_cell,
            "score",
            cell=cell,
            reference=model.spec.reference,
            pretraining=FEATURES[feature.kind].pretraining(feature) or model.pretraining,
        ),
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
