"""Measure quickly how a network computes fastest: number type, memory layout, compiled or not."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor
from torch.nn import functional

from genre_pipeline.models import GenreNetwork
from genre_pipeline.storage import storage_errors, write_json
from genre_pipeline.training.devices import has_native_bfloat16, place

logger = logging.getLogger(__name__)

# [?] One step to warm up; the fastest of the others counts, because other work on the machine disturbs it least.
_N_STEPS = 3
# [?] Least gain over the first way that justifies other numbers: more than repeated measurements differ.
_GAIN = 1.15
# [?] Seconds that a training must take before ``torch.compile`` is tried, which takes 10 to 40 s.
_WORTH_COMPILING_S = 1200.0


@dataclass(frozen=True)
class Computation:
    """How a network computes in training.

    Attributes:
        precision: Number type of the forward pass: ``float32`` or ``bfloat16``.
        channels_last: Whether images are in memory channel by channel within a pixel, or pixel by pixel in a channel.
        compiled: Whether ``torch.compile`` translates the network.
        measured: Segments per second of each measured way; empty if nothing was measured.
    """

    precision: str
    channels_last: bool = True
    compiled: bool = False
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A short name for people."""
        layout = f"channels {'last' if self.channels_last else 'first'}"
        return f"{self.precision}, {layout}" + (", compiled" if self.compiled else "")


def known_computation(precision: str, channels_last: bool | None, device: torch.device) -> Computation:
    """Return how to compute without measuring: bfloat16 if the device has it, channels last by default.

    Measured with two threads on a processor with native bfloat16: 2.2 times the samples per second for net1 and 2.5
    for the CRNN (with channels last). Without native support it is emulated and slow.

    Args:
        precision: ``float32``, ``bfloat16``, or ``auto``.
        channels_last: The memory layout; ``None`` means channels last.
        device: Where to compute.
    """
    if precision == "auto":
        precision = "bfloat16" if has_native_bfloat16(device) else "float32"
    return Computation(precision, channels_last is not False)


def possible_computations(precision: str, channels_last: bool | None, device: torch.device) -> list[Computation]:
    """Return the ways to compute that a recipe allows, the preferred one first; none is compiled.

    Args:
        precision: ``float32``, ``bfloat16``, or ``auto`` for both, if the device has bfloat16.
        channels_last: The memory layout; ``None`` means both if the number type is open too, or else channels last.
        device: Where to compute.
    """
    if precision != "auto":
        return [known_computation(precision, channels_last, device)]
    precisions = ("float32", "bfloat16") if has_native_bfloat16(device) else ("float32",)
    layouts = (True, False) if channels_last is None else (channels_last,)
    return [Computation(*way) for way in product(precisions, layouts)]


def measure_computation(
    network: GenreNetwork,
    features: Tensor,
    targets: Tensor,
    device: torch.device,
    ways: Sequence[Computation],
    n_segments: int | None = None,
) -> Computation:
    """Try a few steps in each way, interleaved, and return the fastest.

    The first way is preferred unless another one is clearly faster. The network, its weights and the random state do
    not change.

    Args:
        network: The network, anywhere.
        features: A batch of normalised segments, shape ``(batch, n_bins, n_frames)``, on the device.
        targets: Their genres, shape ``(batch,)``, on the device.
        device: Where to compute.
        ways: The ways to choose from.
        n_segments: Segments of all epochs together. If the training takes long, the chosen way is also tried compiled,
            and compiling must save more time than it takes. ``None`` disables this.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        steps = [_stepper(network, way, features, targets, device) for way in ways]
        times = [[step() for step in steps] for _ in range(1 + _N_STEPS)][1:]
    fastest = [min(of_way) for of_way in zip(*times, strict=True)]
    measured = {way.name: len(targets) / seconds for way, seconds in zip(ways, fastest, strict=True)}
    best = max(ways, key=lambda way: measured[way.name])
    chosen = best if measured[best.name] > _GAIN * measured[ways[0].name] else ways[0]
    usual_s = 0.0 if n_segments is None else n_segments / measured[chosen.name]
    if usual_s > _WORTH_COMPILING_S:
        compiled = replace(chosen, compiled=True)
        compiling_s, step_s = _try_compiled(network, compiled, features, targets, device)
        measured[compiled.name] = len(targets) / step_s
        if compiling_s + usual_s * step_s * measured[chosen.name] / len(targets) < usual_s:
            chosen = compiled
    return replace(chosen, measured=measured)


def _try_compiled(
    network: GenreNetwork, way: Computation, features: Tensor, targets: Tensor, device: torch.device
) -> tuple[float, float]:
    """Return the seconds that compiling takes, and then a step: infinite if the network cannot be compiled."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        step = _stepper(network, way, features, targets, device)
        try:
            first_s = step()
        except Exception as error:
            # Compilers' exceptions have no common class, and the usual way still works.
            logger.warning("torch.compile cannot translate the network, which is trained without: %s", error)
            return 0.0, math.inf
        step_s = min(step() for _ in range(_N_STEPS))
    return first_s - step_s, step_s


def remembered(path: Path | None, key: str, measure: Callable[[], Computation]) -> Computation:
    """Return an earlier measurement, or measure now and store it, so that all repeats compute alike.

    Args:
        path: JSON file of the measurements, by key; ``None`` measures each time. A damaged file is replaced.
        key: Fingerprint of the computation and its device.
        measure: Measures it.

    Raises:
        StorageError: If the file cannot be written.
    """
    with _alone(path):
        known = {} if path is None else _read(path)
        if key in known:
            return Computation(**known[key])
        computation = measure()
        logger.info("Training in %s: %s", computation.name, _listed(computation.measured))
        if path is not None:
            write_json(path, {**known, key: asdict(computation)})
        return computation


@contextmanager
def _alone(path: Path | None) -> Iterator[None]:
    """Make repeats that are trained side by side wait for the first one's measurement."""
    if path is None:
        yield
        return
    lock_path = path.with_name(f".{path.stem}.lock")
    lock = FileLock(lock_path)
    with storage_errors(lock_path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _stepper(
    network: GenreNetwork, way: Computation, features: Tensor, targets: Tensor, device: torch.device
) -> Callable[[], float]:
    """Return a function that does a step and returns its duration in seconds."""
    copied = place(copy.deepcopy(network), device, channels_last=way.channels_last).train()
    scores = torch.compile(copied.training_logits) if way.compiled else copied.training_logits

    def step() -> float:
        started = _now(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=way.precision == "bfloat16"):
            logits = scores(features, targets)
        functional.cross_entropy(logits.float(), targets).backward()  # type: ignore[no-untyped-call]
        copied.zero_grad(set_to_none=True)
        return _now(device) - started

    return step


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _listed(measured: Mapping[str, float]) -> str:
    return "; ".join(f"{name} {rate:.3g} segments/s" for name, rate in measured.items())
