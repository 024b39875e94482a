"""Wiring of the split stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.binding import bind
from genre_pipeline.pipelines.split.nodes import split_dataset


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make one namespace a dataset and protocol, with its split node."""
    pairs = dict.fromkeys((cell.dataset, cell.protocol) for cell in experiment.cells)
    return Pipeline([_split(dataset, protocol) for dataset, protocol in pairs])


def _split(dataset: str, protocol: str) -> Pipeline:
    node = Node(
        bind(split_dataset, name=dataset, protocol_name=protocol),
        inputs=["tracks", "quality", "params:dataset", "params:protocol"],
        outputs=["split", "audit"],
        name="split",
        tags="split",
    )
    return Pipeline(
        [node],
        namespace=f"{dataset}.{protocol}",
        inputs={"tracks": f"{dataset}.tracks", "quality": f"{dataset}.quality"},
        parameters={
            "params:dataset": f"params:datasets.{dataset}",
            "params:protocol": f"params:protocols.{protocol}",
        },
    )
