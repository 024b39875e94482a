"""Nodes of the split stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from genre_pipeline.datasets import DATASETS
from genre_pipeline.experiment import parse_dataset, parse_protocol
from genre_pipeline.splits import PROTOCOLS, read_record, record_key, split_tracks, write_record


def split_dataset(
    tracks: pd.DataFrame,
    quality: dict[str, Any],
    dataset: dict[str, Any],
    protocol: dict[str, Any],
    storage: dict[str, Any],
    *,
    name: str,
    protocol_name: str,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Split a dataset's usable tracks and audit the split for leaks.

    Tracks that were split before under these parameters keep their sides: see :mod:`genre_pipeline.splits.records`.

    Args:
        tracks: The track table.
        quality: The ingest stage's report, for what part of the dataset was used.
        dataset: The dataset's parameters.
        protocol: The protocol's parameters.
        storage: Where intermediate results live.
        name: The dataset's name.
        protocol_name: The protocol's name.

    Returns:
        The split table, and its audit.
    """
    dataset_block = parse_dataset(name, dataset)
    block = parse_protocol(protocol_name, protocol)
    remembered = Path(storage["splits"], name, protocol_name, f"{record_key(dataset_block, block)}.parquet")
    result = split_tracks(
        tracks,
        PROTOCOLS[block.kind],
        block,
        dataset=name,
        protocol=protocol_name,
        subset=quality["subset"]["name"],
        official=DATASETS[dataset_block.kind].official_splits(dataset_block),
        record=read_record(remembered),
    )
    write_record(remembered, result.record)
    return result.table, result.report
