"""Wiring of the robustness stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.cells import Cell
from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.binding import bind, gather, plain
from genre_pipeline.pipelines.robustness.nodes import change_and_ask, join_scores, score_robustness


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make a node for each dataset and intervention, one for each cell's scores, and one that joins them."""
    cells = experiment.robustness_cells
    by_dataset = {cell.dataset: [each for each in cells if each.dataset == cell.dataset] for cell in cells}
    names = experiment.robustness.interventions
    scores = plain(f"{cell.name}.robustness" for cell in cells)
    join = Node(
        join_scores,
        inputs=list(scores),
        outputs=["robustness", "robustness_figure", "robustness_picture"],
        name="join_scores",
        tags="robustness",
    )
    return Pipeline(
        [
            *(_ask(dataset, group, name) for dataset, group in by_dataset.items() for name in names),
            *(_score(cell, names) for cell in cells),
            Pipeline([join], inputs=scores),
        ]
    )


def _ask(dataset: str, cells: list[Cell], intervention: str) -> Pipeline:
    needed = {
        "splits": [f"{dataset}.{cell.protocol}.split" for cell in cells],
        "segments": [f"{dataset}.{cell.feature}.segments" for cell in cells],
        "features": [f"{dataset}.{cell.feature}.features" for cell in cells],
        "checkpoints": [f"{cell.name}.checkpoints" for cell in cells],
        "folders": [f"{cell.name}.training" for cell in cells],
    }
    names = plain([f"{dataset}.tracks", *(entry for entries in needed.values() for entry in entries)])
    called = {entry: name for name, entry in names.items()}
    shared = {
        "params:dataset": f"params:datasets.{dataset}",
        "params:intervention": f"params:interventions.{intervention}",
        "params:compute": "params:compute",
    }
    features = {f"params:{cell.feature}": f"params:features.{cell.feature}" for cell in cells}
    ask, inputs = gather(
        bind(change_and_ask, f"ask_{intervention}", cells=cells, intervention_name=intervention),
        {
            "tracks": called[f"{dataset}.tracks"],
            "dataset": "params:dataset",
            "intervention": "params:intervention",
            "compute": "params:compute",
            "scratch": "scratch",
            **{argument: [called[entry] for entry in entries] for argument, entries in needed.items()},
            "blocks": [f"params:{cell.feature}" for cell in cells],
        },
    )
    node = Node(ask, inputs=inputs, outputs="answers", name=f"ask_{intervention}", tags="robustness")
    return Pipeline(
        [node], namespace=f"{dataset}.robustness.{intervention}", inputs=names, parameters=shared | features
    )


def _score(cell: Cell, interventions: tuple[str, ...]) -> Pipeline:
    inputs = {
        "results": f"{cell.name}.results",
        "predictions": f"{cell.name}.predictions",
        "tracks": f"{cell.dataset}.tracks",
        "audit": f"{cell.dataset}.{cell.protocol}.audit",
    }
    answers = plain(f"{cell.dataset}.robustness.{name}.answers" for name in interventions)
    parameters = {f"params:{name}": f"params:interventions.{name}" for name in interventions}
    arguments = {
        "result": "results",
        "predictions": "predictions",
        "tracks": "tracks",
        "audit": "audit",
        "evaluation": "params:evaluation",
        "interventions": list(parameters),
        "answers": list(answers),
    }
    node = Node(
        *gather(bind(score_robustness, cell=cell, names=interventions), arguments),
        outputs=["robustness", "robustness_log"],
        name="score_robustness",
        tags="robustness",
    )
    return Pipeline(
        [node],
        namespace=cell.name,
        inputs=inputs | answers,
        parameters=parameters | {"params:evaluation": "params:evaluation"},
    )
