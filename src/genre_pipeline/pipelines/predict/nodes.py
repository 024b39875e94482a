"""Nodes of the prediction stage."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import pandas as pd

from genre_pipeline.errors import AudioError, ConfigError
from genre_pipeline.evaluation.prediction import open_model
from genre_pipeline.experiment import PredictBlock
from genre_pipeline.reporting.prediction import answer
from genre_pipeline.reporting.wording import abstention_text
from genre_pipeline.stages import LOGGED, stage

logger = logging.getLogger(__name__)


@stage(version=5)
def predict_genres(
    predict: PredictBlock, known: Annotated[dict[str, Any] | None, LOGGED], folder: Annotated[Path, LOGGED]
) -> pd.DataFrame:
    """Classify audio files with the model for use, or that of the chosen cell.

    Args:
        predict: Which cell, and which files.
        known: The cell that leads on the experiment's first dataset, or the result of the chosen cell; ``None`` if
            there is none yet.
        folder: Folder of the experiment's models.

    Returns:
        One row per file: path, genre, probability, whether it is sure, error, whether the cell is leaky, and one
        probability per genre.

    Raises:
        ConfigError: If no file is named.
        CheckpointError: If nothing is trained.
        AudioError: If not one of the files can be classified.
    """
    if not predict.audio:
        raise ConfigError("predict.audio: is empty. Name audio files: --params 'predict.audio=[a.wav,b.mp3]'.")
    model = open_model(folder, cell=predict.cell, repeat=predict.repeat, known=known, max_error=predict.max_error)
    predicted = model.classify(predict.audio)
    if model.leaky:
        logger.warning("%s is a LEAKY cell: its measured accuracy is inflated; expect less on your music.", model.cell)
    logger.info("%s: %s", model.cell, abstention_text(model.abstention))
    for row in predicted.to_dict(orient="records"):
        if row["error"]:
            logger.warning("Not classified: %s", row["error"])
        else:
            logger.info("%s: %s (%s %.0f %%)", row["path"], answer(row), row["genre"], 100 * row["probability"])
    if predicted["error"].all():
        raise AudioError(f"No file could be classified. The first of {len(predicted):,}: {predicted['error'][0]}")
    return predicted
