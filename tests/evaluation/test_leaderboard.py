from __future__ import annotations

import copy
import json
import math

import pandas as pd
import pytest

from genre_pipeline.errors import EvaluationError
from genre_pipeline.evaluation.leaderboard import (
    LEADERBOARD_COLUMNS,
    METRIC_COLUMNS,
    by_setting,
    chance_levels,
    honest_results,
    leaderboard,
    metric_table,
)
from genre_pipeline.reporting.figures import (
    accuracy_comparison,
    confusion_matrices,
    learning_curves,
    reliability_diagrams,
    risk_coverage,
)
from genre_pipeline.reporting.leaderboard import conclude, format_leaderboard
from genre_pipeline.reporting.report import build_markdown, build_report
from genre_pipeline.reporting.sections import ReportData
from genre_pipeline.results.cell import confusion_counts, scored, statistic, summary_row
from invented_runs import change_of


def test_leaderboard_has_one_row_a_cell_in_order(results):
    frame = leaderboard(results[::-1])
    assert list(frame.columns) == list(LEADERBOARD_COLUMNS)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == dict(LEADERBOARD_COLUMNS)
    assert frame[["dataset", "protocol"]].drop_duplicates().to_numpy().tolist() == [
        ["demo", "artist_kfold"],
        ["demo", "random_segment"],
        ["tiny", "artist_kfold"],
        ["tiny", "random_segment"],
    ]
    assert frame["model"].tolist() == ["net2", "net1", "crnn_gru", "svm"] * 4


def test_leaderboard_carries_the_numbers(make_result):
    result = make_result(accuracy=0.75, spread=0.1, n_repeats=3)
    result["confusion"]["track"] = [[3, 1], [0, 1]]
    result["genres"] = ["jazz", "rock"]
    row = leaderboard([result]).iloc[0]
    assert row["track_accuracy_mean"] == pytest.approx(0.75)
    assert row["track_accuracy_sd"] == pytest.approx(0.1)
    assert row["track_accuracy_ci_low"] == pytest.approx(0.75 - 1.96 * 0.1 / math.sqrt(3))
    assert row["track_accuracy_ci_high"] == pytest.approx(0.75 + 1.96 * 0.1 / math.sqrt(3))
    assert row["track_balanced_accuracy_mean"] == pytest.approx(0.74)
    assert row["track_macro_f1_mean"] == pytest.approx(0.73)
    assert row["segment_accuracy_mean"] == pytest.approx(0.67)
    assert row["chance_largest_class"] == pytest.approx(0.8)
    assert row["chance_uniform"] == pytest.approx(0.5)
    assert row["training_s"] == pytest.approx(12.5 * 3 * 12)
    assert row["statistic"] == "mean of 3 folds"
    assert row["n_parameters"] == 1_234_567


def test_every_row_says_what_it_is(make_result):
    row = leaderboard([make_result(subset="half")]).iloc[0]
    names = ["split", "statistic", "subset", "split_hash", "feature_hash", "git_commit", "selection"]
    assert row[names].tolist() == [
        *("test", "mean of 5 folds", "half", "5b1e5b1e5b1e5b1e", "fea7fea7fea7fea7", "c0ffee", "best validation"),
    ]
    assert row["track_accuracy_max"] == pytest.approx(0.79)


def test_every_metric_is_written_down_with_its_key(results, make_result):
    failed = {**make_result(model="failed"), "n_repeats": 0, "summary": []}
    table = metric_table([*results, failed])
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == dict(METRIC_COLUMNS)
    assert len(table) == sum(len(result["summary"]) for result in results)
    row = table[(table["key"] == "test_segment_macro_f1") & (table["model"] == "svm")].iloc[0]
    assert row[["split", "unit", "metric", "statistic"]].tolist() == ["test", "segment", "macro_f1", "mean of 5 folds"]
    assert row[["split_hash", "feature_hash", "git_commit"]].tolist() == [
        *("5b1e5b1e5b1e5b1e", "fea7fea7fea7fea7", "c0ffee"),
    ]
    assert row["max"] - row["min"] == pytest.approx(0.08)


def test_the_honest_protocol_is_the_one_with_most_models_and_then_the_one_with_folds(make_result):
    results = [
        make_result(protocol="a_list", design="seeds", model="net1"),
        make_result(protocol="folds", model="net1"),
        make_result(protocol="folds", model="net2", leaky=True),
        make_result(protocol="leaky", model="net1", leaky=True),
        make_result(dataset="tiny", protocol="leaky", leaky=True),
    ]
    assert honest_results(results) == {"demo": [results[1]]}
    more = make_result(protocol="a_list", design="seeds", model="net2", accuracy=0.9)
    assert honest_results([*results, more]) == {"demo": [more, results[0]]}


def test_estimators_have_no_parameters_and_leaky_cells_are_flagged(results):
    frame = leaderboard(results)
    assert frame.loc[frame["model"] == "svm", "n_parameters"].isna().all()
    assert frame["leaky"].tolist() == (frame["protocol"] == "random_segment").tolist()


def test_one_repeat_has_no_interval_also_after_json(make_result):
    result = make_result(n_repeats=1)
    for row in result["summary"]:
        row.update(sd=None, ci_low=None, ci_high=None)
    frame = leaderboard([json.loads(json.dumps(result))])
    assert frame[["track_accuracy_sd", "track_accuracy_ci_low", "track_accuracy_ci_high"]].isna().all(axis=None)
    assert frame["statistic"].tolist() == ["one fold"]
    line = next(line for line in format_leaderboard(frame).splitlines() if line.startswith("net1"))
    assert line.split() == ["net1", "log_mel_128", "75.0", "-", "74.0", "73.0", "67.0", "1,234,567", "2.5", "min"]


def test_leaderboard_survives_parquet(results, tmp_path):
    frame = leaderboard(results)
    frame.to_parquet(tmp_path / "leaderboard.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "leaderboard.parquet"), frame)


def test_terminal_table_fits_and_tells(results):
    text = format_leaderboard(leaderboard(results))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert "demo · artist_kfold: mean of 5 folds; 6 genres, largest class 16.7 %; split 5b1e5b1e" in lines
    assert "demo · random_segment: mean of 5 resampled splits; 6 genres, largest class 16.7 %; split 5b1e5b1e" in lines
    best = next(line for line in lines if line.startswith("net2"))
    assert "80.0 ± 3.2   77.2 to 82.8" in best
    assert sum(line.startswith("net2 !") for line in lines) == 2
    assert lines[-1].startswith("! LEAKY. ")
    assert text.endswith("\n")


def test_a_part_of_a_dataset_is_named_also_from_the_csv_file(make_result, tmp_path):
    part = "6 of 10 genres, 397 of 1000 tracks"
    frame = leaderboard([make_result(dataset="gtzan", subset=part), make_result()])
    assert frame["subset"].tolist() == ["", part]
    frame.to_csv(tmp_path / "leaderboard.csv", index=False)
    lines = format_leaderboard(pd.read_csv(tmp_path / "leaderboard.csv")).splitlines()
    assert f"gtzan ({part}) · artist_kfold: mean of 5 folds; 6 genres, largest class 16.7 %; split 5b1e5b1e" in lines
    assert "demo · artist_kfold: mean of 5 folds; 6 genres, largest class 16.7 %; split 5b1e5b1e" in lines
    assert format_leaderboard(frame).splitlines() == lines


def test_whole_datasets_only_come_back_from_the_csv_file(make_result, tmp_path):
    leaderboard([make_result()]).to_csv(tmp_path / "leaderboard.csv", index=False)
    text = format_leaderboard(pd.read_csv(tmp_path / "leaderboard.csv"))
    assert text.startswith("demo · artist_kfold: ")


def test_terminal_table_never_folds_a_name(make_result):
    result = make_result()
    result["cell"]["model"] = "a_model_with_quite_a_long_name"
    assert "a_model_with_quite_a_long_name" in format_leaderboard(leaderboard([result]))


def test_what_became_worse_is_marked_also_from_the_csv_file(make_result, tmp_path):
    results = [make_result(model=model) for model in ("net1", "net2", "svm")]
    changes = [change_of(results[0], "regression"), change_of(results[1], "improvement", difference=0.2)]
    frame = leaderboard(results, changes).set_index("model")
    assert frame["since_previous"].to_dict() == {"net1": "regression", "net2": "improvement", "svm": ""}
    assert frame["previous_difference"]["net1"] == -0.125
    assert math.isnan(frame["previous_difference"]["svm"])
    leaderboard(results, changes).to_csv(tmp_path / "leaderboard.csv", index=False)
    text = format_leaderboard(pd.read_csv(tmp_path / "leaderboard.csv"))
    assert "net1 REGRESSION" in text
    assert text.count("REGRESSION") == 2
    assert text.splitlines()[-1].startswith("REGRESSION: less accurate than in the run before, beyond the interval")
    assert "REGRESSION" not in format_leaderboard(leaderboard(results, changes[1:]))


def test_terminal_table_without_leaks_has_no_leak_note(make_result):
    assert "LEAKY" not in format_leaderboard(leaderboard([make_result()]))


@pytest.mark.parametrize(
    ("design", "n_repeats", "expected"),
    [
        ("kfold", 5, "mean of 5 folds"),
        ("resampled", 10, "mean of 10 resampled splits"),
        ("seeds", 3, "mean of 3 seeds"),
        ("resampled", 1, "one split"),
        ("seeds", 1, "one seed"),
    ],
)
def test_statistic_names_the_repeats(make_result, design, n_repeats, expected):
    assert statistic(make_result(design=design, n_repeats=n_repeats)) == expected


def test_results_are_grouped_as_they_may_be_compared(results):
    groups = by_setting(results)
    assert list(groups) == [(d, p) for d in ("demo", "tiny") for p in ("artist_kfold", "random_segment")]
    assert [result["cell"]["model"] for result in groups["tiny", "artist_kfold"]] == ["net2", "net1", "crnn_gru", "svm"]


def test_no_result_is_an_error():
    with pytest.raises(EvaluationError, match="no result to compare: expected at least one"):
        leaderboard([])


def test_a_cell_twice_is_an_error(make_result):
    with pytest.raises(EvaluationError, match=r"got several of demo\.artist_kfold\.log_mel_128\.net1"):
        leaderboard([make_result(), make_result()])


def test_a_missing_metric_is_an_error(make_result):
    result = make_result()
    result["summary"] = [row for row in result["summary"] if row["metric"] != "macro_f1"]
    with pytest.raises(EvaluationError, match=r"net1: expected the metric 'macro_f1' of the test split at track unit"):
        leaderboard([result])
    with pytest.raises(EvaluationError, match="of the train split"):
        summary_row(result, unit="track", metric="accuracy", split="train")


def test_an_unknown_design_is_an_error(make_result):
    with pytest.raises(EvaluationError, match="Unknown design 'loo': expected one of kfold, resampled, seeds"):
        statistic(make_result(design="loo"))


def test_bad_confusion_matrices_are_errors(make_result):
    result = make_result()
    broken = copy.deepcopy(result)
    broken["confusion"]["track"] = [[1, 2], [3, 4]]
    with pytest.raises(EvaluationError, match=r"expected a track confusion matrix of 6 x 6 .* got the shape \(2, 2\)"):
        confusion_counts(broken, "track")
    with pytest.raises(EvaluationError, match="no confusion matrix at unit 'frame'. There are: segment, track"):
        confusion_counts(result, "frame")
    empty = copy.deepcopy(result)
    empty["confusion"]["track"] = [[0] * 6] * 6
    with pytest.raises(EvaluationError, match="holds no test track"):
        chance_levels(empty)


def failed(result, n_failed):
    """Let the last repeats of a result fail; all of them leave no numbers."""
    n_repeats = result["n_repeats"] - n_failed
    failures = [{"repeat": n_repeats + i, "seed": i, "reason": f"It <b>diverged</b>, {i}."} for i in range(n_failed)]
    changed = {**result, "n_repeats": n_repeats, "failures": failures}
    if not n_repeats:
        changed |= {
            "summary": [],
            "repeats": [],
            "genre_repeats": [],
            "history": [],
            "confusion": {},
            "reliability": {},
        }
        changed |= {"n_parameters": None}
    return changed


@pytest.mark.parametrize(("n_failed", "words"), [(2, "mean of 3 of 5 folds"), (4, "1 of 5 folds"), (5, "0 of 5 folds")])
def test_failed_repeats_are_counted(make_result, n_failed, words):
    frame = leaderboard([failed(make_result(), n_failed)])
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == dict(LEADERBOARD_COLUMNS)
    assert frame["statistic"].tolist() == [words]
    assert frame["n_failed"].tolist() == [n_failed]
    text = format_leaderboard(frame)
    assert f"net1 FAILED {n_failed} of 5" in text
    assert "FAILED: repeats that could not be trained" in text


def test_a_cell_without_numbers_comes_last_and_into_no_group(make_result):
    results = [failed(make_result(model="a"), 5), make_result(model="b", accuracy=0.2)]
    assert leaderboard(results)["model"].tolist() == ["b", "a"]
    assert [[each["cell"]["model"] for each in group] for group in by_setting(results).values()] == [["b"]]
    assert scored(results) == results[1:]
    assert by_setting(results[:1]) == {}


@pytest.mark.parametrize("n_results", [1, 2])
def test_reports_and_figures_do_with_failed_cells(make_result, n_results):
    results = [failed(make_result(model="a"), 5), make_result(model="b")][:n_results]
    for draw in (accuracy_comparison, learning_curves, confusion_matrices, reliability_diagrams, risk_coverage):
        draw(results)
    html = build_report(ReportData(results))
    assert "FAILED 5 of 5" in html
    assert "repeat 0 (seed 0): It &lt;b&gt;diverged&lt;/b&gt;, 0." in html
    markdown = build_markdown(ReportData(results))
    assert "**FAILED 5 of 5** a" in markdown
    assert "5 trainings" in html


def test_unknown_artists_are_marked_by_their_share_beside_leaky(make_result):
    results = [
        {**make_result(dataset="mine", model="net1"), "artists_unknown": 1.0},
        {**make_result(dataset="part", model="net1", leaky=True), "artists_unknown": 0.081},
        make_result(dataset="named"),
    ]
    frame = leaderboard(results)
    assert dict(zip(frame["dataset"], frame["artists_unknown"], strict=True)) == {
        "mine": 1.0,
        "named": 0,
        "part": 0.081,
    }
    assert metric_table(results).groupby("dataset")["artists_unknown"].first().tolist() == [1.0, 0.0, 0.081]
    lines = format_leaderboard(frame).splitlines()
    heads = {line.split(" ")[0]: line for line in lines if " · artist_kfold: " in line}
    assert heads["mine"].endswith("split 5b1e5b1e; artists unknown: 100 %")
    assert heads["part"].endswith("split 5b1e5b1e; artists unknown: 8.1 %")
    assert heads["named"].endswith("split 5b1e5b1e")
    assert [line.partition(".")[0] for line in lines[-2:]] == [
        "! LEAKY",
        "artists unknown: Whether artists are on both sides cannot be checked; then numbers are inflated",
    ]
    # Leaderboards of before this was recorded.
    assert "artists unknown" not in format_leaderboard(frame.drop(columns="artists_unknown"))


class TestConclusion:
    """Who leads, by the paired tests: intervals overlap where these tell two models apart, and the other way round."""

    @pytest.fixture
    def frame(self, make_result):
        models = {"net2": 0.8, "net1": 0.78, "svm": 0.5}
        return leaderboard([make_result(model=model, accuracy=accuracy) for model, accuracy in models.items()])

    @staticmethod
    def pairs(*rows):
        columns = ("model_a", "model_b", "better")
        known = {"dataset": "demo", "protocol": "artist_kfold", "unit": "track", "metric": "accuracy"}
        names = {"feature_a": "log_mel_128", "feature_b": "log_mel_128"}
        return pd.DataFrame([{**known, **names, **dict(zip(columns, row, strict=True))} for row in rows])

    def test_it_names_the_leader_and_those_that_paired_tests_do_not_tell_apart(self, frame):
        pairs = self.pairs(("net2", "net1", "a"), ("svm", "net2", ""), ("net1", "svm", "a"))
        assert conclude(frame, pairs).startswith("demo, artist_kfold: net2 leads with 80.0 % (")
        assert conclude(frame, pairs).endswith("Not told apart from svm by paired tests. Better than net1.")
        assert conclude(frame, self.pairs(("svm", "net2", "b"))).endswith(
            "Not told apart from net1 by paired tests. Better than svm."
        )

    def test_the_csv_file_gives_the_same(self, frame, tmp_path):
        pairs = self.pairs(("net2", "net1", ""))
        for name, table in (("frame", frame), ("pairs", pairs)):
            table.to_csv(tmp_path / name, index=False)
        assert conclude(pd.read_csv(tmp_path / "frame"), pd.read_csv(tmp_path / "pairs")) == conclude(frame, pairs)

    def test_marks_come_first_and_features_where_a_model_has_several(self, make_result):
        results = [
            make_result(accuracy=accuracy, feature=feature, leaky=True)
            for feature, accuracy in (("log_mel_128", 0.8), ("mfcc_20", 0.7))
        ]
        text = conclude(leaderboard(results), self.pairs(("net1", "svm", "")))
        assert text.startswith("demo, artist_kfold (LEAKY): net1 (log_mel_128) leads with 80.0 %")
        assert text.endswith("Not told apart from net1 (mfcc_20) by paired tests.")
