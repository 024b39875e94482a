"""What a worker process does: decode an audio file within limits, and classify it."""

from __future__ import annotations

import json
import resource
import traceback
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.audio.io import require_sound, waveform_blocks
from genre_pipeline.errors import AudioError, FeatureError, GenrePipelineError
from genre_pipeline.evaluation.answers import FileAnswer, require_finite
from genre_pipeline.evaluation.explaining import attribute, lay_out
from genre_pipeline.evaluation.prediction import GenrePredictor, open_model
from genre_pipeline.evaluation.track_answers import N_CLOSEST, describe_frames, spread
from genre_pipeline.reporting.clip_pictures import PICTURE_RATE, draw_waveform
from genre_pipeline.reporting.explaining import layers
from genre_pipeline.stores.store import FeatureStore

# [?] Seconds that are explained at once, and the steps of integrated gradients: some seconds of work.
_MAX_EXPLAINED_S = 30.0
_N_STEPS = 16
# [?] Points of a waveform's outline.
_N_OUTLINE = 800
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
        labelled: The features of the labelled tracks; ``None`` if they are not there.
        genres: Genre of each labelled track, by track id.
    """

    folder: Path
    cell: str | None
    known: Mapping[str, Any]
    max_error: float
    mark: str
    labelled: FeatureStore | None = None
    genres: Mapping[str, str] = field(default_factory=dict)

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


@dataclass(frozen=True)
class DescribeJob:
    """A file to draw, and to explain a model's answer about.

    Attributes:
        path: The file.
        name: What to call it in messages.
        source: The model.
        genre: The genre that is explained; ``None`` means the model's answer.
        from_s: Where the explained part begins.
    """

    path: Path
    name: str
    source: ModelSource
    genre: str | None
    from_s: float

    @property
    def sources(self) -> tuple[ModelSource, ...]:
        """The model alone."""
        return (self.source,)


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
            job: Job | DescribeJob = connection.recv()
        except EOFError:
            return
        connection.send_bytes(json.dumps(_answer(job, models, setup)).encode())


class _Models:
    """The models that were opened, the last used ones."""

    def __init__(self, sources: Sequence[ModelSource]) -> None:
        self._opened: dict[tuple[str | None, str], GenrePredictor] = {}
        self._described: dict[str, NDArray[np.float64]] = {}
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

    def nearest(self, source: ModelSource, description: NDArray[np.float64]) -> list[dict[str, Any]]:
        """Return the labelled tracks that are nearest to a song, the nearest first."""
        store = source.labelled
        if store is None:
            return []
        track_ids = [each for each in store.index["track_id"] if each in source.genres]
        if store.spec_hash not in self._described:
            self._described[store.spec_hash] = np.stack([describe_frames(store.read(each)) for each in track_ids])
        known = self._described[store.spec_hash]
        distances = np.linalg.norm((known - description) / spread(known), axis=1)
        closest = np.argsort(distances, kind="stable")[:N_CLOSEST]
        return [
            {"name": track_ids[each], "genre": source.genres[track_ids[each]], "distance": float(distances[each])}
            for each in closest
        ]


def _answer(job: Job | DescribeJob, models: _Models, setup: Setup) -> dict[str, Any]:
    try:
        opened = [models.get(source) for source in job.sources]
    except GenrePipelineError as error:
        return {"missing": str(error)}
    try:
        with _limited_memory(setup.max_memory_bytes):
            if isinstance(job, DescribeJob):
                return _describe(job, models, setup.max_audio_s)
            return _classify(job.path, opened, setup.max_audio_s)
    except (AudioError, FeatureError) as error:
        # Not every message begins with the file.
        text = str(error).removeprefix(f"{job.path}: ").replace(str(job.path), job.name)
        return {"error": f"{job.name}: {text}"}
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
        segments, *_ = cut(model, frames_of(model, heard[rate]))
        probabilities = probabilities_of(model, segments, path)
        answers.append(describe(model, FileAnswer(path, probabilities, len(heard[rate]) / rate)))
    return {"answers": answers, "duration_s": max(len(waveform) / rate for rate, waveform in heard.items())}


def _describe(job: DescribeJob, models: _Models, max_audio_s: float) -> dict[str, Any]:
    model = models.get(job.source)
    picture_of = read_at_most(job.path, PICTURE_RATE, max_audio_s)
    picture = draw_waveform(picture_of)
    waveform = read_at_most(job.path, model.feature.sample_rate, max_audio_s)
    frames = frames_of(model, waveform)
    segments, starts = cut(model, frames)
    answer = model.genres[int(probabilities_of(model, segments, job.path).mean(axis=0).argmax())]
    genre = job.genre if job.genre in model.genres else answer
    first = min(int(np.searchsorted(starts, round(job.from_s / _seconds(model, 1)))), len(starts) - 1)
    part = slice(first, first + max(1, int(_MAX_EXPLAINED_S / _seconds(model, model.feature.segment.hop_frames))))
    shown, begins = segments[part], starts[part] - starts[first]
    found, method = attribute(model.predictors[0], shown, model.genres.index(genre), n_steps=_N_STEPS)
    contributions = lay_out(found.contributions, begins)
    seen, laid_over = layers(lay_out(shown, begins), contributions)
    half = len(contributions) // 2
    low, high = contributions[:half].sum(), contributions[half:].sum()
    return {
        "duration_s": len(waveform) / model.feature.sample_rate,
        "waveform": _outline(picture_of),
        "spectrogram_png": b64encode(picture.png).decode(),
        "spectrogram_words": picture.words,
        "explanation": {
            "genre": genre,
            "method": method,
            "start_s": _seconds(model, int(starts[first])),
            "end_s": _seconds(model, int(starts[first]) + contributions.shape[1]),
            "seen_png": b64encode(seen).decode(),
            "contributions_png": b64encode(laid_over).decode(),
            "words": (
                f"Of the contributions to {genre}, the lower half of the bins sums to {low:+.1f} and the upper half to "
                f"{high:+.1f} log odds."
            ),
        },
        "nearest": models.nearest(job.source, describe_frames(frames)),
    }


def _outline(waveform: NDArray[np.float32]) -> list[float]:
    """Return the greatest sample of each of at most so many parts, without sign."""
    parts = np.array_split(np.abs(waveform), min(_N_OUTLINE, len(waveform)))
    return [round(float(part.max()), 3) for part in parts]


def read_at_most(path: Path, sample_rate: int, max_audio_s: float) -> NDArray[np.float32]:
    """Read an audio file as a mono waveform; decoding stops where it is too long.

    Args:
        path: The file.
        sample_rate: Rate of the waveform, in Hz.
        max_audio_s: The longest that it may be.

    Raises:
        AudioError: If it cannot be read, or is silent or longer.
    """
    blocks, n_samples = [], 0
    for block in require_sound(path, waveform_blocks(path, sample_rate=sample_rate)):
        blocks.append(block)
        n_samples += len(block)
        if n_samples > max_audio_s * sample_rate:
            raise AudioError(f"{path}: is longer than {max_audio_s:g} s, which is the most. Send an excerpt.")
    return np.concatenate(blocks)


def frames_of(model: GenrePredictor, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute a model's feature, shape ``(n_bins, n_frames)``, rounded as the store does.

    Raises:
        AudioError: If the song is shorter than one segment.
    """
    # A feature says less well what it lacks.
    if len(waveform) < (model.feature.segment.n_frames - 1) * model.feature.hop_length:
        raise _too_short(model)
    return model.spec.extract(waveform, model.feature).astype(model.feature.dtype).astype(np.float32)


def cut(model: GenrePredictor, frames: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Cut a song into segments, as :class:`GenrePredictor` does.

    Args:
        model: The model.
        frames: Its feature, shape ``(n_bins, n_frames)``.

    Returns:
        The segments, shape ``(n_segments, n_bins, n_segment_frames)``, and the frame at which each begins.

    Raises:
        AudioError: If the song is shorter than one segment.
    """
    segment = model.feature.segment
    starts = range(0, frames.shape[1] - segment.n_frames + 1, segment.hop_frames)
    if not starts:
        raise _too_short(model)
    return np.stack([frames[:, start : start + segment.n_frames] for start in starts]), np.array(starts)


def _too_short(model: GenrePredictor) -> AudioError:
    needed_s = _seconds(model, model.feature.segment.n_frames)
    return AudioError(f"shorter than one segment ({needed_s:.2f} s). Send a longer one.")


def probabilities_of(model: GenrePredictor, segments: NDArray[np.float32], path: Path) -> NDArray[np.float64]:
    """Classify the segments of a file; the result is finite and has the shape ``(n_segments, n_genres)``."""
    found = np.stack([each.predict_probabilities(segments) for each in model.predictors])
    probabilities = np.asarray(found.mean(axis=0), dtype=np.float64)
    require_finite(path, probabilities)
    return probabilities


def describe(model: GenrePredictor, answer: FileAnswer) -> dict[str, Any]:
    """Say what a model answers about a song, in plain JSON types.

    Args:
        model: The model.
        answer: Its answer.
    """
    row = model.row(answer)
    return {
        **{key: row[key] for key in ("genre", "probability", "sure", "leaky")},
        "probabilities": {genre: row[f"p_{genre}"] for genre in model.genres},
        "segments": [
            {**segment, "probabilities": dict(zip(model.genres, of_segment.tolist(), strict=True))}
            for segment, of_segment in zip(model.timeline_rows(answer), answer.probabilities, strict=True)
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
