"""Checkpoints: trained models on disk, complete or absent, and never unpickled.

A checkpoint is a folder: ``card.json`` describes the model and its origin and holds the other files' checksums;
``weights.safetensors`` (a network) or ``estimator.skops`` (a scikit-learn classifier) is the model;
``normalisation.safetensors`` scales its input; ``history.parquet`` has one row per epoch. For a model with experts,
``routing.parquet`` counts which genres went to which expert.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from genre_pipeline import __version__
from genre_pipeline.blocks import Block, parse_block
from genre_pipeline.errors import CheckpointError, ConfigError, UnknownNameError
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.models import MODELS, EstimatorSpec, GenreNetwork, InputShape, NetworkSpec
from genre_pipeline.models.costs import count_parameters, network_cost
from genre_pipeline.storage import atomic_folder, storage_errors, write_json
from genre_pipeline.training.devices import choose_device
from genre_pipeline.training.epochs import history_table
from genre_pipeline.training.fitting import Fitted
from genre_pipeline.training.predictors import EstimatorPredictor, NetworkPredictor, Predictor
from genre_pipeline.training.routing import routing_table
from genre_pipeline.training.segments import Normalisation, NormalisationKind

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

_CARD = "card.json"
_HISTORY = "history.parquet"
_ROUTING = "routing.parquet"
_NORMALISATION = "normalisation.safetensors"
_WEIGHTS = "weights.safetensors"
_ESTIMATOR = "estimator.skops"
# Digits of its fingerprint after the name of a checkpoint's folder that was replaced [?]: all different in practice.
_KEPT_DIGITS = 16
_KEPT = re.compile(rf"repeat_\d+\.[0-9a-f]{{{_KEPT_DIGITS}}}")

# Types in our estimators that skops does not trust by default.
_TRUSTED_TYPES = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.metrics._classification.log_loss",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.model_selection._split.PredefinedSplit",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
)


class CheckpointCard(Block):
    """Description of a checkpoint and its origin.

    Attributes:
        cell: Name of the cell, ``dataset.protocol.feature.model``.
        repeat: Which repeat of the protocol.
        seed: Seed of the training.
        genres: The genres, in the order of the output.
        feature: All parameters of the feature.
        model: All parameters of the model and its training.
        kind: Whether it is a network or an estimator.
        n_bins: Height of one segment.
        n_frames: Length of one segment.
        n_parameters: Trainable parameters; ``None`` for estimators.
        n_train_segments: Segments it was trained on.
        n_validation_segments: Segments used to select its epoch.
        selected_epoch: Epoch whose weights were kept.
        precision: Number type of the forward pass in training.
        channels_last: Memory layout in training; it can change a number's last digits.
        compiled: Whether the network was compiled for training, which can change the last digits too.
        measured_rates: Segments per second of each way of computing that was measured before this one was chosen.
        device: Type of the device it was trained on.
        micro_batch_size: Segments whose activations were in memory at once in training; ``None`` for estimators.
        training_s: Time of all epochs, in seconds, including interrupted attempts.
        inputs: Fingerprint of the data.
        leaky: Whether the split shares something between sides, or the test side chose the epoch, so that scores are
            inflated.
        fingerprint: Fingerprint of everything it depends on.
        versions: Version of each library that matters.
        checksums: SHA-256 of each other file.
    """

    cell: str
    repeat: int
    seed: int
    genres: tuple[str, ...]
    feature: dict[str, Any]
    model: dict[str, Any]
    kind: Literal["network", "estimator"]
    n_bins: int
    n_frames: int
    n_parameters: int | None
    n_train_segments: int
    n_validation_segments: int
    selected_epoch: int
    precision: str
    channels_last: bool
    compiled: bool = False
    measured_rates: dict[str, float]
    device: str
    micro_batch_size: int | None
    training_s: float
    inputs: str
    leaky: bool
    fingerprint: str
    versions: dict[str, str]
    checksums: dict[str, str]


@dataclass(frozen=True)
class Checkpoint:
    """A trained model on disk.

    Attributes:
        folder: Where it is.
        card: What it is.
        reused: Whether it existed already and was not trained now.
    """

    folder: Path
    card: CheckpointCard
    reused: bool = False

    @classmethod
    def open(cls, folder: Path, *, reused: bool = False) -> Checkpoint:
        """Open a checkpoint and check that its files are those that were written.

        Args:
            folder: Where it is.
            reused: Whether it replaces a training that was not needed.

        Returns:
            The checkpoint.

        Raises:
            CheckpointError: If a file is missing or was changed; the message names it.
        """
        if not folder.exists():
            raise CheckpointError(f"There is no checkpoint at {folder}: that repeat is not trained. Train it first.")
        try:
            card = parse_block(CheckpointCard, json.loads((folder / _CARD).read_bytes()), key=_CARD)
        except FileNotFoundError:
            raise _corrupted(folder, f"{_CARD} is missing") from None
        except (ConfigError, ValueError) as error:
            raise _corrupted(folder, f"{_CARD} cannot be read: {error}") from error
        checkpoint = cls(folder, card, reused)
        needed = {_WEIGHTS if card.kind == "network" else _ESTIMATOR, _NORMALISATION, _HISTORY}
        for name in sorted(needed | card.checksums.keys()):
            checkpoint._read(name)
        return checkpoint

    @property
    def fingerprint(self) -> str:
        """Fingerprint of everything that the model depends on."""
        return self.card.fingerprint

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch, with the fields of :class:`~genre_pipeline.training.epochs.EpochRecord` as columns.

        Raises:
            CheckpointError: If the file is missing or was changed.
        """
        return pd.read_parquet(io.BytesIO(self._read(_HISTORY)))

    @property
    def routing(self) -> pd.DataFrame | None:
        """Where the validation segments went: see :func:`~genre_pipeline.training.routing.routing_table`.

        ``None`` for a model without experts.

        Raises:
            CheckpointError: If the file was changed.
        """
        return pd.read_parquet(io.BytesIO(self._read(_ROUTING))) if _ROUTING in self.card.checksums else None

    @property
    def flop_per_segment(self) -> int | None:
        """Floating-point operations that one segment takes: see :class:`~genre_pipeline.models.costs.Cost`.

        ``None`` for an estimator, whose operations are not counted.
        """
        spec = MODELS[self.card.model["family"]]
        if isinstance(spec, EstimatorSpec):
            return None
        block = parse_block(spec.block, self.card.model["architecture"], key="architecture")
        shape = InputShape(self.card.n_bins, self.card.n_frames)
        return network_cost(spec, block, shape, len(self.card.genres)).n_flop

    def predictor(self, *, device: str = "auto") -> Predictor:
        """Return the model, ready to predict.

        Args:
            device: Where a network computes: ``cpu``, ``cuda``, ``mps`` or ``auto``.

        Raises:
            CheckpointError: If the files are not those that were written, or do not fit the installed code.
            ConfigError: If the device does not exist.
        """
        card = self.card
        shape = InputShape(card.n_bins, card.n_frames)
        kind: NormalisationKind = card.feature["normalisation"]
        normalisation = Normalisation.from_state(kind, load_tensors(self._read(_NORMALISATION)))
        try:
            spec = MODELS[card.model["family"]]
        except UnknownNameError as error:
            raise _corrupted(self.folder, str(error)) from error
        if isinstance(spec, EstimatorSpec):
            return EstimatorPredictor(self._estimator(), spec, shape, normalisation)
        return NetworkPredictor(self._network(spec, shape), shape, normalisation, choose_device(device))

    def _network(self, spec: NetworkSpec, shape: InputShape) -> GenreNetwork:
        state = load_tensors(self._read(_WEIGHTS))
        try:
            block = parse_block(spec.block, self.card.model["architecture"], key="architecture")
            # The weights drawn here are replaced at once; the global random state must not change.
            with torch.random.fork_rng(devices=[]):
                network = spec.build(block, shape, len(self.card.genres))
            network.load_state_dict(state, strict=True)
        except (ConfigError, RuntimeError) as error:
            raise _corrupted(self.folder, f"its weights do not fit the architecture: {error}") from error
        return network

    def _estimator(self) -> BaseEstimator:
        from skops import io as skops_io

        content = self._read(_ESTIMATOR)
        written, installed = self.card.versions.get("scikit-learn", "?"), version("scikit-learn")
        if written != installed:
            raise _corrupted(self.folder, f"it was made with scikit-learn {written}, and {installed} is installed")
        unknown = sorted(set(skops_io.get_untrusted_types(data=content)) - set(_TRUSTED_TYPES))
        if unknown:
            raise _corrupted(self.folder, f"it contains types that are not trusted: {', '.join(unknown)}")
        return skops_io.loads(content, trusted=list(_TRUSTED_TYPES))

    def _read(self, name: str) -> bytes:
        try:
            content = (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise _corrupted(self.folder, f"{name} is missing") from None
        if _checksum(content) != self.card.checksums.get(name):
            raise _corrupted(self.folder, f"{name} is not the file that was written (its checksum differs)")
        return content


@dataclass(frozen=True)
class FailedRepeat:
    """A repeat whose training could not continue; it takes the place of the checkpoint.

    Attributes:
        repeat: Which repeat of the protocol.
        seed: Seed of the training.
        reason: What happened, for people.
    """

    repeat: int
    seed: int
    reason: str


def kept_folder(folder: Path, fingerprint: str) -> Path:
    """Return where a checkpoint is kept after another training of its repeat has replaced it.

    Args:
        folder: The folder of the repeat's checkpoint.
        fingerprint: The replaced checkpoint's fingerprint.
    """
    return folder.with_name(f"{folder.name}.{fingerprint[:_KEPT_DIGITS]}")


def open_trained(folder: Path, fingerprint: str, *, named_in: object, reused: bool = False) -> Checkpoint:
    """Open the checkpoint of a certain training, also if another one has replaced it.

    Args:
        folder: The folder of the repeat's checkpoint.
        fingerprint: The fingerprint of the training.
        named_in: What says so, for the message.
        reused: See :meth:`Checkpoint.open`.

    Raises:
        CheckpointError: If it is not there any more, or damaged.
    """
    kept = kept_folder(folder, fingerprint)
    checkpoint = Checkpoint.open(kept if kept.exists() else folder, reused=reused)
    if checkpoint.fingerprint != fingerprint:
        raise CheckpointError(
            f"The checkpoint {checkpoint.folder} has changed since {named_in} was written. Run the pipeline "
            "'train_<model>' of its model again."
        )
    return checkpoint


def replaced_folders(folder: Path) -> list[Path]:
    """Return the folders of the checkpoints that a cell's later trainings have replaced, sorted.

    Args:
        folder: The cell's folder.
    """
    return sorted(path for path in folder.glob("*/") if _KEPT.fullmatch(path.name))


def is_checkpoint(folder: Path) -> bool:
    """Tell whether a folder holds a checkpoint, whole or damaged."""
    return (folder / _CARD).is_file()


def joint_fingerprint(fingerprints: Iterable[str]) -> str:
    """Return the fingerprint of several checkpoints that are used as one model; a single one's is its own.

    Args:
        fingerprints: Those of the checkpoints, in the order of the repeats.
    """
    found = list(fingerprints)
    return found[0] if len(found) == 1 else fingerprint("joint_model", 1, models=found)


def set_aside(folder: Path) -> None:
    """Move a checkpoint that is about to be replaced to where it is kept. One that cannot be read stays.

    Args:
        folder: The folder of the repeat's checkpoint, which may not exist.

    Raises:
        StorageError: If it cannot be moved.
    """
    try:
        kept = kept_folder(folder, Checkpoint.open(folder).fingerprint)
    except CheckpointError:
        return
    with storage_errors(folder):
        if kept.exists():
            shutil.rmtree(kept)
        folder.replace(kept)


def write_checkpoint(folder: Path, fitted: Fitted, description: Mapping[str, Any]) -> Checkpoint:
    """Write a checkpoint: the folder is complete or absent.

    Args:
        folder: Where. A checkpoint that is there is set aside: see :func:`set_aside`.
        fitted: The trained model.
        description: The fields of the card that ``fitted`` does not have.

    Returns:
        The checkpoint.

    Raises:
        StorageError: If the disk is full, or the folder is read-only.
    """
    network = fitted.model if isinstance(fitted.model, GenreNetwork) else None
    files = {
        **({_ESTIMATOR: _estimator_bytes(fitted.model)} if network is None else {_WEIGHTS: _network_bytes(network)}),
        _NORMALISATION: _tensor_bytes(fitted.normalisation.state()),
        _HISTORY: _table_bytes(history_table(fitted.history)),
    }
    if fitted.routing:
        files[_ROUTING] = _table_bytes(routing_table(fitted.routing, description["genres"]))
    values = {
        **description,
        "kind": "estimator" if network is None else "network",
        "n_parameters": None if network is None else count_parameters(network),
        "selected_epoch": fitted.selected_epoch,
        "precision": fitted.computation.precision,
        "channels_last": fitted.computation.channels_last,
        "compiled": fitted.computation.compiled,
        "measured_rates": fitted.computation.measured,
        "device": fitted.device,
        "micro_batch_size": fitted.micro_batch_size,
        "training_s": fitted.training_s,
        "versions": library_versions(),
        "checksums": {name: _checksum(content) for name, content in files.items()},
    }
    card = parse_block(CheckpointCard, values, key=_CARD)
    with atomic_folder(folder) as temporary:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        write_json(temporary / _CARD, card.dump())
        set_aside(folder)
    return Checkpoint(folder, card)


def library_versions() -> dict[str, str]:
    """Return the version of each library that a trained model depends on."""
    libraries = {name: version(name) for name in ("numpy", "scikit-learn", "torch")}
    return {"genre-pipeline": __version__, **libraries}


def _corrupted(folder: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"The checkpoint {folder} cannot be used: {reason}. Delete the folder and run again.")


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# All content becomes bytes first, which Python writes. So a full disk is an OSError with any library, and the hashed
# bytes are the written ones.
def _network_bytes(network: GenreNetwork) -> bytes:
    return _tensor_bytes(network.state_dict())


def _tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    return save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _estimator_bytes(estimator: object) -> bytes:
    from skops import io as skops_io

    content: bytes = skops_io.dumps(estimator)
    return content


def _table_bytes(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
