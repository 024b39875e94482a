"""Which songs to label next: those of which a model is unsure, and that differ from each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.errors import AudioError, ConfigError
from genre_pipeline.evaluation.answers import FileAnswer
from genre_pipeline.evaluation.prediction import GenrePredictor
from genre_pipeline.evaluation.track_answers import describe_frames, spread
from genre_pipeline.stores.store import FeatureStore, spec_hash

# [?] In standard deviations. What is closer is the same recording, whose features differ by rounding alone.
_SAME = 0.01


def describe_labelled(model: GenrePredictor, store: FeatureStore) -> NDArray[np.float64]:
    """Describe the labelled songs by the model's feature.

    Args:
        model: The model.
        store: The feature of the songs on which it was trained and tested.

    Returns:
        Shape ``(n_labelled, n_values)``.

    Raises:
        ConfigError: If the store holds another feature than the model's.
    """
    if store.spec_hash != spec_hash(model.spec, model.feature):
        dataset, _, feature, _ = model.cell.split(".")
        raise ConfigError(
            f"{dataset}.{feature}: its features were computed again with other parameters since the model was trained. "
            "Train it again: genre-pipeline refresh."
        )
    return np.stack([describe_frames(store.read(track_id)) for track_id in store.index["track_id"]])


def choose_of_answers(
    model: GenrePredictor, answers: Sequence[FileAnswer], labelled: NDArray[np.float64], n_songs: int
) -> pd.DataFrame:
    """Choose the songs that are worth labelling next: see :func:`choose_songs`.

    Args:
        model: The model.
        answers: Its answers about the songs, with their descriptions.
        labelled: What :func:`describe_labelled` returned.
        n_songs: How many to choose.

    Raises:
        AudioError: If no song could be classified.
    """
    described = [each.description for each in answers if each.description is not None]
    if not described:
        raise AudioError(f"No file could be classified. The first of {len(answers):,}: {answers[0].error}")
    songs = model.tabulate([each for each in answers if not each.error])
    return choose_songs(songs, np.stack(described), labelled, n_songs)


def choose_songs(
    songs: pd.DataFrame, described: NDArray[np.float64], labelled: NDArray[np.float64], n_songs: int
) -> pd.DataFrame:
    """Choose the songs that are worth labelling next.

    The songs are put into as many groups as are to be chosen, by k-means that counts each by its uncertainty, and of
    each group the song closest to the centre is chosen: Zhdanov, "Diverse mini-batch Active Learning", 2019
    (arXiv:1901.05954). Uncertainty is that of the margin: 1 minus the difference of the two highest probabilities
    (Scheffer, Decomain and Wrobel, "Active Hidden Markov Models for Information Extraction", IDA 2001). The first is
    the one whose group has the most uncertainty. Going for the farthest songs, as the greedy k-centre cover does (Sener
    and Savarese, ICLR 2018), finds outliers first: ``benchmarks/measure_label_next.py`` compares both.

    Args:
        songs: What :meth:`~genre_pipeline.evaluation.prediction.GenrePredictor.classify` returned of the songs that
            could be classified.
        described: Their features, see :func:`~genre_pipeline.evaluation.track_answers.describe_frames`; shape
            ``(n_candidates, n_values)``.
        labelled: Those of the labelled songs, to whose spread distances are scaled; shape ``(n_labelled, n_values)``.
        n_songs: How many to choose.

    Returns:
        The chosen songs, the first to label first, with ``rank`` (from 1), ``uncertainty``, ``distance`` (to the
        closest labelled song, in standard deviations) and ``n_alike`` (songs in its group) before their other columns.
        Copies of labelled songs and of each other are left out, and so is what the model is wholly sure of, so that
        there may be fewer.
    """
    from sklearn.cluster import KMeans
    from sklearn.neighbors import NearestNeighbors

    probabilities = np.sort(songs.filter(regex="^p_").to_numpy(dtype=np.float64), axis=1)
    uncertainty = 1.0 - (probabilities[:, -1] - probabilities[:, -2])
    scale = spread(labelled)
    places = described / scale
    distance = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(labelled / scale).kneighbors(places)[0][:, 0]
    alike = NearestNeighbors(radius=_SAME, algorithm="brute").fit(places).radius_neighbors(places)[1]
    is_first = np.array([each.min() == place for place, each in enumerate(alike)])
    candidates = np.flatnonzero(is_first & (distance > _SAME) & (uncertainty > 0.0))
    chosen: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
    n_alike: NDArray[np.integer] = np.zeros(0, dtype=np.intp)
    if len(candidates):
        weights = uncertainty[candidates]
        groups = KMeans(min(n_songs, len(candidates)), n_init=10, random_state=0)
        groups.fit(places[candidates], sample_weight=weights)
        from_centre = np.linalg.norm(places[candidates] - groups.cluster_centers_[groups.labels_], axis=1)
        members = pd.DataFrame({"from_centre": from_centre, "weight": weights}).groupby(groups.labels_)
        order = np.argsort(-members["weight"].sum().to_numpy(), kind="stable")
        chosen = candidates[members["from_centre"].idxmin().to_numpy(dtype=np.intp)[order]]
        n_alike = members.size().to_numpy()[order]
    table = songs.iloc[chosen].reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, len(chosen) + 1))
    table.insert(1, "uncertainty", uncertainty[chosen])
    table.insert(2, "distance", distance[chosen])
    table.insert(3, "n_alike", n_alike)
    return table
