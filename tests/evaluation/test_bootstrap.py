"""The clustered bootstrap agrees with what is known of means, and covers what it claims to cover."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from genre_pipeline.errors import EvaluationError
from genre_pipeline.evaluation.bootstrap import Resampled, clusters_of, resample
from genre_pipeline.evaluation.intervals import wilson_interval
from invented_outcomes import invent_outcomes

EXACT = settings(derandomize=True, deadline=None, max_examples=30)


def values_of(values, *, repeat=0, cluster=None):
    return pd.DataFrame(
        {"repeat": repeat, "cluster": range(len(values)) if cluster is None else cluster, "value": values}
    )


def test_independent_tracks_have_about_the_t_interval():
    values = np.random.default_rng(0).normal(0.3, 1.0, 60)
    mean = resample(values_of(values), draw_repeats=False)
    expected = stats.t.interval(0.95, 59, loc=values.mean(), scale=stats.sem(values))
    assert mean.estimate == pytest.approx(values.mean())
    assert mean.interval(0.95) == pytest.approx(expected, abs=0.03)
    assert mean.p_value() == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue, abs=0.02)


def test_tracks_of_one_artist_count_once():
    values = np.random.default_rng(1).normal(0.0, 1.0, 20)
    alone = resample(values_of(values), draw_repeats=False)
    ten_times = resample(values_of(np.repeat(values, 10), cluster=np.repeat(range(20), 10)), draw_repeats=False)
    assert ten_times.n_clusters == alone.n_clusters == 20
    assert ten_times.interval(0.95) == pytest.approx(alone.interval(0.95))
    as_if_independent = resample(values_of(np.repeat(values, 10)), draw_repeats=False).interval(0.95)
    assert np.diff(as_if_independent) < 0.5 * np.diff(alone.interval(0.95))


def test_every_repeat_weighs_the_same():
    values = pd.concat([values_of([1.0, 1.0, 1.0, 1.0]), values_of([0.0], repeat=1, cluster=[9])])
    assert resample(values, draw_repeats=False, n_resamples=9).estimate == 0.5


def test_drawn_repeats_add_their_spread():
    tracks = [values_of([level] * 30, repeat=repeat) for repeat, level in enumerate((0.2, 0.4, 0.6))]
    still = resample(pd.concat(tracks), draw_repeats=False)
    drawn = resample(pd.concat(tracks), draw_repeats=True)
    assert still.interval(0.95) == pytest.approx((0.4, 0.4))
    low, high = drawn.interval(0.95)
    assert (low, high) == pytest.approx((0.2, 0.6))


def test_the_same_seed_gives_the_same_draws():
    values = values_of(np.linspace(-1, 2, 30))
    first, second = (resample(values, draw_repeats=False, n_resamples=50, seed=3) for _ in range(2))
    assert first.draws.tolist() == second.draws.tolist()
    other = resample(values, draw_repeats=False, n_resamples=50, seed=4)
    assert other.draws.tolist() != first.draws.tolist()


def test_a_single_cluster_says_nothing():
    mean = resample(values_of([0.0, 1.0], cluster=["x", "x"]), draw_repeats=False, n_resamples=10)
    assert mean.estimate == 0.5
    assert np.isnan([*mean.interval(0.95), mean.p_value()]).all()


def test_no_difference_anywhere_is_no_evidence():
    mean = resample(values_of([0.0] * 10), draw_repeats=False, n_resamples=99)
    assert mean.interval(0.95) == (0.0, 0.0)
    assert mean.p_value() == 1.0


def test_no_row_is_an_error():
    with pytest.raises(EvaluationError, match="no test track to draw from"):
        resample(values_of([]), draw_repeats=False)


def test_unknown_artists_are_tracks_of_their_own():
    artists = pd.Series({"a": "Someone", "b": "", "c": "Someone", "d": ""})
    names = clusters_of(pd.Series(["a", "b", "c", "d", "e"]), artists)
    assert names.nunique() == 4
    assert names[0] == names[2]


def test_an_artist_spelled_in_two_ways_is_one():
    artists = pd.Series({"a": "Someone", "b": "SOMEONE ", "c": "The Beatles", "d": "Beatles, The"})
    names = clusters_of(pd.Series(["a", "b", "c", "d"]), artists)
    assert names.tolist() == ["artist Someone", "artist Someone", "artist The Beatles", "artist The Beatles"]


@EXACT
@given(seed=st.integers(0, 2**32 - 1), n_clusters=st.integers(3, 40), confidence=st.floats(0.6, 0.98))
def test_interval_and_p_value_agree(seed, n_clusters, confidence):
    """The interval excludes zero where the p-value is below its level, but for the draws next to the ends."""
    draws = np.random.default_rng(seed).normal(0.4, 0.3, 999)
    found = Resampled(0.4, draws, n_clusters)
    low, high = found.interval(confidence)
    margin = 0.02
    if found.p_value() < 1.0 - confidence - margin:
        assert low > 0.0
    if found.p_value() > 1.0 - confidence + margin:
        assert low <= 0.0 <= high
    wider = found.interval(0.99)
    assert wider[0] <= low <= high <= wider[1]


@pytest.mark.parametrize(("n_artists", "n_each"), [(15, 8), (40, 3)])
def test_the_interval_of_an_accuracy_covers_it_where_artists_cluster(n_artists, n_each):
    """400 experiments: 95 % have a standard error of 1.1 %."""
    rng = np.random.default_rng(0)
    design = {"n_artists": n_artists, "n_each": n_each, "taste": 1.0}
    truth = np.mean([invent_outcomes(rng, **design)["right_a"].mean() for _ in range(2000)])
    clustered, independent = [], []
    for _ in range(400):
        outcomes = invent_outcomes(rng, **design)
        values = outcomes[["repeat", "cluster"]].assign(value=outcomes["right_a"].astype(float))
        low, high = resample(values, draw_repeats=False, n_resamples=499).interval(0.95)
        clustered.append(low <= truth <= high)
        low, high = wilson_interval(outcomes["right_a"].mean(), len(outcomes))
        independent.append(low <= truth <= high)
    assert 0.91 <= np.mean(clustered) <= 0.99
    assert np.mean(independent) < np.mean(clustered) - 0.04
