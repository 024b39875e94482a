"""What changed between two runs is named, and judged as strictly as pairs of models are."""

import math

import numpy as np
import pytest

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.paired import compare, corrected_t_interval
from genre_pipeline.evaluation.run_changes import (
    compare_outcomes,
    compare_records,
    compare_sessions,
    difference_of_intervals,
)
from genre_pipeline.results.run_changes import JUDGED, regressions
from invented_outcomes import invent_outcomes
from invented_runs import CELL, answers, record, session

GOOD = [True] * 36 + [False] * 4
BAD = [True] * 12 + [False] * 28
RESAMPLES = 999


def changed(before, after):
    return compare_records(CELL, before, after, n_resamples=RESAMPLES)


class TestVerdict:
    def test_less_right_answers_are_a_regression_with_its_interval(self):
        change = changed(record(GOOD, run_id="old"), record(BAD, run_id="new"))
        assert (change["cell"], change["before"], change["after"]) == (CELL.name, "old", "new")
        assert change["verdict"] == "regression"
        judged = change["metrics"][0]
        assert (judged["metric"], judged["basis"], judged["n_tracks"]) == (JUDGED, "tracks", 40)
        assert judged["difference"] == pytest.approx(-0.6)
        assert judged["ci_low"] < -0.6 < judged["ci_high"] < 0
        assert regressions([change]) == [change]

    def test_more_right_answers_are_an_improvement(self):
        change = changed(record(BAD), record(GOOD))
        assert change["verdict"] == "improvement"
        assert change["metrics"][0]["ci_low"] > 0
        assert regressions([change]) == []

    def test_a_few_other_answers_show_no_difference(self):
        assert changed(record(GOOD), record([False] * 2 + GOOD[2:]))["verdict"] == "no difference shown"

    def test_the_same_answers_are_unchanged(self):
        change = changed(record(GOOD), record(GOOD))
        assert {each["verdict"] for each in change["metrics"]} == {"unchanged"}
        assert change["verdict"] == "unchanged"
        assert change["metrics"][0]["difference"] == 0

    def test_a_cell_that_is_not_trained_any_more_has_failed(self):
        change = changed(record(GOOD), record(metrics={}))
        assert change["verdict"] == "failed"
        assert regressions([change]) == [change]

    @pytest.mark.parametrize("before", [None, record(metrics={})])
    def test_a_cell_without_earlier_numbers_is_new(self, before):
        assert changed(before, record(GOOD))["verdict"] == "new"

    def test_a_cell_may_be_gone_or_unknown(self):
        assert changed(record(GOOD), None)["verdict"] == "gone"
        assert changed(None, None) == {
            "cell": CELL.name,
            "before": None,
            "after": None,
            "verdict": "new",
            "reason": "",
            "changes": [],
            "metrics": [],
        }


class TestBasis:
    def test_without_answers_the_logged_intervals_decide(self):
        before, after = record(accuracy=0.8), record(accuracy=0.6)
        change = changed(before, after)
        judged = change["metrics"][0]
        assert (judged["basis"], judged["n_tracks"], judged["verdict"]) == ("intervals", None, "regression")
        assert judged["difference"] == pytest.approx(-0.2)
        # Two half widths of 0.1.
        assert (judged["ci_low"], judged["ci_high"]) == pytest.approx((-0.2 - 0.1 * 2**0.5, -0.2 + 0.1 * 2**0.5))
        assert changed(before, record(accuracy=0.7))["verdict"] == "no difference shown"

    def test_one_side_with_answers_is_not_enough(self):
        assert changed(record(GOOD), record(accuracy=0.5))["metrics"][0]["basis"] == "intervals"

    def test_no_common_track_is_not_enough(self):
        after = record(GOOD)
        moved = elsewhere(after)
        assert changed(record(GOOD), moved)["metrics"][0]["basis"] == "intervals"

    def test_without_intervals_nothing_is_shown(self):
        metrics = {JUDGED: 0.9}, {JUDGED: 0.1}
        (judged,) = changed(*(record(metrics=each) for each in metrics))["metrics"]
        assert (judged["ci_low"], judged["ci_high"], judged["verdict"]) == (None, None, "no interval")

    def test_of_losses_less_is_better(self):
        by_name = {
            each["metric"]: each["verdict"] for each in changed(record(accuracy=0.4), record(accuracy=0.9))["metrics"]
        }
        assert by_name == {
            JUDGED: "improvement",
            "test_track_log_loss": "improvement",
            "test_segment_accuracy": "no interval",
        }

    def test_folds_are_compared_repeat_by_repeat(self):
        before, after = record(GOOD, n_repeats=4), record([*BAD[:11], *[False] * 29], n_repeats=4)
        judged = changed(before, after)["metrics"][0]
        a, b = after.outcomes, before.outcomes
        both = a.rename(columns={"right": "right_a"}).assign(right_b=b["right"])
        numbers = compare(both, design="kfold", test_ratio=0.25, n_resamples=RESAMPLES)
        by_fold = [group["right_a"].mean() - group["right_b"].mean() for _, group in both.groupby("repeat")]
        low, high = corrected_t_interval(by_fold, test_ratio=0.25)
        assert judged["ci_low"] == pytest.approx(min(low, numbers["ci_low"]))
        assert judged["ci_high"] == pytest.approx(max(high, numbers["ci_high"]))
        assert judged["verdict"] == "regression"

    def test_of_another_split_each_track_is_compared_with_itself(self):
        """The same tracks in other folds: what is known of each does not change."""
        moved = answers(BAD).assign(repeat=lambda table: (np.arange(40) + 1) % 4)
        numbers = compare_outcomes(
            answers(GOOD, n_repeats=4), moved, same_split=False, design="kfold", test_ratio=0.25, n_resamples=RESAMPLES
        )
        assert numbers["difference"] == pytest.approx(-0.6)
        assert (numbers["n_tracks"], numbers["verdict"]) == (40, "regression")

    def test_a_grown_dataset_is_compared_on_what_both_have(self):
        before = record(GOOD, data={"split_hash": "aaaa"})
        after = record(GOOD + [False] * 60, data={"split_hash": "cccc"})
        change = changed(before, after)
        judged = change["metrics"][0]
        assert judged["after"] == pytest.approx(0.36)
        assert (judged["difference"], judged["n_tracks"], change["verdict"]) == (0, 40, "unchanged")
        assert change["changes"][0] == {"kind": "data", "key": "split_hash", "before": "aaaa", "after": "cccc"}

    def test_of_another_split_without_common_tracks_there_is_nothing_to_compare(self):
        assert (
            compare_outcomes(answers(GOOD), answers(GOOD, first=99), same_split=False, design="seeds", test_ratio=0.25)
            is None
        )

    def test_tracks_of_one_artist_say_nothing(self):
        table = answers(GOOD).assign(cluster="artist")
        other = answers(BAD).assign(cluster="artist")
        numbers = compare_outcomes(table, other, same_split=False, design="kfold", test_ratio=0.25)
        assert (numbers["ci_low"], numbers["verdict"]) == (None, "no interval")


def elsewhere(known):
    outcomes = known.outcomes.assign(track_id=lambda table: "other " + table["track_id"])
    return type(known)(**{**vars(known), "outcomes": outcomes})


class TestObstacle:
    @pytest.mark.parametrize(
        ("before", "after", "reason"),
        [
            (record(GOOD), record(GOOD, data={"leaky": "True"}), "the later one is LEAKY"),
            (record(GOOD, data={"leaky": "True"}), record(GOOD), "the earlier one is LEAKY"),
            (record(GOOD), record(GOOD, genres=("jazz", "pop")), "other genres: without rock; with pop"),
            (record(GOOD), record(GOOD, genres=("jazz", "rock", "pop")), "other genres: with pop"),
            (record(), record(data={"subset": "6 of 10 genres"}), "another part of the dataset"),
            (record(), record(metrics={"test_track_f1/jazz": 1.0}), f"one of them has no {JUDGED}"),
            (
                record(GOOD, data={"artists_unknown": "100 %", "split_hash": "aaaa"}),
                record(BAD, data={"split_hash": "bbbb"}),
                "another split, and only of the earlier one artists are unknown",
            ),
        ],
    )
    def test_it_is_named_and_nothing_judged(self, before, after, reason):
        change = changed(before, after)
        assert change["verdict"] == "not comparable"
        assert change["reason"].startswith(reason)
        assert change["metrics"] == []
        assert regressions([change]) == []

    def test_two_leaky_runs_are_comparable(self):
        data = {"leaky": "True", "split_hash": "aaaa"}
        assert changed(record(GOOD, data=data), record(BAD, data=data))["verdict"] == "regression"

    def test_artists_that_were_named_since_change_nothing_on_the_same_split(self):
        before = record(GOOD, data={"artists_unknown": "100 %", "split_hash": "aaaa"})
        assert changed(before, record(BAD, data={"split_hash": "aaaa"}))["verdict"] == "regression"


def test_what_changed_is_listed_data_first():
    before = record(GOOD, data={"split_hash": "aaaa", "subset": ""}, commit="old")
    after = record(
        GOOD,
        data={"split_hash": "cccc", "subset": "", "dataset_fingerprint": "dddd"},
        parameters={"model.c": "2.0", "model.gamma": "0.1"},
        commit="new",
    )
    assert [tuple(each.values()) for each in changed(before, after)["changes"]] == [
        ("data", "dataset_fingerprint", None, "dddd"),
        ("data", "split_hash", "aaaa", "cccc"),
        ("parameter", "model.c", "1.0", "2.0"),
        ("parameter", "model.gamma", None, "0.1"),
        ("parameter", "seed", "0", None),
        ("code", "git_commit", "old", "new"),
    ]


def test_every_cell_of_both_sessions_is_there():
    gone, new = Cell("demo", "folds", "mfcc_20", "net1"), Cell("demo", "artist_kfold", "mfcc_20", "net2")
    before, after = session(record(GOOD), record(cell=gone)), session(record(BAD), record(cell=new))
    found = compare_sessions(before, after, n_resamples=RESAMPLES)
    assert (found.before, found.after) == (before, after)
    assert {each["cell"]: each["verdict"] for each in found.cells} == {
        new.name: "new",
        CELL.name: "regression",
        gone.name: "gone",
    }


def test_the_difference_of_intervals_is_that_of_independent_means():
    """Coverage of the recovered interval, by simulation: two binomial shares with Wilson intervals."""
    from genre_pipeline.evaluation.intervals import wilson_interval

    rng = np.random.default_rng(0)
    p, n, rounds = (0.8, 0.6), 60, 2000
    found = rng.binomial(n, p, size=(rounds, 2)) / n
    covered = 0
    for shares in found:
        sides = [(share, *wilson_interval(share, n)) for share in shares]
        low, high = difference_of_intervals(*sides)
        covered += low <= p[1] - p[0] <= high
    assert 0.93 <= covered / rounds <= 0.97


def test_a_side_without_an_interval_gives_none():
    assert all(map(math.isnan, difference_of_intervals((0.5, math.nan, math.nan), (0.6, 0.5, 0.7))))


def test_equal_models_on_other_splits_seldom_seem_different():
    """Each run answers each track once, artists differ: the level of 5 % holds where trainings do not differ."""
    rng = np.random.default_rng(1)
    verdicts = []
    for _ in range(200):
        tracks = invent_outcomes(rng, n_artists=30, n_each=4, n_repeats=5, design="kfold")
        before, after = (
            tracks[["repeat", "track_id", "cluster"]].assign(right=tracks[f"right_{model}"]) for model in "ab"
        )
        numbers = compare_outcomes(
            before,
            after.assign(repeat=rng.permutation(after["repeat"])),
            same_split=False,
            design="kfold",
            test_ratio=0.25,
            n_resamples=399,
        )
        verdicts.append(numbers["verdict"])
    assert np.mean([verdict != "no difference shown" for verdict in verdicts]) <= 0.09
