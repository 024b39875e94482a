"""Catalog entries of our own, each imported when it is first used: one that reads JSON needs nothing that draws."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genre_pipeline.catalog.checkpoints_dataset import CheckpointsDataset
    from genre_pipeline.catalog.feature_store_dataset import FeatureStoreDataset
    from genre_pipeline.catalog.place_dataset import PlaceDataset, SplitRecordsDataset
    from genre_pipeline.catalog.session_datasets import SessionDataset, SessionFactsDataset
    from genre_pipeline.catalog.table_and_figure_datasets import (
        CSVDataset,
        MatplotlibDataset,
        OptionalParquetDataset,
        ParquetDataset,
        PlotlyDataset,
    )
    from genre_pipeline.catalog.whole_file_datasets import JSONDataset, OptionalJSONDataset, TextDataset

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

_HOMES = {
    "CheckpointsDataset": "checkpoints_dataset",
    "FeatureStoreDataset": "feature_store_dataset",
    "JSONDataset": "whole_file_datasets",
    "OptionalJSONDataset": "whole_file_datasets",
    "PlaceDataset": "place_dataset",
    "SessionDataset": "session_datasets",
    "SessionFactsDataset": "session_datasets",
    "SplitRecordsDataset": "place_dataset",
    "TextDataset": "whole_file_datasets",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'table_and_figure_datasets')}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
