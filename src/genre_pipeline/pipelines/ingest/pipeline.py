"""Wiring of the ingest stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.binding import bind
from genre_pipeline.pipelines.ingest.cards import write_dataset_card
from genre_pipeline.pipelines.ingest.nodes import ingest_dataset


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make one namespace per dataset, with its ingest node and its card."""
    return Pipeline([_ingest(dataset) for dataset in experiment.datasets])


def _ingest(dataset: str) -> Pipeline:
    nodes = [
        Node(
            bind(ingest_dataset, name=dataset),
            inputs=["params:dataset", "params:compute", "inspections"],
            outputs=["tracks", "quality"],
            name="ingest",
            tags="ingest",
        ),
        Node(
            write_dataset_card,
            inputs=["tracks", "quality", "params:dataset"],
            outputs=["card", "card_markdown"],
            name="write_card",
            tags="ingest",
        ),
    ]
    return Pipeline(
        nodes,
        namespace=dataset,
        parameters={
            "params:dataset": f"params:datasets.{dataset}",
            "params:compute": "params:compute",
        },
    )
