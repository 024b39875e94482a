r"""Probes of encoders with strengths that are fixed beforehand, fitted without the validation tracks and with them.

A probe needs no validation tracks: what does it gain from them? Accuracy of the test tracks by the mean score of their
segments, in %. By default in artist folds, each seed another choice of them; `--protocol` takes the split of a protocol
instead. Features, and such a split, must be there:

    kedro run --pipelines ingest,segment,features --experiment encoders
    python benchmarks/measure_probes.py --stores gtzan6.musicnn --seeds 0 1 2
    kedro run --pipelines ingest,split --experiment lists --params \
        "experiment.datasets=[gtzan6],experiment.models=[svm],experiment.protocols=[fault_filtered_validation]"
    python benchmarks/measure_probes.py --stores gtzan6.musicnn gtzan6.musicnn_vgg --protocol fault_filtered_validation
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import DataCatalog
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from genre_pipeline.configuration import load_configuration
from genre_pipeline.splits.folds import balanced_folds
from genre_pipeline.splits.identities import linked_groups

N_FOLDS = 5
PROBES = {"SVM, C=3": SVC(C=3.0), "logistic regression, C=0.01": LogisticRegression(C=0.01, max_iter=300)}

Mask = NDArray[np.bool_]


def folds_of(tracks: pd.DataFrame, seeds: Sequence[int]) -> Iterator[tuple[int, Mask, Mask]]:
    """Return seed, test tracks and validation tracks of each artist fold."""
    genres = tracks["genre"].to_numpy(dtype=np.str_)
    for seed in seeds:
        fold_of_track = balanced_folds(linked_groups(tracks), genres, n_folds=N_FOLDS, seed=seed)
        yield from ((seed, fold_of_track == fold, fold_of_track == (fold + 1) % N_FOLDS) for fold in range(N_FOLDS))


def sides_of(tracks: pd.DataFrame, split: pd.DataFrame) -> tuple[int, Mask, Mask]:
    """Return the first repeat of a split in the same form."""
    side = split[split["repeat"] == 0].set_index("track_id")["split"].reindex(tracks["track_id"])
    return 0, (side == "test").to_numpy(), (side == "validation").to_numpy()


def measure(catalog: DataCatalog, store_name: str, protocol: str, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    dataset, _, feature = store_name.partition(".")
    store = catalog.load(f"{dataset}.{feature}.features")
    tracks = catalog.load(f"{dataset}.tracks")
    usable = ~tracks["quarantined"] & tracks["track_id"].isin(store.index["track_id"])
    tracks = tracks[usable].sort_values("track_id", ignore_index=True)
    frames = [store.read(track_id).T.astype(np.float64) for track_id in tracks["track_id"]]
    columns, track = np.concatenate(frames), np.repeat(np.arange(len(tracks)), [len(each) for each in frames])
    targets = pd.factorize(tracks["genre"], sort=True)[0]
    given = [sides_of(tracks, catalog.load(f"{dataset}.{protocol}.split"))] if protocol else folds_of(tracks, seeds)
    for seed, test, validation in given:
        for name, classifier in PROBES.items():
            for way, fitted_to in (("training", ~test & ~validation), ("training and validation", ~test)):
                chosen, asked = fitted_to[track], test[track]
                probe = make_pipeline(StandardScaler(), classifier).fit(columns[chosen], targets[track[chosen]])
                scores = pd.DataFrame(probe.decision_function(columns[asked])).groupby(track[asked]).mean()
                right = scores.to_numpy().argmax(axis=1) == targets[scores.index]
                row = {"feature": feature, "probe": name, "seed": seed, "fitted to": way}
                yield from (row | {"right": each} for each in right)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="encoders")
    parser.add_argument("--stores", nargs="+", default=["gtzan6.musicnn"], help="dataset.feature of each")
    parser.add_argument("--protocol", default="", help="whose split is used; by default artist folds are made")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="each makes other artist folds")
    arguments = parser.parse_args()
    catalog = DataCatalog.from_config(load_configuration(experiment=arguments.experiment)["catalog"])
    each = (measure(catalog, name, arguments.protocol, arguments.seeds) for name in arguments.stores)
    rows = pd.DataFrame([row for rows in each for row in rows])
    keys = ["feature", "probe", "seed"]
    table = 100.0 * rows.pivot_table(index=keys, columns="fitted to", values="right")
    mean = table.groupby(keys[:-1]).mean().assign(seed="mean").set_index("seed", append=True)
    print(
        pd.concat([table, mean] if len(arguments.seeds) > 1 else [table]).sort_index(level=[0, 1]).round(1).to_string()
    )
    print(f"{len(rows) // rows.groupby([*keys, 'fitted to']).ngroups} test tracks in each number.")


if __name__ == "__main__":
    main()
