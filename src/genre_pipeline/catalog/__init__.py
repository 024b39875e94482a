"""Catalog entries of our own."""

from genre_pipeline.catalog.checkpoints_dataset import CheckpointsDataset
from genre_pipeline.catalog.feature_store_dataset import FeatureStoreDataset
from genre_pipeline.catalog.place_dataset import PlaceDataset, SplitRecordsDataset
from genre_pipeline.catalog.session_datasets import SessionDataset, SessionFactsDataset
from genre_pipeline.catalog.whole_file_datasets import (
    CSVDataset,
    JSONDataset,
    MatplotlibDataset,
    OptionalJSONDataset,
    OptionalParquetDataset,
    ParquetDataset,
    PlotlyDataset,
    TextDataset,
)

__all__ = [
    "CSVDataset",
    "CheckpointsDataset",
    "FeatureStoreDataset",
    "JSONDataset",
    "MatplotlibDataset",
    "OptionalJSONDataset",
    "OptionalParquetDataset",
    "ParquetDataset",
    "PlaceDataset",
    "PlotlyDataset",
    "SessionDataset",
    "SessionFactsDataset",
    "SplitRecordsDataset",
    "TextDataset",
]
