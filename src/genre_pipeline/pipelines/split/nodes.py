"""Nodes of the split stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd

from genre_pipeline.datasets import DATASETS, DatasetBlock
from genre_pipeline.splits import PROTOCOLS, ProtocolBlock, SplitRecord, read_record, record_key, split_tracks
from genre_pipeline.stages import LOGGED, Reads, stage


@stage(version=4, uses=(split_tracks,))
def split_dataset(
    tracks: Annotated[
        pd.DataFrame,
        Reads(
            "track_id",
            "genre",
            "artist",
            "album",
            "duration_s",
            "content_hash",
            "audio_hash",
            "recording",
            "quarantined",
        ),
    ],
    quality: Annotated[dict[str, Any], Reads("subset")],
    dataset: DatasetBlock,
    protocol: ProtocolBlock,
    records: Annotated[Path, LOGGED],
    *,
    name: str,
    protocol_name: str,
) -> tuple[pd.DataFrame, dict[str, Any], dict[str, SplitRecord]]:
    """Split a dataset's usable tracks and audit the split for leaks.

    Tracks that were split before under these parameters keep their sides: see :mod:`genre_pipeline.splits.records`.

    Args:
        tracks: The track table.
        quality: The ingest stage's report, for what part of the dataset was used.
        dataset: The dataset's parameters.
        protocol: The protocol's parameters.
        records: Folder of the records that keep tracks on their sides.
        name: The dataset's name.
        protocol_name: The protocol's name.

    Returns:
        The split table, its audit, and the record from which a later split grows, by the key of the parameters.
    """
    key = record_key(dataset, protocol)
    result = split_tracks(
        tracks,
        PROTOCOLS[protocol.kind],
        protocol,
        dataset=name,
        protocol=protocol_name,
        subset=quality["subset"]["name"],
        official=DATASETS[dataset.kind].official_splits(dataset),
        record=read_record(records / f"{key}.parquet"),
    )
    return result.table, result.report, {key: result.record}
