"""Compare exported models with PyTorch: real-time factors on one core, size, and accuracy in eight bits.

By default, models of presets classify 30 s of noise in turns: by this package, and exported, by ONNX Runtime, both with
one thread and in CPU time, decoding not counted. Networks have random weights, other classifiers are fitted to noise:
both take the time of trained ones. With --experiment, each fold's trained model is exported as it is and in eight bits,
and classifies its own test tracks.

    OMP_NUM_THREADS=1 python benchmarks/bench_export.py
    OMP_NUM_THREADS=1 python benchmarks/bench_export.py --experiment gtzan6 --cells "gtzan6.artist_kfold.*"
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_training import read_parameters
from kedro.io import DataCatalog

from genre_pipeline.audio.io import read_waveform
from genre_pipeline.configuration import load_configuration
from genre_pipeline.evaluation.prediction import GenrePredictor, open_model
from genre_pipeline.experiment import Experiment, load_experiment, parse_feature, parse_model
from genre_pipeline.exports.files import Recording, write
from genre_pipeline.exports.running import INPUT, OUTPUTS, onnx_session
from genre_pipeline.features import FEATURES
from genre_pipeline.features.segments import cut_blocks
from genre_pipeline.models import EstimatorSpec, InputShape, TrainingColumns
from genre_pipeline.training.predictors import EstimatorPredictor, NetworkPredictor
from genre_pipeline.training.segments import Normalisation


def seconds(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def predict(model: GenrePredictor, waveform: np.ndarray) -> np.ndarray:
    frames = model.spec.extract(waveform, model.feature).astype(model.feature.dtype).astype(np.float32)
    groups = cut_blocks([frames], model.feature.segment, n_at_once=64)
    return np.concatenate(
        [np.mean([each.predict_probabilities(group) for each in model.predictors], 0) for group in groups]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=PRESETS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration-s", type=float, default=30.0)
    parser.add_argument("--experiment", help="measure the accuracy of this experiment's models instead")
    parser.add_argument("--cells", nargs="+", default=["*"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    head = HEADS[options.experiment is not None]
    print(f"{head}\n|---{'|--:' * (head.count('|') - 2)}|", flush=True)
    if options.experiment is None:
        values = read_parameters()
        for name in options.models:
            speed(name, untrained(name, values), options.rounds, options.duration_s)
        return
    loader = load_configuration(experiment=options.experiment)
    experiment = load_experiment(loader["parameters"])
    catalog = DataCatalog.from_config(loader["catalog"])
    for cell in (each.name for each in experiment.cells):
        if any(fnmatchcase(cell, pattern) for pattern in options.cells):
            accuracy(cell, experiment, catalog)


HEADS = {
    False: "| model | feature | PyTorch, times real time | ONNX | ratio | greatest difference | ONNX file (MB) |",
    True: "| cell | PyTorch, accuracy (%) | ONNX | eight bits | greatest difference | ONNX (MB) | eight bits |",
}
PRESETS = ["naive_bayes", "svm", "probe_logistic", "net1", "recommended", "crnn_gru", "lgnet_4", "musicnext", "bbnn"]
N_CLASSES = 10
# What an estimator is fitted to.
N_SEGMENTS = 2000


def untrained(name: str, values: dict[str, Any]) -> GenrePredictor:
    model = parse_model(name, values["models"][name], {**values["training"], "device": "cpu"})
    block = parse_feature(model.feature, values["features"][model.feature])
    spec = FEATURES[block.kind]
    shape = InputShape(spec.n_bins(block), block.segment.n_frames)
    none = Normalisation("none")
    if isinstance(model.spec, EstimatorSpec):
        targets = np.arange(N_SEGMENTS) % N_CLASSES
        noise = np.random.default_rng(0).standard_normal((N_SEGMENTS, shape.n_bins, shape.n_frames), dtype=np.float32)
        columns = model.spec.summarise(noise)
        fitted = model.spec.fit(model.architecture, TrainingColumns(columns, targets), 0)
        predictor = EstimatorPredictor(fitted, model.spec, shape, none)
    else:
        torch.manual_seed(0)
        network = model.spec.build(model.architecture, shape, N_CLASSES)
        predictor = NetworkPredictor(network, shape, none, torch.device("cpu"))
    genres = tuple(map(str, range(N_CLASSES)))
    return GenrePredictor(block, spec, (predictor,), (), cell=name, genres=genres, leaky=False, fingerprint="")


def speed(name: str, model: GenrePredictor, n_rounds: int, duration_s: float) -> None:
    n_samples = round(duration_s * model.feature.sample_rate)
    waveform = np.random.default_rng(0).uniform(-0.1, 0.1, n_samples).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        compared = write(model, path, [Recording(waveform, predict(model, waveform))], {"genres": model.genres})
        size = path.stat().st_size
        session = onnx_session(path)
    ours, theirs = [], []
    for _ in range(n_rounds):
        ours.append(seconds(lambda: predict(model, waveform)))
        theirs.append(seconds(lambda: session.run(list(OUTPUTS), {INPUT: waveform})))
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    factors = [f"{duration_s / statistics.median(each):,.0f}" for each in (ours, theirs)]
    print(
        f"| {name} | {model.feature.kind} | {' | '.join(factors)} | {statistics.median(ratios):.2f} ({min(ratios):.2f} "
        f"to {max(ratios):.2f}) | {compared.segment_difference:.1e} | {size / 1e6:.1f} |",
        flush=True,
    )


def accuracy(cell: str, experiment: Experiment, catalog: DataCatalog) -> None:
    dataset, models = cell.split(".", 1)[0], catalog.load("trained_models")
    tracks, root = catalog.load(f"{dataset}.tracks").set_index("track_id"), experiment.datasets[dataset].root
    predictions = catalog.load(f"{cell}.predictions")
    test = predictions[predictions["split"] == "test"].drop_duplicates(["repeat", "track_id"])
    right: dict[str, list[float]] = {"pytorch": [], "onnx": [], "eight bits": []}
    differences, sizes = [], {}
    for repeat, rows in test.groupby("repeat"):
        model = open_model(models, cell=cell, repeat=int(repeat))
        rate = model.feature.sample_rate
        waveforms = [read_waveform(root / tracks.loc[each, "path"], sample_rate=rate) for each in rows["track_id"]]
        recordings = [Recording(each, predict(model, each)) for each in waveforms]
        targets = [model.genres.index(genre) for genre in rows["genre"]]
        answers = {"pytorch": [each.probabilities.mean(axis=0) for each in recordings]}
        with tempfile.TemporaryDirectory() as folder:
            for name in ("onnx", "eight bits"):
                path = Path(folder, "model.onnx")
                write(model, path, recordings[:3], {"genres": model.genres}, quantised=name == "eight bits")
                sizes[name] = path.stat().st_size
                session = onnx_session(path)
                answers[name] = [session.run(list(OUTPUTS), {INPUT: each})[0] for each in waveforms]
        differences.append(np.abs(np.array(answers["onnx"]) - np.array(answers["pytorch"])).max())
        for name, found in answers.items():
            right[name].append(
                float(np.mean([each.argmax() == target for each, target in zip(found, targets, strict=True)]))
            )
    shares = " | ".join(f"{100 * statistics.mean(right[name]):.1f}" for name in right)
    print(
        f"| {cell} | {shares} | {max(differences):.1e} | {sizes['onnx'] / 1e6:.2f} | {sizes['eight bits'] / 1e6:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
