"""Nodes of the feature stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from plotly.graph_objects import Figure

from genre_pipeline.datasets import DatasetBlock
from genre_pipeline.experiment import ComputeBlock
from genre_pipeline.features import FeatureBlock
from genre_pipeline.reporting.pictures import example_figure
from genre_pipeline.stages import LOGGED, Reads, stage
from genre_pipeline.stores.joint_extraction import Extractions
from genre_pipeline.stores.store import FeatureStore


@stage(version=2)
def extract_features(
    tracks: Annotated[
        pd.DataFrame, Reads("track_id", "path", "audio_hash", "start_sample", "n_samples", "sample_rate", "quarantined")
    ],
    segments: Annotated[pd.DataFrame, Reads("track_id")],
    segmentation: dict[str, Any],
    dataset: DatasetBlock,
    feature: FeatureBlock,
    compute: ComputeBlock,
    library: Annotated[Path, LOGGED],
    extractions: Annotated[Extractions | None, LOGGED] = None,
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
        compute: How much of the machine is used.
        library: Folder of all feature stores.
        extractions: Computes the session's other features of the same audio with it; ``None`` computes it alone.
        name: The dataset's name.
        feature_name: The feature's name.

    Returns:
        The feature store, and a report of what was extracted, kept and left out.
    """
    result = (extractions or Extractions({})).extract(
        tracks,
        segments,
        name,
        feature_name,
        feature,
        root=dataset.root,
        library=library,
        workers=compute.extraction,
    )
    return result.store, {"feature": feature_name, **segmentation, **result.report}


@stage(version=1)
def draw_features(
    tracks: Annotated[pd.DataFrame, Reads("track_id", "genre")], features: FeatureStore, *, title: str
) -> Figure:
    """Draw the feature of one track of each genre.

    Args:
        tracks: The track table.
        features: The feature store.
        title: The figure's title.

    Returns:
        A Plotly figure.
    """
    return example_figure(features, tracks, title=title)
