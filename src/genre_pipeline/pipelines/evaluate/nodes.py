"""Nodes of the evaluation stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.datasets import tracks_fingerprint
from genre_pipeline.evaluation.cell import evaluate_cell
from genre_pipeline.evaluation.paired import track_outcomes
from genre_pipeline.evaluation.prediction import predict_cell, predict_repeat
from genre_pipeline.evaluation.run_changes import compare_records
from genre_pipeline.experiment import EvaluationBlock
from genre_pipeline.logs import CellLog
from genre_pipeline.pipelines.evaluate.logs import log_evaluation
from genre_pipeline.registry import Pretraining
from genre_pipeline.results.cell import CellResult
from genre_pipeline.results.run_changes import CellChange, CellRecord, regressions
from genre_pipeline.splits.identities import artist_keys
from genre_pipeline.stages import LOGGED, Reads, stage
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.training import Checkpoint, FailedRepeat
from genre_pipeline.training.cell_data import CellData, CellSegments


@stage(version=1, uses=(predict_repeat, CellData))
def predict_segments(
    checkpoints: list[Checkpoint | FailedRepeat],
    split: pd.DataFrame,
    segments: CellSegments,
    features: FeatureStore,
    folder: Annotated[Path, LOGGED],
    *,
    cell: Cell,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predict the validation and test segments of every repeat of a cell.

    Args:
        checkpoints: The trained model of each repeat, or why there is none.
        split: The split table.
        segments: The segment table.
        features: The feature store.
        folder: The cell's folder: predictions are kept in it beside the checkpoints, and found again.
        cell: The cell.

    Returns:
        The predictions, and what they cost: ``inference_s``.
    """
    data = CellData.join(cell.name, split=split, segments=segments, store=features)
    predictions, inference_s = predict_cell(_trained(checkpoints), data, folder=folder)
    return predictions, {"inference_s": inference_s}


@stage(version=6, uses=(CellData,))
def score_cell(
    checkpoints: list[Checkpoint | FailedRepeat],
    predictions: pd.DataFrame,
    inference: dict[str, float],
    tracks: Annotated[pd.DataFrame, Reads("track_id", "artist", "genre", "audio_hash", "quarantined")],
    split: pd.DataFrame,
    audit: Annotated[
        dict[str, Any], Reads("unit", "design", "leaks", "leaky", "artists_unknown", "split_hash", "subset")
    ],
    segments: CellSegments,
    features: FeatureStore,
    evaluation: EvaluationBlock,
    session: Annotated[dict[str, Any], LOGGED],
    *,
    cell: Cell,
    reference: str,
    pretraining: Pretraining | None = None,
) -> tuple[CellResult, CellLog]:
    """Score every repeat of a cell.

    Args:
        checkpoints: The trained model of each repeat, or why there is none.
        predictions: The predictions of every repeat.
        inference: What they cost.
        tracks: The dataset's tracks, for their artists.
        split: The split table.
        audit: The split's report.
        segments: The segment table.
        features: The feature store.
        evaluation: How numbers are summarised.
        session: The session's facts, for the commit.
        cell: The cell.
        reference: The paper of the model's family, in one line.
        pretraining: What is to know of the pretrained network that gave the feature, or is trained further, if there is
            one.

    Returns:
        The cell's result, and what is logged of it.
    """
    artists = artist_keys(tracks.set_index("track_id"))
    result = evaluate_cell(
        cell,
        checkpoints,
        CellData.join(cell.name, split=split, segments=segments, store=features),
        predictions,
        inference_s=inference["inference_s"],
        audit=audit,
        artists=artists,
        confidence=evaluation.confidence,
        reference=reference,
        git_commit=session["git_commit"],
        average=evaluation.track_average,
    )
    if pretraining is not None:
        result["pretraining"] = {
            "licence": pretraining.licence,
            "trained_on": pretraining.trained_on,
            "overlap": pretraining.overlap,
            "part": pretraining.part,
        }
    sizes = result["n_tracks" if audit["unit"] == "track" else "n_segments"]
    trained = _trained(checkpoints)
    outcomes = None
    if trained:
        outcomes = track_outcomes(
            predictions, genres=result["genres"], artists=artists, average=evaluation.track_average
        )
    log = log_evaluation(
        cell,
        result,
        trained,
        predictions,
        track_average=evaluation.track_average,
        dataset_fingerprint=tracks_fingerprint(tracks),
        test_ratio=sizes["test"] / sizes["train"],
        outcomes=outcomes,
    )
    return result, log


@stage(version=2)
def compare_with_previous(
    results: CellResult,
    confidence: float,
    history: Annotated[tuple[CellRecord | None, CellRecord | None], LOGGED] = (None, None),
    *,
    cell: Cell,
) -> tuple[CellChange, CellLog]:
    """Compare a cell with the last finished session of this experiment that evaluated it, and flag a regression.

    Args:
        results: The cell's result: another one is compared anew.
        confidence: Coverage of the intervals.
        history: The cell's run in that session, and its present one, which its scores are in by now.
        cell: The cell.

    Returns:
        What became of the cell (``new`` where nothing earlier is known, or runs are not tracked), and what is logged of
        it.
    """
    del results
    change = compare_records(cell, *history, confidence=confidence)
    tags = {
        "regression": bool(regressions([change])),
        "since_previous": change["verdict"],
        "previous_run_id": change["before"] or "",
    }
    return change, CellLog(cell=cell, tags=tags)


def _trained(outcomes: list[Checkpoint | FailedRepeat]) -> list[Checkpoint]:
    return [each for each in outcomes if isinstance(each, Checkpoint)]
