"""Nodes of the prediction stage."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import pandas as pd

from genre_pipeline.errors import AudioError, CheckpointError, ConfigError
from genre_pipeline.evaluation.prediction import GenrePredictor
from genre_pipeline.experiment import PredictBlock
from genre_pipeline.stages import LOGGED, stage
from genre_pipeline.training.repeats import repeat_folder

logger = logging.getLogger(__name__)


@stage(version=2)
def predict_genres(predict: PredictBlock, folder: Annotated[Path, LOGGED]) -> pd.DataFrame:
    """Classify audio files with a trained cell.

    Args:
        predict: Which cell and repeat, and which files.
        folder: The cell's folder.

    Returns:
        One row per file: path, genre, probability, error, whether the cell is leaky, and one probability per genre.

    Raises:
        ConfigError: If no cell or no file is named.
        CheckpointError: If that cell is not trained.
        AudioError: If not one of the files can be classified.
    """
    if not predict.audio:
        raise ConfigError("predict.audio: is empty. Name audio files: --params 'predict.audio=[a.wav,b.mp3]'.")
    if not folder.exists():
        raise CheckpointError(_untrained(predict.cell, folder))
    predicted = GenrePredictor.open(repeat_folder(folder, predict.repeat)).classify(predict.audio)
    if predicted["leaky"].any():
        logger.warning(
            "%s is a LEAKY cell: its measured accuracy is inflated; expect less on your music.", predict.cell
        )
    for row in predicted.to_dict(orient="records"):
        if row["error"]:
            logger.warning("Not classified: %s", row["error"])
        else:
            logger.info("%s: %s (%.0f %%)", row["path"], row["genre"], 100 * row["probability"])
    if predicted["error"].all():
        raise AudioError(f"None of the {len(predicted)} files could be classified. The first: {predicted['error'][0]}")
    return predicted


def _untrained(cell: str, folder: Path) -> str:
    """Say what is trained instead of a cell, whose folder lies among those of the experiment's other cells."""
    found = folder.parents[3].glob("*/*/*/*/repeat_*/")
    trained = sorted({".".join(each.parts[-5:-1]) for each in found})
    if not trained:
        return f"predict.cell: {cell} is not trained, and no other cell is. First run: kedro run --pipelines train_all"
    return (
        f"predict.cell: {cell} is not trained. Trained cells of this experiment: {', '.join(trained)}. Choose one: "
        f'--params "predict.cell={trained[0]},predict.audio=[...]"'
    )
