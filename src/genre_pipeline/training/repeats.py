"""Train one repeat of one cell, unless it was done before."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from genre_pipeline.cells import Cell
from genre_pipeline.errors import CheckpointError, TrainingError
from genre_pipeline.features import FeatureBlock
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.models import EstimatorSpec
from genre_pipeline.stages import LOGGED, SETTINGS, stage, stage_of
from genre_pipeline.training.checkpoints import Checkpoint, kept_folder, set_aside, write_checkpoint
from genre_pipeline.training.devices import choose_device
from genre_pipeline.training.epochs import EpochCallback, narrated
from genre_pipeline.training.fitting import Task, fit
from genre_pipeline.training.recipes import ModelBlock, TrainingBlock
from genre_pipeline.training.resumption import Resumption
from genre_pipeline.training.segments import SegmentSet

logger = logging.getLogger(__name__)

Segments = SegmentSet | Callable[[], SegmentSet]

# Raise this when the same parameters and data give another model.
TRAINING_VERSION = 2
# Beside the checkpoints: how their network computes fastest, so that all repeats compute alike.
_COMPUTATIONS = "computations.json"
# Raise this when the state of an unfinished training has another form.
_STATE_VERSION = 2


@stage(version=TRAINING_VERSION)
def train_repeat(
    *,
    cell: Annotated[Cell, LOGGED],
    repeat: Annotated[int, LOGGED],
    seed: int,
    genres: tuple[str, ...],
    feature: Annotated[FeatureBlock, SETTINGS],
    model: ModelBlock,
    train: Annotated[Segments, LOGGED],
    validation: Annotated[Segments, LOGGED],
    inputs: str,
    leaky: Annotated[bool, LOGGED],
    folder: Annotated[Path, LOGGED],
    test: Annotated[Segments | None, LOGGED] = None,
    on_epoch: Annotated[EpochCallback | None, LOGGED] = None,
    slot: Annotated[int, LOGGED] = 0,
) -> Checkpoint:
    """Train one repeat of one cell, unless its checkpoint exists.

    The arguments that count are those that decide the weights; the segments count through ``inputs``. The same ones
    give the same weights and the same curve on the same machine, also if the training was killed and resumed:
    ``<folder>.state`` holds the state of an unfinished training. With ``precision: auto`` a long training measures how
    to compute; ``computations.json`` in the parent folder keeps the result for later trainings.

    Args:
        cell: What is trained.
        repeat: Which repeat of the protocol.
        seed: Seed of the initial weights, of dropout and of the order of the segments.
        genres: The genres, in the order of the targets and of the model's output.
        feature: The feature that the segments were cut from.
        model: Architecture and recipe.
        train: The segments to train on, or a function that gathers them, called only if there is something to train.
        validation: The segments to select the epoch by, or a function that gathers them.
        inputs: Fingerprint of the data: features, segments and split.
        leaky: Whether the split shares something between sides, for the checkpoint's card; ``inputs`` covers it. A
            model that the test side selects is always leaky.
        folder: Where the checkpoint is, or will be.
        test: The test segments, or a function that gathers them, if the recipe selects by them, and only then.
        on_epoch: Called with each epoch's record; not called when nothing is trained.
        slot: Number of this training among those that run side by side; several devices are assigned in turn.

    Returns:
        The checkpoint; ``reused`` is true if it existed already.

    Raises:
        ConfigError: If the architecture does not fit the feature, or the device does not exist.
        TrainingError: If there are test segments where the recipe does not select by them, or none where it does; if a
            split is empty, lacks a genre or does not fit the other.
        RepeatFailedError: If a loss stops being finite, or memory is not enough.
        StorageError: If the checkpoint cannot be written.
    """
    label = label_of(cell, repeat)
    if model.selects_by_test != (test is not None):
        raise TrainingError(
            f"{label}: test segments take part in training if, and only if, models.{model.name}.training.selection is "
            f"'best_test'; it is '{model.training.selection}'."
        )
    mark = repeat_fingerprint(inputs=inputs, genres=genres, feature=feature, model=model, seed=seed)
    existing = find_checkpoint(folder, mark, label)
    if existing is not None:
        return existing
    is_estimator = isinstance(model.spec, EstimatorSpec)
    with narrated(label, 1 if is_estimator else model.training.max_epochs, on_epoch) as tell:
        given = {"train": train, "validation": validation, **({} if test is None else {"test": test})}
        sides = {side: each if isinstance(each, SegmentSet) else each() for side, each in given.items()}
        _check_splits(label, genres, **sides)
        n_train, n_validation = len(sides["train"]), len(sides["validation"])
        logger.debug("%s: training on %d segments, validating on %d", label, n_train, n_validation)
        task = Task(label, model, feature, len(genres), seed, **sides)
        resumption = None if is_estimator else _resumption(folder, mark, model.training)
        fitted = fit(task, tell, resumption, folder.parent / _COMPUTATIONS, slot=slot)
        description = {
            "cell": cell.name,
            "repeat": repeat,
            "seed": seed,
            "genres": genres,
            "feature": feature.dump(),
            "model": model.dump(),
            "inputs": inputs,
            "leaky": leaky or model.selects_by_test,
            "fingerprint": mark,
            "n_bins": task.train.shape.n_bins,
            "n_frames": task.train.shape.n_frames,
            "n_train_segments": n_train,
            "n_validation_segments": n_validation,
        }
        write_checkpoint(folder, fitted, description)
        if resumption is not None:
            resumption.discard()
    return Checkpoint.open(folder)


def _resumption(folder: Path, mark: str, recipe: TrainingBlock) -> Resumption:
    # On another device, or with another torch, a resumed training would not match the first part.
    identity = fingerprint(
        "training_state",
        _STATE_VERSION,
        training=mark,
        device=choose_device(recipe.device).type,
        torch=torch.__version__,
    )
    return Resumption(folder.with_name(f"{folder.name}.state"), identity, recipe.resume_interval_s)


def label_of(cell: Cell, repeat: int) -> str:
    """Return a readable name of a repeat of a cell."""
    return f"{cell.name}, repeat {repeat}"


def repeat_folder(folder: Path, repeat: int) -> Path:
    """Return the folder of a repeat's checkpoint.

    Args:
        folder: The cell's folder.
        repeat: The repeat.
    """
    return folder / f"repeat_{repeat:02d}"


def trained_repeats(folder: Path) -> list[int]:
    """Return the repeats that have a checkpoint.

    Args:
        folder: The cell's folder.
    """
    names = (path.name.removeprefix("repeat_") for path in folder.glob("repeat_*/"))
    return sorted(int(name) for name in names if name.isdecimal())


def find_checkpoint(folder: Path, mark: str, label: str) -> Checkpoint | None:
    """Return the checkpoint of a repeat that is trained already, or ``None`` if there is something to train.

    Args:
        folder: Where it would be.
        mark: The fingerprint that it must have: see :func:`repeat_fingerprint`.
        label: Names the repeat in messages.
    """
    kept = kept_folder(folder, mark)
    if kept.exists():
        logger.info("%s: going back to its earlier training with the same data and parameters", label)
        set_aside(folder)
        kept.replace(folder)
    if not folder.exists():
        return None
    try:
        checkpoint = Checkpoint.open(folder, reused=True)
    except CheckpointError as error:
        logger.warning("%s: training again, because of this: %s", label, error)
        return None
    if checkpoint.fingerprint != mark:
        logger.info("%s: training again, because the data or the parameters have changed", label)
        return None
    logger.info("%s: already trained, nothing to do", label)
    return checkpoint


def repeat_fingerprint(**deciding: Any) -> str:
    """Return the fingerprint of everything that a trained model depends on, by the signature of :func:`train_repeat`.

    Device, threads and notes do not count. An estimator depends on scikit-learn's version, because another version may
    not read its files, and not on the recipe.

    Args:
        **deciding: The arguments of :func:`train_repeat` that count.
    """
    declared = stage_of(train_repeat)
    versions, parameters = declared.facts((name, name, value) for name, value in deciding.items())
    model = parameters.pop("model")
    # In the form of earlier releases, whose checkpoints stay valid.
    return fingerprint(
        "train",
        declared.version,
        family_version=versions[f"models.{model['family']}"],
        **{"training": {name: each for name, each in versions.items() if name == "scikit-learn"}, **model},
        **parameters,
    )


def _check_splits(label: str, genres: tuple[str, ...], train: SegmentSet, **others: SegmentSet) -> None:
    for split, segments in {"training": train, **others}.items():
        if len(segments) == 0:
            raise TrainingError(f"{label}: the {split} split is empty. Use more tracks, or fewer folds.")
        if segments.targets.min() < 0 or segments.targets.max() >= len(genres):
            raise TrainingError(
                f"{label}: the {split} targets must be indices of the {len(genres)} genres, from 0 to "
                f"{len(genres) - 1}; they go from {segments.targets.min()} to {segments.targets.max()}."
            )
    missing = [genre for index, genre in enumerate(genres) if not np.any(train.targets == index)]
    if missing:
        raise TrainingError(
            f"{label}: no training segment of {', '.join(missing)}. Every genre needs tracks in the training split: "
            "use more tracks, fewer folds, or leave the genre out (datasets.<name>.genres)."
        )
    for split, segments in others.items():
        if train.shape != segments.shape:
            raise TrainingError(f"{label}: training segments are {train.shape}, {split} segments {segments.shape}.")
