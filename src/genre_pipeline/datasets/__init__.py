"""Music datasets: their clips, metadata, official splits and known faults."""

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
