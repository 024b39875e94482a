"""Nodes of the segment stage."""

from __future__ import annotations

from typing import Any

import pandas as pd

from genre_pipeline.experiment import parse_feature
from genre_pipeline.features.segments import segment_tracks


def segment_dataset(
    tracks: pd.DataFrame, feature: dict[str, Any], *, feature_name: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Index the segments of a dataset's usable tracks.

    Args:
        tracks: The track table.
        feature: The feature's parameters, which say how clips are cut.
        feature_name: The feature's name.

    Returns:
        The segment table, and a report of the tracks that are too short.
    """
    result = segment_tracks(tracks, parse_feature(feature_name, feature))
    return result.table, result.report
