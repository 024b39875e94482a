"""How sure a mean over tracks is, when tracks of one artist are alike and every repeat tests the same model anew."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.errors import EvaluationError
from genre_pipeline.spelling import name_key

# [?] The smallest p-value is 2 / (n + 1), which must stay below 0.05 after Holm's correction for some hundred pairs.
N_RESAMPLES = 9_999
# [?] Draws made at once: bounds the memory to some tens of MB for a thousand artists.
_BLOCK = 2_000


class Resampled(NamedTuple):
    """A mean and what it could have been with other artists.

    Attributes:
        estimate: The mean.
        draws: The mean of each resample, shape ``(n_resamples,)``.
        n_clusters: Number of clusters that were drawn from.
    """

    estimate: float
    draws: NDArray[np.float64]
    n_clusters: int

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the expanded percentile interval.

        Its ends are the quantiles q and 1 - q of the draws with q = Phi(sqrt(n / (n - 1)) * t(alpha / 2, n - 1)), which
        makes up for the resamples' variance being too small by (n - 1) / n, and for n being small: Hesterberg, "What
        Teachers Should Know About the Bootstrap", The American Statistician 69, 2015, section 4.2.

        Args:
            confidence: Coverage, between 0 and 1.

        Returns:
            Lower and upper end; NaN for a single cluster, of which nothing can be said.
        """
        from scipy.special import ndtr, stdtrit

        n = self.n_clusters
        if n < 2:
            return math.nan, math.nan
        tail = float(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, (1.0 - confidence) / 2.0)))
        low, high = np.quantile(self.draws, [tail, 1.0 - tail])
        return float(low), float(high)

    def p_value(self) -> float:
        """Return the two-sided p-value of "the mean is zero": where the expanded interval would just reach zero.

        The smaller tail is (1 + number of draws beyond zero) / (1 + n_resamples), never zero: Davison and Hinkley,
        "Bootstrap Methods and Their Application", 1997, section 4.2.

        Returns:
            The p-value; NaN for a single cluster.
        """
        from scipy.special import ndtri, stdtr

        n = self.n_clusters
        if n < 2:
            return math.nan
        beyond = min(np.count_nonzero(self.draws <= 0.0), np.count_nonzero(self.draws >= 0.0))
        tail = (1 + beyond) / (1 + len(self.draws))
        return min(1.0, 2.0 * float(stdtr(n - 1, math.sqrt((n - 1) / n) * ndtri(min(tail, 0.5)))))


def resample(values: pd.DataFrame, *, draw_repeats: bool, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Resampled:
    """Bootstrap a mean over tracks, artists drawn as wholes.

    Every repeat weighs the same, so that the mean is that over repeats of each repeat's mean over tracks. Clusters are
    drawn with replacement, each with all of its tracks in all repeats: Field and Welsh, "Bootstrapping clustered data",
    JRSS B 69, 2007. Where repeats are seeds that test the same tracks, they are drawn too, independently of the
    clusters: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007, which is if anything too wide.

    Args:
        values: One row per ``repeat`` and track, with its ``cluster`` (any label) and its ``value``.
        draw_repeats: Whether repeats are drawn like clusters are.
        n_resamples: Number of resamples.
        seed: Seed of the draws; the same seed gives the same draws for the same clusters.

    Returns:
        The mean and its resamples.

    Raises:
        EvaluationError: If there is no row.

    Example:
        >>> tracks = pd.DataFrame({"repeat": 0, "cluster": ["a", "b", "b"], "value": [1.0, 0.0, 0.5]})
        >>> mean = resample(tracks, draw_repeats=False, n_resamples=99)
        >>> mean.estimate, mean.n_clusters, len(mean.draws)
        (0.5, 2, 99)
    """
    if values.empty:
        raise EvaluationError("There is no test track to draw from: expected one or more. Predict the test tracks.")
    weights = 1.0 / values.groupby("repeat")["value"].transform("size").to_numpy(dtype=np.float64)
    repeats, repeat_names = pd.factorize(values["repeat"], sort=True)
    clusters, cluster_names = pd.factorize(values["cluster"], sort=True)
    shape = (len(cluster_names), len(repeat_names))
    sums, sizes = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (clusters, repeats), weights * values["value"].to_numpy(dtype=np.float64))
    np.add.at(sizes, (clusters, repeats), weights)
    rng = np.random.default_rng(seed)
    draws = [
        _means(rng, sums, sizes, min(_BLOCK, n_resamples - start), draw_repeats=draw_repeats)
        for start in range(0, n_resamples, _BLOCK)
    ]
    return Resampled(float(sums.sum() / sizes.sum()), np.concatenate(draws), len(cluster_names))


def clusters_of(track_ids: pd.Series[str], artists: pd.Series[str]) -> pd.Series[str]:
    """Name the cluster of each track: its artist, in one spelling, or the track itself where the artist is unknown.

    Args:
        track_ids: The tracks.
        artists: Artist by track id, empty where unknown.

    Returns:
        The cluster's name, in the order of the tracks.

    Example:
        >>> artists = pd.Series({"a": "Someone", "b": ""})
        >>> clusters_of(pd.Series(["a", "b", "c"]), artists).tolist()
        ['artist Someone', 'track b', 'track c']
    """
    first: dict[str, str] = {}
    known = {track: first.setdefault(name_key(artist), artist) for track, artist in artists.items() if artist}
    names = [f"artist {known[track]}" if track in known else f"track {track}" for track in track_ids]
    return pd.Series(names, index=track_ids.index, dtype="str")


def _means(
    rng: np.random.Generator,
    sums: NDArray[np.float64],
    sizes: NDArray[np.float64],
    n: int,
    *,
    draw_repeats: bool,
) -> NDArray[np.float64]:
    n_clusters, n_repeats = sums.shape
    times = rng.multinomial(n_clusters, np.full(n_clusters, 1.0 / n_clusters), size=n).astype(np.float64)
    shares = np.ones((n, n_repeats))
    if draw_repeats:
        shares = rng.multinomial(n_repeats, np.full(n_repeats, 1.0 / n_repeats), size=n).astype(np.float64)
    means: NDArray[np.float64] = ((times @ sums) * shares).sum(axis=1) / ((times @ sizes) * shares).sum(axis=1)
    return means
