"""What a probe gains from the validation tracks, which it does not need: fitted without them and with them.

Artist folds, each seed another choice of them, and a fixed strength; accuracy of the test tracks by the mean score of
their segments, in %. The experiment's features must be there:

    kedro run --pipelines ingest,segment,features --experiment encoders
    python benchmarks/measure_probes.py --experiment encoders --store gtzan6.musicnn --seeds 0 1 2
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import DataCatalog
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from genre_pipeline.configuration import load_configuration
from genre_pipeline.splits.folds import balanced_folds
from genre_pipeline.splits.identities import linked_groups

N_FOLDS = 5
PROBES = {"SVM, C=3": SVC(C=3.0), "logistic regression, C=0.01": LogisticRegression(C=0.01, max_iter=300)}


def measure(catalog: DataCatalog, dataset: str, feature: str, seed: int) -> Iterator[dict[str, Any]]:
    store = catalog.load(f"{dataset}.{feature}.features")
    tracks = catalog.load(f"{dataset}.tracks")
    usable = ~tracks["quarantined"] & tracks["track_id"].isin(store.index["track_id"])
    tracks = tracks[usable].sort_values("track_id", ignore_index=True)
    frames = [store.read(track_id).T.astype(np.float64) for track_id in tracks["track_id"]]
    columns, track = np.concatenate(frames), np.repeat(np.arange(len(tracks)), [len(each) for each in frames])
    targets = pd.factorize(tracks["genre"], sort=True)[0]
    genres = tracks["genre"].to_numpy(dtype=np.str_)
    fold_of_track = balanced_folds(linked_groups(tracks), genres, n_folds=N_FOLDS, seed=seed)
    for name, classifier in PROBES.items():
        for fold in range(N_FOLDS):
            test, validation = fold_of_track == fold, fold_of_track == (fold + 1) % N_FOLDS
            for way, fitted_to in (("training", ~test & ~validation), ("training and validation", ~test)):
                chosen, asked = fitted_to[track], test[track]
                probe = make_pipeline(StandardScaler(), classifier).fit(columns[chosen], targets[track[chosen]])
                scores = pd.DataFrame(probe.decision_function(columns[asked])).groupby(track[asked]).mean()
                right = scores.to_numpy().argmax(axis=1) == targets[scores.index]
                yield from ({"probe": name, "seed": seed, "fitted to": way, "right": each} for each in right)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="encoders")
    parser.add_argument("--store", default="gtzan6.musicnn", help="dataset.feature")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="each makes other folds")
    arguments = parser.parse_args()
    catalog = DataCatalog.from_config(load_configuration(experiment=arguments.experiment)["catalog"])
    dataset, _, feature = arguments.store.partition(".")
    rows = [row for seed in arguments.seeds for row in measure(catalog, dataset, feature, seed)]
    table = 100.0 * pd.DataFrame(rows).pivot_table(index=["probe", "seed"], columns="fitted to", values="right")
    print(pd.concat([table, pd.concat({"mean": table.groupby("probe").mean()}).swaplevel()]).round(1).to_string())


if __name__ == "__main__":
    main()
