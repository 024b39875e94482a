"""What should classify new songs: one fold's model, the mean of the folds' models, or a model trained on all tracks?

Nested artist folds. Each outer fold's test tracks stand for new songs: none of their artists is in what the models see.
The rest is split by the experiment's protocol, as a comparison would, into one fold fewer, because a genre may have as
many artists as folds. ``all tracks`` trains once on everything that the inner folds see. A network has nothing to stop
by then, and trains for the median of the epochs that the inner folds selected. Accuracy, log loss, Brier score and
expected calibration error are of the mean probability of a track's segments, over the test tracks of all outer folds.
``with temperature`` fits a temperature to each inner fold's validation tracks, and applies it to its model.

Then, what "not sure" is worth: thresholds are chosen on the inner folds' validation tracks, for models without and with
temperature; the answers they keep of the inner folds' test tracks (which is what a comparison states), and of the new
songs, by the mean of the models.

The experiment's features must be there:

    kedro run --pipelines ingest,segment,features --experiment gtzan6
    python benchmarks/measure_final_model.py --experiment gtzan6 --models naive_bayes svm --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import DataCatalog

from genre_pipeline.cells import Cell
from genre_pipeline.configuration import load_configuration
from genre_pipeline.evaluation.abstention import Confidences, choose_threshold, count_by_threshold
from genre_pipeline.evaluation.calibration import expected_calibration_error, fit_temperature, temper
from genre_pipeline.experiment import Experiment, load_experiment
from genre_pipeline.models import NetworkSpec
from genre_pipeline.runtime_parameters import read_parameters
from genre_pipeline.splits import PROTOCOLS, split_tracks
from genre_pipeline.training.cell_data import CellData
from genre_pipeline.training.devices import choose_device
from genre_pipeline.training.fitting import Task, fit
from genre_pipeline.training.predictors import EstimatorPredictor, NetworkPredictor
from genre_pipeline.training.segments import SegmentSet


def train_and_predict(
    experiment: Experiment,
    cell: Cell,
    genres: tuple[str, ...],
    segments: Mapping[str, SegmentSet],
    seed: int,
    **recipe: Any,
) -> tuple[dict[str, np.ndarray], int]:
    model = experiment.models[cell.model]
    model = model.model_copy(update={"training": model.training.model_copy(update=recipe)})
    train, validation = segments["train"], segments["validation"]
    task = Task("measure", model, experiment.features[cell.feature], len(genres), seed, train, validation)
    fitted = fit(task, lambda _: None)
    if isinstance(model.spec, NetworkSpec):
        predictor = NetworkPredictor(fitted.model, train.shape, fitted.normalisation, choose_device("auto"))
    else:
        predictor = EstimatorPredictor(fitted.model, model.spec, train.shape, fitted.normalisation)
    others = {side: each.features for side, each in segments.items() if side != "train"}
    return {side: predictor.predict_probabilities(each) for side, each in others.items()}, fitted.selected_epoch


def track_means(rows: pd.DataFrame, probabilities: np.ndarray, genres: tuple[str, ...]) -> pd.DataFrame:
    table = rows[["track_id", "genre"]].join(pd.DataFrame(probabilities, columns=list(genres)))
    return table.groupby(["track_id", "genre"])[list(genres)].mean().reset_index()


def measure(cell: Cell, experiment: Experiment, catalog: DataCatalog, seed: int) -> list[dict[str, Any]]:
    tracks = catalog.load(f"{cell.dataset}.tracks")
    segments = catalog.load(f"{cell.dataset}.{cell.feature}.segments")
    store = catalog.load(f"{cell.dataset}.{cell.feature}.features")
    protocol = experiment.protocols[cell.protocol]

    def split(some: pd.DataFrame, n_folds: int) -> pd.DataFrame:
        block = protocol.model_copy(update={"n_folds": n_folds, "seed": seed})
        return split_tracks(some, PROTOCOLS[protocol.kind], block, dataset=cell.dataset, official={}).table

    outer = split(tracks, protocol.n_folds)
    outer_data = CellData.join(cell.name, split=outer, segments=segments, store=store)
    rows = []
    for fold in sorted(outer["repeat"].unique()):
        new = outer.loc[(outer["repeat"] == fold) & (outer["split"] == "test"), "track_id"]
        known = tracks[~tracks["track_id"].isin(new)].reset_index(drop=True)
        inner = split(known, protocol.n_folds - 1)
        data = CellData.join(cell.name, split=inner, segments=segments, store=store)
        genres = data.genres
        new_songs, new_rows = outer_data.segment_set(int(fold), "test"), outer_data.rows(int(fold), "test")

        def note(table: pd.DataFrame, way: str, repeat: int = 0, side: str = "new", *, fold: int = int(fold)) -> None:
            said = {"model": cell.model, "seed": seed, "fold": fold, "repeat": repeat, "side": side, "way": way}
            rows.extend(table.assign(**said).to_dict("records"))

        of_models: dict[str, list[pd.DataFrame]] = {"": [], ", with temperature": []}
        epochs = []
        for repeat in data.repeats:
            sides = {side: data.segment_set(repeat, side) for side in ("train", "validation", "test")}
            found, epoch = train_and_predict(experiment, cell, genres, {**sides, "new": new_songs}, repeat)
            epochs.append(epoch)
            at = {side: data.rows(repeat, side) for side in ("validation", "test")} | {"new": new_rows}
            means = {side: track_means(at[side], found[side], genres) for side in at}
            validation = means["validation"]
            fitted = fit_temperature(validation[list(genres)].to_numpy(), targets_of(validation, genres))
            for way, tables in of_models.items():
                for side, table in means.items():
                    tempered = table.copy()
                    if way:
                        tempered[list(genres)] = temper(table[list(genres)].to_numpy(), fitted)
                    if side == "new":
                        tables.append(tempered)
                    else:
                        note(tempered, f"one fold{way}", repeat, side)
        for way, tables in of_models.items():
            note(tables[0], f"one fold{way}")
            mean = tables[0].copy()
            mean[list(genres)] = np.mean([each[list(genres)].to_numpy() for each in tables], axis=0)
            note(mean, f"mean of folds{way}")
        parts = [data.segment_set(data.repeats[0], side) for side in ("train", "validation", "test")]
        everything = SegmentSet(
            np.concatenate([np.asarray(each.features) for each in parts]),
            np.concatenate([each.targets for each in parts]),
        )
        all_tracks, _ = train_and_predict(
            experiment,
            cell,
            genres,
            {"train": everything, "validation": parts[1], "new": new_songs},
            0,
            max_epochs=max(1, round(statistics.median(epochs))),
            selection="last",
            patience=None,
        )
        note(track_means(new_rows, all_tracks["new"], genres), "all tracks")
        print(cell.model, "seed", seed, "outer fold", fold, "epochs", epochs, flush=True)
    return rows


def targets_of(table: pd.DataFrame, genres: Sequence[str]) -> np.ndarray:
    return pd.Index(genres).get_indexer(pd.Index(table["genre"]))


def confidences(table: pd.DataFrame, genres: Sequence[str]) -> Confidences:
    probabilities = table[list(genres)].to_numpy()
    return Confidences(probabilities.max(axis=1), probabilities.argmax(axis=1) == targets_of(table, genres))


def abstain(table: pd.DataFrame, genres: Sequence[str]) -> pd.DataFrame:
    """What the thresholds of the validation tracks keep, and how much of that is wrong, over all outer folds."""
    found = []
    for (model, way), some in table[table["way"].str.contains("fold")].groupby(["model", "way"], sort=False):
        if "mean" in way:
            continue
        for max_error in (0.05, 0.1, 0.2, 0.3):
            counts = dict.fromkeys(("reached", "n", "kept", "wrong", "n new", "kept new", "wrong new"), 0)
            for (seed, fold), part in some.groupby(["seed", "fold"]):
                sides = {side: confidences(part[part["side"] == side], genres) for side in ("validation", "test")}
                threshold = choose_threshold(count_by_threshold(**sides), max_error).threshold
                at = (table["seed"] == seed) & (table["fold"] == fold) & (table["model"] == model)
                mean = table[at & (table["way"] == way.replace("one fold", "mean of folds"))]
                counts["reached"] += threshold < 1.1
                for name, each in (("", sides["test"]), (" new", confidences(mean, genres))):
                    kept = each.confidence >= threshold
                    counts[f"n{name}"] += len(kept)
                    counts[f"kept{name}"] += int(kept.sum())
                    counts[f"wrong{name}"] += int((kept & ~each.correct).sum())
            row = {"model": model, "way": way, "allowed": 100 * max_error, "reached": counts["reached"]}
            for name, side in (("", "test"), (" new", "new songs")):
                row[f"{side}: kept"] = 100 * counts[f"kept{name}"] / counts[f"n{name}"]
                row[f"{side}: wrong"] = 100 * counts[f"wrong{name}"] / max(counts[f"kept{name}"], 1)
            found.append(row)
    return pd.DataFrame(found)


def summarise(table: pd.DataFrame, genres: Sequence[str]) -> pd.DataFrame:
    found = []
    for (model, way), some in table[table["side"] == "new"].groupby(["model", "way"], sort=False):
        p = some[genres].to_numpy()
        p = p / p.sum(axis=1, keepdims=True)
        targets = targets_of(some, genres)
        right = p.argmax(axis=1) == targets
        one_hot = np.eye(len(genres))[targets]
        found.append(
            {
                "model": model,
                "way": way,
                "n_tracks": len(some),
                "accuracy": 100 * right.mean(),
                "log loss": float(-np.log(np.maximum(p[np.arange(len(p)), targets], 1e-12)).mean()),
                "Brier": float(((p - one_hot) ** 2).sum(axis=1).mean()),
                "ECE": 100 * expected_calibration_error(p.max(axis=1), right),
            }
        )
    return pd.DataFrame(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="gtzan6")
    parser.add_argument("--params", default="", help="as for kedro run")
    parser.add_argument("--models", nargs="+", default=["naive_bayes", "svm"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="each makes other outer folds")
    parser.add_argument("--keep", type=Path, help="folder for each model's predictions; rerunning resumes")
    arguments = parser.parse_args()
    loader = load_configuration(given=read_parameters(arguments.params), experiment=arguments.experiment)
    experiment = load_experiment(loader["parameters"])
    catalog = DataCatalog.from_config(loader["catalog"])
    rows: list[dict[str, Any]] = []
    for cell in experiment.cells:
        if cell.model not in arguments.models:
            continue
        kept = None if arguments.keep is None else arguments.keep / f"{cell.name}.json"
        if kept is not None and kept.exists():
            rows += json.loads(kept.read_text())
            continue
        found = [row for seed in arguments.seeds for row in measure(cell, experiment, catalog, seed)]
        rows += found
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found))
    table = pd.DataFrame(rows)
    genres = sorted(set(table["genre"]))
    print(summarise(table, genres).round(3).to_string(index=False))
    print(abstain(table, genres).round(1).to_string(index=False))


if __name__ == "__main__":
    main()
