"""Features: frozen front-end specifications, their extractors, the store that keeps them, and segments of them."""

from genre_pipeline.features.base import (
    FEATURES,
    FeatureBlock,
    FeatureSpec,
    SegmentBlock,
    extract_features,
    stream_features,
)

__all__ = ["FEATURES", "FeatureBlock", "FeatureSpec", "SegmentBlock", "extract_features", "stream_features"]
