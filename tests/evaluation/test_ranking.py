"""Ranks over datasets: Demšar's worked example, what cannot be ranked, and the diagram."""

import math

import numpy as np
import pytest

from genre_pipeline.evaluation.ranking import RANK_COLUMNS, critical_difference, rank_models, rank_table
from genre_pipeline.reporting.ranking_figure import critical_difference_diagram

# Ranks of four decision trees on 14 datasets: Demšar 2006, Table 6.
_TREES = ("c45", "c45_m", "c45_cf", "c45_m_cf")
_RANKS = [
    (4, 3, 2, 1),
    (1, 2, 3, 4),
    (4, 1, 2, 3),
    (4, 1, 3, 2),
    (4, 2, 3, 1),
    (1, 2.5, 4, 2.5),
    (3, 2, 4, 1),
    (2.5, 2.5, 4, 1),
    (4, 3, 2, 1),
    (2.5, 2.5, 2.5, 2.5),
    (4, 2.5, 1, 2.5),
    (3, 2, 4, 1),
    (4, 1, 2, 3),
    (3, 1, 4, 2),
]


@pytest.fixture
def trees(make_result):
    """Accuracies that have the example's ranks."""
    return [
        make_result(dataset=f"dataset_{index:02d}", model=tree, accuracy=1 - rank / 10, spread=0.0)
        for index, row in enumerate(_RANKS)
        for tree, rank in zip(_TREES, row, strict=True)
    ]


def make_grid(make_result, *, datasets=("a", "b"), models=("net1", "net2", "svm"), **changes):
    return [
        make_result(dataset=dataset, model=model, accuracy=0.5 + 0.1 * place, **changes)
        for dataset in datasets
        for place, model in enumerate(models)
    ]


def test_the_worked_example_comes_out(trees):
    ranking = rank_models(trees)
    assert {name: round(rank, 3) for name, rank in ranking.means.items()} == {
        "c45_m_cf": 1.964,
        "c45_m": 2.000,
        "c45_cf": 2.893,
        "c45": 3.143,
    }
    # The paper's statistic, 9.28, has no correction for ties: with it the p-value is a little smaller than 0.0258.
    assert 0.01 < ranking.p_value < 0.0258
    assert round(ranking.critical_difference, 2) == 1.25
    assert ranking.groups == [("c45_m_cf", "c45_m", "c45_cf", "c45")]


@pytest.mark.parametrize(
    ("level", "n_models", "q"), [(0.05, 2, 1.960), (0.05, 10, 3.164), (0.10, 2, 1.645), (0.10, 5, 2.459)]
)
def test_critical_values_are_those_of_the_paper(level, n_models, q):
    # Demšar 2006, Table 5a.
    found = critical_difference(n_models, 1, level) / math.sqrt(n_models * (n_models + 1) / 6)
    assert math.isclose(found, q, abs_tol=1e-3)


def test_what_is_far_apart_is_in_no_common_group(make_result):
    datasets = [f"d{index}" for index in range(20)]
    ranking = rank_models(make_grid(make_result, datasets=datasets, models=("a", "b", "c", "d")))
    assert list(ranking.ranks.columns) == ["d", "c", "b", "a"]
    assert ranking.critical_difference < 2
    assert ranking.groups == [("d", "c"), ("c", "b"), ("b", "a")]
    assert ranking.p_value < 1e-6


def test_models_that_are_equal_everywhere_are_equal(make_result):
    results = [make_result(dataset=d, model=m) for d in "ab" for m in ("x", "y", "z")]
    ranking = rank_models(results)
    assert ranking.p_value == 1.0
    assert ranking.means.tolist() == [2.0, 2.0, 2.0]


def test_only_what_was_tested_everywhere_and_honestly_is_ranked(make_result):
    results = [
        *make_grid(make_result),
        make_result(dataset="a", model="only_here"),
        *make_grid(make_result, protocol="random_segment", leaky=True, models=("svm", "net2", "net1")),
    ]
    ranking = rank_models(results)
    assert list(ranking.ranks.columns) == ["svm", "net2", "net1"]
    assert set(ranking.table["protocol"]) == {"artist_kfold"}


def test_a_model_of_several_features_counts_with_each(make_result):
    results = [*make_grid(make_result), *make_grid(make_result, models=("net1",), feature="mfcc_20")]
    names = rank_models(results).ranks.columns
    assert set(names) == {"net1 · log_mel_128", "net1 · mfcc_20", "net2", "svm"}


def test_a_feature_may_differ_from_dataset_to_dataset(make_result):
    results = [*make_grid(make_result, datasets="a"), *make_grid(make_result, datasets="b", feature="log_mel_10s")]
    assert len(rank_models(results).ranks.columns) == 3


def test_why_there_are_no_ranks_is_said(make_result):
    assert rank_models(make_grid(make_result, datasets=("a",))) == (
        "Ranks need two or more datasets with an honest protocol; there is 1: a."
    )
    assert "there is 0: none" in rank_models(make_grid(make_result, leaky=True))
    assert rank_models(make_grid(make_result, models=("net1", "net2"))) == (
        "Ranks need three or more models that were tested on every dataset (a, b); there are 2: net1, net2."
    )
    apart = [*make_grid(make_result, datasets="a"), *make_grid(make_result, datasets="b", models=("x", "y", "z"))]
    assert "there are 0: none" in rank_models(apart)


def test_the_table_says_what_each_number_is(make_result):
    table = rank_models(make_grid(make_result, subset="half")).table
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == dict(RANK_COLUMNS)
    row = table.iloc[0]
    assert row[["dataset", "subset", "protocol", "feature", "model", "split", "unit", "metric"]].tolist() == [
        *("a", "half", "artist_kfold", "log_mel_128", "svm", "test", "track", "accuracy"),
    ]
    assert row[["statistic", "split_hash", "feature_hash", "git_commit"]].tolist() == [
        *("mean of 5 folds", "5b1e5b1e5b1e5b1e", "fea7fea7fea7fea7", "c0ffee"),
    ]
    assert (row["mean"], row["rank"], row["mean_rank"]) == (pytest.approx(0.7), 1.0, 1.0)
    assert rank_table("no ranking").empty
    assert list(rank_table("no ranking").columns) == list(RANK_COLUMNS)


def test_the_diagram_shows_means_groups_and_the_critical_difference(trees):
    ranking = rank_models(trees)
    figure = critical_difference_diagram(ranking)
    by_kind = {}
    for trace in figure.data:
        by_kind.setdefault(trace.meta, []).append(trace)
    assert np.allclose(by_kind["mean"][0].x, ranking.means)
    assert len(by_kind["dataset"]) == 14
    assert np.allclose(np.diff(by_kind["ruler"][0].x), ranking.critical_difference)
    (bar,) = by_kind["group"]
    assert bar.y == (-0.2, 3.2)
    assert bar.x[0] > 4
    assert figure.layout.yaxis.ticktext[1] == "c45_m_cf"


def test_the_diagram_says_why_there_is_none():
    assert critical_difference_diagram("Too few.").layout.annotations[0].text == "Too few."
