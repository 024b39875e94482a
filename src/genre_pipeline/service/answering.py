"""What a worker process does: decode an audio file within limits, and classify it."""

from __future__ import annotations

import json
import resource
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.audio.io import waveform_blocks
from genre_pipeline.errors import AudioError, FeatureError, GenrePipelineError
from genre_pipeline.evaluation.prediction import GenrePredictor, open_model

# [?] Models that a worker keeps open.
_N_OPEN = 8


@dataclass(frozen=True)
class ModelSource:
    """Where a model is, as :func:`~genre_pipeline.evaluation.prediction.open_model` takes it.

    Attributes:
        folder: Folder of the experiment's models.
        cell: Name of the cell; ``None`` means the leading one.
        known: The leading cell, or the cell's result.
        max_error: The share of its answers that may be wrong.
        mark: Tells it from the same cell trained again.
    """

    folder: Path
    cell: str | None
    known: Mapping[str, Any]
    max_error: float
    mark: str

    def open(self) -> GenrePredictor:
        """Open the model."""
        return open_model(self.folder, cell=self.cell, known=self.known, max_error=self.max_error)


@dataclass(frozen=True)
class Setup:
    """What a worker is started with.

    Attributes:
        sources: Models to open before the first job.
        n_threads: Threads that a model may use.
        max_memory_bytes: What a job may take beside the models.
        max_audio_s: Seconds of audio that are decoded of a file.
    """

    sources: tuple[ModelSource, ...]
    n_threads: int
    max_memory_bytes: int
    max_audio_s: float


@dataclass(frozen=True)
class Job:
    """A file to classify.

    Attributes:
        path: The file.
        name: What to call it in messages.
        sources: The models.
    """

    path: Path
    name: str
    sources: tuple[ModelSource, ...]


def work(connection: Connection, setup: Setup) -> None:
    """Answer jobs until the connection ends.

    An answer has ``answers`` and ``duration_s``, or an ``error`` of the file, or says that a model is ``missing``, or
    holds the traceback of a ``fault`` of ours.

    Args:
        connection: The line to the service.
        setup: What this worker is to do.
    """
    import torch

    torch.set_num_threads(setup.n_threads)
    models = _Models(setup.sources)
    connection.send_bytes(b"")
    while True:
        try:
            job: Job = connection.recv()
        except EOFError:
            return
        connection.send_bytes(json.dumps(_answer(job, models, setup)).encode())


class _Models:
    """The models that were opened, the last used ones."""

    def __init__(self, sources: Sequence[ModelSource]) -> None:
        self._opened: dict[tuple[str | None, str], GenrePredictor] = {}
        for source in sources:
            # The first job says what is wrong with it.
            with suppress(GenrePipelineError):
                self.get(source)

    def get(self, source: ModelSource) -> GenrePredictor:
        key = (source.cell, source.mark)
        model = self._opened.pop(key, None) or source.open()
        # The last used one is the last.
        self._opened[key] = model
        while len(self._opened) > _N_OPEN:
            del self._opened[next(iter(self._opened))]
        return model


def _answer(job: Job, models: _Models, setup: Setup) -> dict[str, Any]:
    try:
        opened = [models.get(source) for source in job.sources]
    except GenrePipelineError as error:
        return {"missing": str(error)}
    try:
        with _limited_memory(setup.max_memory_bytes):
            return _classify(job.path, opened, setup.max_audio_s)
    except (AudioError, FeatureError) as error:
        return {"error": str(error).replace(str(job.path), job.name)}
    except MemoryError:
        return {"error": f"{job.name}: needs more than {setup.max_memory_bytes >> 20} MB of memory. Send an excerpt."}
    except Exception:
        return {"fault": traceback.format_exc()}


def _classify(path: Path, models: Sequence[GenrePredictor], max_audio_s: float) -> dict[str, Any]:
    heard: dict[int, NDArray[np.float32]] = {}
    answers = []
    for model in models:
        rate = model.feature.sample_rate
        if rate not in heard:
            heard[rate] = read_at_most(path, rate, max_audio_s)
        answers.append(describe(model, segment_probabilities(model, frames_of(model, heard[rate]))))
    return {"answers": answers, "duration_s": max(len(waveform) / rate for rate, waveform in heard.items())}


def read_at_most(path: Path, sample_rate: int, max_audio_s: float) -> NDArray[np.float32]:
    """Read an audio file as a mono waveform; decoding stops where it is too long.

    Args:
        path: The file.
        sample_rate: Rate of the waveform, in Hz.
        max_audio_s: The longest that it may be.

    Raises:
        AudioError: If it cannot be read, or is longer.
    """
    blocks, n_samples = [], 0
    for block in waveform_blocks(path, sample_rate=sample_rate):
        blocks.append(block)
        n_samples += len(block)
        if n_samples > max_audio_s * sample_rate:
            raise AudioError(f"{path}: is longer than {max_audio_s:g} s, which is the most. Send an excerpt.")
    return np.concatenate(blocks)


def frames_of(model: GenrePredictor, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute a model's feature, shape ``(n_bins, n_frames)``, rounded as the store does."""
    return model.spec.extract(waveform, model.feature).astype(model.feature.dtype).astype(np.float32)


def segment_probabilities(model: GenrePredictor, frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Classify segments: the same as the method of :class:`GenrePredictor`, of what was decoded within limits.

    Args:
        model: The model.
        frames: Its feature, shape ``(n_bins, n_frames)``.

    Returns:
        Probabilities, shape ``(n_segments, n_genres)``.

    Raises:
        AudioError: If the song is shorter than one segment.
    """
    segment = model.feature.segment
    starts = range(0, frames.shape[1] - segment.n_frames + 1, segment.hop_frames)
    if not starts:
        raise AudioError(f"Shorter than one segment ({_seconds(model, segment.n_frames):.2f} s): send a longer one.")
    segments = np.stack([frames[:, start : start + segment.n_frames] for start in starts])
    found = np.stack([each.predict_probabilities(segments) for each in model.predictors])
    return np.asarray(found.mean(axis=0), dtype=np.float64)


def describe(model: GenrePredictor, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """Say what a model answers about a song, in plain JSON types.

    Args:
        model: The model.
        probabilities: Of the segments, shape ``(n_segments, n_genres)``.
    """
    means = probabilities.mean(axis=0)
    best = int(means.argmax())
    segment = model.feature.segment
    return {
        "genre": model.genres[best],
        "probability": float(means[best]),
        "sure": None if model.abstention is None else bool(means[best] >= model.abstention.threshold),
        "leaky": model.leaky,
        "probabilities": dict(zip(model.genres, means.tolist(), strict=True)),
        "segments": [
            {
                "start_s": _seconds(model, number * segment.hop_frames),
                "end_s": _seconds(model, number * segment.hop_frames + segment.n_frames),
                "genre": model.genres[int(row.argmax())],
                "probabilities": dict(zip(model.genres, row.tolist(), strict=True)),
            }
            for number, row in enumerate(probabilities)
        ],
    }


def _seconds(model: GenrePredictor, n_frames: int) -> float:
    return n_frames * model.feature.hop_length / model.feature.sample_rate


@contextmanager
def _limited_memory(n_bytes: int) -> Iterator[None]:
    """Let this process take so much more address space than it has now (Linux)."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    taken = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    bounds = [limit for limit in (taken + n_bytes, *before) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(bounds), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
