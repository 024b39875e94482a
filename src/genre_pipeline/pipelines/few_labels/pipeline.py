"""Wiring of the stage that trains on few artists."""

from __future__ import annotations

from fnmatch import fnmatchcase

from kedro.pipeline import Node, Pipeline

from genre_pipeline.cells import Cell
from genre_pipeline.experiment import Experiment
from genre_pipeline.models import EstimatorSpec
from genre_pipeline.pipelines.binding import bind, plain
from genre_pipeline.pipelines.few_labels.nodes import join_few_labels, train_on_few_labels
from genre_pipeline.pipelines.train.pipeline import wire_training


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make a node for each chosen cell, and one that joins their scores."""
    cells = [cell for cell in experiment.cells if _is_chosen(cell, experiment)]
    scores = plain(f"{cell.name}.few_labels" for cell in cells)
    join = Node(join_few_labels, inputs=list(scores), outputs="few_labels", name="join_few_labels", tags="few_labels")
    return Pipeline([*(_train(cell) for cell in cells), Pipeline([join], inputs=scores)])


def _is_chosen(cell: Cell, experiment: Experiment) -> bool:
    patterns = experiment.few_labels.cells
    if patterns is None:
        return isinstance(experiment.models[cell.model].spec, EstimatorSpec)
    return any(fnmatchcase(cell.name, each) for each in patterns)


def _train(cell: Cell) -> Pipeline:
    inputs, parameters = wire_training(cell)
    parameters |= {"params:few_labels": "params:few_labels", "params:evaluation": "params:evaluation"}
    node = Node(
        bind(train_on_few_labels, cell=cell),
        inputs=["split", "audit", "segments", "features", "tracks", *parameters, "training"],
        outputs=["few_labels", "few_labels_log"],
        name="train_on_few_labels",
        tags="few_labels",
    )
    return Pipeline(
        [node],
        namespace=cell.name,
        inputs={**inputs, "tracks": f"{cell.dataset}.tracks"},
        parameters=parameters,
    )
