"""Features: frozen front-end specifications, their extractors, and segments."""

from genre_pipeline.features.base import (
    FEATURES,
    Bins,
    FeatureBlock,
    FeatureSpec,
    SegmentBlock,
    extract_features,
    stream_features,
)

__all__ = ["FEATURES", "Bins", "FeatureBlock", "FeatureSpec", "SegmentBlock", "extract_features", "stream_features"]
