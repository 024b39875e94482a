"""Wiring of the split stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.binding import bind
from genre_pipeline.pipelines.split.cards import write_split_card
from genre_pipeline.pipelines.split.nodes import split_dataset


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make one namespace per dataset and protocol, with its split node and its card."""
    pairs = dict.fromkeys((cell.dataset, cell.protocol) for cell in experiment.cells)
    return Pipeline([_split(dataset, protocol) for dataset, protocol in pairs])


def _split(dataset: str, protocol: str) -> Pipeline:
    nodes = [
        Node(
            bind(split_dataset, name=dataset, protocol_name=protocol),
            inputs=["tracks", "quality", "params:dataset", "params:protocol", "split_records"],
            outputs=["split", "audit", "split_record"],
            name="split",
            tags="split",
        ),
        Node(
            write_split_card,
            inputs=["audit", "quality"],
            outputs=["audit_card", "audit_card_markdown"],
            name="write_card",
            tags="split",
        ),
    ]
    return Pipeline(
        nodes,
        namespace=f"{dataset}.{protocol}",
        inputs={"tracks": f"{dataset}.tracks", "quality": f"{dataset}.quality"},
        parameters={
            "params:dataset": f"params:datasets.{dataset}",
            "params:protocol": f"params:protocols.{protocol}",
        },
    )
