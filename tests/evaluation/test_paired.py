"""Paired tests agree with their formulas, are mistaken as often as they say, and find what is there."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from genre_pipeline.errors import EvaluationError
from genre_pipeline.evaluation.paired import (
    PAIR_COLUMNS,
    compare,
    compare_pairs,
    corrected_t_test,
    holm,
    mcnemar_test,
)
from invented_outcomes import invent_outcomes

EXACT = settings(derandomize=True, deadline=None, max_examples=40)
GENRES = ["jazz", "rock"]


def predictions_of(rights, *, repeat=0):
    """One jazz track for each answer."""
    rights = np.asarray(rights, dtype=float)
    table = pd.DataFrame({"repeat": repeat, "split": "test", "track_id": [f"t{i:03d}" for i in range(len(rights))]})
    return table.assign(genre="jazz", p_jazz=0.1 + 0.8 * rights, p_rock=0.9 - 0.8 * rights)


def cells(make_result, *models, **changes):
    results = [make_result(model=model, genres=GENRES, **changes) for model in models]
    return results, pd.Series({f"t{i:03d}": f"artist {i // 2}" for i in range(100)})


def pairs(make_result, rights, *, design="seeds", **changes):
    """Compare models, each with its list of right answers, or one list a repeat."""
    results, artists = cells(make_result, *(f"net{i}" for i in range(len(rights))), design=design)
    tables = [
        pd.concat([predictions_of(each, repeat=i) for i, each in enumerate(np.atleast_2d(one))]) for one in rights
    ]
    return compare_pairs(results, tables, artists=artists, divided="track", n_resamples=999, **changes)


def test_a_pair_has_its_numbers(make_result):
    a, b = np.ones(40), np.ones(40)
    b[:14] = 0
    a[39] = 0
    table = pairs(make_result, [a, b])
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == dict(PAIR_COLUMNS)
    (row,) = table.to_dict("records")
    assert row["difference"] == pytest.approx(13 / 40)
    assert (row["only_a"], row["only_b"], row["n_tracks"], row["n_clusters"], row["n_repeats"]) == (14, 1, 40, 20, 1)
    assert row["ci_low"] < 13 / 40 < row["ci_high"]
    assert row["p_mcnemar"] == pytest.approx(stats.binomtest(1, 15).pvalue)
    assert math.isnan(row["p_corrected_t"])
    assert row["p"] == row["p_holm"] == max(row["p_bootstrap"], row["p_mcnemar"])
    assert (row["model_a"], row["model_b"], row["better"]) == ("net0", "net1", "a")
    assert row["split_hash"] == "5b1e5b1e5b1e5b1e"


def test_every_pair_is_there_once_and_corrected_for_all(make_result):
    good, bad = np.ones(60), np.zeros(60)
    table = pairs(make_result, [bad, good, good])
    assert table[["model_a", "model_b"]].to_numpy().tolist() == [["net0", "net1"], ["net0", "net2"], ["net1", "net2"]]
    assert table["better"].tolist() == ["b", "b", ""]
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"]).tolist())
    assert table["p_holm"][2] == 1.0


def test_one_cell_has_no_pair(make_result):
    table = pairs(make_result, [np.ones(5)])
    assert table.empty
    assert list(table.columns) == list(PAIR_COLUMNS)


def test_folds_are_pooled_and_tested_by_their_differences(make_result):
    results, artists = cells(make_result, "net0", "net1", design="kfold")
    rng = np.random.default_rng(0)
    folds = [(rng.uniform(size=12) < 0.9, rng.uniform(size=12) < 0.5) for _ in range(5)]
    tables = [
        pd.concat(
            [
                predictions_of(fold[model], repeat=i).assign(track_id=[f"t{12 * i + j:03d}" for j in range(12)])
                for i, fold in enumerate(folds)
            ]
        )
        for model in (0, 1)
    ]
    (row,) = compare_pairs(results, tables, artists=artists, divided="track", n_resamples=999).to_dict("records")
    differences = [a.mean() - b.mean() for a, b in folds]
    assert row["difference"] == pytest.approx(np.mean(differences))
    assert row["n_tracks"] == 60
    # The fabricated results train on 72 tracks and test on 24.
    assert row["p_corrected_t"] == pytest.approx(corrected_t_test(differences, test_ratio=24 / 72))
    assert math.isnan(row["p_mcnemar"])


def test_pieces_are_counted_where_the_split_divides_them(make_result):
    results, artists = cells(make_result, "net0", "net1", design="resampled")
    for result in results:
        result["n_segments"] = {"train": 100.0, "validation": 100.0, "test": 100.0}
    rng = np.random.default_rng(0)
    tables = [pd.concat([predictions_of(rng.uniform(size=20) < p, repeat=i) for i in range(4)]) for p in (0.9, 0.6)]
    p = {
        divided: compare_pairs(results, tables, artists=artists, divided=divided, n_resamples=99)["p_corrected_t"][0]
        for divided in ("track", "piece")
    }
    assert p["piece"] > p["track"]


def test_only_tracks_and_repeats_of_both_are_compared(make_result):
    results, artists = cells(make_result, "net0", "net1")
    one = pd.concat([predictions_of(np.ones(20)), predictions_of(np.zeros(20), repeat=1)])
    other = predictions_of(np.zeros(15))
    (row,) = compare_pairs(results, [one, other], artists=artists, divided="track", n_resamples=99).to_dict("records")
    assert (row["n_tracks"], row["n_repeats"], row["difference"]) == (15, 1, 1.0)


def test_cells_that_share_no_track_or_split_are_refused(make_result):
    results, artists = cells(make_result, "net0", "net1")
    one, other = predictions_of(np.ones(5)), predictions_of(np.ones(5)).assign(track_id=list("abcde"))
    with pytest.raises(EvaluationError, match="share no test track, but are of one split"):
        compare_pairs(results, [one, other], artists=artists, divided="track")
    results[1]["split_hash"] = "another"
    with pytest.raises(EvaluationError, match="Expected cells of one split to compare in pairs"):
        compare_pairs(results, [one, one], artists=artists, divided="track")


def test_the_corrected_test_follows_its_formula():
    differences = [0.02, -0.01, 0.05, 0.03]
    statistic = np.mean(differences) / (np.std(differences, ddof=1) * np.sqrt(1 / 4 + 0.1))
    assert corrected_t_test(differences, test_ratio=0.1) == pytest.approx(2 * stats.t.sf(statistic, 3))
    assert corrected_t_test(differences, test_ratio=0.0) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_the_corrected_test_needs_a_spread():
    assert math.isnan(corrected_t_test([0.1], test_ratio=0.1))
    assert math.isnan(corrected_t_test([0.1, 0.1, 0.1], test_ratio=0.1))
    assert corrected_t_test([0.0, 0.0], test_ratio=0.1) == 1.0


@EXACT
@given(only_a=st.integers(0, 60), only_b=st.integers(0, 60))
def test_mcnemar_is_the_binomial_test_and_symmetric(only_a, only_b):
    p = mcnemar_test(only_a, only_b)
    assert p == pytest.approx(mcnemar_test(only_b, only_a))
    n, fewer = only_a + only_b, min(only_a, only_b)
    assert p == pytest.approx(min(1.0, 2 * stats.binom.cdf(fewer, n, 0.5)))


@EXACT
@given(values=st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=12), data=st.data())
def test_holm_is_between_the_p_value_and_bonferroni(values, data):
    corrected, p = holm(values), np.asarray(values, dtype=float)
    known = np.isfinite(p)
    assert np.isnan(corrected[~known]).all()
    assert (p[known] <= corrected[known]).all()
    assert (corrected[known] <= np.minimum(1.0, known.sum() * p[known]) + 1e-12).all()
    order = np.argsort(p[known], kind="stable")
    assert (np.diff(corrected[known][order]) >= 0.0).all()
    places = data.draw(st.permutations(range(len(values))))
    np.testing.assert_allclose(holm(p[places]), corrected[places])


def mistaken(n_experiments=300, *, design="seeds", test_ratio=0.33, **world):
    """Compare invented models many times."""
    rng = np.random.default_rng(0)
    rows = [
        compare(invent_outcomes(rng, design=design, **world), design=design, test_ratio=test_ratio, n_resamples=499)
        for _ in range(n_experiments)
    ]
    return pd.DataFrame(rows)


# 300 experiments: 5 % have a standard error of 1.3 %.
@pytest.mark.parametrize(
    ("world", "highest"),
    [
        ({"n_artists": 15, "n_each": 8}, 0.10),
        ({"n_artists": 40, "n_each": 3}, 0.09),
        ({"n_artists": 40, "n_each": 3, "n_repeats": 3, "luck": 0.2}, 0.09),
        ({"n_artists": 40, "n_each": 3, "n_repeats": 5, "design": "kfold"}, 0.09),
    ],
)
def test_equal_models_are_seldom_told_apart(world, highest):
    found = mistaken(**world)
    assert (found["p_bootstrap"] <= 0.05).mean() <= highest
    assert (found["p"] <= 0.05).mean() <= 0.075
    covered = (found["ci_low"] <= 0.0) & (found["ci_high"] >= 0.0)
    assert covered.mean() >= 1.0 - highest


def test_tests_that_take_tracks_for_independent_are_mistaken_more_often():
    found = mistaken(n_artists=15, n_each=8)
    assert (found["p_mcnemar"] <= 0.05).mean() > 0.13


def test_folds_need_both_tests_where_trainings_are_a_matter_of_luck():
    found = mistaken(n_artists=40, n_each=3, n_repeats=5, luck=0.4, design="kfold")
    assert (found["p_bootstrap"] <= 0.05).mean() > 0.11
    assert (found["p"] <= 0.05).mean() <= 0.075


def test_without_correction_folds_of_shared_training_tracks_seem_surer():
    found = mistaken(100, n_artists=40, n_each=3, n_repeats=5, design="kfold", advantage=0.5)
    plain = mistaken(100, n_artists=40, n_each=3, n_repeats=5, design="kfold", advantage=0.5, test_ratio=0.0)
    assert (plain["p_corrected_t"] < found["p_corrected_t"]).all()


@pytest.mark.parametrize("world", [{}, {"n_repeats": 3, "luck": 0.1}, {"n_repeats": 5, "design": "kfold"}])
def test_better_models_are_found(world):
    found = mistaken(60, n_artists=60, n_each=3, taste=0.3, advantage=1.0, **world)
    assert (found["p"] <= 0.05).mean() > 0.7
    assert (found["difference"] > 0).all()
