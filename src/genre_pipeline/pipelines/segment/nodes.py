"""Nodes of the segment stage."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd

from genre_pipeline.features import FeatureBlock
from genre_pipeline.features.segments import segment_tracks
from genre_pipeline.stages import SETTINGS, Reads, stage


@stage(version=1)
def segment_dataset(
    tracks: Annotated[pd.DataFrame, Reads("track_id", "genre", "sample_rate", "n_samples", "quarantined")],
    feature: Annotated[FeatureBlock, SETTINGS],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Index the segments of a dataset's usable tracks.

    Args:
        tracks: The track table.
        feature: The feature's parameters, which say how clips are cut.

    Returns:
        The segment table, and a report of the tracks that are too short.
    """
    result = segment_tracks(tracks, feature)
    return result.table, result.report
