"""Are labels of songs that are chosen worth more than labels of random songs? Accuracy after labelling them, in %.

Artist folds, each seed another choice of them. One track of each of two artists a genre is labelled; a support vector
machine that is trained on these chooses songs among the other training tracks, is trained again with their labels, and
is tested on the tracks of the other artists. Random songs are drawn four times. The experiment's features must be
there:

    kedro run --pipelines ingest,segment,features --experiment encoders
    python benchmarks/measure_label_next.py --experiment encoders --store gtzan6.musicnn --seeds 0 1 2 3 4 5
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import DataCatalog
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from genre_pipeline.configuration import load_configuration
from genre_pipeline.evaluation.label_next import choose_songs
from genre_pipeline.evaluation.track_answers import describe_frames, spread
from genre_pipeline.splits.folds import balanced_folds
from genre_pipeline.splits.identities import linked_groups

N_FOLDS, N_LABELLED, N_RANDOM = 5, 2, 4
Array = NDArray[np.float64]


def choose_groups(probabilities: Array, pool: Array, labelled: Array, n_songs: int) -> NDArray[np.intp]:
    """The product's rule."""
    songs = pd.DataFrame(probabilities).add_prefix("p_").assign(place=range(len(pool)))
    return choose_songs(songs, pool, labelled, n_songs)["place"].to_numpy()


def choose_farthest(probabilities: Array, pool: Array, labelled: Array, n_songs: int) -> NDArray[np.intp]:
    """One after another the song with the greatest product of uncertainty and distance: a weighted k-centre cover."""
    places, known = pool / spread(labelled), labelled / spread(labelled)
    best = np.sort(probabilities, axis=1)
    uncertainty = 1.0 - (best[:, -1] - best[:, -2])
    distance = np.linalg.norm(places[:, None] - known[None], axis=2).min(axis=1)
    chosen = []
    for _ in range(n_songs):
        chosen.append(int((uncertainty * distance).argmax()))
        distance = np.minimum(distance, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return np.array(chosen)


RULES: dict[str, Callable[..., NDArray[np.intp]]] = {"groups": choose_groups, "farthest": choose_farthest}


def fit(columns: Array, targets: NDArray[np.int64]) -> Pipeline:
    return make_pipeline(StandardScaler(), SVC(C=10.0)).fit(columns, targets)


def softmax_of(scores: Array) -> Array:
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def measure(catalog: DataCatalog, dataset: str, feature: str, n_songs: int, seed: int) -> Iterator[dict[str, Any]]:
    store, tracks = catalog.load(f"{dataset}.{feature}.features"), catalog.load(f"{dataset}.tracks")
    usable = ~tracks["quarantined"] & tracks["track_id"].isin(store.index["track_id"])
    tracks = tracks[usable].sort_values("track_id", ignore_index=True)
    columns = np.stack([describe_frames(store.read(track_id)) for track_id in tracks["track_id"]])
    targets, groups = pd.factorize(tracks["genre"], sort=True)[0], linked_groups(tracks)
    folds = balanced_folds(groups, tracks["genre"].to_numpy(dtype=np.str_), n_folds=N_FOLDS, seed=seed)
    for fold in range(N_FOLDS):
        generator = np.random.default_rng([seed, fold])
        training = np.flatnonzero(folds != fold)
        start = [
            generator.choice(training[(groups[training] == artist) & (targets[training] == genre)])
            for genre in range(targets.max() + 1)
            for artist in generator.permutation(np.unique(groups[training][targets[training] == genre]))[:N_LABELLED]
        ]
        pool = np.setdiff1d(training, start)
        probabilities = softmax_of(fit(columns[start], targets[start]).decision_function(columns[pool]))

        def accuracy(added: NDArray[np.intp]) -> float:
            labelled = np.concatenate([start, added])  # noqa: B023
            test = folds == fold  # noqa: B023
            return float(fit(columns[labelled], targets[labelled]).score(columns[test], targets[test]))

        random = np.mean([accuracy(generator.choice(pool, n_songs, replace=False)) for _ in range(N_RANDOM)])
        yield {
            "before": accuracy(np.zeros(0, dtype=np.intp)),
            "random": random,
            **{
                name: accuracy(pool[rule(probabilities, columns[pool], columns[start], n_songs)])
                for name, rule in RULES.items()
            },
            "all": accuracy(pool),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="encoders")
    parser.add_argument("--store", default="gtzan6.musicnn", help="dataset.feature")
    parser.add_argument("--songs", type=int, default=20, help="songs that are labelled")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="each makes other folds")
    arguments = parser.parse_args()
    catalog = DataCatalog.from_config(load_configuration(experiment=arguments.experiment)["catalog"])
    dataset, _, feature = arguments.store.partition(".")
    rows = [row for seed in arguments.seeds for row in measure(catalog, dataset, feature, arguments.songs, seed)]
    table = 100.0 * pd.DataFrame(rows)
    gain = table.sub(table["random"], axis=0)
    error = gain.std() / np.sqrt(len(gain))
    shown = pd.DataFrame({"mean": table.mean(), "more than random": gain.mean(), "standard error": error})
    print(f"{arguments.store}, {arguments.songs} songs, {len(table)} folds\n{shown.round(1).to_string()}")


if __name__ == "__main__":
    main()
