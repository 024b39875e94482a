"""Whether a model is less sure of genres that it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.evaluation.prediction import predict_sides
from genre_pipeline.results.tables import UNSEEN_COLUMNS, make_table
from genre_pipeline.training import Checkpoint
from genre_pipeline.training.cell_data import CellData


def score_unseen(
    checkpoints: Sequence[Checkpoint], data: CellData, genre: str, *, known: Mapping[str, Any]
) -> pd.DataFrame:
    """Measure how well the confidence of models that never saw a genre tells its tracks from those of other genres.

    Args:
        checkpoints: The models of the repeats, trained without the genre.
        data: The cell's segments, the genre's among them.
        genre: The genre.
        known: What is known of the cell: see :data:`~genre_pipeline.results.tables.UNSEEN_COLUMNS`.

    Returns:
        One row per repeat with ``auroc``: how often a test track of a genre that the model knows gets a higher
        probability than one of the unseen genre; a half by chance.
    """
    rows = []
    for checkpoint in checkpoints:
        table = predict_sides(checkpoint, data, checkpoint.card.repeat, sides=["test"]).table
        tracks = table.groupby(["track_id", "genre"])[[f"p_{each}" for each in checkpoint.card.genres]].mean()
        is_unseen = tracks.index.get_level_values("genre").to_numpy() == genre
        confidence = tracks.to_numpy(dtype=np.float64).max(axis=1)
        rows.append(
            {
                **known,
                "genre": genre,
                "repeat": checkpoint.card.repeat,
                "split": "test",
                "unit": "track",
                "metric": "auroc",
                "value": auroc(confidence, ~is_unseen),
                "n_known": int((~is_unseen).sum()),
                "n_unseen": int(is_unseen.sum()),
            }
        )
    return make_table(rows, UNSEEN_COLUMNS)


def auroc(confidence: NDArray[np.float64], is_known: NDArray[np.bool_]) -> float:
    """Return how often something known gets a higher confidence than something unknown; equal ones count half.

    Example:
        >>> auroc(np.array([0.9, 0.6, 0.6, 0.4]), np.array([True, True, False, False]))
        0.875
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(is_known, confidence))
