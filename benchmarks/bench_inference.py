"""Compare scoring of segments, the usual way and this project's, in turns, in segments per second.

The usual way: batches of 64. Ours: batches of the chosen size, and memory kept from batch to batch.

    python benchmarks/bench_inference.py                      # five models, a Markdown table
    python benchmarks/bench_inference.py --models bbnn --rounds 5
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from contextlib import nullcontext

import torch
from bench_training import TARGETS, make_task, read_parameters

from genre_pipeline.models import GenreNetwork
from genre_pipeline.training import predictors
from genre_pipeline.training.devices import place, reproducible
from genre_pipeline.training.memory import kept_memory
from genre_pipeline.training.segments import Normalisation

CPU = torch.device("cpu")


def seconds(network: GenreNetwork, features: torch.Tensor, n_values: int, *, kept: bool) -> float:
    predictors._N_VALUES_CPU = n_values
    started = time.perf_counter()
    with kept_memory(CPU) if kept else nullcontext():
        predictors.compute_logits(network, Normalisation("none"), features, CPU)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(TARGETS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--segments", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = predictors._N_VALUES_CPU
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}\n")
    print("| model | input | batch | usual (segments/s) | ours | ratio |")
    print("|---|---|--:|--:|--:|--:|")
    values = read_parameters()
    for name in options.models:
        task = make_task(name, values, "cpu", 1, compiled=False)
        with reproducible(0, CPU):
            network = place(task.model.spec.build(task.model.architecture, task.train.shape, task.n_classes), CPU)
            shape = task.train.shape
            features = torch.randn(options.segments, shape.n_bins, shape.n_frames)
            seconds(network, features, chosen, kept=False)  # warms up
            slow, fast = [], []
            for _ in range(options.rounds):
                slow.append(seconds(network, features, 64 * features[0].numel(), kept=False))
                fast.append(seconds(network, features, chosen, kept=True))
        ratios = [one / other for one, other in zip(slow, fast, strict=True)]
        predictors._N_VALUES_CPU = chosen
        print(
            f"| {name} | {shape.n_bins}x{shape.n_frames} | {len(predictors.in_batches(features, CPU)[0])} "
            f"| {options.segments / statistics.median(slow):.3g} | {options.segments / statistics.median(fast):.3g} "
            f"| **{statistics.median(ratios):.2f}** ({min(ratios):.2f}-{max(ratios):.2f}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
