"""Predictions: of a cell's segments for scoring, and of any audio file with a trained model."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from genre_pipeline.audio.io import require_sound, waveform_blocks
from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import AudioError, CheckpointError, ConfigError
from genre_pipeline.evaluation.abstention import Abstention, choose_threshold
from genre_pipeline.evaluation.answers import FileAnswer, FileClassifier
from genre_pipeline.evaluation.track_answers import FramesDescription
from genre_pipeline.features import FEATURES, FeatureBlock, FeatureSpec
from genre_pipeline.features.base import stream_features
from genre_pipeline.features.segments import cut_blocks
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.results.predictions import Predictions
from genre_pipeline.stages import stage
from genre_pipeline.storage import atomic_file, write_json
from genre_pipeline.stores.store import spec_hash
from genre_pipeline.training import Checkpoint, FailedRepeat, Predictor
from genre_pipeline.training.cell_data import CellData
from genre_pipeline.training.checkpoints import joint_fingerprint, open_trained
from genre_pipeline.training.repeats import repeat_folder, trained_repeats

# Raised whenever the same model and segments would give other predictions.
PREDICTIONS_VERSION = 2
_SIDES = ("validation", "test")
# Raised whenever the same models would answer otherwise about the same file.
_ANSWER_VERSION = 2
# [?] Segments that are in memory together: those of a batch (training/predictors.py).
_SEGMENTS_AT_ONCE = 64


@stage(version=PREDICTIONS_VERSION, uses=(CellData,))
def predict_repeat(checkpoint: Checkpoint, data: CellData, repeat: int, *, cache: Path) -> Predictions:
    """Predict the validation and test segments of a repeat, or read what was predicted before.

    Args:
        checkpoint: The repeat's trained model.
        data: The cell's segments.
        repeat: The repeat.
        cache: Parquet file of the repeat's predictions; a JSON file beside it says what they were made from.

    Returns:
        The predictions.

    Raises:
        StorageError: If the predictions cannot be written.
    """
    identity = fingerprint(
        "predictions", PREDICTIONS_VERSION, model=checkpoint.fingerprint, data=data.fingerprint(repeat, *_SIDES)
    )
    known = known_predictions(cache, identity)
    if known is not None:
        return known
    predictions = predict_sides(checkpoint, data, repeat, sides=_SIDES)
    keep_predictions(predictions, cache, identity)
    return predictions


def predict_sides(checkpoint: Checkpoint, data: CellData, repeat: int, *, sides: Sequence[str]) -> Predictions:
    """Predict the segments on some sides of a repeat.

    Args:
        checkpoint: The repeat's trained model.
        data: The cell's segments.
        repeat: The repeat.
        sides: ``validation``, ``test``.

    Returns:
        The predictions.
    """
    predictor = checkpoint.predictor()
    inference_s = 0.0
    tables = []
    for side in sides:
        features = data.segment_set(repeat, side).features
        started_s = time.perf_counter()
        probabilities = predictor.predict_probabilities(features)
        inference_s += time.perf_counter() - started_s
        rows = data.rows(repeat, side)[["track_id", "segment_id", "genre"]]
        rows.insert(0, "repeat", repeat)
        rows.insert(1, "split", side)
        rows.insert(2, "leaky", data.leaky or checkpoint.card.leaky)
        tables.append(
            rows.join(pd.DataFrame(probabilities, columns=[f"p_{genre}" for genre in checkpoint.card.genres]))
        )
    return Predictions(pd.concat(tables, ignore_index=True), inference_s, reused=False)


def predict_cell(checkpoints: Sequence[Checkpoint], data: CellData, *, folder: Path) -> tuple[pd.DataFrame, float]:
    """Predict the validation and test segments of all repeats of a cell.

    Args:
        checkpoints: The trained model of each repeat; a repeat that failed has none.
        data: The cell's segments.
        folder: Folder of the cell, where predictions are kept beside the checkpoints.

    Returns:
        The predictions of all repeats, and the seconds that the models took, summed over repeats.

    Raises:
        StorageError: If the predictions cannot be written.
    """
    repeats = [
        predict_repeat(
            each, data, repeat := each.card.repeat, cache=folder / f"repeat_{repeat:02d}.predictions.parquet"
        )
        for each in checkpoints
    ]
    if not repeats:
        return no_predictions(data.genres), 0.0
    table = pd.concat([each.table for each in repeats], ignore_index=True)
    return table, sum(each.inference_s for each in repeats)


def no_predictions(genres: Sequence[str]) -> pd.DataFrame:
    """Return the table of predictions without a row."""
    columns = ["repeat", "split", "leaky", "track_id", "segment_id", "genre"]
    return pd.DataFrame(columns=[*columns, *(f"p_{genre}" for genre in genres)])


def known_predictions(path: Path, identity: str) -> Predictions | None:
    """Read predictions, if they are those of this identity and still as they were written.

    Args:
        path: Their Parquet file.
        identity: Fingerprint of what they are made from.
    """
    try:
        content = path.read_bytes()
        note = json.loads(path.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(note, dict) or note.get("fingerprint") != identity or note.get("sha256") != _sha256(content):
        return None
    return Predictions(pd.read_parquet(io.BytesIO(content)), float(note["inference_s"]), reused=True)


def keep_predictions(predictions: Predictions, path: Path, identity: str) -> None:
    """Write predictions, then the note that vouches for them: without it they do not count.

    Args:
        predictions: The predictions.
        path: Their Parquet file; the note is a JSON file beside it.
        identity: Fingerprint of what they are made from.

    Raises:
        StorageError: If they cannot be written.
    """
    buffer = io.BytesIO()
    predictions.table.to_parquet(buffer, index=False)
    with atomic_file(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    note = {
        "fingerprint": identity,
        "sha256": _sha256(buffer.getvalue()),
        "inference_s": predictions.inference_s,
    }
    write_json(path.with_suffix(".json"), note)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class GenrePredictor(FileClassifier):
    """Classifies audio files with the models of a cell: the same front-end, the same segments, mean probabilities.

    Files are read and classified block by block, so that memory does not grow with their length. Pickled, it is opened
    again from its checkpoints: a worker process opens them once.

    Attributes:
        feature: The front-end's parameters.
        spec: The front-end.
        predictors: The trained models, whose probabilities are averaged.
        folders: The checkpoints.
    """

    feature: FeatureBlock
    spec: FeatureSpec
    predictors: tuple[Predictor, ...]
    folders: tuple[Path, ...]

    @classmethod
    def open(cls, *folders: Path) -> GenrePredictor:
        """Open checkpoints, as :meth:`of` takes them.

        Args:
            *folders: Their folders.

        Raises:
            CheckpointError: If a checkpoint is missing, damaged, or of a feature that this version does not know.
        """
        return cls.of([Checkpoint.open(folder) for folder in folders])

    @classmethod
    def of(cls, checkpoints: Sequence[Checkpoint | FailedRepeat]) -> GenrePredictor:
        """Load the models of a cell.

        Args:
            checkpoints: One for each repeat; those that failed are left out.

        Raises:
            CheckpointError: If there is none, or one is damaged or of a feature that this version does not know.
            ConfigError: If what the feature needs beside the audio, such as weights, is missing.
        """
        trained = [each for each in checkpoints if isinstance(each, Checkpoint)]
        if not trained:
            raise CheckpointError("No repeat of this cell could be trained: there is no model. The report says why.")
        checkpoint, folder = trained[0], trained[0].folder
        values = checkpoint.card.feature
        kind = str(values.get("kind"))
        if kind not in FEATURES:
            raise CheckpointError(
                f"The checkpoint {folder} needs the feature kind '{kind}', which this version does not have."
            )
        spec = FEATURES[kind]
        try:
            block = parse_block(spec.block, values, key="feature")
        except ConfigError as error:
            raise CheckpointError(
                f"The checkpoint {folder} needs a feature that this version does not have. Train it again. {error}"
            ) from error
        spec.require(block)
        models = joint_fingerprint(each.fingerprint for each in trained)
        return cls(
            cell=checkpoint.card.cell,
            genres=checkpoint.card.genres,
            feature=block,
            spec=spec,
            predictors=tuple(each.predictor() for each in trained),
            leaky=checkpoint.card.leaky,
            folders=tuple(each.folder for each in trained),
            fingerprint=fingerprint("file_answer", _ANSWER_VERSION, models=models, feature=spec_hash(spec, block)),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_again, (self.folders, self.fingerprint, self.abstention)

    def segment_probabilities(self, path: Path) -> NDArray[np.float64]:
        """Classify the segments of one audio file.

        Args:
            path: The audio file.

        Returns:
            Probabilities, shape ``(n_segments, n_genres)``.

        Raises:
            AudioError: If the file cannot be read, or is shorter than one segment.
            FeatureError: If the feature cannot be computed from it.
        """
        return self._classified(path, described=False).probabilities

    def predict_probabilities(self, paths: Sequence[Path]) -> pd.DataFrame:
        """Classify audio files.

        Args:
            paths: The audio files.

        Returns:
            One row per file, one column of probabilities per genre, the mean over the file's segments.

        Raises:
            AudioError: If a file cannot be read, or is shorter than one segment.
            FeatureError: If the feature cannot be computed from a file.
        """
        means = [self.segment_probabilities(path).mean(axis=0) for path in paths]
        return pd.DataFrame(np.reshape(means, (len(paths), len(self.genres))), columns=list(self.genres))

    @property
    def hop_s(self) -> float:
        """See :class:`~genre_pipeline.evaluation.answers.FileClassifier`; 0 if a segment is the whole clip."""
        return self.feature.segment.hop_frames * (self.feature.frame_s or 0.0)

    @property
    def segment_s(self) -> float | None:
        """See :class:`~genre_pipeline.evaluation.answers.FileClassifier`."""
        frame_s = self.feature.frame_s
        return None if frame_s is None else self.feature.segment.n_frames * frame_s

    def _classified(self, path: Path, *, described: bool) -> FileAnswer:
        description = FramesDescription() if described else None
        n_samples = 0

        def counted() -> Iterator[NDArray[np.float32]]:
            nonlocal n_samples
            for samples in require_sound(path, waveform_blocks(path, sample_rate=self.feature.sample_rate)):
                n_samples += len(samples)
                yield samples

        def rounded() -> Iterator[NDArray[np.float32]]:
            # As the store does: models were trained on stored features.
            for block in blocks:
                frames = block.astype(self.feature.dtype).astype(np.float32)
                if description is not None:
                    description.add(frames)
                yield frames

        (blocks,) = stream_features(counted(), [(self.spec, self.feature)])
        segments = cut_blocks(rounded(), self.feature.segment, n_at_once=_SEGMENTS_AT_ONCE)
        found = [
            np.mean([each.predict_probabilities(group) for each in self.predictors], axis=0, dtype=np.float64)
            for group in segments
        ]
        if not found:
            seconds = self.feature.segment.n_frames * self.feature.hop_length / self.feature.sample_rate
            raise AudioError(f"{path} is shorter than one segment ({seconds:.2f} s): give a longer recording.")
        return FileAnswer(
            path,
            np.concatenate(found),
            n_samples / self.feature.sample_rate,
            description=None if description is None else description.vector,
        )


def _opened_again(folders: tuple[Path, ...], mark: str, abstention: Abstention | None) -> GenrePredictor:
    return replace(_opened(folders, mark), abstention=abstention)


@lru_cache(maxsize=1)
def _opened(folders: tuple[Path, ...], mark: str) -> GenrePredictor:
    # In a worker process, beside others.
    torch.set_num_threads(1)
    model = GenrePredictor.open(*folders)
    if model.fingerprint != mark:
        raise CheckpointError(f"{folders[0]} was trained again meanwhile. Run the command again.")
    return model


def open_model(
    folder: Path,
    *,
    cell: str | None = None,
    repeat: int | None = None,
    known: Mapping[str, Any] | None = None,
    max_error: float = 1.0,
) -> GenrePredictor:
    """Load the model for use of an experiment, or that of one of its cells.

    Args:
        folder: Folder of the experiment's models.
        cell: Name of the cell, ``dataset.protocol.feature.model``; ``None`` means the leading one.
        repeat: One of its repeats; ``None`` means all, whose probabilities are averaged.
        known: Without ``cell`` the leading cell, with the ``fingerprints`` of its repeats' models, else the cell's
            result; both with ``thresholds``. ``None`` or empty if there is none.
        max_error: The share of the answers above the model's threshold that may be wrong: see
            :func:`~genre_pipeline.evaluation.abstention.choose_threshold`.

    Raises:
        CheckpointError: If it is not trained, damaged, or was trained again since it was compared.
    """
    known = known or {}
    name = cell or known.get("cell", "")
    of_cell = folder.joinpath(*name.split("."))
    if not name or not of_cell.exists():
        raise CheckpointError(_untrained(cell, folder))
    if cell is None:
        marks: dict[int, str | None] = {int(each): mark for each, mark in known["fingerprints"].items()}
    else:
        marks = dict.fromkeys(trained_repeats(of_cell))
    repeats = sorted(marks) if repeat is None else [repeat]
    model = GenrePredictor.of([_open_repeat(repeat_folder(of_cell, each), marks.get(each)) for each in repeats])
    if not known.get("thresholds"):
        return model
    return replace(model, abstention=choose_threshold(known["thresholds"], max_error))


def _open_repeat(folder: Path, mark: str | None) -> Checkpoint:
    return Checkpoint.open(folder) if mark is None else open_trained(folder, mark, named_in="the comparison")


def _untrained(cell: str | None, folder: Path) -> str:
    """Say that a cell, or the leading one, is missing, and what is trained instead."""
    trained = sorted({".".join(each.parts[-5:-1]) for each in folder.glob("*/*/*/*/repeat_*/")})
    what = "No cell leads, because nothing was compared" if cell is None else f"predict.cell: {cell} is not trained"
    if not trained:
        other = "no cell is trained" if cell is None else "no other cell is"
        return f"{what}, and {other}. First run: kedro run --pipelines train_all --experiment {folder.name}"
    return (
        f"{what}. Trained cells of this experiment: {', '.join(trained)}. Choose one: "
        f'--params "predict.cell={trained[0]},predict.audio=[...]"'
    )
