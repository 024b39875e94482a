"""Predict test tracks whose audio was changed, with trained models."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.errors import StoreError
from genre_pipeline.evaluation.prediction import keep_predictions, known_predictions, no_predictions, predict_sides
from genre_pipeline.features import FEATURES, FeatureBlock
from genre_pipeline.features.segments import cut_frames
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.interventions import Intervention
from genre_pipeline.locks import only_one
from genre_pipeline.results.predictions import Predictions
from genre_pipeline.stores.extraction import Target, extract_together
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.training import Checkpoint
from genre_pipeline.training.cell_data import CellData
from genre_pipeline.work.backends import Workers

logger = logging.getLogger(__name__)

# Raised whenever the same model and changed audio would give other predictions.
_VERSION = 1


@dataclass(frozen=True, eq=False)
class TrainedCell:
    """A cell that was trained, and tested on the audio as it is.

    Attributes:
        cell: The cell.
        block: Its feature's parameters.
        checkpoints: The trained model of each repeat that did not fail.
        data: Its segments.
        folder: Where the predictions of changed tracks are kept, for this intervention alone.
    """

    cell: Cell
    block: FeatureBlock
    checkpoints: Sequence[Checkpoint]
    data: CellData
    folder: Path


@dataclass(frozen=True, eq=False)
class _ChangedRepeat:
    """The changed test tracks of one repeat, whose predictions are stored under an identity."""

    trained: TrainedCell
    checkpoint: Checkpoint
    identity: str

    @property
    def repeat(self) -> int:
        return self.checkpoint.card.repeat

    @property
    def cache(self) -> Path:
        return self.trained.folder / f"repeat_{self.repeat:02d}.parquet"

    def known(self) -> pd.DataFrame | None:
        """Return the stored predictions, or ``None``."""
        predictions = known_predictions(self.cache, self.identity)
        return None if predictions is None else predictions.table

    def predict(self, store: FeatureStore) -> pd.DataFrame:
        """Predict with the model, and store the predictions."""
        clean = self.trained.data
        segments = cut_frames(store.index.set_index("track_id")["n_frames"], self.trained.block)
        segments["genre"] = segments["track_id"].map(clean.segments.groupby("track_id")["genre"].first())
        changed = replace(clean, segments=segments, store=store)
        predictions = Predictions(no_predictions(clean.genres), 0.0, reused=False)
        if len(changed.rows(self.repeat, "test")):
            predictions = predict_sides(self.checkpoint, changed, self.repeat, sides=["test"])
        keep_predictions(predictions, self.cache, self.identity)
        return predictions.table


def predict_changed(
    cells: Sequence[TrainedCell],
    intervention: Intervention,
    *,
    tracks: pd.DataFrame,
    root: Path,
    scratch: Path,
    workers: Workers,
) -> dict[Cell, pd.DataFrame]:
    """Change the test tracks of a dataset's cells, and predict their genres with the model of each repeat.

    Everything but the audio is as it was: front-end, cutting into segments, scaling, weights. Each feature is computed
    once, for all cells and repeats that need it. What was predicted before, from the same audio by the same model, is
    read. The features of changed tracks lie in ``scratch`` while they are needed: a run that was killed goes on from
    there, one that ends removes them.

    Args:
        cells: Cells of one dataset.
        intervention: What is done.
        tracks: The dataset's track table.
        root: The dataset's root folder, which the tracks' paths are relative to.
        scratch: Folder for features, for this dataset and intervention alone.
        workers: Who decodes, changes and computes.

    Returns:
        For each cell the table of its :class:`~genre_pipeline.results.predictions.Predictions` of test segments, of
        all repeats. A changed clip that is shorter than one segment, or that cannot be changed, has no row.

    Raises:
        StoreError: If another process works in ``scratch``.
        StorageError: If the disk is full, or a folder is read-only.
        ComputeError: If the workers cannot be started or reached, or die.
    """
    repeats = [
        _ChangedRepeat(trained, checkpoint, _identity(trained, checkpoint, intervention))
        for trained in cells
        for checkpoint in trained.checkpoints
    ]
    predicted = {each: each.known() for each in repeats}
    missing = [each for each, table in predicted.items() if table is None]
    if missing:
        with only_one(scratch, lambda holder: StoreError(f"{scratch}: {holder} computes this now. Wait for it.")):
            stores = _extract(missing, intervention, tracks=tracks, root=root, scratch=scratch, workers=workers)
            for each in missing:
                predicted[each] = each.predict(stores[each.trained.cell.feature])
            shutil.rmtree(scratch)
    logger.info(
        "%s: predicted with %d trained models; predictions of %d more were stored",
        intervention.block.label,
        len(missing),
        len(repeats) - len(missing),
    )
    tables: dict[Cell, list[pd.DataFrame]] = {trained.cell: [] for trained in cells}
    for each, table in predicted.items():
        if table is not None and len(table):
            tables[each.trained.cell].append(table)
    return {
        trained.cell: pd.concat(tables[trained.cell] or [no_predictions(trained.data.genres)], ignore_index=True)
        for trained in cells
    }


def _identity(trained: TrainedCell, checkpoint: Checkpoint, intervention: Intervention) -> str:
    # Of the audio as it is: what the change makes of it follows from that.
    clean = trained.data.fingerprint(checkpoint.card.repeat, "test")
    return fingerprint(
        "robustness", _VERSION, intervention=intervention.fingerprint, model=checkpoint.fingerprint, data=clean
    )


def _extract(
    missing: Sequence[_ChangedRepeat],
    intervention: Intervention,
    *,
    tracks: pd.DataFrame,
    root: Path,
    scratch: Path,
    workers: Workers,
) -> Mapping[str, FeatureStore]:
    """Compute the features of the changed test tracks that the models need."""
    blocks = {each.trained.cell.feature: each.trained.block for each in missing}
    tested = pd.concat([each.trained.data.rows(each.repeat, "test")["track_id"] for each in missing])
    results = extract_together(
        tracks[tracks["track_id"].isin(tested)],
        [Target(FEATURES[block.kind], block, scratch / feature) for feature, block in blocks.items()],
        root=root,
        workers=workers,
        alter=intervention,
    )
    return {feature: result.store for feature, result in zip(blocks, results, strict=True)}
