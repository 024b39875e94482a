"""What should classify new songs: one fold's model, the mean of the folds' models, or a model trained on all tracks?

Nested artist folds. Each outer fold's test tracks stand for new songs: none of their artists is in what the models see.
The rest is split by the experiment's protocol, as a comparison would, into one fold fewer, because a genre may have as
many artists as folds. ``all tracks`` trains once on everything that the inner folds see. A network has nothing to stop
by then, and trains for the median of the epochs that the inner folds selected. Accuracy, log loss, Brier score and
expected calibration error are of the mean probability of a track's segments, over the test tracks of all outer folds.

The experiment's features must be there:

    kedro run --pipelines ingest,segment,features --experiment gtzan6
    python benchmarks/measure_final_model.py --experiment gtzan6 --models naive_bayes svm
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import DataCatalog

from genre_pipeline.cells import Cell
from genre_pipeline.configuration import load_configuration
from genre_pipeline.evaluation.calibration import expected_calibration_error
from genre_pipeline.experiment import Experiment, load_experiment
from genre_pipeline.models import NetworkSpec
from genre_pipeline.splits import PROTOCOLS, split_tracks
from genre_pipeline.training.cell_data import CellData
from genre_pipeline.training.devices import choose_device
from genre_pipeline.training.fitting import Task, fit
from genre_pipeline.training.predictors import EstimatorPredictor, NetworkPredictor
from genre_pipeline.training.segments import SegmentSet

WAYS = ("one fold", "mean of folds", "all tracks")


def train_and_predict(
    experiment: Experiment,
    cell: Cell,
    genres: tuple[str, ...],
    segments: Mapping[str, SegmentSet],
    seed: int,
    **recipe: Any,
) -> tuple[np.ndarray, int]:
    model = experiment.models[cell.model]
    model = model.model_copy(update={"training": model.training.model_copy(update=recipe)})
    train, validation, test = segments["train"], segments["validation"], segments["test"]
    task = Task("measure", model, experiment.features[cell.feature], len(genres), seed, train, validation)
    fitted = fit(task, lambda _: None)
    if isinstance(model.spec, NetworkSpec):
        predictor = NetworkPredictor(fitted.model, train.shape, fitted.normalisation, choose_device("auto"))
    else:
        predictor = EstimatorPredictor(fitted.model, model.spec, train.shape, fitted.normalisation)
    return predictor.predict_probabilities(test.features), fitted.selected_epoch


def measure(cell: Cell, experiment: Experiment, catalog: DataCatalog) -> list[dict[str, Any]]:
    tracks = catalog.load(f"{cell.dataset}.tracks")
    segments = catalog.load(f"{cell.dataset}.{cell.feature}.segments")
    store = catalog.load(f"{cell.dataset}.{cell.feature}.features")
    protocol = experiment.protocols[cell.protocol]

    def split(some: pd.DataFrame, n_folds: int) -> pd.DataFrame:
        block = protocol.model_copy(update={"n_folds": n_folds})
        return split_tracks(some, PROTOCOLS[protocol.kind], block, dataset=cell.dataset, official={}).table

    outer = split(tracks, protocol.n_folds)
    rows = []
    for fold in sorted(outer["repeat"].unique()):
        new = outer.loc[(outer["repeat"] == fold) & (outer["split"] == "test"), "track_id"]
        known = tracks[~tracks["track_id"].isin(new)].reset_index(drop=True)
        inner = split(known, protocol.n_folds - 1)
        data = CellData.join(cell.name, split=inner, segments=segments, store=store)
        outer_data = CellData.join(cell.name, split=outer, segments=segments, store=store)
        test = outer_data.segment_set(int(fold), "test")
        test_rows = outer_data.rows(int(fold), "test")
        probabilities, epochs = [], []
        for repeat in data.repeats:
            sides = {side: data.segment_set(repeat, side) for side in ("train", "validation")}
            found, epoch = train_and_predict(experiment, cell, data.genres, {**sides, "test": test}, repeat)
            probabilities.append(found)
            epochs.append(epoch)
        parts = [data.segment_set(data.repeats[0], side) for side in ("train", "validation", "test")]
        everything = SegmentSet(
            np.concatenate([np.asarray(each.features) for each in parts]),
            np.concatenate([each.targets for each in parts]),
        )
        all_tracks, _ = train_and_predict(
            experiment,
            cell,
            data.genres,
            {"train": everything, "validation": parts[1], "test": test},
            0,
            max_epochs=max(1, round(statistics.median(epochs))),
            selection="last",
            patience=None,
        )
        ways = {"one fold": probabilities[0], "mean of folds": np.mean(probabilities, axis=0), "all tracks": all_tracks}
        for way, found in ways.items():
            table = test_rows[["track_id", "genre"]].join(pd.DataFrame(found, columns=list(data.genres)))
            means = table.groupby(["track_id", "genre"])[list(data.genres)].mean().reset_index()
            rows += means.assign(model=cell.model, way=way, fold=int(fold)).to_dict("records")
        print(cell.model, "outer fold", fold, "epochs", epochs, flush=True)
    return rows


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    genres = sorted(set(table["genre"]))
    found = []
    for (model, way), some in table.groupby(["model", "way"], sort=False):
        p = some[genres].to_numpy()
        p = p / p.sum(axis=1, keepdims=True)
        targets = np.array([genres.index(genre) for genre in some["genre"]])
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
    parser.add_argument("--models", nargs="+", default=["naive_bayes", "svm"])
    parser.add_argument("--keep", type=Path, help="folder for each model's predictions; rerunning resumes")
    arguments = parser.parse_args()
    loader = load_configuration(experiment=arguments.experiment)
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
        found = measure(cell, experiment, catalog)
        rows += found
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found))
        print(
            summarise(pd.DataFrame(found), sorted(set(pd.DataFrame(found)["genre"]))).round(3).to_string(index=False),
            flush=True,
        )
    table = pd.DataFrame(rows)
    print(summarise(table, sorted(set(table["genre"]))).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
