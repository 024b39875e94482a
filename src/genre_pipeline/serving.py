"""Trained models for use from Python: ``from genre_pipeline import load_model, predict``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from genre_pipeline.blocks import parse_block
from genre_pipeline.configuration import ConfigLoader, load_configuration
from genre_pipeline.errors import ConfigError
from genre_pipeline.evaluation.abstention import choose_threshold
from genre_pipeline.evaluation.prediction import GenrePredictor, open_model
from genre_pipeline.experiment import Experiment, PredictBlock, load_experiment
from genre_pipeline.library.classifying import Library
from genre_pipeline.library.listing import list_music
from genre_pipeline.registry import suggestion
from genre_pipeline.training.checkpoints import is_checkpoint, joint_fingerprint
from genre_pipeline.training.repeats import repeat_folder, trained_repeats
from genre_pipeline.work.backends import Workers, usable_cores

_CHAMPION = "champion"
# Shorter beginnings of a run's id are names, or typing errors [?].
_RUN_ID = re.compile(r"[0-9a-f]{4,32}")


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
    """Classify music, as the command ``predict`` does.

    Args:
        paths: Audio files, folders, patterns or playlists, or a single one of these.
        experiment: See :func:`load_model`.
        cell: See :func:`load_model`.
        max_error: See :func:`load_model`.

    Returns:
        One row per file: ``path``, ``genre``, ``probability``, ``sure``, ``error``, ``leaky`` and ``p_<genre>`` of each
        genre.

    Raises:
        AudioError: If a folder or playlist holds no audio, or a pattern matches nothing.
        CheckpointError: If the model is not trained.
        ConfigError: If there is no such experiment.
    """
    given = [paths] if isinstance(paths, str | PathLike) else paths
    listing = list_music(map(Path, given))
    model = load_model(experiment, cell=cell, max_error=max_error)
    return model.tabulate(Library(model, Workers("auto", usable_cores())).answers(listing))


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


def open_named(name: str, loader: ConfigLoader, experiment: Experiment) -> tuple[GenrePredictor, Mapping[str, Any]]:
    """Load a model that is not the experiment's leading one, with what is to know of it.

    Args:
        name: ``champion`` (of the experiment, in MLflow's registry), the folder of a checkpoint or of a cell's
            checkpoints, or the id of a cell's run in MLflow.
        loader: The configuration.
        experiment: The experiment.

    Raises:
        CheckpointError: If it is damaged.
        ConfigError: If there is no such model.
        TrackingError: If MLflow does not have it.
    """
    from kedro.io import DataCatalog

    if experiment.predict.cell is not None or experiment.predict.repeat is not None:
        raise ConfigError(
            f"--model {name} names a model, and so does predict.cell or predict.repeat. Give one of them."
        )
    if name != _CHAMPION and Path(name).is_dir():
        return GenrePredictor.open(*_checkpoints(Path(name))), {}
    if name != _CHAMPION and not _RUN_ID.fullmatch(name):
        raise ConfigError(
            f"--model {name}: expected champion, an experiment, the id of a cell's run in MLflow, the folder of a "
            f"trained cell, or a file that 'export' wrote (.onnx). {suggestion(name, loader.experiments)}"
        )
    from genre_pipeline.tracking.trained import open_champion, open_run

    uri, tracked = loader["mlflow"]["server"]["mlflow_tracking_uri"], loader["mlflow"]["tracking"]["experiment"]["name"]
    dataset, *others = experiment.settings.datasets
    if name == _CHAMPION:
        title = experiment.settings.name
        found = open_champion(uri, tracked, f"{title}.{dataset}" if others else title)
    else:
        found = open_run(uri, tracked, name)
    model = GenrePredictor.open(*found.checkpoints)
    catalog: Any = DataCatalog.from_config(loader["catalog"])
    leader = catalog.load(f"{dataset}.leader_if_any") or {}
    if leader and joint_fingerprint(leader["fingerprints"].values()) == found.fingerprint:
        threshold = (
            choose_threshold(leader["thresholds"], experiment.predict.max_error) if leader["thresholds"] else None
        )
        return replace(model, abstention=threshold), leader
    return model, found.known


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoint in a folder, or those of the repeats of a cell."""
    found = [repeat_folder(folder, each) for each in trained_repeats(folder)] or [folder]
    if not any(is_checkpoint(each) for each in found):
        raise ConfigError(
            f"--model {folder}: expected the folder of a trained cell, which holds repeat_00/, or of one of its "
            "repeats. They are in the data folder, in 06_models."
        )
    return found
