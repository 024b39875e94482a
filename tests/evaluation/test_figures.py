from __future__ import annotations

import io
import math

import numpy as np
import pytest

from genre_pipeline.errors import EvaluationError
from genre_pipeline.reporting.figures import (
    PALETTE,
    QUANTITIES,
    accuracy_comparison,
    confusion_figure,
    confusion_matrices,
    confusion_percent,
    learning_curves,
    mean_curve,
    reliability_diagrams,
    risk_coverage,
    styles,
)


def _content(figure):
    """Return what Plotly would read: also proves that the figure is valid JSON."""
    import json

    return json.loads(figure.to_json())


def _traces(figure, meta):
    return [trace for trace in _content(figure)["data"] if trace["meta"] == meta]


def test_styles_keep_a_colour_a_model_and_a_dash_a_feature(make_result):
    looks = styles(
        [
            make_result(model="net1"),
            make_result(model="net1", feature="cqt_36"),
            make_result(model="svm", feature="mfcc_40"),
        ]
    )
    assert looks["net1", "cqt_36"].colour == looks["net1", "log_mel_128"].colour == PALETTE[0]
    assert looks["net1", "cqt_36"].dash != looks["net1", "log_mel_128"].dash
    assert looks["net1", "cqt_36"].label == "net1 · cqt_36"
    assert (looks["svm", "mfcc_40"].label, looks["svm", "mfcc_40"].colour) == ("svm", PALETTE[1])


def test_styles_of_many_models_differ(make_result):
    looks = styles([make_result(model=f"model_{index}") for index in range(2 * len(PALETTE))])
    assert len({(look.colour, look.dash) for look in looks.values()}) == 2 * len(PALETTE)


def test_accuracy_shows_mean_interval_repeats_and_chance(make_result):
    result = make_result(accuracy=0.75, spread=0.1, n_repeats=3)
    figure = accuracy_comparison([result])
    (mean,), (repeats,) = _traces(figure, "mean"), _traces(figure, "repeats")
    half = 100 * 1.96 * 0.1 / math.sqrt(3)
    assert mean["x"] == pytest.approx([75.0])
    assert mean["error_x"]["array"] == pytest.approx([half])
    assert mean["error_x"]["arrayminus"] == pytest.approx([half])
    assert "75.0 % mean of 3 folds" in mean["text"][0]
    assert "corrected resampled t" in mean["text"][0]
    assert repeats["x"] == pytest.approx([65.0, 75.0, 85.0])
    assert [n for _, n in repeats["customdata"]] == [24, 24, 24]
    layout = _content(figure)["layout"]
    assert layout["shapes"][0]["x0"] == pytest.approx(100 / 6)
    assert layout["xaxis"]["title"]["text"] == "track accuracy (%)"
    assert layout["paper_bgcolor"] == "rgba(0,0,0,0)"


def test_accuracy_of_one_repeat_has_no_bar(make_result):
    (mean,) = _traces(accuracy_comparison([make_result(n_repeats=1)]), "mean")
    assert "error_x" not in mean or "array" not in mean["error_x"]
    assert "one fold" in mean["text"][0]


def test_accuracy_has_a_panel_a_setting_and_marks_leaks(results):
    figure = accuracy_comparison(results)
    content = _content(figure)
    titles = [annotation["text"] for annotation in content["layout"]["annotations"]]
    assert titles[0] == "demo · artist_kfold, mean of 5 folds; dotted: largest genre, 16.7 %"
    assert titles[1] == "demo · random_segment (LEAKY), mean of 5 resampled splits; dotted: largest genre, 16.7 %"
    assert len(titles) == 4
    assert content["layout"]["yaxis"]["categoryarray"] == ["svm", "crnn_gru", "net1", "net2"]
    assert content["layout"]["yaxis2"]["categoryarray"][-1] == "net2 (LEAKY)"
    symbols = {trace["y"][0]: trace["marker"]["symbol"] for trace in _traces(figure, "mean")}
    assert symbols["net2"] == "circle"
    assert symbols["net2 (LEAKY)"] == "diamond-open"


@pytest.mark.parametrize("draw", [accuracy_comparison, learning_curves, confusion_matrices])
def test_every_figure_names_the_part_of_the_dataset_and_the_leak(make_result, draw):
    figure = draw([make_result(dataset="gtzan", protocol="random_segment", subset="6 of 10 genres", leaky=True)])
    layout = _content(figure)["layout"]
    texts = [annotation["text"] for annotation in layout.get("annotations", [])] + [layout["title"].get("text", "")]
    (named,) = [text for text in texts if "gtzan (6 of 10 genres) · random_segment" in text]
    assert "(LEAKY)" in named


def test_curves_are_means_of_the_repeats_that_still_train(make_result):
    result = make_result(n_repeats=3)
    result["history"] = [
        _epoch(repeat, epoch, value)
        for repeat, values in enumerate([[0.2, 0.4, 0.9], [0.4, 0.6], [0.6, None]])
        for epoch, value in enumerate(values, start=1)
    ]
    epochs, means = mean_curve(result, QUANTITIES[0])
    assert epochs == [1, 2, 3]
    assert means[:2] == pytest.approx([40.0, 50.0])
    assert means[2] is None
    (mean,) = _traces(learning_curves([result]), "mean")
    (repeats,) = _traces(learning_curves([result]), "repeats")
    assert mean["y"][:2] == pytest.approx([40.0, 50.0])
    assert mean["customdata"] == [3, 2, 1]
    assert repeats["x"] == [1, 2, 3, None, 1, 2, 3, None, 1, 2, 3]
    assert repeats["y"][:3] == pytest.approx([20.0, 40.0, 90.0])
    assert repeats["y"][6] is None


def _epoch(repeat, epoch, value):
    row = {"repeat": repeat, "epoch": epoch, "validation_accuracy": value, "learning_rate": 1e-3}
    return {**row, "train_loss": 1.0, "train_accuracy": value, "validation_loss": None}


def test_curves_menu_changes_values_and_units(make_result):
    result = make_result(n_repeats=2, n_epochs=3)
    figure = learning_curves([result])
    buttons = _content(figure)["layout"]["updatemenus"][0]["buttons"]
    names = ["Validation accuracy", "Training accuracy", "Validation loss", "Training loss"]
    assert [button["label"] for button in buttons] == names
    data, layout = buttons[3]["args"]
    assert data["y"][1] == pytest.approx([row["train_loss"] for row in result["history"][:3]])
    assert layout["yaxis.title.text"] == "cross-entropy (nats)"
    assert layout["yaxis.autorange"] is True
    assert buttons[0]["args"][1]["yaxis.range"] == [0, 100]


def test_single_epochs_are_points_and_missing_histories_are_left_out(make_result):
    results = [make_result(model="svm", n_epochs=1), make_result(model="net1"), make_result(model="bayes", n_epochs=0)]
    modes = {trace["name"]: trace["mode"] for trace in _traces(learning_curves(results), "mean")}
    assert modes == {"svm": "markers", "net1": "lines"}


def test_curves_name_each_model_once(results):
    means = _traces(learning_curves(results), "mean")
    assert sorted(trace["name"] for trace in means if trace["showlegend"]) == ["crnn_gru", "net1", "net2", "svm"]
    assert len(means) == len(results)


def test_curves_without_any_history_say_so(make_result):
    content = _content(learning_curves([make_result(n_epochs=0)]))
    assert content["data"] == []
    assert content["layout"]["annotations"][0]["text"] == "No model recorded epochs."


def test_confusion_is_in_percent_of_the_true_genre(make_result):
    result = make_result(genres=["jazz", "rock", "world"])
    result["confusion"]["track"] = [[3, 1, 0], [0, 5, 0], [0, 0, 0]]
    shares = confusion_percent(result, "track")
    np.testing.assert_allclose(shares[:2], [[75, 25, 0], [0, 100, 0]])
    assert np.isnan(shares[2]).all()
    (trace,) = _content(confusion_matrices([result]))["data"]
    assert trace["z"] == [[75.0, 25.0, 0.0], [0.0, 100.0, 0.0], [None, None, None]]
    assert trace["customdata"] == result["confusion"]["track"]
    assert trace["x"] == trace["y"] == ["jazz", "rock", "world"]


def test_confusion_menu_shows_one_cell_at_a_time(results):
    content = _content(confusion_matrices(results, unit="segment"))
    buttons = content["layout"]["updatemenus"][0]["buttons"]
    assert [trace["visible"] for trace in content["data"]] == [True] + [False] * (len(results) - 1)
    assert buttons[5]["args"][0]["visible"].index(True) == 5
    assert buttons[0]["label"] == "demo · artist_kfold · net2 · log_mel_128"
    assert buttons[4]["label"].endswith("(LEAKY)")
    assert content["layout"]["title"]["text"] == "Confusion of segments: demo · artist_kfold · net2 · log_mel_128"


def test_genres_are_escaped_for_plotly(make_result):
    (trace,) = _content(confusion_matrices([make_result(genres=["<b>jazz</b>", "r&b"])]))["data"]
    assert trace["x"] == ["&lt;b&gt;jazz&lt;/b&gt;", "r&amp;b"]


@pytest.mark.parametrize("leaky", [True, False])
def test_still_confusion_matrix_holds_labels_and_percentages(make_result, leaky):
    result = make_result(genres=["j$zz$", "rock"], leaky=leaky)
    result["confusion"]["segment"] = [[3, 1], [0, 0]]
    figure = confusion_figure(result, "segment")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["75", "25"]
    assert [label.get_text() for label in axes.get_yticklabels()] == [r"j\$zz\$", "rock"]
    assert axes.get_xlabel() == "predicted genre"
    assert ("LEAKY" in axes.get_title()) is leaky
    assert confusion_figure(result, "segment", repeat=3).axes[0].get_title().endswith("of the test split, repeat 3")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    assert picture.getvalue().startswith(b"\x89PNG")


def test_figures_of_nothing_are_errors():
    for draw in (accuracy_comparison, learning_curves, confusion_matrices):
        with pytest.raises(EvaluationError, match="no result to compare"):
            draw([])


def test_coverage_ends_at_the_accuracy_of_all_answers(results):
    content = _content(risk_coverage(results))
    assert len(content["data"]) == len(results)
    first = content["data"][0]
    # Of 120: 30 with 1 wrong, 80 with 10 wrong, 115 with 21 wrong, all with 24 wrong.
    assert first["x"] == pytest.approx([25.0, 200 / 3, 115 / 1.2, 100.0])
    assert first["y"] == pytest.approx([100 - 100 / 30, 87.5, 100 * 94 / 115, 80.0])
    assert first["customdata"][-1] == [0.0, 120, 24]
    assert sum(trace["showlegend"] for trace in content["data"]) == 4


def test_a_result_of_an_earlier_release_is_named(make_result):
    old = make_result()
    del old["thresholds"]
    with pytest.raises(EvaluationError, match="thresholds of the confidence keep.*Evaluate the cell again"):
        risk_coverage([old])


def test_reliability_shows_confidence_against_accuracy(results):
    content = _content(reliability_diagrams(results))
    assert len(content["data"]) == len(results)
    assert len(content["layout"]["shapes"]) == 4
    first = content["data"][0]
    assert first["x"] == pytest.approx([45.0, 95.0])
    assert first["y"] == pytest.approx([40.0, 80.0])
    assert first["customdata"] == [[20], [100]]
    assert first["marker"]["size"][0] < first["marker"]["size"][1]
    assert sum(trace["showlegend"] for trace in content["data"]) == 4
