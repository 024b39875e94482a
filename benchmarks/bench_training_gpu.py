"""Measure how long the papers' tables take on one GPU; aims: LGNet's Table 1 for mel 30 minutes, BBNN's ten splits 20.

Features are noise of the real shapes, because their values do not affect the time. Each row times single steps on the
device (CUDA events; the clock on a processor) and on the clock. It then trains some epochs of the requested number of
repeats at once, like ``compute.training_workers``, and extrapolates the total from the last epochs. With ``--whole``
everything is trained, and the time is measured.

    python benchmarks/bench_training_gpu.py                         # both targets, 1 and 5 repeats at once
    python benchmarks/bench_training_gpu.py --targets bbnn --at-once 1 2 5 10
    python benchmarks/bench_training_gpu.py --whole --at-once 5     # everything; prints the minutes that it took
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_training import N_BINS, N_CLASSES, read_parameters

from genre_pipeline.cells import Cell
from genre_pipeline.experiment import parse_feature
from genre_pipeline.features import FeatureBlock
from genre_pipeline.models import EstimatorSpec
from genre_pipeline.training import EpochRecord, ModelBlock, SegmentSet, fitting, parse_model, train_repeat
from genre_pipeline.training.devices import choose_device, reproducible
from genre_pipeline.training.workers import Job, Outcome, Trainers


@dataclass(frozen=True)
class Target:
    """A benchmark's models, repeats and tracks, and the minutes aimed at."""

    models: tuple[str, ...]
    n_train_tracks: int
    n_validation_tracks: int
    n_repeats: int
    minutes: float


LGNET_TABLE_1 = ("naive_bayes", "svm", "lstm", "bi_lstm", "fcn", "fcn_lstm", "resnet18", "lgnet_2", "lgnet_4")
TARGETS = {
    "lgnet": Target(LGNET_TABLE_1, 443, 197, 5, 30.0),
    "bbnn": Target(("bbnn",), 800, 100, 10, 20.0),
}
# The estimators of LGNet's table take its mel spectrogram too.
FEATURES = {"naive_bayes": "log_mel_30ms", "svm": "log_mel_30ms"}
CLIP_S = 30.0


@dataclass(frozen=True)
class Segments:
    """Makes segments of noise, also in another process."""

    n: int
    n_bins: int
    n_frames: int
    seed: int

    def __call__(self) -> SegmentSet:
        features = np.random.default_rng(self.seed).standard_normal((self.n, self.n_bins, self.n_frames), np.float32)
        return SegmentSet(features, np.arange(self.n, dtype=np.int64) % N_CLASSES)


@dataclass(frozen=True)
class Row:
    """A model of a target, at a share of the target's size."""

    target: Target
    model: ModelBlock
    feature: FeatureBlock
    share: float

    @classmethod
    def of(cls, target: Target, name: str, parameters: dict[str, Any], share: float, training: dict[str, Any]) -> Row:
        values = parameters["models"][name]
        values = {**values, "training": {**values.get("training", {}), **training}}
        model = parse_model(name, values, parameters["training"])
        feature_name = FEATURES.get(name, model.feature)
        return cls(target, model, parse_feature(feature_name, parameters["features"][feature_name]), share)

    def segments(self, n_tracks: int, seed: int) -> Segments:
        segment = self.feature.segment
        n_frames = 1 + int(CLIP_S * self.feature.sample_rate) // self.feature.hop_length
        n_each = max(1, 1 + (n_frames - segment.n_frames) // segment.hop_frames)
        n = max(N_CLASSES, round(self.share * n_tracks) * n_each)
        return Segments(n, getattr(self.feature, N_BINS[self.feature.kind]), segment.n_frames, seed)

    @property
    def train(self) -> Segments:
        return self.segments(self.target.n_train_tracks, 0)

    @property
    def validation(self) -> Segments:
        return self.segments(self.target.n_validation_tracks, 1)

    def job(self, repeat: int, folder: Path, n_epochs: int) -> Job:
        recipe = self.model.training.model_copy(update={"max_epochs": n_epochs})
        train = partial(
            train_repeat,
            cell=Cell("noise", "repeats", "mel", self.model.name),
            repeat=repeat,
            seed=repeat,
            genres=tuple(f"genre_{number}" for number in range(N_CLASSES)),
            feature=self.feature,
            model=self.model.model_copy(update={"training": recipe}),
            train=self.train,
            validation=self.validation,
            inputs="noise",
            leaky=False,
            folder=folder / f"repeat_{repeat:02d}",
        )
        return Job(repeat, f"{self.model.name}, repeat {repeat}", train)


def step_ms(row: Row, n_steps: int) -> tuple[float, float]:
    """Return how long a step keeps the device busy, and its wall time, in milliseconds.

    The same number of steps runs before, as a warm-up.
    """
    device = choose_device(row.model.training.device)
    task = fitting.Task("bench", row.model, row.feature, N_CLASSES, 0, row.train(), row.validation())
    with reproducible(0, device, row.model.training.n_threads):
        network = row.model.spec.build(row.model.architecture, task.train.shape, N_CLASSES)
        loop = fitting._Loop(task, network, device)
        loop.network.train()
        batches = [batch for _ in range(2 * n_steps) for batch in loop.batches()][: 2 * n_steps]
        on_device, on_clock = [], []
        for number, batch in enumerate(batches):
            loop.n_steps = 0
            started = time.perf_counter()
            if device.type == "cuda":
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begin.record()
                loop.step(batch, 1)
                end.record()
                end.synchronize()
                on_device.append(begin.elapsed_time(end))
            else:
                loop.step(batch, 1)
            if number >= n_steps:
                on_clock.append(1000 * (time.perf_counter() - started))
    clock = statistics.median(on_clock)
    return (statistics.median(on_device[n_steps:]) if on_device else clock), clock


class Clock:
    """Records when epochs and repeats end."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.epochs: list[float] = []
        self.rounds: dict[int, list[float]] = {}

    def epoch(self, repeat: int, _record: EpochRecord) -> None:
        self.rounds.setdefault(repeat, []).append(time.perf_counter())

    def end(self, _repeat: int, outcome: Outcome) -> None:
        if isinstance(outcome, Exception):
            raise outcome

    def epoch_s(self) -> tuple[float, float]:
        """Return how long an epoch of all the repeats takes, and the time before the first."""
        first = max(times[0] for times in self.rounds.values())
        last = max(times[-1] for times in self.rounds.values())
        n_epochs = min(len(times) for times in self.rounds.values()) - 1
        each = (last - first) / n_epochs if n_epochs else first - self.started
        return each, max(0.0, first - self.started - each)


def whole_minutes(row: Row, at_once: int, n_epochs: int, *, whole: bool) -> float:
    """Return the minutes that all repeats of a model take, measured or extrapolated from some epochs."""
    target, recipe = row.target, row.model.training
    is_estimator = isinstance(row.model.spec, EstimatorSpec)
    n_all = 1 if is_estimator else recipe.max_epochs
    n_repeats = target.n_repeats if whole else min(at_once, target.n_repeats)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        jobs = [row.job(repeat, Path(folder), n_all if whole else min(n_epochs, n_all)) for repeat in range(n_repeats)]
        Trainers(n_workers=at_once).train(jobs, on_epoch=clock.epoch, on_end=clock.end)
    if whole:
        return (time.perf_counter() - clock.started) / 60
    each, before = clock.epoch_s()
    n_rounds = -(-target.n_repeats // n_repeats)
    return n_rounds * (before + each * n_all) / 60


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--models", nargs="+", help="only these of the targets' models")
    parser.add_argument("--at-once", nargs="+", type=int, default=[1, 5], help="repeats that share the device")
    parser.add_argument("--epochs", type=int, default=6, help="epochs to reckon from")
    parser.add_argument("--rounds", type=int, default=1, help="the numbers of repeats at once take turns this often")
    parser.add_argument("--steps", type=int, default=20, help="steps that are timed one by one")
    parser.add_argument("--whole", action="store_true", help="train everything")
    parser.add_argument("--share", type=float, default=1.0, help="share of the tracks")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", default="auto", choices=["auto", "true", "false"])
    options = parser.parse_args(arguments)
    device = choose_device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {device.type}, {name}; minutes for the whole with so many repeats at once\n")
    counts = " | ".join(f"{n} at once" for n in options.at_once)
    print(f"| target | model | segments, batch | step on the device, ms | on the clock, ms | {counts} |")
    print("|---|---|---|--:|--:|" + "--:|" * len(options.at_once))
    parameters = read_parameters()
    training = {"device": options.device, "compile": {"true": True, "false": False}.get(options.compile, "auto")}
    for key in options.targets:
        target = TARGETS[key]
        totals = np.zeros(len(options.at_once))
        for model in target.models:
            if options.models and model not in options.models:
                continue
            row = Row.of(target, model, parameters, options.share, training)
            is_estimator = isinstance(row.model.spec, EstimatorSpec)
            times = ["-", "-"] if is_estimator else [f"{each:.2f}" for each in step_ms(row, options.steps)]
            # In turns, so that what else the machine does hits all alike.
            rounds = [
                [whole_minutes(row, n, options.epochs, whole=options.whole) for n in options.at_once]
                for _ in range(options.rounds)
            ]
            minutes = np.median(rounds, axis=0)
            totals += minutes
            size = f"{row.train.n}, {row.model.training.batch_size}"
            print(
                "| " + " | ".join([key, model, size, *times, *(f"{each:.2f}" for each in minutes)]) + " |", flush=True
            )
        shown = " | ".join(f"**{each:.1f}**" for each in totals)
        print(f"| {key} | all, target {target.minutes:g} | - | - | - | {shown} |", flush=True)


if __name__ == "__main__":
    # What other processes are handed belongs to a module that they can import, which the program itself is not.
    import bench_training_gpu

    bench_training_gpu.main()
