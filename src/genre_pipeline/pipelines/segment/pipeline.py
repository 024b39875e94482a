"""Wiring of the segment stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.segment.nodes import segment_dataset


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make one namespace per dataset and feature, with its segment node."""
    pairs = dict.fromkeys((cell.dataset, cell.feature) for cell in experiment.cells)
    return Pipeline([_segment(dataset, feature) for dataset, feature in pairs])


def _segment(dataset: str, feature: str) -> Pipeline:
    node = Node(
        segment_dataset,
        inputs=["tracks", "params:feature"],
        outputs=["segments", "segmentation"],
        name="segment",
        tags="segment",
    )
    return Pipeline(
        [node],
        namespace=f"{dataset}.{feature}",
        inputs={"tracks": f"{dataset}.tracks"},
        parameters={"params:feature": f"params:features.{feature}"},
    )
