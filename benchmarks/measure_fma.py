"""What the baselines and probes of the experiments fma_medium and fma_large take, in processor time of one core.

The audio is not needed: 30-s MP3 files are rendered for the features, and columns as many as training tracks are drawn
for the fits (80 % of the tracks, sixteen genres of unequal size that overlap). musicnn needs its weights.

    make pretrained
    OMP_NUM_THREADS=1 python benchmarks/measure_fma.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from genre_pipeline.audio.io import read_waveform
from genre_pipeline.configuration import load_configuration
from genre_pipeline.demo.composition import GENRES
from genre_pipeline.demo.rendering import TrackNumber, render
from genre_pipeline.experiment import Experiment, load_experiment
from genre_pipeline.features import FEATURES, extract_features
from genre_pipeline.models import EstimatorSpec
from genre_pipeline.models.base import TrainingColumns

# [P] Tracks with a top genre, of which the official split trains on 80 %.
N_TRACKS = {"fma_medium": 25_000, "fma_large": 49_598}
N_CLIPS = 4


def processor_seconds(job: Callable[[], Any]) -> float:
    start = time.process_time()
    job()
    return time.process_time() - start


def measure_features(experiment: Experiment, folder: Path) -> dict[str, float]:
    """Return the processor seconds from an MP3 of 30 s to each feature."""
    paths = []
    for genre in range(N_CLIPS):
        samples = render(TrackNumber(0, genre % len(GENRES), 0, 0, 0), duration_s=30.0, sample_rate=44_100)
        paths.append(folder / f"{genre}.mp3")
        soundfile.write(paths[-1], samples.T, 44_100)
    found = {}
    for name, block in experiment.features.items():
        request = [(FEATURES[block.kind], block)]

        def extract(path: Path, block: Any = block, request: Any = request) -> object:
            return extract_features(read_waveform(path, sample_rate=block.sample_rate), request)

        extract(paths[0])
        found[name] = float(np.median([processor_seconds(lambda path=path: extract(path)) for path in paths]))
    return found


def draw_columns(n_tracks: int, n_columns: int) -> TrainingColumns:
    """Draw one vector per track; four tracks on average share an artist."""
    generator = np.random.default_rng(0)
    shares = 1.0 / np.arange(1, 17)
    genres = generator.choice(16, n_tracks, p=shares / shares.sum())
    columns = 0.35 * generator.normal(size=(16, n_columns))[genres] + generator.normal(size=(n_tracks, n_columns))
    return TrainingColumns(columns, genres, (generator.integers(0, n_tracks // 4, n_tracks), np.arange(n_tracks)))


def main() -> None:
    torch.set_num_threads(1)
    for dataset, n_tracks in N_TRACKS.items():
        experiment = load_experiment(load_configuration(experiment=dataset)["parameters"])
        with tempfile.TemporaryDirectory() as folder:
            for name, seconds in measure_features(experiment, Path(folder)).items():
                hours = seconds * n_tracks / 3600
                print(f"{dataset} {name}: {1000 * seconds:.0f} ms per track, {hours:.2f} core hours", flush=True)
        for cell in experiment.cells:
            spec = experiment.models[cell.model].spec
            if isinstance(spec, EstimatorSpec):
                block = experiment.features[cell.feature]
                data = draw_columns(n_tracks * 4 // 5, FEATURES[block.kind].n_bins(block))
                architecture = experiment.models[cell.model].architecture
                seconds = processor_seconds(lambda: spec.fit(architecture, data, 0))  # noqa: B023
                print(f"{dataset} {cell.model} on {cell.feature}: {seconds / 60:.1f} core minutes", flush=True)


if __name__ == "__main__":
    main()
