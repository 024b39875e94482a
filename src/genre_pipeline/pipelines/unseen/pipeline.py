"""Wiring of the stage that leaves genres out."""

from __future__ import annotations

from fnmatch import fnmatchcase

from kedro.pipeline import Node, Pipeline

from genre_pipeline.cells import Cell
from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.binding import bind, plain
from genre_pipeline.pipelines.train.pipeline import wire_training
from genre_pipeline.pipelines.unseen.nodes import join_unseen, leave_genres_out


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make a node for each chosen cell, and one that joins their scores."""
    patterns = experiment.unseen_genres.cells
    cells = [cell for cell in experiment.cells if any(fnmatchcase(cell.name, each) for each in patterns)]
    scores = plain(f"{cell.name}.unseen_genres" for cell in cells)
    join = Node(join_unseen, inputs=list(scores), outputs="unseen_genres", name="join_unseen", tags="unseen_genres")
    return Pipeline([*(_leave_out(cell) for cell in cells), Pipeline([join], inputs=scores)])


def _leave_out(cell: Cell) -> Pipeline:
    inputs, parameters = wire_training(cell)
    node = Node(
        bind(leave_genres_out, cell=cell),
        inputs=["split", "audit", "segments", "features", *parameters, "training"],
        outputs=["unseen_genres", "unseen_log"],
        name="leave_genres_out",
        tags="unseen_genres",
    )
    return Pipeline(
        [node],
        namespace=cell.name,
        inputs=inputs,
        parameters=parameters,
    )
