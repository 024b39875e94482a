"""Trained models for use from Python: ``from genre_pipeline import load_model, predict``."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from genre_pipeline.blocks import parse_block
from genre_pipeline.configuration import ConfigLoader, load_configuration
from genre_pipeline.evaluation.prediction import GenrePredictor, open_model
from genre_pipeline.experiment import Experiment, PredictBlock, load_experiment


def load_model(
    experiment: str | None = None,
    *,
    cell: str | None = None,
    repeat: int | None = None,
    max_error: float | None = None,
) -> GenrePredictor:
    """Load the model for use of an experiment: the leading cell's, the mean of the models of its repeats.

    Args:
        experiment: The experiment's name; ``None`` means the default, as for the commands.
        cell: Name of another cell, ``dataset.protocol.feature.model``; ``None`` means the one that leads on the
            experiment's first dataset.
        repeat: One of the cell's repeats; ``None`` means the mean of all.
        max_error: The share of its answers that may be wrong, between 0 and 1; ``None`` means the parameter
            ``predict.max_error``. The model's ``abstention`` says from which confidence on it is sure, and what that
            was worth on the test tracks.

    Raises:
        CheckpointError: If it is not trained.
        ConfigError: If there is no such experiment.

    Example:
        >>> load_model("my_music").classify(["song.mp3"])  # doctest: +SKIP
    """
    loader = load_configuration(experiment=experiment)
    loaded = load_experiment(loader["parameters"])
    allowed = loaded.predict.max_error if max_error is None else max_error
    chosen = parse_block(PredictBlock, {"cell": cell, "repeat": repeat, "max_error": allowed}, key="predict")
    return open_experiment(loader, loaded, chosen)[0]


def predict(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    experiment: str | None = None,
    cell: str | None = None,
    max_error: float | None = None,
) -> pd.DataFrame:
    """Classify audio files: :meth:`~genre_pipeline.evaluation.prediction.GenrePredictor.classify` of a loaded model.

    Args:
        paths: The audio files, or a single one.
        experiment: See :func:`load_model`.
        cell: See :func:`load_model`.
        max_error: See :func:`load_model`.

    Returns:
        One row per file: ``path``, ``genre``, ``probability``, ``sure``, ``error``, ``leaky`` and ``p_<genre>`` of each
        genre.

    Raises:
        CheckpointError: If the model is not trained.
        ConfigError: If there is no such experiment.
    """
    given = [paths] if isinstance(paths, str | PathLike) else paths
    return load_model(experiment, cell=cell, max_error=max_error).classify([Path(path) for path in given])


def open_experiment(
    loader: ConfigLoader, experiment: Experiment, chosen: PredictBlock
) -> tuple[GenrePredictor, dict[str, Any]]:
    """Load a model of an experiment as :func:`load_model` does, with what is to know of it: nothing for a chosen cell.

    Args:
        loader: The configuration.
        experiment: The experiment.
        chosen: Which cell and repeat, and when it is not sure.
    """
    from kedro.io import DataCatalog

    catalog: Any = DataCatalog.from_config(loader["catalog"])
    entry = f"{chosen.cell}.results_if_any" if chosen.cell else f"{experiment.settings.datasets[0]}.leader_if_any"
    known = catalog.load(entry) or {}
    model = open_model(
        catalog.load("trained_models"),
        cell=chosen.cell,
        repeat=chosen.repeat,
        known=known,
        max_error=chosen.max_error,
    )
    return model, {} if chosen.cell else known
