"""Scores agree with scikit-learn and with what can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from genre_pipeline.errors import EvaluationError
from genre_pipeline.evaluation.metrics import (
    UNITS,
    aggregate_to_tracks,
    confidences_of,
    confusion,
    reliability_of,
    score,
    score_calibrated,
    score_genres,
    told_right,
)

EXACT = settings(derandomize=True, deadline=None, max_examples=40)
# Not in alphabetical order, as a model's outputs need not be.
GENRES = ["rock", "blues", "jazz"]
METRICS = [
    "accuracy",
    "accuracy_at_80_coverage",
    "accuracy_at_95_coverage",
    "balanced_accuracy",
    "brier",
    "ece",
    "log_loss",
    "macro_f1",
    "top_2_accuracy",
]


def predictions_of(targets, probabilities, *, genres=GENRES, n_segments=1, **columns):
    """One track for each target, with equal segments."""
    rows = np.repeat(np.arange(len(targets)), n_segments)
    table = pd.DataFrame(
        {
            "repeat": 0,
            "split": "test",
            "track_id": [f"t{row:03d}" for row in rows],
            "segment_id": [f"t{row:03d}#{index % n_segments:03d}" for index, row in enumerate(rows)],
            "genre": np.asarray(targets, dtype=object)[rows],
        }
    ).assign(**columns)
    for genre, column in zip(genres, np.asarray(probabilities, dtype=np.float64).T, strict=True):
        table[f"p_{genre}"] = column[rows]
    return table


def values(scores, unit="segment", split="test", repeat=0):
    rows = scores[(scores["unit"] == unit) & (scores["split"] == split) & (scores["repeat"] == repeat)]
    return dict(zip(rows["metric"], rows["value"], strict=True))


@st.composite
def random_predictions(draw):
    seed, n_rows = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 30))
    rng = np.random.default_rng(seed)
    targets = rng.choice(GENRES[: draw(st.integers(1, 3))], size=n_rows)
    table = predictions_of(targets, rng.dirichlet([0.3] * 3, size=n_rows), n_segments=draw(st.integers(1, 3)))
    probabilities = [f"p_{genre}" for genre in GENRES]
    table[probabilities] = rng.dirichlet([0.3] * 3, size=len(table)).astype(np.float32)
    return table.assign(repeat=rng.integers(0, 2, n_rows).repeat(len(table) // n_rows))


@EXACT
@given(predictions=random_predictions())
def test_scores_are_those_of_scikit_learn(predictions):
    scores = score(predictions, genres=GENRES)
    for repeat, group in predictions.groupby("repeat"):
        targets = group["genre"].to_numpy(dtype=str)
        probabilities = group[[f"p_{genre}" for genre in sorted(GENRES)]].to_numpy(dtype=np.float64)
        predicted = np.asarray(sorted(GENRES))[probabilities.argmax(axis=1)]
        floored = np.maximum(probabilities, np.finfo(np.float32).eps)
        floored /= floored.sum(axis=1, keepdims=True)
        assert values(scores, repeat=repeat) == pytest.approx(
            {
                "accuracy": reference.accuracy_score(targets, predicted),
                **{
                    f"accuracy_at_{n}_coverage": accuracy_of_surest(n, predicted == targets, probabilities.max(axis=1))
                    for n in (80, 95)
                },
                "brier": np.mean(
                    [
                        np.sum((row - (np.asarray(sorted(GENRES)) == target)) ** 2)
                        for row, target in zip(probabilities, targets, strict=True)
                    ]
                ),
                "balanced_accuracy": np.mean(
                    [(predicted[targets == genre] == genre).mean() for genre in np.unique(targets)]
                ),
                "ece": ece_of_scikit_learn(predicted == targets, probabilities.max(axis=1)),
                "log_loss": reference.log_loss(targets, floored, labels=sorted(GENRES)),
                "macro_f1": reference.f1_score(targets, predicted, labels=GENRES, average="macro", zero_division=0.0),
                "top_2_accuracy": reference.top_k_accuracy_score(targets, probabilities, k=2, labels=sorted(GENRES)),
            }
        )


def accuracy_of_surest(n_percent, correct, confidences):
    """Answers that are equally sure share what they are right about."""
    shared = pd.Series(correct.astype(float)).groupby(confidences).transform("mean").to_numpy()
    n_kept = -(-n_percent * len(correct) // 100)
    return shared[np.argsort(-confidences, kind="stable")][:n_kept].mean()


def ece_of_scikit_learn(correct, confidences):
    """The bins' accuracies and confidences are those of its calibration curve; it leaves empty bins out."""
    accuracy, confidence = calibration_curve(correct, np.minimum(confidences, 1.0), n_bins=15)
    n = np.histogram(-confidences, bins=-np.linspace(0.0, 1.0, 16)[::-1])[0][::-1]
    return np.abs(accuracy - confidence) @ n[n > 0] / n.sum()


@EXACT
@given(predictions=random_predictions())
def test_genres_are_scored_as_scikit_learn_does(predictions):
    scores = score_genres(predictions, genres=GENRES)
    for unit in UNITS:
        rows = predictions if unit == "segment" else aggregate_to_tracks(predictions)
        for repeat, group in rows.groupby("repeat"):
            predicted = np.asarray(GENRES)[group[[f"p_{genre}" for genre in GENRES]].to_numpy().argmax(axis=1)]
            expected = reference.precision_recall_fscore_support(
                group["genre"], predicted, labels=sorted(GENRES), zero_division=np.nan
            )
            found = scores[(scores["unit"] == unit) & (scores["repeat"] == repeat)]
            assert found["genre"].tolist() == sorted(GENRES)
            for column, numbers in zip(("precision", "recall", "f1", "n"), expected, strict=True):
                np.testing.assert_allclose(found[column].to_numpy(dtype=float), numbers)


@EXACT
@given(predictions=random_predictions())
def test_what_was_told_right_adds_up_to_the_accuracy(predictions):
    keys = ["repeat", "split", "unit"]
    scores = score(predictions, genres=GENRES)
    accuracy = scores[scores["metric"] == "accuracy"].set_index(keys)
    told = told_right(predictions, genres=GENRES).groupby(keys)["value"]
    assert told.mean().to_numpy() == pytest.approx(accuracy["value"].to_numpy())
    assert told.size().tolist() == accuracy["n"].tolist()


@EXACT
@given(predictions=random_predictions())
def test_genres_and_wholes_agree(predictions):
    scores, by_genre = score(predictions, genres=GENRES), score_genres(predictions, genres=GENRES)
    groups = by_genre.groupby(["repeat", "split", "unit"])
    keys = ["repeat", "split", "unit"]
    whole = scores.pivot_table(index=keys, columns="metric", values="value")
    assert groups["recall"].mean().to_numpy() == pytest.approx(whole["balanced_accuracy"].to_numpy())
    assert (by_genre["f1"].fillna(0.0).groupby([by_genre[key] for key in keys]).mean()).to_numpy() == pytest.approx(
        whole["macro_f1"].to_numpy()
    )
    assert (whole["top_2_accuracy"] >= whole["accuracy"]).all()


@EXACT
@given(predictions=random_predictions())
def test_the_reliability_diagram_holds_every_prediction(predictions):
    for unit in UNITS:
        bars = reliability_of(predictions, genres=GENRES, unit=unit)
        matrix = confusion(predictions, genres=GENRES, unit=unit)
        assert bars["n"].sum() == matrix.sum()
        assert (bars["accuracy"] * bars["n"]).sum() == pytest.approx(np.trace(matrix))
        assert (bars["low"] < bars["confidence"] + 1e-9).all()
        assert (bars["confidence"] <= bars["high"] + 1e-6).all()


def test_a_genre_that_is_neither_there_nor_predicted_has_no_numbers():
    found = score_genres(predictions_of(["rock", "blues"], [[0, 1, 0], [0, 1, 0]]), genres=GENRES)
    tracks = found[found["unit"] == "track"].set_index("genre")
    assert tracks.loc["blues", ["precision", "recall", "n"]].tolist() == [0.5, 1.0, 1]
    assert tracks.loc["rock", ["recall", "f1", "n"]].tolist() == [0.0, 0.0, 1]
    assert np.isnan(tracks["precision"]["rock"])
    assert tracks.loc["jazz", ["precision", "recall", "f1"]].isna().all()


def test_the_second_of_two_genres_is_always_among_the_best_two():
    predictions = predictions_of(["rock", "blues"], [[0.9, 0.1], [0.9, 0.1]], genres=["rock", "blues"])
    assert values(score(predictions, genres=["rock", "blues"]))["top_2_accuracy"] == 1.0


def test_balanced_accuracy_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    targets = rng.choice(GENRES, size=60, p=[0.7, 0.2, 0.1])
    predictions = predictions_of(targets, rng.dirichlet([1.0] * 3, size=60))
    predicted = np.asarray(GENRES)[predictions[["p_rock", "p_blues", "p_jazz"]].to_numpy().argmax(axis=1)]
    expected = reference.balanced_accuracy_score(targets, predicted)
    assert values(score(predictions, genres=GENRES))["balanced_accuracy"] == pytest.approx(expected)


@EXACT
@given(predictions=random_predictions(), data=st.data())
def test_scores_are_bounded_and_do_not_depend_on_order(predictions, data):
    scores = score(predictions, genres=GENRES)
    bounded = scores[~scores["metric"].isin(["brier", "log_loss"])]
    assert bounded["value"].between(0.0, 1.0).all()
    assert scores[scores["metric"] == "brier"]["value"].between(0.0, 2.0).all()
    assert (scores["value"] >= 0.0).all()
    rows = data.draw(st.permutations(range(len(predictions))))
    genres = data.draw(st.permutations(GENRES))
    pd.testing.assert_frame_equal(score(predictions.iloc[rows], genres=genres), scores)


@EXACT
@given(predictions=random_predictions())
def test_the_confusion_matrix_agrees_with_the_accuracy(predictions):
    scores = score(predictions, genres=GENRES)
    for unit in ("segment", "track"):
        matrix = confusion(predictions, genres=GENRES, unit=unit)
        right = scores[(scores["unit"] == unit) & (scores["metric"] == "accuracy")]
        assert matrix.dtype == np.int64
        assert matrix.sum() == right["n"].sum()
        assert np.trace(matrix) == pytest.approx((right["value"] * right["n"]).sum())


def test_perfect_predictions_score_one():
    found = values(score(predictions_of(GENRES, np.eye(3)), genres=GENRES), unit="track")
    errors = {"brier": 0.0, "ece": 0.0, "log_loss": 0.0}
    assert found == pytest.approx(dict.fromkeys(METRICS, 1.0) | errors, abs=1e-6)


def test_uniform_predictions_score_chance():
    found = values(score(predictions_of(GENRES * 5, np.full((15, 3), 1 / 3)), genres=GENRES))
    # All are taken for the first genre: its F1 is 2 * (1/3) / (1/3 + 1).
    expected = {"accuracy": 1 / 3, "balanced_accuracy": 1 / 3, "macro_f1": 0.5 / 3, "log_loss": np.log(3)}
    # Confidence and accuracy are both a third; the second of equal genres is the second in order.
    expected |= {"ece": 0.0, "top_2_accuracy": 2 / 3, "brier": (2 / 3) ** 2 + 2 / 9}
    # All are equally sure: whichever are kept, a third of them is right.
    expected |= {"accuracy_at_80_coverage": 1 / 3, "accuracy_at_95_coverage": 1 / 3}
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_confident_error_costs_a_finite_log_loss():
    found = values(score(predictions_of(["rock"], [[0.0, 1.0, 0.0]]), genres=GENRES))
    assert found["log_loss"] == pytest.approx(-np.log(np.finfo(np.float32).eps), rel=1e-6)


def test_a_genre_without_targets_is_left_out_of_balanced_accuracy_and_lowers_macro_f1():
    found = values(score(predictions_of(["rock", "blues"], np.eye(3)[:2]), genres=GENRES))
    assert found["balanced_accuracy"] == 1.0
    assert found["macro_f1"] == pytest.approx(2 / 3)


def test_tracks_are_the_mean_of_their_segments():
    one = predictions_of(["rock"], [[0.6, 0.4, 0.0]])
    three = predictions_of(["rock"], [[0.2, 0.3, 0.5]]).assign(segment_id="t000#001")
    predictions = pd.concat([one, three, three.assign(segment_id="t000#002")])
    tracks = aggregate_to_tracks(predictions)
    assert tracks.columns.tolist() == ["repeat", "split", "track_id", "genre", "p_rock", "p_blues", "p_jazz"]
    assert tracks.iloc[0, 4:].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert values(score(predictions, genres=GENRES))["accuracy"] == pytest.approx(1 / 3)


def test_tracks_in_logit_space_are_the_softmax_of_their_segments_mean_logits():
    logits = np.random.default_rng(0).normal(size=(5, 4, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    tables = [predictions_of(["rock"] * 5, probabilities[:, segment]) for segment in range(4)]
    tracks = aggregate_to_tracks(pd.concat(tables), "logit")
    means = np.exp(logits.mean(axis=1))
    expected = means / means.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tracks[["p_rock", "p_blues", "p_jazz"]], expected, rtol=1e-12)


def test_what_is_averaged_decides_the_tracks_and_not_the_segments():
    # Means of probabilities: 0.53 and 0.47; of logarithms: one segment is sure that it is not rock.
    sure = predictions_of(["rock"], [[0.0, 1.0, 0.0]])
    others = [predictions_of(["rock"], [[0.8, 0.2, 0.0]]).assign(segment_id=f"t000#{each}") for each in (1, 2)]
    predictions = pd.concat([sure, *others])
    for average, accuracy in (("probability", 1.0), ("logit", 0.0)):
        scores = score(predictions, genres=GENRES, average=average)
        assert values(scores, "track")["accuracy"] == accuracy
        assert values(scores, "segment")["accuracy"] == pytest.approx(2 / 3)
        right = told_right(predictions, genres=GENRES, average=average)
        assert right[right["unit"] == "track"]["value"].tolist() == [accuracy]
        assert confusion(predictions, genres=GENRES, unit="track", average=average)[0, 0] == accuracy
        by_genre = score_genres(predictions, genres=GENRES, average=average)
        assert by_genre[(by_genre["unit"] == "track") & (by_genre["genre"] == "rock")]["recall"].tolist() == [accuracy]
        bins = reliability_of(predictions, genres=GENRES, unit="track", average=average)
        assert bins["n"].sum() == 1
        assert bins.loc[bins["n"] > 0, "accuracy"].tolist() == [accuracy]


def test_segments_and_tracks_repeats_and_splits_are_scored_apart():
    base = predictions_of(["rock", "blues"], [[1, 0, 0], [1, 0, 0]], n_segments=2)
    predictions = pd.concat([base, base.assign(repeat=1), base.assign(split="validation")])
    scores = score(predictions, genres=GENRES)
    assert scores.columns.tolist() == ["repeat", "split", "unit", "metric", "value", "n"]
    assert len(scores) == 3 * 2 * len(METRICS)
    assert scores["metric"].unique().tolist() == METRICS
    assert scores.groupby("unit")["n"].unique().map(list).to_dict() == {"segment": [4], "track": [2]}


class TestScoreCalibrated:
    def predictions(self, *, validation_right):
        """Validation tracks of a confidence of 0.8, of which some are right, and one right and one wrong test track."""
        n = 10
        rock, other = [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]
        validation = predictions_of(["rock"] * n, [rock] * validation_right + [other] * (n - validation_right))
        test = predictions_of(["rock", "rock"], [rock, other])
        return pd.concat([validation.assign(split="validation"), test.assign(track_id=["a", "b"])], ignore_index=True)

    def test_a_model_that_is_too_sure_gets_a_temperature_above_one(self):
        predictions = self.predictions(validation_right=5)
        scores = score_calibrated(predictions, genres=GENRES)
        assert scores[["split", "unit", "metric", "n"]].to_numpy().tolist() == [
            ["test", "track", "calibrated_brier", 2],
            ["test", "track", "calibrated_ece", 2],
            ["test", "track", "calibrated_log_loss", 2],
            ["validation", "track", "temperature", 10],
        ]
        temperature = values(scores, "track", "validation")["temperature"]
        found, before = values(scores, "track"), values(score(predictions, genres=GENRES), "track")
        assert temperature > 1.5
        assert found["calibrated_log_loss"] < before["log_loss"]
        assert found["calibrated_brier"] < before["brier"]
        assert found["calibrated_ece"] < before["ece"]

    def test_the_test_tracks_do_not_move_the_temperature(self):
        predictions = self.predictions(validation_right=7)
        moved = predictions.copy()
        is_test = moved["split"] == "test"
        moved.loc[is_test, ["p_rock", "p_blues"]] = moved.loc[is_test, ["p_blues", "p_rock"]].to_numpy()
        first, second = (score_calibrated(each, genres=GENRES) for each in (predictions, moved))
        assert values(first, "track", "validation") == values(second, "track", "validation")

    def test_every_repeat_has_its_own(self):
        one, two = self.predictions(validation_right=9), self.predictions(validation_right=4).assign(repeat=1)
        together = score_calibrated(pd.concat([one, two]), genres=GENRES)
        for repeat, each in enumerate((one, two)):
            alone = score_calibrated(each, genres=GENRES)
            for split in ("test", "validation"):
                assert values(together, "track", split, repeat) == values(alone, "track", split, repeat)

    def test_validation_tracks_are_needed(self):
        with pytest.raises(EvaluationError, match="no 'validation' split to fit a temperature to"):
            score_calibrated(predictions_of(["rock"], [[0.8, 0.1, 0.1]]), genres=GENRES)


def test_confidences_are_those_of_tracks_of_one_split_in_all_repeats():
    base = predictions_of(["rock", "blues"], [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1]], n_segments=2)
    predictions = pd.concat([base, base.assign(repeat=1), base.assign(split="validation")])
    found = confidences_of(predictions, "test", genres=GENRES)
    assert dict(zip(found.confidence.tolist(), found.correct.tolist(), strict=True)) == {0.7: True, 0.5: False}
    assert len(found.confidence) == 4
    with pytest.raises(EvaluationError, match="no 'train' split"):
        confidences_of(predictions, "train", genres=GENRES)


def test_confusion_has_true_genres_in_rows_and_sums_repeats_of_the_test_only():
    base = predictions_of(["rock", "blues"], [[1, 0, 0], [0, 0, 1]], n_segments=2)
    predictions = pd.concat([base, base.assign(repeat=1), base.assign(split="train")])
    assert confusion(predictions, genres=GENRES, unit="track").tolist() == [[2, 0, 0], [0, 0, 2], [0, 0, 0]]
    assert confusion(predictions, genres=GENRES, unit="segment").tolist() == [[4, 0, 0], [0, 0, 4], [0, 0, 0]]


def test_probabilities_kept_as_float16_are_accepted():
    third = np.full((1, 3), np.float16(1 / 3))
    assert values(score(predictions_of(["rock"], third), genres=GENRES))["log_loss"] == pytest.approx(np.log(3))


GOOD = predictions_of(["rock", "blues"], [[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (GOOD.drop(columns=["repeat", "p_jazz"]), "lack the columns repeat, p_jazz; they have split"),
        (GOOD.iloc[:0], "empty: there is nothing to score"),
        (GOOD.assign(genre="jaz"), "true genre 'jaz', which the model does not know. Did you mean 'jazz'"),
        (
            GOOD.assign(p_rock=[np.nan, 0.2]),
            "of 1 predictions are not finite; the first is of the track 't000' in repeat 0",
        ),
        (GOOD.assign(p_rock=np.inf), "of 2 predictions are not finite"),
        (GOOD.assign(p_rock=[0.5, -0.2], p_blues=[0.5, 0.7]), "of 1 predictions are not between 0 and 1.*'t001'"),
        (GOOD.assign(p_rock=0.9), "of 2 predictions do not sum to one"),
    ],
)
def test_bad_predictions_are_refused(predictions, message):
    with pytest.raises(EvaluationError, match=message):
        score(predictions, genres=GENRES)
    with pytest.raises(EvaluationError, match=message):
        confusion(predictions, genres=GENRES, unit="track")


@pytest.mark.parametrize("genres", [[], ["rock"], ["rock", "rock"]])
def test_fewer_than_two_different_genres_are_refused(genres):
    with pytest.raises(EvaluationError, match="Expected two or more different genres"):
        score(GOOD, genres=genres)


def test_a_confusion_matrix_needs_a_test_split():
    with pytest.raises(EvaluationError, match="no 'test' split to count, only: train"):
        confusion(GOOD.assign(split="train"), genres=GENRES, unit="segment")


def test_a_track_of_two_genres_is_refused():
    with pytest.raises(EvaluationError, match="give the track 't000' two true genres"):
        score(GOOD.assign(track_id="t000"), genres=GENRES)


def test_predictions_without_probabilities_cannot_be_averaged():
    with pytest.raises(EvaluationError, match="no probability column"):
        aggregate_to_tracks(GOOD[["repeat", "split", "track_id", "genre"]])
