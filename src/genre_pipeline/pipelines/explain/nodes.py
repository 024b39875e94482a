"""Nodes of the explaining stage."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from genre_pipeline.cells import Cell
from genre_pipeline.errors import ConfigError
from genre_pipeline.evaluation.explaining import explain_track
from genre_pipeline.experiment import ExplainBlock
from genre_pipeline.reporting.explaining import explanation_figure, explanation_summary
from genre_pipeline.stages import stage
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.training import Checkpoint, FailedRepeat
from genre_pipeline.training.cell_data import CellData, CellSegments

logger = logging.getLogger(__name__)


@stage(version=3, uses=(CellData,))
def explain_tracks(
    explain: ExplainBlock,
    split: pd.DataFrame,
    segments: CellSegments,
    features: FeatureStore,
    checkpoints: list[Checkpoint | FailedRepeat],
) -> tuple[list[dict[str, Any]], Figure]:
    """Explain a cell's predictions of chosen test tracks.

    Args:
        explain: Which cell and tracks, and how.
        split: The cell's split table.
        segments: The segment table.
        features: The feature store.
        checkpoints: The trained model of each repeat, or why there is none.

    Returns:
        A summary of each track, for the report, and a picture of all.

    Raises:
        ConfigError: If no track is named, one is not tested, or the method does not fit the model.
    """
    if not explain.tracks:
        raise ConfigError(
            "explain.tracks: is empty. Name test tracks of the cell: --params 'explain.tracks=[<track id>]'. The "
            "report lists some under 'Mistakes to listen to'."
        )
    cell = Cell.parse(explain.cell)
    trained = [each for each in checkpoints if isinstance(each, Checkpoint)]
    data = CellData.join(cell.name, split=split, segments=segments, store=features)
    explanations = [
        explain_track(
            cell, trained, data, track_id, genre=explain.genre, method=explain.method, n_steps=explain.n_steps
        )
        for track_id in explain.tracks
    ]
    for each in explanations:
        logger.info(
            "%s: %s predicted as %s; %.2f log odds for %s explained by %s, up to %.3f",
            each.track_id,
            each.genre,
            each.answer,
            each.explained,
            each.target,
            each.method,
            each.residual,
        )
    return [explanation_summary(each) for each in explanations], explanation_figure(explanations)
