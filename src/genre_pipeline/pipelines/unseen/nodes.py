"""Nodes of the stage that leaves genres out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.datasets import DatasetBlock
from genre_pipeline.errors import ConfigError
from genre_pipeline.evaluation.unseen import score_unseen
from genre_pipeline.experiment import ComputeBlock
from genre_pipeline.features import FeatureBlock
from genre_pipeline.logs import CellLog
from genre_pipeline.pipelines.train.nodes import score_marks, split_tags, train_cell
from genre_pipeline.splits import ProtocolBlock
from genre_pipeline.stages import LOGGED, SETTINGS, Reads, stage
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.training import Checkpoint, ModelBlock
from genre_pipeline.training.cell_data import CellData, CellSegments

logger = logging.getLogger(__name__)


@stage(version=1, uses=(train_cell, CellData))
def leave_genres_out(
    split: pd.DataFrame,
    audit: Annotated[dict[str, Any], Reads("split_hash", "leaky", "artists_unknown", "subset")],
    segments: CellSegments,
    features: FeatureStore,
    dataset: Annotated[DatasetBlock, LOGGED],
    protocol: Annotated[ProtocolBlock, LOGGED],
    feature: Annotated[FeatureBlock, SETTINGS],
    model: ModelBlock,
    seed: int,
    compute: ComputeBlock,
    folder: Annotated[Path, LOGGED],
    *,
    cell: Cell,
) -> tuple[pd.DataFrame, CellLog]:
    """Train a cell once without each of its genres, and ask how sure the models are of that genre's test tracks.

    Args:
        split: The split table.
        audit: The split's report.
        segments: The segment table.
        features: The feature store.
        dataset: The dataset's parameters.
        protocol: The protocol's parameters.
        feature: The feature's parameters.
        model: The model's parameters.
        seed: Seed of the first repeat.
        compute: How much of the machine, or of which cluster, is used.
        folder: The cell's folder, in which the checkpoints are written, and found again.
        cell: The cell.

    Returns:
        One row per genre and repeat, and what is logged of them.

    Raises:
        ConfigError: If fewer than two genres would be left.
        TrainingError: If no repeat can be trained without a genre.
    """
    data = CellData.join(cell.name, split=split, segments=segments, store=features)
    if len(data.genres) < 3:
        raise ConfigError(
            f"unseen_genres.cells: {cell.name} has {len(data.genres)} genres; expected three or more, so that two are "
            "left when one is taken out. Leave the cell out."
        )
    known = score_marks(cell, audit, features)
    tables = []
    for place, genre in enumerate(data.genres):
        logger.info("%s: without %s (%d of %d genres)", cell.name, genre, place + 1, len(data.genres))
        outcomes = train_cell(
            split=split[split["genre"] != genre].reset_index(drop=True),
            audit=audit,
            segments=segments,
            features=features,
            dataset=dataset,
            protocol=protocol,
            feature=feature,
            model=model,
            seed=seed,
            compute=compute,
            # A number, because not every genre's name is one for a folder.
            folder=folder / "unseen" / f"genre_{place:02d}",
            cell=cell,
        )
        trained = [each for each in outcomes if isinstance(each, Checkpoint)]
        tables.append(score_unseen(trained, data, genre, known=known))
    table = pd.concat(tables, ignore_index=True)
    log = CellLog(
        cell=cell,
        level="unseen genres",
        tags={**split_tags(audit), "unit": "track", "split": "test", "statistic": "mean over genres and repeats"},
        metrics={"unseen/test_track_auroc": float(table["value"].mean())},
        ends="FINISHED",
    )
    return table, log


@stage(version=1)
def join_unseen(*tables: pd.DataFrame) -> pd.DataFrame:
    """Put the scores of all cells into one table.

    Args:
        *tables: The scores of each cell.

    Raises:
        ConfigError: If no cell is chosen.
    """
    if not tables:
        raise ConfigError("unseen_genres.cells: the patterns match no cell of the experiment. Choose others.")
    return pd.concat(tables, ignore_index=True)
