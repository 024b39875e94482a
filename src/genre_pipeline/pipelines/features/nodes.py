"""Nodes of the feature stage."""

from __future__ import annotations

from typing import Any

import pandas as pd
from plotly.graph_objects import Figure

from genre_pipeline.blocks import parse_block
from genre_pipeline.experiment import ComputeBlock, StorageBlock, parse_dataset, parse_feature
from genre_pipeline.features.pictures import example_figure
from genre_pipeline.features.remote import publish
from genre_pipeline.features.store import FeatureStore
from genre_pipeline.pipelines.features.together import current_extractions


def extract_features(
    tracks: pd.DataFrame,
    segments: pd.DataFrame,
    segmentation: dict[str, Any],
    dataset: dict[str, Any],
    feature: dict[str, Any],
    storage: dict[str, Any],
    compute: dict[str, Any],
    *,
    name: str,
    feature_name: str,
) -> tuple[FeatureStore, dict[str, Any]]:
    """Bring a dataset's feature store up to date.

    Args:
        tracks: The track table.
        segments: The segment table: only tracks with a segment are extracted.
        segmentation: The segment stage's report, which becomes part of this one.
        dataset: The dataset's parameters.
        feature: The feature's parameters.
        storage: Where intermediate results live.
        compute: How much of the machine is used.
        name: The dataset's name.
        feature_name: The feature's name.

    Returns:
        The feature store, and a report of what was extracted, kept and left out.
    """
    block = parse_feature(feature_name, feature)
    places = parse_block(StorageBlock, storage, key="storage")
    result = current_extractions().extract(
        tracks,
        segments,
        name,
        feature_name,
        block,
        root=parse_dataset(name, dataset).root,
        library=places.features,
        url=places.features_url,
        workers=parse_block(ComputeBlock, compute, key="compute").extraction,
    )
    if places.features_url:
        publish(result.store, f"{places.features_url}/{name}/{feature_name}")
    return result.store, {"feature": feature_name, **segmentation, **result.report}


def draw_features(tracks: pd.DataFrame, features: FeatureStore, *, title: str) -> Figure:
    """Draw the feature of one track of each genre.

    Args:
        tracks: The track table.
        features: The feature store.
        title: The figure's title.

    Returns:
        A Plotly figure.
    """
    return example_figure(features, tracks, title=title)
