"""Recipes for training from scratch on a few hundred tracks, compared by folds that keep artists apart.

A recipe is a model's parameters with some values replaced. Each recipe, fold and seed adds a row to a CSV file, to
which only one process may write. Rerunning resumes: it does what is missing, and what has changed since. Everything
runs in one thread; core-minutes are the processor time of a training. Validation tracks choose nothing unless the
recipe says so.

The features must be there (musicnn also needs its weights: make pretrained):

    kedro run --pipelines ingest,segment,features --experiment recipes
    OMP_NUM_THREADS=1 python benchmarks/search_recipes.py
    python benchmarks/search_recipes.py --table
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from kedro.io import DataCatalog
from numpy.typing import NDArray

from genre_pipeline.configuration import load_configuration
from genre_pipeline.evaluation.bootstrap import clusters_of, resample
from genre_pipeline.features import FeatureBlock
from genre_pipeline.features.segments import segment_tracks
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.models import MODELS, EstimatorSpec, NetworkSpec
from genre_pipeline.models.probes import SvmProbeBlock, fit_svm
from genre_pipeline.splits import PROTOCOLS, split_tracks
from genre_pipeline.training.cell_data import CellData
from genre_pipeline.training.devices import choose_device
from genre_pipeline.training.fitting import Task, fit
from genre_pipeline.training.predictors import EstimatorPredictor, NetworkPredictor
from genre_pipeline.training.recipes import parse_model
from genre_pipeline.training.segments import SegmentSet
from genre_pipeline.tuning.space import with_values

DATASET, N_FOLDS = "gtzan6", 5
ROWS = Path(__file__).with_name("recipes.csv")
COLUMNS = ("recipe", "code", "fold", "seed", "n_tracks", "accuracy", "log_loss", "core_minutes", "wrong")

# Narrow, and few steps: 60 segments per track instead of the hundreds that a final training may take.
BASE: dict[str, Any] = {
    "family": "plain_convolutions",
    "feature": "log_mel_128_3s",
    "architecture": {"n_filters": [16, 32, 64, 128, 160], "dropout": 0.3},
    "training": {
        "optimiser": "adamw",
        "learning_rate": 0.003,
        "weight_decay": 0.01,
        "schedule": {"kind": "cosine", "warm_up": 0.3},
        "batch_size": 32,
        "segments_per_track": 2,
        "max_epochs": 30,
        "selection": "last",
        "precision": "float32",
        "compile": False,
        "device": "cpu",
        "n_threads": 1,
        "augmentation": {
            "mixup": 0.3,
            "n_time_masks": 1,
            "max_time_mask": 10,
            "n_frequency_masks": 1,
            "max_frequency_mask": 16,
        },
    },
}
A = "training.augmentation."
# Name: what replaces the base's values, by dotted place; "model" names a preset to begin with instead, and places below
# "feature." are the feature's; "sides" are those that it is trained on.
RECIPES: dict[str, dict[str, Any]] = {
    "svm": {"model": "svm"},
    "musicnn_svm": {"model": "probe_svm"},
    "random_kernels": {"family": "random_kernels", "architecture": None, "feature.segment.hop_frames": 65},
    "modulations": {"family": "modulations", "architecture": None, "feature.segment.hop_frames": 65},
    "base": {},
    "wide": {"architecture.n_filters": [32, 64, 96, 128, 160]},
    "short_chunk": {
        "model": "short_chunk",
        "training": {"segments_per_track": 2, "precision": "float32", "compile": False, "n_threads": 1},
    },
    "no_mixup": {A + "mixup": 0.0},
    "no_masks": {A + "n_time_masks": 0, A + "n_frequency_masks": 0},
    "no_overlap": {"feature.segment.hop_frames": 65},
    "fine_crops": {"feature.segment.hop_frames": 8},
    "fine_frames": {"feature": "log_mel_128_fine", A + "max_time_mask": 20},
    "twice_as_long": {"training.max_epochs": 60},
    "rate_0.01": {"training.learning_rate": 0.01},
    "rate_0.001": {"training.learning_rate": 0.001},
    "six_seconds": {"feature.segment": {"n_frames": 130, "hop_frames": 65}, "training.segments_per_track": 1},
    "per_segment": {"feature.normalisation": "per_segment"},
    "mixup_1": {A + "mixup": 1.0},
    "smoothing": {"training.label_smoothing": 0.1},
    "ema": {"training.ema_decay": 0.99},
    "gain": {A + "gain": 0.5},
    "filtering": {A + "filtering": 0.5},
    "batch_16": {"training.batch_size": 16},
    "two_masks": {A + "n_time_masks": 2, A + "n_frequency_masks": 2, A + "max_frequency_mask": 24},
    "dropout_0.5": {"architecture.dropout": 0.5},
    "best_validation": {"training.selection": "best_validation"},
    "five_members": {
        "architecture.n_members": 5,
        "training.batch_size": 160,
        "training.segments_per_track": 10,
        A + "mixup": 0.0,
    },
    "kernels": {"architecture.n_kernels": 2048, A + "mixup": 0.0},
    "kernels_three_members": {
        "architecture.n_kernels": 2048,
        "architecture.n_members": 3,
        "training.batch_size": 96,
        "training.segments_per_track": 6,
        A + "mixup": 0.0,
    },
    "wide_no_mixup": {"architecture.n_filters": [32, 64, 96, 128, 160], A + "mixup": 0.0},
    "long_no_mixup": {"training.max_epochs": 60, A + "mixup": 0.0},
    "filtering_no_mixup": {A + "filtering": 0.5, A + "mixup": 0.0},
    "smoothing_no_mixup": {"training.label_smoothing": 0.1, A + "mixup": 0.0},
    "ema_no_mixup": {"training.ema_decay": 0.99, A + "mixup": 0.0},
    "six_seconds_no_mixup": {
        "feature.segment": {"n_frames": 130, "hop_frames": 65},
        "training.segments_per_track": 1,
        A + "mixup": 0.0,
    },
    "rate_0.01_no_mixup": {"training.learning_rate": 0.01, A + "mixup": 0.0},
    "per_segment_no_mixup": {"feature.normalisation": "per_segment", A + "mixup": 0.0},
    "fine_crops_no_mixup": {"feature.segment.hop_frames": 8, A + "mixup": 0.0},
    "two_masks_no_mixup": {
        A + "n_time_masks": 2,
        A + "n_frequency_masks": 2,
        A + "max_frequency_mask": 24,
        A + "mixup": 0.0,
    },
    "dropout_0.5_no_mixup": {"architecture.dropout": 0.5, A + "mixup": 0.0},
    "validation_too": {"sides": ["train", "validation"], A + "mixup": 0.0},
    "random_kernels_validation_too": {
        "family": "random_kernels",
        "architecture": None,
        "feature.segment.hop_frames": 65,
        "sides": ["train", "validation"],
    },
    "svm_validation_too": {"model": "svm", "sides": ["train", "validation"]},
    "musicnn_svm_validation_too": {"model": "probe_svm", "sides": ["train", "validation"]},
    "long_mixup_0.01": {"training.learning_rate": 0.01, "training.max_epochs": 40, "training.segments_per_track": 10},
}
# What is done first: recipes, folds, seeds.
PLAN: list[tuple[Sequence[str], Sequence[int], Sequence[int]]] = [
    (("svm", "musicnn_svm", "no_mixup", "random_kernels", "base"), range(N_FOLDS), (0,)),
    (("kernels", "kernels_three_members"), range(N_FOLDS), (0,)),
    (
        ("svm_validation_too", "musicnn_svm_validation_too", "random_kernels_validation_too", "validation_too"),
        range(N_FOLDS),
        (0,),
    ),
    (("filtering_no_mixup", "rate_0.01_no_mixup", "per_segment_no_mixup"), range(N_FOLDS), (0,)),
    (("ema_no_mixup", "fine_crops_no_mixup", "six_seconds_no_mixup", "smoothing_no_mixup"), range(N_FOLDS), (0,)),
    (("two_masks_no_mixup", "dropout_0.5_no_mixup"), range(N_FOLDS), (0,)),
    (("no_mixup", "filtering_no_mixup"), range(N_FOLDS), (0, 1, 2, 3, 4)),
    (("five_members",), range(N_FOLDS), (0,)),
    (tuple(RECIPES), range(N_FOLDS), (0, 1)),
]


def modulations(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Means, deviations and covariances of bands, and their modulations in octaves: like scattering, but simpler."""
    x = features.astype(np.float64)
    coarse = x.reshape(len(x), 16, -1, x.shape[2]).mean(axis=2)
    centred = coarse - coarse.mean(axis=2, keepdims=True)
    spectrum = np.abs(np.fft.rfft(centred * np.hanning(x.shape[2]), axis=2))
    edges = [1, 2, 4, 8, 16, spectrum.shape[2]]
    octaves = [np.log(spectrum[:, :, a:b].mean(axis=2) + 1e-3) for a, b in pairwise(edges)]
    covariances = (centred @ centred.transpose(0, 2, 1) / x.shape[2])[(slice(None), *np.triu_indices(16))]
    return np.concatenate([x.mean(axis=2), x.std(axis=2), *octaves, covariances], axis=1)


def random_kernels(features: NDArray[np.float32], n_kernels: int = 512) -> NDArray[np.float64]:
    """Largest value and share of positive values of random convolutions: A. Dempster et al., ROCKET, 2020.

    A kernel spans up to 32 neighbouring bands and nine frames, 1 to 8 frames apart.
    """
    draw = torch.Generator().manual_seed(0)
    x = torch.as_tensor(features)
    centres = x.shape[1] * torch.rand(n_kernels, 1, generator=draw)
    widths = 2 + 14 * torch.rand(n_kernels, 1, generator=draw)
    near = (torch.arange(x.shape[1]) - centres).abs() < widths
    bands = (
        near * torch.randn(n_kernels, x.shape[1], generator=draw) / near.sum(dim=1, keepdim=True).clamp(min=1) ** 0.5
    )
    maps = torch.einsum("kb,nbt->nkt", bands, x)
    found = []
    for group, dilation in enumerate((1, 2, 4, 8)):
        part = slice(group * n_kernels // 4, (group + 1) * n_kernels // 4)
        kernels = torch.randn(n_kernels // 4, 1, 9, generator=draw)
        kernels -= kernels.mean(dim=2, keepdim=True)
        biases = torch.randn(n_kernels // 4, generator=draw)
        values = torch.nn.functional.conv1d(maps[:, part], kernels, biases, dilation=dilation, groups=n_kernels // 4)
        found += [values.amax(dim=2), (values > 0).float().mean(dim=2)]
    return torch.cat(found, dim=1).double().numpy()


for _summarise in (modulations, random_kernels):
    MODELS.register(
        EstimatorSpec(_summarise.__name__, SvmProbeBlock, fit_svm, summarise=_summarise, reference="", version=1)
    )


class Bench:
    """The dataset in artist folds, and what recipes begin with."""

    def __init__(self) -> None:
        loader = load_configuration(experiment="recipes")
        self.parameters = loader["parameters"]
        self.catalog = DataCatalog.from_config(loader["catalog"])
        self.tracks = self.catalog.load(f"{DATASET}.tracks")
        block = PROTOCOLS["artist_kfold"].block(kind="artist_kfold", n_folds=N_FOLDS, seed=0)
        self.split = split_tracks(self.tracks, PROTOCOLS["artist_kfold"], block, dataset=DATASET, official={}).table

    def recipe(self, name: str) -> tuple[Any, FeatureBlock, str]:
        """Return a recipe's model, its feature, and a code that changes with them."""
        values = dict(RECIPES[name])
        preset = values.pop("model", None)
        values.pop("sides", None)
        model = BASE if preset is None else self.parameters["models"][preset]
        own = [key for key in values if key.startswith("feature.")]
        of_feature = {key.removeprefix("feature."): values.pop(key) for key in own}
        if values.get("architecture", 0) is None:
            model, values = {"feature": model["feature"]}, {"family": values["family"]}
        block = parse_model(preset or "recipe", with_values(model, values), self.parameters["training"])
        feature = with_values(self.parameters["features"][block.feature], of_feature)
        parsed = FeatureBlock.parse(feature, key=f"features.{block.feature}")
        code = fingerprint(
            "recipe",
            1,
            model=block.deciding(),
            feature={**parsed.deciding(), "segment": parsed.segment.dump(), "normalisation": parsed.normalisation},
            code=block.code,
            **{key: RECIPES[name][key] for key in RECIPES[name].keys() & {"sides"}},
        )
        return block, parsed, code[:8]

    def run(self, name: str, fold: int, seed: int, keep: Path | None) -> dict[str, Any]:
        """Train a recipe on one fold's training tracks, and test it."""
        model, feature, code = self.recipe(name)
        table = segment_tracks(self.tracks, feature).table
        store = self.catalog.load(f"{DATASET}.{model.feature}.features")
        data = CellData.join(name, split=self.split, segments=table, store=store)
        trained_on = [data.segment_set(fold, side) for side in RECIPES[name].get("sides", ["train"])]
        train = SegmentSet(
            np.concatenate([each.features for each in trained_on]),
            np.concatenate([each.targets for each in trained_on]),
            tuple(np.concatenate(each) for each in zip(*(each.groups for each in trained_on), strict=True)),
        )
        validation, test = (data.segment_set(fold, side) for side in ("validation", "test"))
        started = time.process_time()
        fitted = fit(Task(name, model, feature, len(data.genres), seed, train, validation), lambda _: None)
        spent = time.process_time() - started
        if isinstance(model.spec, NetworkSpec):
            predictor = NetworkPredictor(fitted.model, train.shape, fitted.normalisation, choose_device("cpu"))
        else:
            predictor = EstimatorPredictor(fitted.model, model.spec, train.shape, fitted.normalisation)
        probabilities = predictor.predict_probabilities(test.features)
        rows = data.rows(fold, "test")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(
                keep / f"{name}_{code}_{fold}_{seed}.npz",
                track_ids=rows["track_id"].to_numpy(dtype=np.str_),
                targets=test.targets,
                probabilities=probabilities.astype(np.float32),
            )
        means = pd.DataFrame(probabilities).groupby(rows["track_id"].to_numpy()).mean()
        targets = pd.Series(test.targets).groupby(rows["track_id"].to_numpy()).first().to_numpy()
        of_target = means.to_numpy()[np.arange(len(means)), targets]
        is_wrong = means.to_numpy().argmax(axis=1) != targets
        return {
            "recipe": name,
            "code": code,
            "fold": fold,
            "seed": seed,
            "n_tracks": len(means),
            "accuracy": round(100.0 * float(1.0 - is_wrong.mean()), 2),
            "log_loss": round(float(-np.log(np.maximum(of_target, 1e-12)).mean()), 4),
            "core_minutes": round(spent / 60.0, 2),
            "wrong": " ".join(means.index[is_wrong]),
        }

    def mean(self, names: Sequence[str], codes: Mapping[str, str], keep: Path, beside: pd.DataFrame) -> str:
        """Say what the mean of recipes' log probabilities of tracks reaches with seed 0, and its gain over another."""
        rows = []
        for fold in range(N_FOLDS):
            logs = []
            for name in names:
                kept = np.load(keep / f"{name}_{codes[name]}_{fold}_0.npz")
                tracks = pd.Series(kept["track_ids"])
                logs.append(np.log(pd.DataFrame(kept["probabilities"]).groupby(tracks).mean().clip(lower=1e-9)))
                targets = pd.Series(kept["targets"]).groupby(tracks).first()
            answers = sum(logs[1:], start=logs[0]).to_numpy().argmax(axis=1)
            rows.append({"fold": fold, "seed": 0, "wrong": " ".join(targets.index[answers != targets])})
        artists = self.tracks.set_index("track_id")["artist"].astype(str)
        values = self.values(pd.DataFrame(rows))
        pairs = values.merge(self.values(beside), on=["seed", "track_id"], suffixes=("", "_beside"))
        found, gain = (
            _interval(each, artists) for each in (values, pairs.assign(value=pairs["value"] - pairs["value_beside"]))
        )
        shown = (f"{value:.1f} ({low:.1f} to {high:.1f})" for value, low, high in (found, gain))
        return f"Mean of {', '.join(names)}: {next(shown)}; gain, in points: {next(shown)}"

    def values(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return whether each test track of some rows was right, by seed and track."""
        found = []
        for row in rows.itertuples():
            chosen = self.split[(self.split["repeat"] == row.fold) & (self.split["split"] == "test")]
            right = 1.0 - chosen["track_id"].isin(row.wrong.split()).to_numpy(dtype=np.float64)
            found.append(pd.DataFrame({"seed": row.seed, "track_id": chosen["track_id"].to_numpy(), "value": right}))
        return pd.concat(found, ignore_index=True)

    def table(self, rows: pd.DataFrame, beside: str) -> str:
        """Return a Markdown table: each recipe, and its difference from another on the same folds and seeds."""
        artists = self.tracks.set_index("track_id")["artist"].astype(str)
        lines = [
            f"| recipe | folds x seeds | accuracy | 95 % | log loss | minus `{beside}` | core-minutes | changes |",
            "|---|--:|--:|--:|--:|--:|--:|---|",
        ]
        reference = rows[rows["recipe"] == beside]
        for name, changes in RECIPES.items():
            own = rows[rows["recipe"] == name]
            if own.empty:
                continue
            values = self.values(own)
            common = self.values(reference.merge(own[["fold", "seed"]])) if len(reference) else values.iloc[:0]
            pairs = values.merge(common, on=["seed", "track_id"], suffixes=("", "_beside"))
            versus = "-"
            if len(pairs) and name != beside:
                difference = _interval(pairs.assign(value=pairs["value"] - pairs["value_beside"]), artists)
                versus = f"{difference[0]:+.1f} ({difference[1]:+.1f} to {difference[2]:+.1f})"
            mean, low, high = _interval(values, artists)
            size = f"{own['fold'].nunique()} x {own['seed'].nunique()}"
            cost = f"{own['core_minutes'].mean():.1f}"
            loss = f"{np.average(own['log_loss'], weights=own['n_tracks']):.3f}"
            shown = ", ".join(f"{key.removeprefix('training.')} {json.dumps(value)}" for key, value in changes.items())
            cells = (name, size, f"{mean:.1f}", f"{low:.1f} to {high:.1f}", loss, versus, cost, shown or "-")
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)


def _interval(values: pd.DataFrame, artists: pd.Series) -> tuple[float, float, float]:
    means = values.groupby("track_id")["value"].mean()
    tracks = pd.Series(means.index)
    clusters = clusters_of(tracks, artists).to_numpy()
    found = resample(pd.DataFrame({"repeat": 0, "cluster": clusters, "value": means.to_numpy()}), draw_repeats=False)
    return (100.0 * found.estimate, *(100.0 * each for each in found.interval(0.95)))


def read_rows(path: Path, codes: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows of recipes as they are now."""
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    rows = pd.read_csv(path, dtype={"wrong": str, "code": str}, keep_default_na=False)
    return rows[rows["code"] == rows["recipe"].map(codes)]


def planned(names: Iterable[str]) -> list[tuple[str, int, int]]:
    wanted = set(names)
    every = [
        (recipe, fold, seed)
        for recipes, folds, seeds in PLAN
        for recipe in recipes
        if recipe in wanted
        for seed in seeds
        for fold in folds
    ]
    return list(dict.fromkeys(every))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--rows", type=Path, default=ROWS, help="the CSV file; rerunning resumes")
    parser.add_argument("--keep", type=Path, help="folder for the probabilities of the test segments")
    parser.add_argument("--table", action="store_true", help="print the table of what is done, and end")
    parser.add_argument(
        "--mean", nargs="+", choices=RECIPES, help="print what the mean of kept recipes reaches, and end"
    )
    parser.add_argument("--beside", choices=RECIPES, default="base", help="the recipe that others are compared with")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench()
    codes = {name: bench.recipe(name)[2] for name in RECIPES}
    if arguments.table:
        print(bench.table(read_rows(arguments.rows, codes), arguments.beside))
        return
    if arguments.mean:
        rows = read_rows(arguments.rows, codes)
        print(bench.mean(arguments.mean, codes, arguments.keep, rows[rows["recipe"] == arguments.beside]))
        return
    for name, fold, seed in planned(arguments.recipes):
        done = read_rows(arguments.rows, codes)
        if ((done["recipe"] == name) & (done["fold"] == fold) & (done["seed"] == seed)).any():
            continue
        row = bench.run(name, fold, seed, arguments.keep)
        is_new = not arguments.rows.exists()
        with arguments.rows.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        print({key: value for key, value in row.items() if key != "wrong"}, flush=True)


if __name__ == "__main__":
    main()
