"""How much of a pretrained network should be trained, with a few hundred tracks? The presets, with fewer patches.

Artist folds by the experiment's protocol, on a processor with one thread. Each track has a few of its patches, evenly
spaced, on every side; validation tracks, whose artists are in neither other side, select the epoch. Accuracy of test
tracks by the mean probability of their patches, with the interval of the artists' bootstrap. Minutes are the
processor's, of one training. Trainings are kept in a folder: a second call resumes.

    kedro run --pipelines ingest,segment,features --experiment fine_tuning
    python benchmarks/measure_fine_tuning.py --keep kept --folds 0 1 2 --patches 1 --epochs 8
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from kedro.io import DataCatalog

from genre_pipeline.cells import Cell
from genre_pipeline.configuration import load_configuration
from genre_pipeline.evaluation.bootstrap import clusters_of, resample
from genre_pipeline.experiment import Experiment, load_experiment
from genre_pipeline.splits import PROTOCOLS, split_tracks
from genre_pipeline.splits.identities import artist_keys
from genre_pipeline.training.cell_data import CellData
from genre_pipeline.training.fitting import Task, fit
from genre_pipeline.training.predictors import NetworkPredictor
from genre_pipeline.training.segments import SegmentSet


def few_patches(data: CellData, fold: int, side: str, n_patches: int) -> tuple[SegmentSet, pd.DataFrame]:
    """Return some segments of each track, evenly spaced, with their rows."""
    rows, whole = data.rows(fold, side), data.segment_set(fold, side)
    place, n = rows.groupby("track_id").cumcount(), rows.groupby("track_id")["track_id"].transform("size")
    wanted = [(((np.arange(n_patches) + 0.5) * size / n_patches).astype(int)) for size in n]
    chosen = np.array([at in some for at, some in zip(place, wanted, strict=True)])
    return SegmentSet(np.asarray(whole.features)[chosen], whole.targets[chosen]), rows[chosen].reset_index(drop=True)


def measure(
    cell: Cell, experiment: Experiment, data: CellData, fold: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Train a preset on a fold; return what became of the test tracks."""
    model = experiment.models[cell.model]
    changes: dict[str, Any] = {"device": "cpu", "n_threads": 1}
    if model.architecture.trained == "all":
        changes |= {"max_epochs": options.epochs}
    model = model.model_copy(update={"training": model.training.model_copy(update=changes)})
    sides = {side: few_patches(data, fold, side, options.patches) for side in ("train", "validation", "test")}
    train, validation, (test, rows) = sides["train"][0], sides["validation"][0], sides["test"]
    task = Task(
        cell.name, model, experiment.features[cell.feature], len(data.genres), options.seed + fold, train, validation
    )
    started = time.process_time()
    fitted = fit(task, lambda record: print(cell.model, fold, record.epoch, record.validation_accuracy, flush=True))
    minutes = (time.process_time() - started) / 60.0
    predictor = NetworkPredictor(fitted.model, train.shape, fitted.normalisation, torch.device("cpu"))
    scores = pd.DataFrame(predictor.predict_probabilities(test.features)).groupby(rows["track_id"]).mean()
    genres = rows.drop_duplicates("track_id").set_index("track_id")["genre"].loc[scores.index]
    right = np.array(data.genres)[scores.to_numpy().argmax(axis=1)] == genres.to_numpy()
    return {
        "model": cell.model,
        "fold": fold,
        "n_train": len(train),
        "epochs": len(fitted.history),
        "selected": fitted.selected_epoch,
        "validation": max(each.validation_accuracy for each in fitted.history),
        "minutes": minutes,
        "right": dict(zip(scores.index, map(int, right), strict=True)),
    }


def summarise(found: list[dict[str, Any]], artists: pd.Series[str]) -> pd.DataFrame:
    rows = []
    for model, some in pd.DataFrame(found).groupby("model", sort=False):
        values = pd.DataFrame(
            [
                {"repeat": each["fold"], "track_id": track, "value": right}
                for each in some.to_dict("records")
                for track, right in each["right"].items()
            ]
        )
        values["cluster"] = clusters_of(values["track_id"], artists)
        drawn = resample(values, draw_repeats=False)
        low, high = drawn.interval(0.95)
        rows.append(
            {
                "model": model,
                "folds": len(some),
                "test tracks": len(values),
                "accuracy": 100 * drawn.estimate,
                "from": 100 * low,
                "to": 100 * high,
                "epochs": some["epochs"].mean(),
                "selected": some["selected"].mean(),
                "minutes": some["minutes"].mean(),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="fine_tuning")
    parser.add_argument("--models", nargs="+", default=None, help="all of the experiment by default")
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--patches", type=int, default=1, help="of 3 s, per track")
    parser.add_argument("--epochs", type=int, default=8, help="at most, where all is trained; others as their preset")
    parser.add_argument("--seed", type=int, default=0, help="of the protocol; a fold's training has seed + fold")
    parser.add_argument("--keep", type=Path, required=True, help="folder for what was trained; rerunning resumes")
    options = parser.parse_args()
    loader = load_configuration(experiment=options.experiment)
    experiment = load_experiment(loader["parameters"])
    catalog = DataCatalog.from_config(loader["catalog"])
    options.keep.mkdir(parents=True, exist_ok=True)
    found = []
    for cell in experiment.cells:
        if options.models is not None and cell.model not in options.models:
            continue
        tracks = catalog.load(f"{cell.dataset}.tracks")
        protocol = experiment.protocols[cell.protocol].model_copy(update={"seed": options.seed})
        kind = PROTOCOLS[protocol.kind]
        split = split_tracks(tracks, kind, protocol, dataset=cell.dataset, official={}).table
        parts = {part: catalog.load(f"{cell.dataset}.{cell.feature}.{part}") for part in ("segments", "features")}
        data = CellData.join(cell.name, split=split, segments=parts["segments"], store=parts["features"])
        for fold in options.folds:
            name = f"{cell.model}.{options.seed}.{fold}.{options.patches}.{options.epochs}.json"
            kept = options.keep / name
            if not kept.exists():
                kept.write_text(json.dumps(measure(cell, experiment, data, fold, options)))
            found.append(json.loads(kept.read_text()))
    artists = artist_keys(tracks.set_index("track_id"))
    print(summarise(found, artists).round(1).to_string(index=False))


if __name__ == "__main__":
    main()
