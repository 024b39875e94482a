"""A new model takes the champion's place unless the tests say that it is worse, or a margin asks for more."""

import numpy as np
import pandas as pd
import pytest

from genre_pipeline.evaluation.promotion import decide

N_TRACKS = 60


def outcomes(n_right, *, repeats=(0, 1, 2), first=0):
    """Of each repeat's tracks, the first are right, a few less in later repeats: repeats never agree exactly."""
    tracks = [f"t{number:03d}" for number in range(first, first + N_TRACKS)]
    rows = {(repeat, track): place < n_right - repeat**2 for repeat in repeats for place, track in enumerate(tracks)}
    return pd.Series(rows).rename_axis(["repeat", "track_id"])


def decision(challenger, champion, **options):
    options = {"design": "kfold", "test_ratio": 0.25, "n_resamples": 499, "artists": pd.Series(dtype=str)} | options
    return decide(challenger, champion, **options)


def test_a_better_model_becomes_the_champion():
    found = decision(outcomes(50), outcomes(30))
    assert found.alias == "champion"
    assert found.reason.startswith("better than the champion on 60 common test tracks: +33.3 points (p = ")
    assert found.comparison["difference"] == pytest.approx(20 / 60)


def test_a_worse_model_stays_challenger_and_the_reason_has_the_numbers():
    found = decision(outcomes(30), outcomes(50))
    assert found.alias == "challenger"
    assert found.reason.startswith("worse than the champion on 60 common test tracks: -33.3 points (p = ")
    assert found.comparison["p"] <= 0.05


def test_a_loss_that_may_be_chance_does_not_keep_a_model_back():
    found = decision(outcomes(49), outcomes(50))
    assert found.alias == "champion"
    assert "not shown to be worse than the champion on 60 common test tracks: -1.7 points" in found.reason


def test_a_margin_asks_that_a_loss_be_excluded():
    loss = decision(outcomes(49), outcomes(50), margin=0.02)
    assert loss.alias == "challenger"
    assert "a loss of 2 points is not excluded (interval from -" in loss.reason
    assert decision(outcomes(49), outcomes(50), margin=0.2).alias == "champion"
    assert decision(outcomes(50), outcomes(30), margin=0.0).alias == "champion"


def test_only_tracks_that_both_were_tested_with_count():
    # The new model is right about all tracks that were added since, which is no merit against the old one.
    challenger = pd.concat([outcomes(30), outcomes(60, first=N_TRACKS)])
    assert decision(challenger, outcomes(50)).alias == "challenger"
    assert decision(challenger, outcomes(50)).comparison["n_tracks"] == N_TRACKS


def test_without_a_common_test_track_nothing_can_be_said():
    for other in (outcomes(60, first=100), outcomes(60, repeats=(5,))):
        found = decision(other, outcomes(10))
        assert found.alias == "challenger"
        assert "no test track in common with the champion" in found.reason
        assert found.comparison == {}


def test_a_single_artist_cannot_tell():
    artists = pd.Series({f"t{number:03d}": "Somebody" for number in range(N_TRACKS)})
    found = decision(outcomes(50), outcomes(30), artists=artists, design="seeds")
    assert found.alias == "challenger"
    assert "no test can compare it" in found.reason


def test_equal_models_are_seldom_held_back():
    """Of two models that are equally good, a new one is held back about as often as the level says, or less."""
    rng = np.random.default_rng(0)
    tracks = pd.MultiIndex.from_product([range(3), [f"t{each}" for each in range(40)]], names=["repeat", "track_id"])
    held_back = 0
    for _ in range(60):
        one, other = (pd.Series(rng.random(len(tracks)) < 0.7, index=tracks) for _ in range(2))
        held_back += decision(one, other, n_resamples=199).alias == "challenger"
    # One-sided: half of the level. 60 trials at 2.5 % give more than 6 with a probability of 0.1 %.
    assert held_back <= 6
