"""Paper against measured."""

import math

import pytest

from genre_pipeline.evaluation.published import PublishedFigure
from genre_pipeline.evaluation.reproduction import REPRODUCTION_COLUMNS, compare_with_papers, reported_of_others
from genre_pipeline.reporting.reproduction_figure import paper_comparison


def make_figure(**changes):
    values = {
        "paper": "duplicated_convolutions",
        "table": "1",
        "row": "net1",
        "model": "net1",
        "dataset": "gtzan",
        "feature": "log_mel_256",
        "protocol": "random_track",
        "unit": "track",
        "statistic": "mean of 10",
        "split": "test",
        "accuracy": 90.7,
        "comparable": "yes",
    }
    return PublishedFigure(**{**values, **changes})


@pytest.fixture
def net1(make_result):
    result = make_result(
        dataset="gtzan", protocol="random_track", feature="log_mel_256", design="resampled", accuracy=0.8
    )
    # Validation is a little better.
    for key in ("summary", "repeats"):
        names = ("mean", "min", "max", "ci_low", "ci_high") if key == "summary" else ("value",)
        result[key] += [
            {**row, "split": "validation", **{name: row[name] + 0.05 for name in names}} for row in result[key]
        ]
    return result


def compare(result, **changes):
    return compare_with_papers([result], kinds={"gtzan": "gtzan"}, figures=[make_figure(**changes)])


def test_the_published_figures_are_used_by_default(net1):
    table = compare_with_papers([net1], kinds={})
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == dict(REPRODUCTION_COLUMNS)
    (row,) = table.to_dict("records")
    assert (row["paper"], row["row"], row["reported"]) == ("duplicated_convolutions", "net1", pytest.approx(0.907))
    assert row["measured"] == pytest.approx(0.8)
    assert row["difference"] == pytest.approx(-0.107)
    # The paper's figure is taken as it stands: the interval is ours, moved.
    assert row["ci_low"] == pytest.approx(row["measured_ci_low"] - 0.907)
    assert row["ci_high"] == pytest.approx(row["measured_ci_high"] - 0.907)
    assert (row["comparable"], row["reason"]) == ("yes", "")
    assert (row["split_hash"], row["feature_hash"], row["git_commit"]) == (
        "5b1e5b1e5b1e5b1e",
        "fea7fea7fea7fea7",
        "c0ffee",
    )


@pytest.mark.parametrize(
    ("changes", "measured", "word"),
    [
        ({}, 0.8, "mean of 5 resampled splits"),
        ({"unit": "segment"}, 0.72, "mean of 5 resampled splits"),
        ({"split": "validation"}, 0.85, "mean of 5 resampled splits"),
        ({"statistic": "maximum"}, 0.84, "maximum of 5"),
        ({"statistic": "maximum", "split": "validation"}, 0.89, "maximum of 5"),
        ({"statistic": "one run"}, 0.76, "first repeat"),
        ({"statistic": "unclear"}, 0.8, "mean of 5 resampled splits"),
    ],
)
def test_ours_is_of_the_papers_unit_split_and_statistic(net1, changes, measured, word):
    (row,) = compare(net1, **changes).to_dict("records")
    assert row["measured"] == pytest.approx(measured)
    assert row["statistic"] == word
    assert row["ci_low"] < row["difference"] < row["ci_high"]


def test_where_the_unit_is_open_both_are_shown(net1):
    table = compare(net1, unit="unclear", comparable="unclear")
    assert table["unit"].tolist() == ["track", "segment"]
    assert table["comparable"].tolist() == ["unclear"] * 2
    assert table["reason"].tolist() == ["the paper names no unit"] * 2


def test_another_protocol_or_part_cannot_be_compared(net1, make_result):
    folds = make_result(dataset="gtzan", feature="log_mel_256", subset="6 of 10 genres")
    (row,) = compare(folds, note="CSV logs of ten splits").to_dict("records")
    assert row["comparable"] == "no"
    assert row["reason"] == (
        "the protocol is artist_kfold, the paper's nearest is random_track; the tracks are 6 of 10 genres; CSV logs of "
        "ten splits"
    )
    assert compare(net1, comparable="no", note="highest of ten")["reason"].tolist() == ["highest of ten"]


def test_a_dataset_corresponds_by_its_kind_unless_its_name_is_in_a_paper(make_result):
    figures = [make_figure(dataset="extended_ballroom"), make_figure(dataset="extended_ballroom_9", accuracy=80.0)]
    kinds = {"mine": "extended_ballroom", "extended_ballroom_9": "extended_ballroom", "gtzan": "gtzan"}
    results = [make_result(dataset=dataset, feature="log_mel_256") for dataset in kinds]
    table = compare_with_papers(results, kinds=kinds, figures=figures)
    assert table[["reported_dataset", "dataset"]].to_numpy().tolist() == [
        ["extended_ballroom", "mine"],
        ["extended_ballroom_9", "extended_ballroom_9"],
    ]


def test_other_models_and_features_do_not_correspond(net1):
    assert compare(net1, model="net2").empty
    assert compare(net1, feature="log_mel_128").empty
    assert list(compare(net1, model="net2").columns) == list(REPRODUCTION_COLUMNS)


def test_another_reading_of_the_input_corresponds(net1):
    assert len(compare(net1, feature="log_mel_256_padded", readings="log_mel_128 log_mel_256")) == 1
    assert compare(net1, feature="log_mel_256_padded", readings="log_mel_128").empty


def test_other_systems_stand_beside_no_cell_but_beside_the_dataset(net1):
    other = {"model": "", "feature": "", "row": "KCNN", "accuracy": 83.9}
    assert compare(net1, **other).empty
    figures = [make_figure(), make_figure(**other), make_figure(**other | {"row": "better", "accuracy": 85.0})]
    names = [each.row for each in reported_of_others("gtzan6", kinds={"gtzan6": "gtzan"}, figures=figures)]
    assert names == ["better", "KCNN"]
    assert reported_of_others("demo", kinds={"demo": "demo"}, figures=figures) == []


def test_the_figure_shows_pairs_of_the_papers_protocol(net1):
    folds = {**net1, "cell": {**net1["cell"], "protocol": "artist_kfold"}}
    figures = [make_figure(), make_figure(split="validation", accuracy=95.0, comparable="no")]
    table = compare_with_papers([net1, folds], kinds={}, figures=figures)
    assert len(table) == 4
    drawn = {trace.name: trace for trace in paper_comparison(table).data if trace.name}
    assert drawn["paper"].x == pytest.approx((90.7, 95.0))
    assert drawn["measured, comparable"].x == pytest.approx((80.0,))
    assert drawn["measured, not comparable"].x == pytest.approx((85.0,))
    assert math.isclose(drawn["measured, comparable"].error_x.array[0], 100 * (table["measured_ci_high"][0] - 0.8))


def test_without_such_pairs_the_figure_shows_all(make_result):
    one = make_result(dataset="gtzan", feature="log_mel_256", subset="6 of 10 genres", n_repeats=1)
    figure = paper_comparison(compare(one))
    names = next(trace for trace in figure.data if trace.mode == "text")
    assert names.text == ("net1 (duplicated_convolutions) · gtzan (part)<br>artist_kfold · log_mel_256 · track, test",)
    assert next(trace for trace in figure.data if trace.name == "measured, not comparable").error_x.array == (None,)
    assert figure.layout.xaxis.range == (70.0, 101)


def test_without_pairs_the_figure_says_so(net1):
    assert "No paper" in paper_comparison(compare(net1, model="net2")).layout.annotations[0].text
