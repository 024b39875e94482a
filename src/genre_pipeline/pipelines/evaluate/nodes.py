"""Nodes of the evaluation stage."""

from __future__ import annotations

from typing import Any

import pandas as pd

from genre_pipeline.blocks import parse_block
from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.cell import evaluate_cell
from genre_pipeline.evaluation.comparison import CellResult
from genre_pipeline.evaluation.prediction import predict_cell
from genre_pipeline.experiment import EvaluationBlock
from genre_pipeline.features.store import FeatureStore
from genre_pipeline.pipelines.evaluate.tracking import log_evaluation
from genre_pipeline.pipelines.train.nodes import cell_folder
from genre_pipeline.project import git_commit
from genre_pipeline.tracking import current_tracker
from genre_pipeline.training import Checkpoint, FailedRepeat, parse_model
from genre_pipeline.training.cell_data import CellData


def predict_segments(
    checkpoints: list[Checkpoint | FailedRepeat],
    split: pd.DataFrame,
    segments: pd.DataFrame,
    features: FeatureStore,
    experiment: dict[str, Any],
    storage: dict[str, Any],
    *,
    cell: Cell,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predict the validation and test segments of every repeat of a cell.

    Args:
        checkpoints: The trained model of each repeat, or why there is none.
        split: The split table.
        segments: The segment table.
        features: The feature store.
        experiment: The experiment's parameters, for its name.
        storage: Where intermediate results live.
        cell: The cell.

    Returns:
        The predictions, and what they cost: ``inference_s``.
    """
    data = CellData.join(cell.name, split=split, segments=segments, store=features)
    predictions, inference_s = predict_cell(_trained(checkpoints), data, folder=cell_folder(storage, experiment, cell))
    return predictions, {"inference_s": inference_s}


def score_cell(
    checkpoints: list[Checkpoint | FailedRepeat],
    predictions: pd.DataFrame,
    inference: dict[str, float],
    tracks: pd.DataFrame,
    split: pd.DataFrame,
    audit: dict[str, Any],
    segments: pd.DataFrame,
    features: FeatureStore,
    model: dict[str, Any],
    training: dict[str, Any],
    evaluation: dict[str, Any],
    *,
    cell: Cell,
) -> CellResult:
    """Score every repeat of a cell, and log what came out.

    Args:
        checkpoints: The trained model of each repeat, or why there is none.
        predictions: The predictions of every repeat.
        inference: What they cost.
        tracks: The dataset's tracks, for their artists.
        split: The split table.
        audit: The split's report.
        segments: The segment table.
        features: The feature store.
        model: The model's parameters.
        training: Training parameters that models share.
        evaluation: How numbers are summarised.
        cell: The cell.

    Returns:
        The cell's result.
    """
    result = evaluate_cell(
        cell,
        checkpoints,
        CellData.join(cell.name, split=split, segments=segments, store=features),
        predictions,
        inference_s=inference["inference_s"],
        audit=audit,
        artists=tracks.set_index("track_id")["artist"],
        confidence=parse_block(EvaluationBlock, evaluation, key="evaluation").confidence,
        reference=parse_model(cell.model, model, training).spec.reference,
        git_commit=git_commit(),
    )
    log_evaluation(current_tracker().cell_run(cell), result, _trained(checkpoints), predictions)
    return result


def _trained(outcomes: list[Checkpoint | FailedRepeat]) -> list[Checkpoint]:
    return [each for each in outcomes if isinstance(each, Checkpoint)]
