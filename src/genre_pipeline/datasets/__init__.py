"""Music datasets: where their clips are, what is known of them, and what is wrong with them."""

from genre_pipeline.datasets.base import (
    DATASETS,
    TRACK_COLUMNS,
    Clip,
    DatasetBlock,
    DatasetSpec,
    ExcerptBlock,
    Listing,
    Source,
    tracks_fingerprint,
)

__all__ = [
    "DATASETS",
    "TRACK_COLUMNS",
    "Clip",
    "DatasetBlock",
    "DatasetSpec",
    "ExcerptBlock",
    "Listing",
    "Source",
    "tracks_fingerprint",
]
