"""How long an experiment takes on this machine: a few clips and a few steps of each model are timed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from genre_pipeline.audio import read_waveform
from genre_pipeline.cells import Cell
from genre_pipeline.datasets import DATASETS
from genre_pipeline.errors import GenrePipelineError
from genre_pipeline.experiment import Experiment, load_experiment
from genre_pipeline.features import FEATURES, FeatureBlock
from genre_pipeline.features.segments import frames_of_tracks
from genre_pipeline.models import NetworkSpec
from genre_pipeline.ops.refresh.graph import Graph
from genre_pipeline.reporting.wording import duration, plural
from genre_pipeline.splits.base import PROTOCOLS
from genre_pipeline.training.devices import choose_device
from genre_pipeline.training.fitting import Task, fit
from genre_pipeline.training.recipes import ModelBlock
from genre_pipeline.training.segments import SegmentSet

logger = logging.getLogger(__name__)

# [?] Longer sessions are begun only when a person at a terminal agrees.
_LONG_S = 3600.0
# [?] Seconds of a step, and of a training, that were not measured.
_STEP_S = 1.0
_TRAINING_S = 10.0
# [?] Segments, over all epochs and repeats, that even a small machine trains on within a few minutes.
_FEW_PASSES = 200_000
# [?] Length of a clip of which nothing is known, and a sample rate that most files have.
_CLIP_S = 30.0
_SAMPLE_RATE = 44100
# [?] Clips that are timed, from all over the list: a few seconds of work.
_N_CLIPS = 3
# [?] Segments of one timed step. A network is timed for two steps, after a small one that allocates memory and that is
# enough of a slow network. An estimator, which also takes some time whatever the number of segments, is timed for two
# numbers of segments, with one of its features.
_N_SEGMENTS = 16
_N_STEPS = 2
_N_FIRST, _SLOW_S = 4, 2.0
_N_FEW, _N_MANY = 64, 256
# [?] A program that has less of one core waits for others.
_BUSY_SHARE = 0.9


@dataclass(frozen=True)
class Estimate:
    """At most how many seconds an experiment takes: trainings may stop early, and what is stored is not computed again.

    Attributes:
        features: Seconds of extraction, by dataset and feature.
        cells: Seconds of all repeats of each cell.
    """

    features: Mapping[tuple[str, str], float]
    cells: Mapping[Cell, float]

    def of(self, cells: Sequence[Cell]) -> float:
        """Return the seconds of some cells, with their features."""
        features = {(cell.dataset, cell.feature) for cell in cells}
        return sum(self.cells[cell] for cell in cells) + sum(self.features[each] for each in features)

    @property
    def total_s(self) -> float:
        """Seconds of the whole experiment."""
        return self.of(list(self.cells))


@dataclass(frozen=True)
class Outlook:
    """What a session is about to do.

    Attributes:
        text: The cells and trainings, and how long they take at most, for people; empty if nothing is trained.
        seconds: How long that is, with the features; ``None`` where it was not measured: it is short, or the music is
            not there yet.
        sizes: For each step, about how long it takes, and how many trainings it is.
    """

    text: str
    seconds: float | None
    sizes: Mapping[str, tuple[float, int]]

    @property
    def is_long(self) -> bool:
        """Whether a person should be asked before it begins."""
        return self.seconds is not None and self.seconds > _LONG_S


def look_ahead(
    parameters: Mapping[str, Any], graph: Graph, steps: Sequence[str], confirm: Callable[[str], object] | None
) -> Outlook:
    """Log how much will be trained and how long that takes; if it is long, ask whether to begin.

    Args:
        parameters: The parameters.
        graph: All steps.
        steps: The names of those that will run.
        confirm: Asks a person, and raises an exception if it shall not begin; ``None`` begins, as schedules need it.
    """
    experiment = load_experiment(parameters)
    tables = {name: entry.newest() for name in experiment.datasets if (entry := graph.entries.get(f"{name}.tracks"))}
    outlook = foresee(experiment, steps, tables)
    if outlook.text:
        logger.info("%s", outlook.text)
    if outlook.is_long and confirm is not None:
        confirm(f"{outlook.text} What is finished is kept if you end it. Begin?")
    return outlook


def foresee(experiment: Experiment, steps: Sequence[str], tables: Mapping[str, Path | None]) -> Outlook:
    """Look ahead at what some steps of an experiment take on this machine; long trainings are timed for it.

    Args:
        experiment: The experiment.
        steps: The names of the steps that will run.
        tables: The file of each dataset's track table, if there is one.
    """
    sizes = dict.fromkeys(steps, (_STEP_S, 1))
    cells = {name: cell for cell in experiment.cells if (name := f"{cell.name}.train_{cell.model}") in sizes}
    repeats = {name: n_repeats(experiment, cell) for name, cell in cells.items()}
    sizes |= {name: (_TRAINING_S * n, n) for name, n in repeats.items()}
    if not cells:
        return Outlook("", None, sizes)
    text = f"Trains {plural(len(cells), 'cell')}, {plural(sum(repeats.values()), 'training')}"
    chosen = list(cells.values())
    names = {cell.dataset for cell in chosen}
    tracks = {name: each for name in names if (each := tracks_of(experiment, name, tables.get(name))) is not None}
    if len(tracks) < len(names) or is_short(experiment, tracks, chosen):
        return Outlook(f"{text}.", None, sizes)
    logger.info("%s: measuring how long that takes on this machine.", text)
    try:
        expected = estimate(experiment, tracks, chosen)
    except GenrePipelineError:
        # The run itself names the cell that cannot be trained, and trains the others.
        return Outlook(f"{text}.", None, sizes)
    sizes |= {name: (expected.cells[cell], repeats[name]) for name, cell in cells.items()}
    extracted = {f"{dataset}.{feature}.extract": s for (dataset, feature), s in expected.features.items()}
    sizes |= {name: (_STEP_S + s, 1) for name, s in extracted.items() if name in sizes}
    seconds = sum(size for size, _ in sizes.values())
    return Outlook(f"{text}: at most {duration(seconds)} on this machine.", seconds, sizes)


def is_short(experiment: Experiment, tracks: Mapping[str, pd.DataFrame], cells: Sequence[Cell]) -> bool:
    """Return whether some cells are trained so soon that measuring how long it takes is not worth its seconds."""
    n_passes = 0
    for cell in cells:
        usable = tracks[cell.dataset].loc[lambda table: ~table["quarantined"]]
        n_passes += n_repeats(experiment, cell) * _n_passes(experiment, cell, usable)
    return n_passes < _FEW_PASSES


def n_repeats(experiment: Experiment, cell: Cell) -> int:
    """Return how many trainings a cell takes."""
    protocol = experiment.protocols[cell.protocol]
    return PROTOCOLS[protocol.kind].n_repeats(protocol)


def tracks_of(experiment: Experiment, dataset: str, table: Path | None) -> pd.DataFrame | None:
    """Return the track table of a dataset, or what its list of files says before they are inspected.

    Args:
        experiment: The experiment.
        dataset: The dataset.
        table: Its track table, if there is one.

    Returns:
        The tracks: of files that were not inspected, each takes as long as the dataset's clips usually do. ``None`` if
        the dataset is not there.
    """
    if table is not None:
        # One that is damaged is made again.
        with suppress(OSError, ValueError):
            return pd.read_parquet(table)
    block = experiment.datasets[dataset]
    spec = DATASETS[block.kind]
    try:
        clips = spec.find_clips(block).clips
    except (GenrePipelineError, OSError):
        # The run itself names what is wrong with it.
        return None
    duration_s = spec.clip_duration_s or _CLIP_S
    return pd.DataFrame(
        {
            "path": [clip.path for clip in clips],
            "genre": [clip.genre for clip in clips],
            "quarantined": False,
            "duration_s": duration_s,
            "sample_rate": _SAMPLE_RATE,
            "n_samples": round(duration_s * _SAMPLE_RATE),
        }
    )


def estimate(
    experiment: Experiment, tracks: Mapping[str, pd.DataFrame], cells: Sequence[Cell] | None = None
) -> Estimate:
    """Estimate how long an experiment takes.

    Args:
        experiment: The experiment.
        tracks: The track table of each dataset.
        cells: The cells that are trained; by default, all.
    """
    chosen = experiment.cells if cells is None else cells
    features: dict[tuple[str, str], float] = {}
    timed: dict[tuple[str, str], tuple[float, float, int]] = {}
    seconds: dict[Cell, float] = {}
    for cell in chosen:
        usable = tracks[cell.dataset].loc[lambda table: ~table["quarantined"]]
        feature, model = experiment.features[cell.feature], experiment.models[cell.model]
        if (cell.dataset, cell.feature) not in features:
            root = experiment.datasets[cell.dataset].root
            clips = [(root / path, seconds) for path, seconds in zip(usable["path"], usable["duration_s"], strict=True)]
            share = _extraction_share(clips[:: max(1, len(clips) // _N_CLIPS)][:_N_CLIPS], feature)
            n_workers = experiment.compute.extraction.n_workers
            features[cell.dataset, cell.feature] = share * float(usable["duration_s"].sum()) / n_workers
        n_bins = FEATURES[feature.kind].n_bins(feature)
        key = (cell.model, cell.feature if isinstance(model.spec, NetworkSpec) else "")
        if key not in timed:
            timed[key] = (*_training_s(model, feature, usable["genre"].nunique()), n_bins)
        training_s, segment_s, n_timed_bins = timed[key]
        # Of an estimator with wider segments than the timed ones: at most so much more.
        growth = max(1.0, n_bins / n_timed_bins)
        seconds[cell] = (
            n_repeats(experiment, cell) * growth * (training_s + _n_passes(experiment, cell, usable) * segment_s)
        )
    return Estimate(features, seconds)


def _n_passes(experiment: Experiment, cell: Cell, usable: pd.DataFrame) -> int:
    """Return how many segments go through the model in all epochs of one repeat, at most."""
    feature, model = experiment.features[cell.feature], experiment.models[cell.model]
    segments = (frames_of_tracks(usable, feature) - feature.segment.n_frames) // feature.segment.hop_frames + 1
    is_network = isinstance(model.spec, NetworkSpec)
    n_epochs, limit = (model.training.max_epochs, model.training.segments_per_track) if is_network else (1, None)
    return n_epochs * int(segments.clip(lower=0, upper=limit).sum())


def _extraction_share(clips: Sequence[tuple[object, float]], feature: FeatureBlock) -> float:
    """Return how long extraction takes per second of audio, on one core; 0 for features that are not computed."""
    spec = FEATURES[feature.kind]
    if spec.load is not None:
        return 0.0
    audio_s = spent_s = 0.0
    # The first clip twice: what is imported and compiled for it counts once, and not for each track.
    for number, (path, duration_s) in enumerate([*clips[:1], *clips]):
        # Processor time, unless several threads share the work: other programs do not count.
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        try:
            spec.extract(read_waveform(str(path), sample_rate=feature.sample_rate), feature)
        except GenrePipelineError:
            # The run itself names what is wrong with the file.
            continue
        if number:
            spent_s += min(time.perf_counter() - started_s, time.process_time() - started_cpu_s)
            audio_s += duration_s
    return spent_s / audio_s if audio_s else 0.0


def _training_s(model: ModelBlock, feature: FeatureBlock, n_genres: int) -> tuple[float, float]:
    """Return how long a training takes whatever the number of segments, and how long for a segment in one epoch."""

    def timed(n_segments: int) -> float:
        return _fit_s(model, feature, max(2, n_genres), n_segments)

    if isinstance(model.spec, NetworkSpec):
        first_s = timed(_N_FIRST)
        n = _N_SEGMENTS * _N_STEPS
        return 0.0, first_s / _N_FIRST if first_s > _SLOW_S else timed(n) / n
    timed(_N_SEGMENTS)
    few_s, many_s = timed(_N_FEW), timed(_N_MANY)
    segment_s = max(0.0, many_s - few_s) / (_N_MANY - _N_FEW)
    return max(0.0, few_s - _N_FEW * segment_s), segment_s


def _fit_s(model: ModelBlock, feature: FeatureBlock, n_genres: int, n_segments: int) -> float:
    """Return how long a model trains for one epoch on noise."""
    rng = np.random.default_rng(0)
    shape = (n_segments, FEATURES[feature.kind].n_bins(feature), feature.segment.n_frames)
    features = rng.standard_normal(shape, dtype=np.float32)
    noise = SegmentSet(features, np.arange(n_segments, dtype=np.int64) % n_genres)
    recipe = model.training.model_copy(update={"max_epochs": 1, "batch_size": _N_SEGMENTS})
    task = Task(
        label="estimate",
        model=model.model_copy(update={"training": recipe}),
        feature=feature,
        n_classes=n_genres,
        seed=0,
        train=noise,
        validation=SegmentSet(noise.features[:_N_SEGMENTS], noise.targets[:_N_SEGMENTS]),
    )
    task = replace(task, test=task.validation if model.selects_by_test else None)
    seconds, share = _fit_alone(task, model.training.max_epochs)
    if share < _BUSY_SHARE and choose_device(model.training.device).type == "cpu":
        # Threads that wait for each other while other programs run may take a hundred times as long.
        with _one_thread():
            seconds, share = _fit_alone(task, model.training.max_epochs)
        seconds *= min(1.0, share)
    return seconds


def _fit_alone(task: Task, n_epochs: int) -> tuple[float, float]:
    """Return how long an epoch takes, of a training of so many, and how much of a core it had on average."""
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    fitted = fit(task, lambda _: None)
    share = (time.process_time() - started_cpu_s) / (time.perf_counter() - started_s)
    epoch_s = sum(each.seconds for each in fitted.history)
    # What precedes the epochs is done once.
    return epoch_s + (fitted.training_s - epoch_s) / n_epochs, share


@contextmanager
def _one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
