"""Nodes of the ingest stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from genre_pipeline.blocks import parse_block
from genre_pipeline.datasets import DATASETS
from genre_pipeline.datasets.ingest import ingest
from genre_pipeline.experiment import ComputeBlock, parse_dataset


def ingest_dataset(
    dataset: dict[str, Any], storage: dict[str, Any], compute: dict[str, Any], *, name: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """List and inspect a dataset's clips.

    Args:
        dataset: The dataset's parameters.
        storage: Where intermediate results live.
        compute: How much of the machine is used.
        name: The dataset's name.

    Returns:
        The track table, and the quality report.
    """
    block = parse_dataset(name, dataset)
    workers = parse_block(ComputeBlock, compute, key="compute").workers()
    cache = Path(storage["ingest"]) / f"{name}.parquet"
    result = ingest(name, DATASETS[block.kind], block, cache=cache, n_workers=workers)
    return result.tracks, result.report
