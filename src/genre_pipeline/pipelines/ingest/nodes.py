"""Nodes of the ingest stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd

from genre_pipeline.audio import inspect_audio
from genre_pipeline.datasets import DATASETS, DatasetBlock
from genre_pipeline.experiment import ComputeBlock
from genre_pipeline.ingest.ingest import ingest
from genre_pipeline.ingest.near_duplicates import find_near_duplicates
from genre_pipeline.stages import LOGGED, stage


@stage(version=3, uses=(inspect_audio, find_near_duplicates), lists="dataset")
def ingest_dataset(
    dataset: DatasetBlock, compute: ComputeBlock, inspections: Annotated[Path, LOGGED], *, name: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """List and inspect a dataset's clips.

    Args:
        dataset: The dataset's parameters.
        compute: How much of the machine is used.
        inspections: The file that remembers inspections.
        name: The dataset's name.

    Returns:
        The track table, and the quality report.
    """
    result = ingest(name, DATASETS[dataset.kind], dataset, cache=inspections, n_workers=compute.workers())
    return result.tracks, result.report
