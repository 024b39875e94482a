"""Catalog entries of our own, each imported when it is first used: one that reads JSON needs nothing that draws."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "CSVDataset": "table_and_figure_datasets",
    "CheckpointsDataset": "checkpoints_dataset",
    "FeatureStoreDataset": "feature_store_dataset",
    "JSONDataset": "whole_file_datasets",
    "MatplotlibDataset": "table_and_figure_datasets",
    "OptionalJSONDataset": "whole_file_datasets",
    "OptionalParquetDataset": "table_and_figure_datasets",
    "ParquetDataset": "table_and_figure_datasets",
    "PlaceDataset": "place_dataset",
    "PlotlyDataset": "table_and_figure_datasets",
    "SessionDataset": "session_datasets",
    "SessionFactsDataset": "session_datasets",
    "SplitRecordsDataset": "place_dataset",
    "TextDataset": "whole_file_datasets",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
