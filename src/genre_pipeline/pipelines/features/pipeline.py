"""Wiring of the feature stage."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from genre_pipeline.experiment import Experiment
from genre_pipeline.pipelines.binding import bind
from genre_pipeline.pipelines.features.nodes import draw_features, extract_features


def create_pipeline(experiment: Experiment) -> Pipeline:
    """Make one namespace per dataset and feature, with its extraction node, and one that draws what came out."""
    pairs = dict.fromkeys((cell.dataset, cell.feature) for cell in experiment.cells)
    return Pipeline([_extract(dataset, feature) for dataset, feature in pairs])


def _extract(dataset: str, feature: str) -> Pipeline:
    extract = Node(
        bind(extract_features, name=dataset, feature_name=feature),
        inputs=[
            "tracks",
            "segments",
            "segmentation",
            "params:dataset",
            "params:feature",
            "params:compute",
            "feature_library",
            "session_extractions",
        ],
        outputs=["features", "extraction"],
        name="extract",
        tags="features",
    )
    draw = Node(
        bind(draw_features, title=f"{feature} of {dataset}"),
        inputs=["tracks", "features"],
        outputs="examples",
        name="draw",
        tags="features",
    )
    return Pipeline(
        [extract, draw],
        namespace=f"{dataset}.{feature}",
        inputs={
            "tracks": f"{dataset}.tracks",
            "segments": f"{dataset}.{feature}.segments",
            "segmentation": f"{dataset}.{feature}.segmentation",
            "feature_library": "feature_library",
            "session_extractions": "session_extractions",
        },
        parameters={
            "params:dataset": f"params:datasets.{dataset}",
            "params:feature": f"params:features.{feature}",
            "params:compute": "params:compute",
        },
    )
