"""What protocols are worth, as a table and a figure."""

import math

import pytest

from genre_pipeline.evaluation.estimates import best_repeat, first_repeat, mean_accuracy
from genre_pipeline.evaluation.intervals import wilson_interval
from genre_pipeline.evaluation.protocol_gap import GAP_COLUMNS, protocol_gaps
from genre_pipeline.reporting.figures import styles
from genre_pipeline.reporting.gap_figure import CHOICES, gap_comparison

# 1.96 standard errors of five repeats whose accuracies are evenly spaced over ±0.04.
_HALF = 1.96 * 0.04 * math.sqrt(0.5 * 5 / 4) / math.sqrt(5)


def pick(gaps, **values):
    for column, value in values.items():
        gaps = gaps[gaps[column] == value]
    assert len(gaps) == 1
    return gaps.iloc[0]


def test_a_gap_is_the_difference_from_the_honest_protocol(results):
    gaps = protocol_gaps(results)
    assert {name: str(dtype) for name, dtype in gaps.dtypes.items()} == dict(GAP_COLUMNS)
    assert len(gaps) == len(results) * 2 * 2
    row = pick(
        gaps,
        dataset="demo",
        model="net2",
        protocol="random_segment",
        unit="track",
        statistic="mean of 5 resampled splits",
    )
    assert row["reference_protocol"] == "artist_kfold"
    assert row["accuracy"] == pytest.approx(0.9)
    assert row["reference_accuracy"] == pytest.approx(0.8)
    assert row["gap"] == pytest.approx(0.1)
    assert row["shared"] == "artists"
    assert (row["leaky"], row["split"], row["metric"]) == (True, "test", "accuracy")
    # Both intervals have the same width and count as independent.
    assert row["ci_low"] == pytest.approx(0.1 - math.sqrt(2) * _HALF, abs=1e-4)
    assert row["ci_high"] == pytest.approx(0.1 + math.sqrt(2) * _HALF, abs=1e-4)


def test_segments_are_set_against_segments_and_the_best_against_the_mean(results):
    gaps = protocol_gaps(results)
    of_net1 = gaps[(gaps["dataset"] == "demo") & (gaps["model"] == "net1")]
    segment = pick(of_net1, protocol="random_segment", unit="segment", statistic="mean of 5 resampled splits")
    assert segment["accuracy"] == pytest.approx(0.77)
    assert segment["gap"] == pytest.approx(0.1)
    best = pick(of_net1, protocol="random_segment", unit="track", statistic="maximum of 5")
    assert best["gap"] == pytest.approx(0.14)
    assert best["ci_low"] < 0.1 < best["ci_high"]


def test_the_reference_differs_from_itself_only_in_its_best_repeat(results):
    gaps = protocol_gaps(results)
    own = gaps[(gaps["protocol"] == "artist_kfold") & (gaps["unit"] == "track")]
    assert own[["ci_low", "ci_high"]].isna().all(axis=None)
    means = own[own["statistic"] == "mean of 5 folds"]
    assert means["gap"].tolist() == [0.0] * len(means)
    assert own.loc[own["statistic"] == "maximum of 5", "gap"].tolist() == pytest.approx([0.04] * len(means))


def test_without_an_honest_protocol_or_another_one_there_is_no_gap(make_result):
    assert protocol_gaps([make_result()]).empty
    leaky = [make_result(protocol=protocol, leaky=True) for protocol in ("track_kfold", "random_track")]
    assert protocol_gaps(leaky).empty
    assert list(protocol_gaps(leaky).columns) == list(GAP_COLUMNS)


def test_of_two_honest_protocols_the_one_with_folds_is_the_reference(make_result):
    results = [make_result(protocol="official", design="seeds"), make_result(protocol="zz_folds", accuracy=0.7)]
    gaps = protocol_gaps(results)
    assert set(gaps["reference_protocol"]) == {"zz_folds"}
    results.append(make_result(protocol="official", design="seeds", model="net2"))
    assert set(protocol_gaps(results)["reference_protocol"]) == {"official"}


def test_accuracies_of_one_repeat_have_the_interval_of_its_tracks(make_result):
    result = make_result(accuracy=0.75)
    best, first = (each(result, unit="track", confidence=0.95) for each in (best_repeat, first_repeat))
    assert (best.value, first.value) == (pytest.approx(0.79), pytest.approx(0.71))
    assert best[1:] == wilson_interval(best.value, 24)
    # Segments count tracks too.
    assert best_repeat(result, unit="segment", confidence=0.95)[1:] == wilson_interval(0.75 - 0.08 + 0.04, 24)
    assert mean_accuracy(result, unit="track").value == pytest.approx(0.75)


def test_the_figure_has_a_row_a_protocol_and_a_menu_of_units(results):
    gaps = protocol_gaps(results)
    figure = gap_comparison(gaps, looks=styles(results))
    assert len(figure.data) == 8
    net2 = next(trace for trace in figure.data if trace.name == "net2")
    assert net2.x == pytest.approx((0.0, 10.0))
    assert net2.customdata == pytest.approx((80.0, 90.0))
    assert net2.error_x.array[0] is None
    assert net2.error_x.array[1] == pytest.approx(100 * math.sqrt(2) * _HALF, abs=1e-2)
    assert net2.marker.symbol == ("circle", "diamond-open")
    assert list(figure.layout.yaxis.ticktext) == ["artist_kfold<br>(reference)", "random_segment<br>(LEAKY)"]
    buttons = figure.layout.updatemenus[0].buttons
    assert [button.label for button in buttons] == [label for label, _, _ in CHOICES]
    changes, layout = buttons[2].args
    assert changes["x"][0] == pytest.approx([4.0, 14.0])
    assert len(changes["error_x.array"]) == 8
    assert layout["title.text"].startswith("What protocols are worth: tracks, best repeat")


def test_a_protocol_that_a_model_lacks_leaves_a_gap_in_its_trace(make_result):
    results = [
        make_result(protocol=p, model=m, leaky=p != "artist_kfold")
        for m in ("a", "b")
        for p in ("artist_kfold", "x", "y")
    ]
    figure = gap_comparison(protocol_gaps(results[:-1]), looks=styles(results))
    assert figure.data[1].x[2] is None


def test_without_gaps_the_figure_says_so(make_result):
    figure = gap_comparison(protocol_gaps([make_result()]), looks={})
    assert "honest protocol" in figure.layout.annotations[0].text
