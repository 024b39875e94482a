"""Nodes of the split stage."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd

from genre_pipeline.datasets import DATASETS, DatasetBlock
from genre_pipeline.experiment import StorageBlock
from genre_pipeline.splits import PROTOCOLS, ProtocolBlock, read_record, record_key, split_tracks, write_record
from genre_pipeline.stages import Reads, stage


@stage(version=3, uses=(split_tracks,))
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
    storage: StorageBlock,
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
    remembered = storage.splits / name / protocol_name / f"{record_key(dataset, protocol)}.parquet"
    result = split_tracks(
        tracks,
        PROTOCOLS[protocol.kind],
        protocol,
        dataset=name,
        protocol=protocol_name,
        subset=quality["subset"]["name"],
        official=DATASETS[dataset.kind].official_splits(dataset),
        record=read_record(remembered),
    )
    write_record(remembered, result.record)
    return result.table, result.report
