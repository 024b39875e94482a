"""The evaluation of a cell, from checkpoints to a result in plain JSON types."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from genre_pipeline.errors import EvaluationError
from genre_pipeline.evaluation.cell import evaluate_cell, metric_values
from genre_pipeline.evaluation.leaderboard import leaderboard
from genre_pipeline.evaluation.metrics import score, score_calibrated
from genre_pipeline.evaluation.prediction import predict_cell
from genre_pipeline.results.cell import CellResult, summary_row
from genre_pipeline.training import FailedRepeat
from tiny_music import AUDIT, CELL, FEATURE, GENRES, SEGMENTS_PER_TRACK, make_tiny_music, train_tiny

# No artist is known.
ARTISTS = pd.Series(dtype="str")


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="module", params=["net", "naive_bayes"])
def evaluated(request, music, tmp_path_factory):
    """The checkpoints of both repeats, the folder, the predictions and the result."""
    folder = tmp_path_factory.mktemp("cell")
    checkpoints = [
        train_tiny(music, folder / f"repeat_{repeat:02d}", model=request.param, repeat=repeat) for repeat in (0, 1)
    ]
    return checkpoints, folder, *evaluate(checkpoints, music, folder)


def evaluate(checkpoints, music, folder, **changes):
    values = {
        "audit": AUDIT,
        "artists": ARTISTS,
        "confidence": 0.95,
        "reference": "Someone, 2020",
        "git_commit": "c0ffee",
    }
    data = music.data()
    predictions, inference_s = predict_cell(checkpoints, data, folder=folder)
    return predictions, evaluate_cell(
        CELL, checkpoints, data, predictions, inference_s=inference_s, **(values | changes)
    )


def test_predictions_hold_every_repeat_and_are_kept_beside_the_checkpoints(evaluated):
    _, folder, predictions, _ = evaluated
    assert predictions.groupby(["repeat", "split"]).size().to_dict() == {
        (repeat, side): len(GENRES) * SEGMENTS_PER_TRACK for repeat in (0, 1) for side in ("test", "validation")
    }
    assert sorted(path.name for path in folder.glob("*.parquet")) == [
        "repeat_00.predictions.parquet",
        "repeat_01.predictions.parquet",
    ]


def test_the_result_says_what_was_evaluated(evaluated):
    checkpoints, _, _, result = evaluated
    # What a pretrained network was trained on is known of pretrained features alone.
    assert set(result) == set(CellResult.__annotations__) - {"pretraining"}
    assert result["cell"] == {"dataset": "tiny", "protocol": "folds", "feature": "log_mel_8", "model": "net"}
    assert result["genres"] == list(GENRES)
    assert result["design"] == "kfold"
    assert result["leaky"] is False
    assert result["n_repeats"] == 2
    assert result["n_parameters"] == checkpoints[0].card.n_parameters
    assert result["n_tracks"] == {"train": 6.0, "validation": 3.0, "test": 3.0}
    assert result["n_segments"] == {"train": 18.0, "validation": 9.0, "test": 9.0}
    assert math.isclose(result["segment_duration_s"], 16 * FEATURE.hop_length / FEATURE.sample_rate)
    assert result["leaks"] == {"tracks": 0, "files": 3, "audio": 0, "recordings": 4, "artists": 1, "albums": 2}
    assert result["subset"] == "half of it"
    assert result["reference"] == "Someone, 2020"
    assert result["selection"] == "best validation"
    assert result["precision"] == checkpoints[0].card.precision
    assert result["seed"] == 0
    assert result["cost"]["training_s"] == sum(each.card.training_s for each in checkpoints)
    assert result["cost"]["inference_s"] > 0.0
    per_segment = checkpoints[0].flop_per_segment
    assert result["cost"]["flop_per_clip"] == (None if per_segment is None else per_segment * SEGMENTS_PER_TRACK)
    assert (per_segment is None) == (checkpoints[0].card.kind == "estimator")
    assert result["git_commit"] == "c0ffee"


def test_the_scores_are_those_of_the_predictions(evaluated):
    _, _, predictions, result = evaluated
    expected = pd.concat([score(predictions, genres=GENRES), score_calibrated(predictions, genres=GENRES)])
    assert [row["value"] for row in result["repeats"]] == expected["value"].tolist()
    accuracy = [
        row for row in result["summary"] if (row["split"], row["unit"], row["metric"]) == ("test", "track", "accuracy")
    ]
    values = [
        row["value"]
        for row in result["repeats"]
        if (row["split"], row["unit"], row["metric"]) == ("test", "track", "accuracy")
    ]
    assert len(accuracy) == 1
    assert math.isclose(accuracy[0]["mean"], np.mean(values))


def test_the_lowest_threshold_keeps_every_track(evaluated):
    _, _, _, result = evaluated
    wrong = {
        split: round(sum(row["n"] * (1 - row["value"]) for row in result["repeats"] if is_accuracy(row, split)))
        for split in ("validation", "test")
    }
    assert result["thresholds"][-1] == {
        "threshold": 0.0,
        "validation_kept": 6,
        "validation_wrong": wrong["validation"],
        "test_kept": 6,
        "test_wrong": wrong["test"],
    }


def is_accuracy(row, split):
    return (row["split"], row["unit"], row["metric"]) == (split, "track", "accuracy")


def test_confusions_count_every_test_segment_and_track(evaluated):
    _, _, _, result = evaluated
    assert np.sum(result["confusion"]["segment"], axis=1).tolist() == [2 * SEGMENTS_PER_TRACK] * len(GENRES)
    assert np.sum(result["confusion"]["track"], axis=1).tolist() == [2] * len(GENRES)


def test_the_history_has_the_epochs_of_every_repeat(evaluated):
    checkpoints, _, _, result = evaluated
    expected = [(repeat, epoch) for repeat, each in enumerate(checkpoints) for epoch in each.history["epoch"]]
    assert [(row["repeat"], row["epoch"]) for row in result["history"]] == expected


def test_the_result_survives_json_and_can_be_compared(evaluated):
    _, _, _, result = evaluated
    again = json.loads(json.dumps(result, allow_nan=False))
    assert again == result
    assert leaderboard([again])["model"].tolist() == ["net"]


def test_a_second_evaluation_gives_the_same(evaluated, music):
    checkpoints, folder, predictions, result = evaluated
    written = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again, second = evaluate(checkpoints, music, folder)
    assert again.equals(predictions)
    assert second == result
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == written


def test_a_single_repeat_has_no_deviation(music, tmp_path):
    checkpoint = train_tiny(music, tmp_path / "repeat_00", selection="last")
    data = music.data()
    one = type(data).join(
        CELL.name, split=data.split[data.split["repeat"] == 0], segments=music.segments, store=data.store
    )
    predictions, inference_s = predict_cell([checkpoint], one, folder=tmp_path)
    result = evaluate_cell(
        CELL,
        [checkpoint],
        one,
        predictions,
        inference_s=inference_s,
        audit=AUDIT,
        artists=ARTISTS,
        confidence=0.95,
        reference="",
        git_commit="",
    )
    assert result["n_repeats"] == 1
    assert result["selection"] == "last"
    assert {row["sd"] for row in result["summary"]} == {None}


@pytest.mark.parametrize("evaluated", ["net"], indirect=True)
def test_the_interval_counts_what_the_split_divides(evaluated, music, tmp_path):
    checkpoints = evaluated[0]
    # Tracks that test in repeat 0 have a segment less, so that segments and tracks are in other proportions.
    tested = music.split["track_id"][(music.split["repeat"] == 0) & (music.split["split"] == "test")]
    last = (music.segments["segment_index"] == SEGMENTS_PER_TRACK - 1) & music.segments["track_id"].isin(tested)
    fewer = replace(music, segments=music.segments[~last])
    results = {
        unit: evaluate(checkpoints, fewer, tmp_path, audit={**AUDIT, "unit": unit})[1] for unit in ("track", "piece")
    }
    width = {}
    for unit, result in results.items():
        row = summary_row(result, unit="segment", metric="log_loss")
        width[unit] = row["ci_high"] - row["mean"]
    n_tracks, n_segments = results["track"]["n_tracks"], results["track"]["n_segments"]
    assert n_segments["test"] / n_segments["train"] != n_tracks["test"] / n_tracks["train"]
    expected = (0.5 + n_segments["test"] / n_segments["train"]) / (0.5 + n_tracks["test"] / n_tracks["train"])
    assert math.isclose(width["piece"] / width["track"], math.sqrt(expected))


def test_a_repeat_without_checkpoint_is_a_fault_of_the_caller(evaluated, music):
    checkpoints, folder, _, _ = evaluated
    with pytest.raises(EvaluationError, match=r"expected the outcome of the repeats \[0, 1\], got \[0\]"):
        evaluate(checkpoints[:1], music, folder)


def test_metric_values_leave_out_what_is_missing():
    rows = [
        {"split": "test", "unit": "track", "metric": "accuracy", "mean": 0.5, "sd": None},
        {"split": "validation", "unit": "segment", "metric": "macro_f1", "mean": 1, "sd": 0.25},
    ]
    assert metric_values(rows, value="mean") == {"test_track_accuracy": 0.5, "validation_segment_macro_f1": 1.0}
    assert metric_values(rows, value="sd", suffix="_sd") == {"validation_segment_macro_f1_sd": 0.25}


@pytest.mark.parametrize("evaluated", ["net"], indirect=True)
@pytest.mark.parametrize("n_failed", [1, 2])
def test_failed_repeats_are_in_the_result(evaluated, music, tmp_path, n_failed):
    trained = evaluated[0][n_failed:]
    failures = [FailedRepeat(repeat, 10 + repeat, "It diverged.") for repeat in range(n_failed)]
    data = music.data()
    predictions, inference_s = predict_cell(trained, data, folder=tmp_path)
    values = {"audit": AUDIT, "artists": ARTISTS, "confidence": 0.95, "reference": "", "git_commit": ""}
    result = evaluate_cell(CELL, [*failures, *trained], data, predictions, inference_s=inference_s, **values)
    assert result["failures"] == [{"repeat": n, "seed": 10 + n, "reason": "It diverged."} for n in range(n_failed)]
    assert result["n_repeats"] == 2 - n_failed
    assert {row["repeat"] for row in [*result["repeats"], *result["history"]]} == set(range(n_failed, 2))
    assert list(predictions.columns) == list(evaluated[2].columns)
    assert leaderboard([json.loads(json.dumps(result, allow_nan=False))])["n_failed"].tolist() == [n_failed]
