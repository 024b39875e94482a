"""Intervals agree with their formulas, and cover what they claim to cover."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from genre_pipeline.errors import EvaluationError
from genre_pipeline.evaluation.intervals import Estimate, difference, summarise, wilson_interval
from invented_outcomes import invent_outcomes

EXACT = settings(derandomize=True, deadline=None, max_examples=40)
SIZES = {"n_train_tracks": 80, "n_test_tracks": 10}


def scores_of(values, *, metric="accuracy", unit="track", n=10, split="test"):
    repeats = range(len(values))
    return pd.DataFrame({"repeat": repeats, "split": split, "unit": unit, "metric": metric, "value": values, "n": n})


def only(summary):
    (row,) = summary.to_dict("records")
    return row


@pytest.mark.parametrize("design", ["kfold", "resampled"])
def test_the_corrected_interval_follows_its_formula(design):
    values = [0.5, 0.6, 0.55, 0.7]
    row = only(summarise(scores_of(values), design=design, **SIZES))
    sd = np.std(values, ddof=1)
    half_width = stats.t.ppf(0.975, 3) * sd * np.sqrt(1 / 4 + 10 / 80)
    assert row["mean"] == pytest.approx(0.5875)
    assert row["sd"] == pytest.approx(sd)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((0.5875 - half_width, 0.5875 + half_width))
    assert (row["min"], row["max"], row["n_repeats"]) == (0.5, 0.7, 4)
    assert row["interval"] == "corrected resampled t"


def test_seeds_have_the_plain_t_interval():
    values = [0.5, 0.6, 0.55, 0.7]
    row = only(summarise(scores_of(values, n=10_000), design="seeds", confidence=0.9, **SIZES))
    expected = stats.t.interval(0.9, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected)
    assert row["interval"] == "t"


@pytest.mark.parametrize(("design", "n_tested"), [("kfold", 24), ("resampled", 24), ("seeds", 12)])
def test_an_accuracy_is_no_surer_than_its_number_of_tracks_allows(design, n_tested):
    row = only(summarise(scores_of([0.75, 0.75], n=12), design=design, **SIZES))
    assert row["sd"] == 0.0
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(wilson_interval(0.75, n_tested))
    assert row["interval"] == "wilson"


def test_equal_scores_of_another_metric_have_an_interval_of_one_point():
    row = only(summarise(scores_of([0.75, 0.75], metric="macro_f1"), design="kfold", **SIZES))
    assert (row["sd"], row["ci_low"], row["ci_high"]) == (0.0, 0.75, 0.75)


def test_a_single_repeat_has_a_wilson_interval_for_accuracy_alone():
    scores = pd.concat([scores_of([0.8], n=290), scores_of([0.7], metric="macro_f1", n=290)])
    summary = summarise(scores, design="kfold", **SIZES).set_index("metric")
    expected = stats.binomtest(232, 290).proportion_ci(method="wilson")
    assert (summary["ci_low"]["accuracy"], summary["ci_high"]["accuracy"]) == pytest.approx(tuple(expected))
    assert summary["interval"].to_dict() == {"accuracy": "wilson", "macro_f1": "none"}
    assert summary["sd"].isna().all()
    assert np.isnan(summary["ci_low"]["macro_f1"])
    assert np.isnan(summary["ci_high"]["macro_f1"])


def test_segments_of_a_single_repeat_count_as_their_tracks():
    scores = pd.concat([scores_of([0.8], n=20), scores_of([0.8], unit="segment", n=200)])
    summary = summarise(scores, design="seeds", **SIZES).set_index("unit")
    assert summary["ci_low"]["segment"] == summary["ci_low"]["track"]
    with pytest.raises(EvaluationError, match="split 'test' have no accuracy of the unit 'track'"):
        summarise(scores[scores["unit"] == "segment"], design="seeds", **SIZES)


def test_bounded_metrics_have_bounded_intervals():
    scores = pd.concat([scores_of([0.1, 0.9], metric=name) for name in ("accuracy", "balanced_accuracy", "macro_f1")])
    summary = summarise(pd.concat([scores, scores_of([0.1, 2.9], metric="log_loss")]), design="kfold", **SIZES)
    bounds = summary.set_index("metric")[["ci_low", "ci_high"]]
    assert (bounds["ci_low"] == 0.0).all()
    assert (bounds["ci_high"].drop("log_loss") == 1.0).all()
    assert bounds["ci_high"]["log_loss"] > 2.9


def test_another_metric_is_not_clipped():
    row = only(summarise(scores_of([-3.0, 3.0], metric="margin"), design="seeds", **SIZES))
    assert row["ci_low"] < -3.0
    assert row["ci_high"] > 3.0


def test_groups_are_summarised_apart_and_sorted():
    scores = pd.concat(
        [scores_of([0.2, 0.4], split=split, unit=unit) for split in "ba" for unit in ("track", "segment")]
    )
    summary = summarise(scores, design="seeds", **SIZES)
    assert summary[["split", "unit"]].to_numpy().tolist() == [
        ["a", "segment"],
        ["a", "track"],
        ["b", "segment"],
        ["b", "track"],
    ]
    columns = ["split", "unit", "metric", "mean", "sd", "ci_low", "ci_high", "min", "max", "n_repeats", "interval"]
    assert summary.columns.tolist() == columns


@EXACT
@given(values=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=12), data=st.data())
def test_the_mean_is_inside_and_order_does_not_matter(values, data):
    row = only(summarise(scores_of(values), design="kfold", **SIZES))
    assert row["ci_low"] - 1e-12 <= row["mean"] <= row["ci_high"] + 1e-12
    assert 0.0 <= row["ci_low"] <= row["ci_high"] <= 1.0
    again = only(summarise(scores_of(data.draw(st.permutations(values))), design="kfold", **SIZES))
    assert {key: again[key] for key in ("mean", "ci_low", "ci_high")} == pytest.approx(
        {key: row[key] for key in ("mean", "ci_low", "ci_high")}, abs=1e-9
    )


@EXACT
@given(n=st.integers(1, 1000), data=st.data(), confidence=st.floats(0.5, 0.999))
def test_wilson_is_that_of_scipy(n, data, confidence):
    successes = data.draw(st.integers(0, n))
    expected = stats.binomtest(successes, n).proportion_ci(confidence_level=confidence, method="wilson")
    assert wilson_interval(successes / n, n, confidence=confidence) == pytest.approx(tuple(expected), abs=1e-9)


@pytest.mark.parametrize("n", [7, 10, 13, 25, 27, 1000])
def test_an_interval_of_none_or_all_begins_or_ends_there(n):
    assert wilson_interval(0.0, n)[0] == 0.0
    assert wilson_interval(1.0, n)[1] == 1.0


def test_the_corrected_interval_covers_what_the_plain_one_misses():
    """Scores of repeats that share training tracks correlate by n_test / (n_test + n_train), Nadeau and Bengio."""
    n_experiments, n_repeats, true_mean, correlation = 2000, 10, 0.7, 10 / 90
    rng = np.random.default_rng(0)
    shared = np.sqrt(correlation) * rng.standard_normal((n_experiments, 1))
    values = true_mean + 0.01 * (shared + np.sqrt(1 - correlation) * rng.standard_normal((n_experiments, n_repeats)))
    # A balanced accuracy, because an accuracy of ten tracks has the wider Wilson interval.
    scores = pd.concat(
        [scores_of(row, metric="balanced_accuracy", split=f"experiment {index}") for index, row in enumerate(values)]
    )

    def coverage(design):
        summary = summarise(scores, design=design, n_train_tracks=80, n_test_tracks=10)
        return ((summary["ci_low"] <= true_mean) & (true_mean <= summary["ci_high"])).mean()

    # 95 % of 2000 experiments have a standard error of 0.5 %.
    assert coverage("resampled") == pytest.approx(0.95, abs=0.015)
    assert coverage("seeds") < 0.85


def outcomes_of(scores, rights):
    """One artist for every two tracks; the same tracks in every repeat."""
    tables = [
        pd.DataFrame({"repeat": repeat, "split": "test", "unit": "track", "value": right})
        for repeat, right in zip(scores["repeat"], rights, strict=True)
    ]
    return pd.concat([table.assign(cluster=table.index // 2) for table in tables])


def test_artists_widen_an_accuracy_where_their_tracks_are_alike():
    rights = [np.repeat([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], 4)]
    scores = scores_of([0.7], n=40)
    outcomes = outcomes_of(scores, rights).assign(cluster=np.repeat(range(10), 4))
    row = only(summarise(scores, design="seeds", outcomes=outcomes, **SIZES))
    assert row["interval"] == "clustered bootstrap"
    low, high = wilson_interval(0.7, 40)
    assert row["ci_low"] < low < high < row["ci_high"]


def test_seeds_with_outcomes_have_no_t_interval():
    scores = scores_of([0.5, 0.9], n=40)
    rights = [np.repeat([1.0, 0.0], [20, 20]), np.repeat([1.0, 0.0], [36, 4])]
    row = only(summarise(scores, design="seeds", outcomes=outcomes_of(scores, rights), **SIZES))
    assert row["interval"] == "clustered bootstrap"
    assert 0.1 < row["ci_low"] < 0.5
    assert 0.85 < row["ci_high"] <= 1.0
    assert only(summarise(scores, design="seeds", **SIZES))["interval"] == "t"


def test_folds_keep_the_widest_interval():
    scores = scores_of([0.2, 0.9, 0.5], n=40)
    outcomes = outcomes_of(scores, [np.arange(40) < 40 * value for value in (0.2, 0.9, 0.5)])
    row = only(summarise(scores, design="kfold", outcomes=outcomes, **SIZES))
    assert row["interval"] == "corrected resampled t"


def test_perfect_accuracies_and_a_single_artist_have_the_wilson_interval():
    scores = scores_of([1.0], n=20)
    outcomes = outcomes_of(scores, [np.ones(20)])
    for table in (outcomes, outcomes.assign(cluster=0)):
        row = only(summarise(scores, design="seeds", outcomes=table, **SIZES))
        assert row["interval"] == "wilson"
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(wilson_interval(1.0, 20))


@pytest.mark.parametrize(
    "world",
    [
        {"n_artists": 15, "n_each": 8},
        {"n_artists": 40, "n_each": 3, "n_repeats": 3, "luck": 0.2},
        {"n_artists": 40, "n_each": 3, "n_repeats": 5, "luck": 0.3, "design": "kfold"},
    ],
)
def test_the_shown_interval_covers_other_artists_and_trainings(world):
    """60 experiments: 95 % have a standard error of 2.8 %."""
    design, rng = world.get("design", "seeds"), np.random.default_rng(0)
    once = {**world, "n_repeats": 1, "design": "seeds"}
    truth = np.mean([invent_outcomes(rng, **once)["right_a"].mean() for _ in range(500)])
    covered = []
    for _ in range(60):
        told = invent_outcomes(rng, **world).assign(split="test", unit="track")
        told["value"] = told["right_a"].astype(float)
        by_repeat = told.groupby("repeat")["value"]
        scores = scores_of(by_repeat.mean().to_numpy(), n=by_repeat.size().to_numpy())
        n_tested = float(by_repeat.size().mean())
        sizes = {"n_train_tracks": 3 * n_tested, "n_test_tracks": n_tested}
        row = only(summarise(scores, design=design, outcomes=told, **sizes))
        covered.append(row["ci_low"] <= truth <= row["ci_high"])
    assert np.mean(covered) >= 0.86


@pytest.mark.parametrize(
    ("scores", "changes", "message"),
    [
        (scores_of([0.5, 0.6]), {"design": "kfolds"}, "Unknown design of repeats 'kfolds'. Did you mean 'kfold'"),
        (scores_of([0.5, 0.6]), {"n_train_tracks": 0}, "numbers of training and test tracks above 0, got 0 and 10"),
        (scores_of([0.5, 0.6]), {"confidence": 95}, "confidence between 0 and 1, got 95"),
        (scores_of([0.5]).drop(columns="n"), {}, "lack the columns n"),
        (scores_of([]), {}, "empty: there is nothing to summarise"),
        (scores_of([0.5, np.nan]), {}, r"accuracy of repeat 1 \(test, track\) is not finite: nan"),
        (pd.concat([scores_of([0.5])] * 2), {}, r"accuracy of repeat 0 \(test, track\) is there twice"),
    ],
)
def test_bad_scores_are_refused(scores, changes, message):
    with pytest.raises(EvaluationError, match=message):
        summarise(scores, **{"design": "kfold", **SIZES, **changes})


def test_differences_of_proportions_are_covered_as_claimed():
    # Simulation: 95 % of the intervals of two independent proportions hold the true difference, also far from the half.
    rng = np.random.default_rng(20261125)
    n, true_a, true_b, n_draws = 40, 0.9, 0.75, 2000
    hits = 0
    for a, b in zip(rng.binomial(n, true_a, n_draws) / n, rng.binomial(n, true_b, n_draws) / n, strict=True):
        gap = difference(Estimate(a, *wilson_interval(a, n)), Estimate(b, *wilson_interval(b, n)))
        hits += gap.low <= true_a - true_b <= gap.high
    # Three standard errors of a share of 2000.
    assert abs(hits / n_draws - 0.95) < 3 * np.sqrt(0.95 * 0.05 / n_draws)


def test_a_difference_without_one_interval_has_none():
    gap = difference(Estimate(0.8, 0.7, 0.9), Estimate(0.5, np.nan, np.nan))
    assert gap.value == pytest.approx(0.3)
    assert np.isnan([gap.low, gap.high]).all()


def test_a_fixed_number_moves_the_interval():
    assert difference(Estimate(0.8, 0.7, 0.95), Estimate(0.5, 0.5, 0.5)) == pytest.approx((0.3, 0.2, 0.45))
