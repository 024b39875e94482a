"""Nodes of the prediction stage."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from genre_pipeline.blocks import parse_block
from genre_pipeline.cells import Cell
from genre_pipeline.errors import AudioError, ConfigError
from genre_pipeline.evaluation.prediction import GenrePredictor
from genre_pipeline.experiment import PredictBlock
from genre_pipeline.pipelines.train.nodes import cell_folder

logger = logging.getLogger(__name__)


def predict_genres(predict: dict[str, Any], experiment: dict[str, Any], storage: dict[str, Any]) -> pd.DataFrame:
    """Classify audio files with a trained cell.

    Args:
        predict: Which cell and repeat, and which files.
        experiment: The experiment's parameters, for its name.
        storage: Where intermediate results live.

    Returns:
        One row a file: path, genre, probability, error, whether the cell is leaky, and one probability a genre.

    Raises:
        ConfigError: If no cell or no file is named.
        CheckpointError: If that cell is not trained.
        AudioError: If not one of the files can be classified.
    """
    block = parse_block(PredictBlock, predict, key="predict")
    if not block.audio:
        raise ConfigError("predict.audio: is empty. Name audio files: --params 'predict.audio=[a.wav,b.mp3]'.")
    folder = cell_folder(storage, experiment, Cell.parse(block.cell)) / f"repeat_{block.repeat:02d}"
    predicted = GenrePredictor.open(folder).classify(block.audio)
    if predicted["leaky"].any():
        logger.warning("%s is a LEAKY cell: its measured accuracy is inflated; expect less on your music.", block.cell)
    for row in predicted.to_dict(orient="records"):
        if row["error"]:
            logger.warning("Not classified: %s", row["error"])
        else:
            logger.info("%s: %s (%.0f %%)", row["path"], row["genre"], 100 * row["probability"])
    if predicted["error"].all():
        raise AudioError(f"None of the {len(predicted)} files could be classified. The first: {predicted['error'][0]}")
    return predicted
