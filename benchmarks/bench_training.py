"""Compare the speed of this project's training steps with the usual way to train the same networks, in turns.

The usual way: float32, torch's default memory layout, a ``DataLoader`` over one ``.npy`` file per track. Ours: features
in one tensor, batches gathered by index, number type and layout as ``precision: auto`` measures them, memory kept from
step to step. Features are noise, because their values do not affect the time.

    python benchmarks/bench_training.py                      # five models, Markdown tables
    python benchmarks/bench_training.py --models net1 --rounds 10
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from genre_pipeline.experiment import parse_feature
from genre_pipeline.models import GenreNetwork
from genre_pipeline.training import ModelBlock, SegmentSet, fitting, parse_model
from genre_pipeline.training.augmentation import augment
from genre_pipeline.training.devices import choose_device, reproducible
from genre_pipeline.training.memory import kept_memory
from genre_pipeline.training.optimisers import OPTIMISERS, parameter_groups
from genre_pipeline.training.resumption import Resumption

PARAMETERS = Path(__file__).parents[1] / "conf" / "base" / "parameters"
# The model of each row and the ratio that it is to reach.
TARGETS = {"bbnn": 3.0, "musicnext": 2.0, "lgnet_4": 2.0, "crnn_gru": 2.0, "net1": 1.5}
N_CLASSES = 10
N_BINS = {"log_mel": "n_mels"}


class Tracks(Dataset[tuple[torch.Tensor, int]]):
    """One ``.npy`` file per track of ten segments; each item is one segment."""

    def __init__(self, folder: Path, segments: SegmentSet) -> None:
        self.n_frames = segments.shape.n_frames
        self.targets = segments.targets
        self.paths = []
        for start in range(0, len(segments), 10):
            path = folder / f"{start:05d}.npy"
            np.save(path, np.concatenate(list(segments.features[start : start + 10]), axis=1))
            self.paths.append(path)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        start = index % 10 * self.n_frames
        features = np.load(self.paths[index // 10])[:, start : start + self.n_frames]
        return torch.from_numpy(np.ascontiguousarray(features)), int(self.targets[index])


def batches_forever(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def usual(loop: fitting._Loop, network: GenreNetwork, folder: Path, task: fitting.Task, n_workers: int) -> Callable:
    """Return a function that does one step the usual way."""
    recipe, device = task.model.training, loop.device
    network = network.to(device).train()
    kind = OPTIMISERS[recipe.optimiser]
    groups = parameter_groups(network, weight_decay=recipe.weight_decay, is_decoupled=kind.is_decoupled)
    optimiser = kind.build(groups, recipe.learning_rate, recipe.epsilon)
    loader = DataLoader(
        Tracks(folder, task.train), recipe.batch_size, shuffle=True, num_workers=n_workers, drop_last=True
    )
    batches = batches_forever(loader)

    def step() -> None:
        features, targets = (each.to(device) for each in next(batches))
        network.begin_step(1, 0.0)
        features = augment(loop.normalisation(features), recipe.augmentation)
        loss = functional.cross_entropy(network.training_logits(features, targets), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()

    return step


def ours(loop: fitting._Loop, batch_size: int) -> Callable:
    """Return a function that does one step as training does."""
    generator = torch.Generator().manual_seed(0)
    loop.network.train()

    def step() -> None:
        batch = torch.randperm(len(loop.train.targets), generator=generator)[:batch_size].to(loop.device)
        loop.n_steps = 0
        loop.step(batch, 1)

    return step


def data_pipeline(loop: fitting._Loop, batch_size: int) -> Callable:
    """Return a function that does the part of a step before the network."""

    def step() -> None:
        batch = torch.randperm(len(loop.train.targets))[:batch_size].to(loop.device)
        augment(loop.normalisation(loop.train.features[batch]), loop.recipe.augmentation)

    return step


def seconds(step: Callable, n_steps: int, device: torch.device) -> float:
    started = time.perf_counter()
    for _ in range(n_steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / n_steps


def read_parameters() -> dict[str, Any]:
    """Return the parameters of ``conf/base``."""
    files = [path for path in sorted(PARAMETERS.glob("**/*.yml")) if path.stem != "storage"]
    values: Any = OmegaConf.to_container(OmegaConf.merge(*map(OmegaConf.load, files)), resolve=False)
    return values


def make_task(name: str, parameters: dict[str, Any], device: str, n_batches: int, *, compiled: bool) -> fitting.Task:
    defaults = {**parameters["training"], "device": device, "compile": compiled}
    model: ModelBlock = parse_model(name, parameters["models"][name], defaults)
    feature = parse_feature(model.feature, parameters["features"][model.feature])
    n_segments = max(20, -(-n_batches * model.training.batch_size // 10) * 10)
    shape = (n_segments, getattr(feature, N_BINS[feature.kind]), feature.segment.n_frames)
    features = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    segments = SegmentSet(features, np.arange(n_segments, dtype=np.int64) % N_CLASSES)
    small = SegmentSet(features[:N_CLASSES], segments.targets[:N_CLASSES])
    return fitting.Task(name, model, feature, N_CLASSES, 0, segments, small)


def bench(task: fitting.Task, *, n_rounds: int, round_s: float, n_workers: int) -> dict[str, Any]:
    device = choose_device(task.model.training.device)
    batch_size = task.model.training.batch_size
    with reproducible(0, device), tempfile.TemporaryDirectory() as folder:
        networks = [task.model.spec.build(task.model.architecture, task.train.shape, task.n_classes) for _ in range(2)]
        loop = fitting._Loop(task, networks[0], device)
        ways = {"usual": usual(loop, networks[1], Path(folder), task, n_workers), "ours": ours(loop, batch_size)}
        n_steps = {}
        for name, step in ways.items():
            seconds(step, 2, device)
            n_steps[name] = max(1, round(round_s / seconds(step, 1, device)))
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(n_rounds):
            for name, step in ways.items():
                with kept_memory(device) if name == "ours" else nullcontext():
                    # The first step of a training takes the memory that the others use.
                    step()
                    times[name].append(seconds(step, n_steps[name], device))
        pipeline = statistics.median(seconds(data_pipeline(loop, batch_size), 5, device) for _ in range(5))
        resumption = Resumption(Path(folder) / "state", "x", 0.0)
        started = time.perf_counter()
        resumption.keep(loop.state)
        written_s = time.perf_counter() - started
        size = resumption.path.stat().st_size
    best = {name: statistics.median(each) for name, each in times.items()}
    ratios = [slow / fast for slow, fast in zip(times["usual"], times["ours"], strict=True)]
    shape = task.train.shape
    return {
        "model": task.model.name,
        "input": f"{shape.n_bins}x{shape.n_frames}, {batch_size}",
        "usual": batch_size / best["usual"],
        "ours": batch_size / best["ours"],
        "ratio": statistics.median(ratios),
        "range": f"{min(ratios):.1f}-{max(ratios):.1f}",
        "way": loop.computation.name,
        "pipeline": 100 * pipeline / best["ours"],
        "state": f"{size / 1e6:.1f} MB, {1000 * written_s:.0f} ms",
        "measured": loop.computation.measured,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(TARGETS))
    parser.add_argument("--rounds", type=int, default=5, help="both ways take turns this often")
    parser.add_argument("--round-s", type=float, default=4.0, help="about how long each turn lasts")
    parser.add_argument("--batches", type=int, default=8, help="size of the training split, in batches")
    parser.add_argument("--workers", type=int, default=0, help="worker processes of the DataLoader")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true", help="torch.compile ours")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # What is short here stands for a long training.
    fitting._WORTH_MEASURING = 0
    values = read_parameters()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}\n")
    print("| model | input, batch | usual (segments/s) | ours | ratio | target | computed in | data pipeline | state |")
    print("|---|---|--:|--:|--:|--:|---|--:|---|")
    measured = {}
    for name in options.models:
        task = make_task(name, values, options.device, options.batches, compiled=options.compile)
        row = bench(task, n_rounds=options.rounds, round_s=options.round_s, n_workers=options.workers)
        measured[name] = row["measured"]
        print(
            f"| {row['model']} | {row['input']} | {row['usual']:.3g} | {row['ours']:.3g} "
            f"| **{row['ratio']:.2f}** ({row['range']}) | {TARGETS.get(name, 1.0):g} "
            f"| {row['way']} | {row['pipeline']:.1f} % | {row['state']} |",
            flush=True,
        )
    print("\nMeasured by the probe, in segments/s:")
    for name, rates in measured.items():
        print(f"- {name}: " + "; ".join(f"{way} {rate:.3g}" for way, rate in rates.items()))


if __name__ == "__main__":
    main()
