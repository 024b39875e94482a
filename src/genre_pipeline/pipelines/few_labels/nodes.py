"""Nodes of the stage that trains on few artists."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.datasets import DatasetBlock
from genre_pipeline.errors import ConfigError, TrainingError
from genre_pipeline.evaluation.few_labels import draw_artists, most_artists, score_few_labels
from genre_pipeline.evaluation.prediction import predict_sides
from genre_pipeline.experiment import ComputeBlock, EvaluationBlock, FewLabelsBlock
from genre_pipeline.features import FeatureBlock
from genre_pipeline.logs import CellLog
from genre_pipeline.pipelines.train.nodes import score_marks, split_tags, train_cell
from genre_pipeline.splits import ProtocolBlock
from genre_pipeline.splits.identities import artist_keys
from genre_pipeline.stages import LOGGED, SETTINGS, Reads, stage
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.training import Checkpoint, ModelBlock
from genre_pipeline.training.cell_data import CellData, CellSegments

logger = logging.getLogger(__name__)


@stage(version=1, uses=(train_cell, CellData))
def train_on_few_labels(
    split: pd.DataFrame,
    audit: Annotated[dict[str, Any], Reads("unit", "design", "split_hash", "leaky", "artists_unknown", "subset")],
    segments: CellSegments,
    features: FeatureStore,
    tracks: Annotated[pd.DataFrame, Reads("track_id", "artist")],
    dataset: Annotated[DatasetBlock, LOGGED],
    protocol: Annotated[ProtocolBlock, LOGGED],
    feature: Annotated[FeatureBlock, SETTINGS],
    model: ModelBlock,
    seed: int,
    compute: ComputeBlock,
    few_labels: FewLabelsBlock,
    evaluation: EvaluationBlock,
    folder: Annotated[Path, LOGGED],
    *,
    cell: Cell,
) -> tuple[pd.DataFrame, CellLog]:
    """Train a cell on some artists of each genre, several times, and on all; test it on its whole test side.

    The validation side stays whole, too: networks choose their epoch on it, and its labels are not counted.

    Args:
        split: The split table.
        audit: The split's report.
        segments: The segment table.
        features: The feature store.
        tracks: The dataset's tracks, for their artists.
        dataset: The dataset's parameters.
        protocol: The protocol's parameters.
        feature: The feature's parameters.
        model: The model's parameters.
        seed: Seed of the first repeat.
        compute: How much of the machine, or of which cluster, is used.
        few_labels: How many artists, and how often they are drawn.
        evaluation: How numbers are summarised.
        folder: The cell's folder, in which the checkpoints are written, and found again; those of all artists are the
            cell's own.
        cell: The cell.

    Returns:
        One row per number of artists, all artists last, and what is logged of them.

    Raises:
        TrainingError: If no model at all can be trained.
    """
    data = CellData.join(cell.name, split=split, segments=segments, store=features)
    # Artists are drawn among those that a model can be trained on.
    usable = split[~split["track_id"].isin(data.left_out)].reset_index(drop=True)
    most = most_artists(usable)
    numbers = sorted({each for each in few_labels.n_artists if each < most})
    if not numbers:
        logger.warning(
            "%s: no genre has more than %d artists to train on, and the smallest of few_labels.n_artists is %d: only "
            "all artists are used. Name smaller numbers, or add artists.",
            *(cell.name, most, min(few_labels.n_artists)),
        )
    n_tracks, n_segments = data.counts()
    n_units = n_tracks if audit["unit"] == "track" else n_segments
    known = score_marks(cell, audit, features)
    tables = []
    for n_artists in (*numbers, None):
        predictions, splits, n_failed = [], [], 0
        for draw in range(1 if n_artists is None else few_labels.n_draws):
            drawn, place = usable, folder
            if n_artists is not None:
                drawn = draw_artists(usable, n_artists, draw=draw, seed=few_labels.seed)
                logger.info(
                    "%s: %d artists of each genre, draw %d of %d", cell.name, n_artists, draw + 1, few_labels.n_draws
                )
                place = folder / "few_labels" / f"artists_{n_artists:02d}" / f"draw_{draw:02d}"
            outcomes = train_cell(
                split=drawn,
                audit=audit,
                segments=segments,
                features=features,
                dataset=dataset,
                protocol=protocol,
                feature=feature,
                model=model,
                seed=seed,
                compute=compute,
                folder=place,
                cell=cell,
            )
            trained = [each for each in outcomes if isinstance(each, Checkpoint)]
            n_failed += len(outcomes) - len(trained)
            if trained:
                tested = [predict_sides(each, data, each.card.repeat, sides=["test"]).table for each in trained]
                predictions.append(pd.concat(tested, ignore_index=True))
                splits.append(drawn)
        if not predictions:
            logger.warning(
                "%s: none of the %d trainings on %s artists succeeded.", cell.name, n_failed, n_artists or "all"
            )
            continue
        table = score_few_labels(
            predictions,
            splits,
            known={**known, "n_artists": n_artists or most, "all_artists": n_artists is None, "n_failed": n_failed},
            genres=data.genres,
            artists=artist_keys(tracks.set_index("track_id")),
            average=evaluation.track_average,
            design=audit["design"],
            # Draws of two repeats have as much in common as the sides that they are drawn from.
            n_train_tracks=n_units["train"],
            n_test_tracks=n_units["test"],
            confidence=evaluation.confidence,
        )
        tables.append(table)
    if not tables:
        raise TrainingError(f"{cell.name}: no model could be trained, on few artists or all. The log says why.")
    scores = pd.concat(tables, ignore_index=True)
    drawn_ones = scores[~scores["all_artists"]]
    log = CellLog(
        cell=cell,
        level="few labels",
        tags={**split_tags(audit), "unit": "track", "split": "test", "statistic": scores["statistic"][0]},
        metrics={
            f"few_labels/test_track_accuracy_of_{n}_artists": float(mean)
            for n, mean in zip(drawn_ones["n_artists"], drawn_ones["mean"], strict=True)
        },
        ends="FINISHED",
    )
    return scores, log


@stage(version=1)
def join_few_labels(*tables: pd.DataFrame) -> pd.DataFrame:
    """Put the scores of all cells into one table.

    Args:
        *tables: The scores of each cell.

    Raises:
        ConfigError: If no cell is chosen.
    """
    if not tables:
        raise ConfigError(
            "few_labels.cells: no cell of the experiment is chosen. Name patterns of its cells, such as '*.svm'; "
            "without any, the cells are those of models that are trained without epochs (svm, naive_bayes, probes)."
        )
    return pd.concat(tables, ignore_index=True)
