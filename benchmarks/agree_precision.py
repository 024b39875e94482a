"""Compare test accuracy of fast training (bfloat16, channels last) with float32 in torch's own layout, over seeds.

The same models are trained in both ways on the same real tracks, split and seeds. The comparison uses the difference of
each seed's two accuracies. Run ``GENRE_PIPELINE_REAL_DATA=<folder> GENRE_PIPELINE_DATA=<folder for results> python
benchmarks/agree_precision.py``; finished trainings are kept there, so a killed run resumes, and more ``--seeds`` add to
the existing ones. ``--ways usual`` alone trains without a comparison.

On a processor without bfloat16, torch's emulation of it is twenty times slower than float32. There, each step computes
in float32 and rounds every number that autocast would hold as bfloat16: operands and results of convolutions and matrix
products and everything between them, forwards and backwards. ``--check`` prints how close the gradients of one step are
to those of torch's emulation.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from kedro.framework.startup import bootstrap_project
from scipy import stats
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.metrics import score
from genre_pipeline.evaluation.prediction import predict_repeat
from genre_pipeline.experiment import Experiment, load_experiment
from genre_pipeline.project import PROJECT_ROOT, data_root
from genre_pipeline.session import InterruptibleSession
from genre_pipeline.training import Checkpoint, ModelBlock, SegmentSet, fitting, parse_model, train_repeat
from genre_pipeline.training.cell_data import CellData
from genre_pipeline.training.devices import has_native_bfloat16, reproducible

DATASET, PROTOCOL = "gtzan6", "fault_filtered_validation"
USUAL = {"precision": "float32", "channels_last": False}
FAST = {"precision": "bfloat16", "channels_last": True}
CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
# The parts of the names of those ATen operations that autocast computes in bfloat16, or that take on its results.
HELD_IN_BFLOAT16 = ("convolution", "mm", "batch_norm", "sigmoid", "tanh", "relu", "elu", "pool", "mean", "layer_norm")


class RoundedProducts(TorchDispatchMode):
    """Rounds to bfloat16 the numbers that autocast holds in it, while everything is computed in float32."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if not any(part in name for part in HELD_IN_BFLOAT16):
            return func(*args, **(kwargs or {}))
        if name.endswith("_"):
            changed = func(*args, **(kwargs or {}))
            return changed.copy_(_rounded(changed))
        if "batch_norm" in name or "layer_norm" in name:
            # Parameters and statistics of a normalisation stay in float32, and so do their gradients.
            first, *others = func(*args, **(kwargs or {}))
            return (_rounded(first), *others)
        args = tree_map_only(Tensor, _rounded, args)
        return tree_map_only(Tensor, _rounded, func(*args, **(kwargs or {})))


def _rounded(tensor: Tensor) -> Tensor:
    return tensor.bfloat16().float() if tensor.dtype == torch.float32 else tensor


@contextmanager
def rounding() -> Iterator[None]:
    """Let every training step round to bfloat16."""
    step: Callable[..., Any] = fitting._Loop.step

    def rounded_step(self: fitting._Loop, batch: Tensor, epoch: int) -> Any:
        with RoundedProducts():
            return step(self, batch, epoch)

    fitting._Loop.step = rounded_step
    try:
        yield
    finally:
        fitting._Loop.step = step


def prepare(models: list[str], n_seeds: int, every: int) -> tuple[Experiment, dict[str, Any], dict[Cell, CellData]]:
    """Ingest, split, cut and extract; return the checked and the raw parameters, and the segments of each cell."""
    bootstrap_project(PROJECT_ROOT)
    chosen = {
        "experiment": {"name": "precision", "datasets": [DATASET], "protocols": [PROTOCOL], "models": models},
        "protocols": {PROTOCOL: {"repeats": n_seeds}},
    }
    with InterruptibleSession.create(PROJECT_ROOT, runtime_params=chosen) as session:
        session.run(pipeline_names=["ingest", "split", "segment", "features"])
    with InterruptibleSession.create(PROJECT_ROOT, runtime_params=chosen) as session:
        context = session.load_context()
        parameters, load = context.config_loader["parameters"], context.catalog.load
        experiment = load_experiment(parameters)
        split = load(f"{DATASET}.{PROTOCOL}.split")
        data = {}
        for cell in experiment.cells:
            segments = load(f"{DATASET}.{cell.feature}.segments")
            kept = segments[segments["segment_index"] % every == 0]
            store = load(f"{DATASET}.{cell.feature}.features")
            data[cell] = CellData.join(cell.name, split=split, segments=kept, store=store)
    return experiment, parameters, data


def recipe_of(way: str) -> tuple[dict[str, Any], bool]:
    """Return a way's changes of the recipe, and whether steps are rounded."""
    if way == "usual":
        return USUAL, False
    if has_native_bfloat16(torch.device("cpu")):
        return FAST, False
    # Rounded, the numbers are bfloat16's and their type is float32's.
    return {**FAST, "precision": "float32"}, True


def model_of(cell: Cell, way: str, n_epochs: int, parameters: dict[str, Any]) -> ModelBlock:
    values = parameters["models"][cell.model]
    recipe = {**values["training"], **recipe_of(way)[0], "max_epochs": n_epochs, "device": "cpu", "n_threads": 1}
    return parse_model(cell.model, {**values, "training": recipe}, parameters["training"])


def accuracies(checkpoint: Checkpoint, data: CellData) -> dict[str, float]:
    """Return the test accuracy of tracks and of segments, in %."""
    repeat = checkpoint.card.repeat
    cache = checkpoint.folder.with_name(f"repeat_{repeat:02d}.predictions.parquet")
    table = predict_repeat(checkpoint, data, repeat, cache=cache).table
    scores = score(table[table["split"] == "test"], genres=data.genres)
    of = scores[scores["metric"] == "accuracy"].set_index("unit")["value"]
    return {unit: 100 * float(of[unit]) for unit in ("track", "segment")}


def summary(results: pd.DataFrame) -> str:
    """Return a Markdown table: one row per model and unit, over the seeds that were trained in every way."""
    lines = [
        "| model | unit | seeds | usual | fast | fast - usual, paired | 95 % interval |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for (model, unit), rows in results.groupby(["model", "unit"], sort=False):
        by_way = rows.pivot_table(index="seed", columns="way", values="accuracy").dropna()
        differences = by_way["fast"] - by_way["usual"]
        n, mean, sd = len(differences), differences.mean(), differences.std()
        half = stats.t.ppf(0.975, n - 1) * sd / n**0.5
        ways = " | ".join(f"{by_way[way].mean():.1f} ± {by_way[way].std():.1f}" for way in ("usual", "fast"))
        lines.append(
            f"| {model} | {unit} | {n} | {ways} | {mean:+.1f} ± {sd:.1f} | {mean - half:+.1f} to {mean + half:+.1f} |"
        )
    return "\n".join(lines)


def curves(histories: pd.DataFrame) -> str:
    """Return the mean over seeds of loss and accuracy, for some epochs of each model and way."""
    means = histories.groupby(["model", "way", "epoch"], sort=False)[list(CURVES)].mean()
    shown = [key for key in means.index if key[2] in {1, 2, 3, 5, 8, 12, 16, 20, 25, 30, 40}]
    return str(means.loc[shown].round(3).to_string())


def check(experiment: Experiment, parameters: dict[str, Any], data: dict[Cell, CellData]) -> None:
    """Print how far the gradients of one step are from float32's, by torch's autocast and by rounding."""
    for cell in experiment.cells:
        model = model_of(cell, "usual", 1, parameters)
        segments = data[cell].segment_set(0, "train")
        batch = SegmentSet(segments.features[:8], segments.targets[:8])
        shape = (batch.shape, len(data[cell].genres))

        def gradients(precision: str, *, rounded: bool = False, task: Any = (cell, model, batch, shape)) -> Tensor:
            cell, model, batch, shape = task
            with reproducible(0, torch.device("cpu"), 1):
                network = model.spec.build(model.architecture, *shape)
                recipe = model.training.model_copy(update={"precision": precision, "batch_size": 8})
                feature = experiment.features[cell.feature]
                block = model.model_copy(update={"training": recipe})
                loop = fitting._Loop(
                    fitting.Task(cell.name, block, feature, shape[1], 0, batch, batch), network, torch.device("cpu")
                )
                loop.network.train()
                with rounding() if rounded else nullcontext():
                    loop.step(torch.arange(8), 1)
                return torch.cat([each.grad.flatten() for each in network.parameters() if each.grad is not None])

        exact, emulated, rounded = (
            gradients("float32"),
            gradients("bfloat16"),
            gradients("float32", rounded=True),
        )
        far = [float((each - exact).norm() / exact.norm()) for each in (emulated, rounded)]
        between = float((rounded - emulated).norm() / exact.norm())
        print(
            f"{cell.model}: relative distance of the gradient from float32's: {far[0]:.2e} (autocast), {far[1]:.2e} "
            f"(rounded); between the two: {between:.2e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["net1:12", "crnn_gru_small:8"], help="name:epochs of each")
    parser.add_argument("--ways", nargs="+", default=["usual", "fast"], choices=["usual", "fast"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--every", type=int, default=4, help="take one of so many segments of a track")
    parser.add_argument("--check", action="store_true", help="only compare the gradients of one step")
    options = parser.parse_args()
    n_epochs = {name: int(count) for name, count in (each.split(":") for each in options.models)}
    experiment, parameters, data = prepare(list(n_epochs), options.seeds, options.every)
    if options.check:
        check(experiment, parameters, data)
        return
    root = Path(data_root()) / "agree_precision"
    results, histories = [], []
    for seed in range(options.seeds):
        for cell in experiment.cells:
            for way in options.ways:
                with rounding() if recipe_of(way)[1] else nullcontext():
                    checkpoint = train_repeat(
                        cell=cell,
                        repeat=seed,
                        seed=seed,
                        genres=data[cell].genres,
                        feature=experiment.features[cell.feature],
                        model=model_of(cell, way, n_epochs[cell.model], parameters),
                        train=partial(data[cell].segment_set, seed, "train"),
                        validation=partial(data[cell].segment_set, seed, "validation"),
                        inputs=data[cell].fingerprint(seed, "train", "validation"),
                        leaky=data[cell].leaky,
                        folder=root / way / cell.model / f"repeat_{seed:02d}",
                    )
                told = accuracies(checkpoint, data[cell])
                row = {"model": cell.model, "way": way, "seed": seed}
                results += [{**row, "unit": unit, "accuracy": value} for unit, value in told.items()]
                histories.append(checkpoint.history.assign(**row))
                print(
                    cell.model, way, "seed", seed, {unit: round(value, 1) for unit, value in told.items()}, flush=True
                )
    tracks, segments = data[experiment.cells[0]].counts()
    print(f"\nTracks {tracks}; segments {segments}; epochs {n_epochs}; torch {torch.__version__}")
    print(f"bfloat16 {'rounded' if recipe_of('fast')[1] else 'of the processor'}; load {os.getloadavg()[0]:.1f}\n")
    if set(options.ways) == {"usual", "fast"} and options.seeds > 1:
        print(summary(pd.DataFrame(results)) + "\n")
    print(curves(pd.concat(histories)))


if __name__ == "__main__":
    main()
