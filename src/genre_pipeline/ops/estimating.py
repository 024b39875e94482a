"""How long an experiment takes on this machine: a few clips and a few steps of each model are timed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from genre_pipeline.audio import read_waveform
from genre_pipeline.cells import Cell
from genre_pipeline.errors import GenrePipelineError
from genre_pipeline.experiment import Experiment
from genre_pipeline.features import FEATURES, FeatureBlock
from genre_pipeline.features.segments import frames_of_tracks
from genre_pipeline.models import NetworkSpec
from genre_pipeline.splits.base import PROTOCOLS
from genre_pipeline.training.fitting import Task, fit
from genre_pipeline.training.recipes import ModelBlock
from genre_pipeline.training.segments import SegmentSet

# [?] Clips that are timed, from all over the list: a few seconds of work.
_N_CLIPS = 3
# [?] Segments of one timed step, and steps: the first one allocates memory.
_N_SEGMENTS = 16
_N_STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """At most how many seconds an experiment takes: trainings may stop early, and what is stored is not computed again.

    Attributes:
        features: Seconds of extraction, by dataset and feature.
        cells: Seconds of all repeats of each cell.
        n_trainings: Repeats of all cells.
    """

    features: Mapping[tuple[str, str], float]
    cells: Mapping[Cell, float]
    n_trainings: int

    def of(self, cells: Sequence[Cell]) -> float:
        """Return the seconds of some cells, with their features."""
        features = {(cell.dataset, cell.feature) for cell in cells}
        return sum(self.cells[cell] for cell in cells) + sum(self.features[each] for each in features)

    @property
    def total_s(self) -> float:
        """Seconds of the whole experiment."""
        return self.of(list(self.cells))


def estimate(experiment: Experiment, tracks: Mapping[str, pd.DataFrame]) -> Estimate:
    """Estimate how long an experiment takes.

    Args:
        experiment: The experiment.
        tracks: The track table of each dataset.
    """
    features: dict[tuple[str, str], float] = {}
    segment_s: dict[tuple[str, str], float] = {}
    cells: dict[Cell, float] = {}
    n_trainings = 0
    for cell in experiment.cells:
        usable = tracks[cell.dataset].loc[lambda table: ~table["quarantined"]]
        feature, model = experiment.features[cell.feature], experiment.models[cell.model]
        if (cell.dataset, cell.feature) not in features:
            root = experiment.datasets[cell.dataset].root
            clips = [(root / path, seconds) for path, seconds in zip(usable["path"], usable["duration_s"], strict=True)]
            share = _extraction_share(clips[:: max(1, len(clips) // _N_CLIPS)][:_N_CLIPS], feature)
            n_workers = experiment.compute.extraction.n_workers
            features[cell.dataset, cell.feature] = share * float(usable["duration_s"].sum()) / n_workers
        if (cell.feature, cell.model) not in segment_s:
            segment_s[cell.feature, cell.model] = _segment_s(model, feature, usable["genre"].nunique())
        protocol = experiment.protocols[cell.protocol]
        n_repeats = PROTOCOLS[protocol.kind].n_repeats(protocol)
        segments = (frames_of_tracks(usable, feature) - feature.segment.n_frames) // feature.segment.hop_frames + 1
        n_segments = int(segments.clip(lower=0).sum())
        n_epochs = model.training.max_epochs if isinstance(model.spec, NetworkSpec) else 1
        cells[cell] = n_repeats * n_epochs * n_segments * segment_s[cell.feature, cell.model]
        n_trainings += n_repeats
    return Estimate(features, cells, n_trainings)


def _extraction_share(clips: Sequence[tuple[object, float]], feature: FeatureBlock) -> float:
    """Return how long extraction takes per second of audio, on one core; 0 for features that are not computed."""
    spec = FEATURES[feature.kind]
    if spec.load is not None:
        return 0.0
    audio_s = spent_s = 0.0
    for path, duration_s in clips:
        started = time.perf_counter()
        try:
            spec.extract(read_waveform(str(path), sample_rate=feature.sample_rate), feature)
        except GenrePipelineError:
            # The run itself names what is wrong with the file.
            continue
        spent_s += time.perf_counter() - started
        audio_s += duration_s
    return spent_s / audio_s if audio_s else 0.0


def _segment_s(model: ModelBlock, feature: FeatureBlock, n_genres: int) -> float:
    """Return how long a model trains on a segment in one epoch, timed on noise."""
    n = _N_SEGMENTS * _N_STEPS
    rng = np.random.default_rng(0)
    shape = (n, FEATURES[feature.kind].n_bins(feature), feature.segment.n_frames)
    noise = SegmentSet(rng.standard_normal(shape, dtype=np.float32), np.arange(n, dtype=np.int64) % max(2, n_genres))
    recipe = model.training.model_copy(update={"max_epochs": 1, "batch_size": _N_SEGMENTS})
    task = Task(
        label="estimate",
        model=model.model_copy(update={"training": recipe}),
        feature=feature,
        n_classes=max(2, n_genres),
        seed=0,
        train=noise,
        validation=SegmentSet(noise.features[:_N_SEGMENTS], noise.targets[:_N_SEGMENTS]),
    )
    return fit(replace(task, test=task.validation if model.selects_by_test else None), lambda _: None).training_s / n
