"""Predictions of changed audio by trained models: where nothing was changed, they are the same to the bit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import tiny_music
from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import FeatureError, StoreError
from genre_pipeline.evaluation.prediction import predict_cell
from genre_pipeline.evaluation.robustness import predicting
from genre_pipeline.evaluation.robustness.predicting import TrainedCell, predict_changed
from genre_pipeline.evaluation.robustness.scoring import ROBUSTNESS_COLUMNS, score_robustness
from genre_pipeline.interventions import INTERVENTIONS, Intervention
from genre_pipeline.locks import only_one
from genre_pipeline.reporting.report import build_markdown, build_report
from genre_pipeline.reporting.robustness_figure import robustness_figure, robustness_picture
from genre_pipeline.reporting.sections import ReportData
from genre_pipeline.training import Checkpoint
from genre_pipeline.work.backends import Workers
from tiny_music import CELL, FEATURE, GENRES, make_tiny_music, train_tiny

PROBABILITIES = [f"p_{genre}" for genre in GENRES]
NAIVE_BAYES = replace(CELL, model="naive_bayes")


def change(kind, **parameters):
    spec = INTERVENTIONS[kind]
    return Intervention(spec, parse_block(spec.block, {"kind": kind, **parameters}, key="interventions.x"))


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="module")
def checkpoints(music, tmp_path_factory):
    """Two repeats of each of two models on one feature."""
    folder = tmp_path_factory.mktemp("models")
    return {
        cell: [train_tiny(music, folder / cell.model / str(repeat), model=name, repeat=repeat) for repeat in (0, 1)]
        for cell, name in ((CELL, "net"), (NAIVE_BAYES, "naive_bayes"))
    }


@pytest.fixture
def cells(music, checkpoints, tmp_path):
    return [
        TrainedCell(cell, FEATURE, of_cell, music.data(), tmp_path / "answers" / cell.model)
        for cell, of_cell in checkpoints.items()
    ]


@pytest.fixture
def ask(music, tmp_path):
    """Ask cells of the tiny music with one intervention."""

    def ask(cells, intervention, *, workers=Workers("serial"), tracks=None):  # noqa: B008 - frozen
        return predict_changed(
            cells,
            intervention,
            tracks=music.tracks if tracks is None else tracks,
            root=music.root,
            scratch=tmp_path / "scratch" / "tiny" / "x",
            workers=workers,
        )

    return ask


@pytest.fixture
def clean(music, checkpoints, tmp_path):
    """What the models say of the tracks as they are, on the test side."""
    tables = {
        cell: predict_cell(of_cell, music.data(), folder=tmp_path / "clean" / cell.model)[0]
        for cell, of_cell in checkpoints.items()
    }
    return {cell: table[table["split"] == "test"].reset_index(drop=True) for cell, table in tables.items()}


class TestAsking:
    @pytest.mark.parametrize("workers", [Workers("serial"), Workers("threads", 2)])
    def test_doing_nothing_gives_the_same_predictions_to_the_bit(self, cells, ask, clean, workers):
        answers = ask(cells, change("identity"), workers=workers)
        assert list(answers) == [CELL, NAIVE_BAYES]
        for cell, table in answers.items():
            pd.testing.assert_frame_equal(table, clean[cell], check_exact=True)

    def test_what_is_done_to_the_audio_reaches_the_models(self, cells, ask, clean):
        answers = ask(cells, change("noise", snr_db=0.0))
        for cell, table in answers.items():
            assert table["segment_id"].tolist() == clean[cell]["segment_id"].tolist()
            assert not np.allclose(table[PROBABILITIES], clean[cell][PROBABILITIES])

    def test_the_features_are_those_of_the_changed_waveform(self, cells, ask, music, checkpoints):
        from genre_pipeline.audio.io import read_waveform
        from genre_pipeline.features import FEATURES

        answers = ask(cells[:1], change("gain", gain_db=-40.0))[CELL]
        first = answers[(answers["repeat"] == 0)].groupby("track_id")
        predictor = checkpoints[CELL][0].predictor()
        for track_id, rows in first:
            waveform = read_waveform(music.path(track_id), sample_rate=FEATURE.sample_rate) * np.float32(0.01)
            frames = FEATURES["log_mel"].extract(waveform, FEATURE).astype(FEATURE.dtype).astype(np.float32)
            segments = np.stack([frames[:, start : start + 16] for start in (0, 16, 32)])
            assert np.allclose(rows[PROBABILITIES], predictor.predict_probabilities(segments), atol=1e-6)

    def test_a_shorter_clip_has_fewer_segments(self, cells, ask):
        table = ask(cells, change("excerpt", duration_s=0.6))[CELL]
        assert table.groupby(["repeat", "track_id"]).size().eq(2).all()

    @pytest.mark.parametrize("duration_s", [0.1, 1.5])
    def test_clips_that_become_too_short_or_were_have_no_row(self, cells, ask, duration_s):
        answers = ask(cells, change("excerpt", duration_s=duration_s))
        for table in answers.values():
            assert table.empty
            assert set(PROBABILITIES) <= set(table)

    def test_a_feature_is_computed_once_for_all_models_and_only_of_test_tracks(self, cells, ask, music, monkeypatch):
        calls = []

        class Counting(Intervention):
            def __call__(self, audio_hash, waveform, sample_rate):
                calls.append(audio_hash)
                return super().__call__(audio_hash, waveform, sample_rate)

        known = change("identity")
        first = ask(cells, Counting(known.spec, known.block))
        tested = music.split[music.split["split"] == "test"]["track_id"]
        assert len(calls) == len(set(calls)) == tested.nunique() < len(music.tracks)

        def forbid(*_args, **_kwargs):
            pytest.fail("A model was asked although its answer was known.")

        monkeypatch.setattr(Checkpoint, "predictor", forbid)
        again = ask(cells, Counting(known.spec, known.block))
        assert len(calls) == tested.nunique()
        for cell, table in again.items():
            pd.testing.assert_frame_equal(table, first[cell])

    def test_another_model_alone_is_asked_anew(self, cells, ask, music, tmp_path, monkeypatch):
        ask(cells, change("identity"))
        other = train_tiny(music, tmp_path / "other", repeat=0, max_epochs=1)
        asked = []
        predictor = Checkpoint.predictor
        monkeypatch.setattr(Checkpoint, "predictor", lambda self: asked.append(self.folder) or predictor(self))
        ask([replace(cells[0], checkpoints=[other, cells[0].checkpoints[1]]), cells[1]], change("identity"))
        assert asked == [other.folder]

    def test_another_parameter_is_asked_anew(self, cells, ask):
        quiet = ask(cells[:1], change("gain", gain_db=-40.0))[CELL]
        loud = ask(cells[:1], change("gain", gain_db=-60.0))[CELL]
        assert not np.array_equal(quiet[PROBABILITIES], loud[PROBABILITIES])

    def test_a_track_whose_audio_is_gone_is_left_out(self, cells, ask, music):
        tracks = music.tracks.assign(path=music.tracks["path"].where(music.tracks.index != 3, "nowhere.wav"))
        gone = music.tracks["track_id"][3]
        assert gone in set(music.split[music.split["split"] == "test"]["track_id"])
        table = ask(cells[:1], change("identity"), tracks=tracks)[CELL]
        assert gone not in set(table["track_id"])
        assert len(table)

    def test_nothing_of_the_features_is_left(self, cells, ask, tmp_path):
        ask(cells, change("identity"))
        assert not (tmp_path / "scratch" / "tiny" / "x").exists()

    def test_a_run_that_was_killed_goes_on(self, cells, ask, monkeypatch):
        whole = ask([replace(each, folder=each.folder / "whole") for each in cells], change("identity"))
        asked = []
        predictor = Checkpoint.predictor

        def killed(self):
            asked.append(self.folder)
            if len(asked) == 3:
                raise KeyboardInterrupt
            return predictor(self)

        monkeypatch.setattr(Checkpoint, "predictor", killed)
        with pytest.raises(KeyboardInterrupt):
            ask(cells, change("identity"))
        monkeypatch.setattr(predicting, "extract_together", _only_reused(predicting.extract_together))
        answers = ask(cells, change("identity"))
        assert len(asked) == 5
        for cell, table in answers.items():
            pd.testing.assert_frame_equal(table, whole[cell])

    def test_two_at_once_are_refused(self, cells, ask, tmp_path):
        scratch = tmp_path / "scratch" / "tiny" / "x"
        with only_one(scratch, lambda _: AssertionError()), pytest.raises(StoreError, match="computes this now"):
            ask(cells, change("identity"))

    def test_a_cell_without_a_trained_model_has_no_answer(self, cells, ask):
        answers = ask([replace(cells[0], checkpoints=[]), cells[1]], change("identity"))
        assert answers[CELL].empty
        assert len(answers[NAIVE_BAYES])

    def test_a_feature_that_is_read_cannot_be_changed(self, cells, ask):
        from genre_pipeline.features.embeddings import EmbeddingsBlock

        block = EmbeddingsBlock(
            kind="embeddings",
            path=tiny_music.__file__,
            n_dims=8,
            sample_rate=8000,
            hop_length=1,
            segment={"n_frames": 1, "hop_frames": 1},
        )
        with pytest.raises(FeatureError, match="read, not computed from audio"):
            ask([replace(cells[0], block=block)], change("identity"))


def _only_reused(extract_together):
    def extract(*args, **kwargs):
        results = extract_together(*args, **kwargs)
        assert [each.report["n_extracted"] for each in results] == [0]
        return results

    return extract


def predictions(right, *, genre="blues", n_tracks=40):
    """One segment of each of ``n_tracks`` test tracks in each of two repeats; of the first ``right`` the model is."""
    rows = []
    for repeat in (0, 1):
        for track in range(n_tracks):
            p = 0.9 if track < right else 0.2
            rows.append([repeat, "test", False, f"t{track}", f"t{track}#000", genre, p, 1 - p])
    columns = ["repeat", "split", "leaky", "track_id", "segment_id", "genre", "p_blues", "p_jazz"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def result(make_result):
    return make_result(genres=["blues", "jazz"], n_repeats=2, design="seeds")


NO_ARTISTS = pd.Series(dtype=str)
CHANGES = {"quiet": change("gain", gain_db=-40.0), "short": change("excerpt", duration_s=1.0)}


def score(result, before, after, **settings):
    return score_robustness(result, before, after, CHANGES, artists=NO_ARTISTS, n_resamples=499, **settings)


class TestScoring:
    def test_a_change_is_measured_on_the_tracks_that_both_answer(self, result):
        after = predictions(10)
        after = after[after["track_id"] != "t39"]
        table = score(result, predictions(30), {"quiet": after})
        row = table.iloc[0]
        assert list(table) == list(ROBUSTNESS_COLUMNS)
        assert row["label"] == "gain -40 dB"
        assert row["accuracy"] == pytest.approx(10 / 39)
        assert row["accuracy_before"] == pytest.approx(30 / 39)
        assert row["accuracy_of_all"] == pytest.approx(30 / 40)
        assert row["difference"] == pytest.approx(-20 / 39)
        assert row["ci_low"] < row["difference"] < row["ci_high"] < 0
        assert row["same_answer"] == pytest.approx(19 / 39)
        assert row["is_changed"]
        assert (row["n_tracks"], row["n_left_out"], row["n_repeats"]) == (39, 2, 2)

    def test_no_change_is_none(self, result):
        row = score(result, predictions(30), {"quiet": predictions(30)}).iloc[0]
        assert (row["difference"], row["ci_low"], row["ci_high"]) == (0.0, 0.0, 0.0)
        assert row["same_answer"] == 1.0
        assert not row["is_changed"]

    def test_many_interventions_are_corrected_for(self, result):
        alone = score(result, predictions(30), {"quiet": predictions(27)}).iloc[0]
        both = score(result, predictions(30), {"quiet": predictions(27), "short": predictions(30)}).iloc[0]
        assert alone["p"] == both["p"]
        assert both["p_holm"] == pytest.approx(min(1.0, 2 * alone["p"]))

    def test_nothing_answered_has_no_number(self, result):
        row = score(result, predictions(30), {"short": predictions(30).iloc[:0]}).iloc[0]
        assert np.isnan(row["accuracy"])
        assert np.isnan(row["difference"])
        assert not row["is_changed"]
        assert (row["n_tracks"], row["n_left_out"]) == (0, 80)

    def test_only_test_tracks_count(self, result):
        others = predictions(0).assign(split="validation")
        row = score(result, pd.concat([predictions(30), others]), {"quiet": predictions(30)}).iloc[0]
        assert row["accuracy_before"] == pytest.approx(0.75)

    def test_a_cell_that_was_not_trained_has_no_number(self, result):
        nothing = predictions(0).iloc[:0]
        row = score(result, nothing, {"quiet": nothing}).iloc[0]
        assert (row["n_tracks"], row["n_left_out"]) == (0, 0)
        assert np.isnan(row["accuracy_of_all"])


@pytest.fixture
def table(make_result):
    """Scores of two models under two protocols, the second leaky, with an intervention that leaves nothing."""
    cells = [
        make_result(genres=["blues", "jazz"], model=model, protocol=protocol, design="seeds", leaky=protocol == "b")
        for protocol in ("a", "b")
        for model in ("net1", "svm")
    ]
    after = {"quiet": predictions(10), "short": predictions(0).iloc[:0]}
    return pd.concat([score(cell, predictions(30), after) for cell in cells], ignore_index=True)


class TestFigures:
    def test_each_setting_is_a_panel_and_each_cell_a_mark_in_each_row(self, table):
        figure = robustness_figure(table)
        assert [each["text"] for each in figure.layout.annotations] == ["demo · a", "demo · b (LEAKY)"]
        assert [trace.name for trace in figure.data] == ["net1", "svm"] * 2
        assert [bool(trace.showlegend) for trace in figure.data] == [True, True, False, False]
        for trace in figure.data:
            assert trace.x == pytest.approx((-50.0,))
            assert trace.marker.symbol == ("circle",)
        assert list(figure.layout.yaxis.ticktext) == ["gain -40 dB"]
        assert "25.0 % instead of 75.0 % of 40 tracks" in figure.data[0].text[0]

    def test_nothing_asked_is_said(self, table):
        figure = robustness_figure(table[table["intervention"] == "short"])
        assert figure.layout.annotations[0]["text"] == "No test track could be changed."

    def test_the_picture_has_the_numbers(self, table, tmp_path):
        picture = robustness_picture(table)
        axes = picture.axes[0]
        assert [text.get_text() for text in axes.texts] == ["-50.0"] * 4
        assert {text.get_fontweight() for text in axes.texts} == {"bold"}
        assert [each.get_text() for each in axes.get_yticklabels()][3] == "demo · b · svm (LEAKY): 75.0 %"
        picture.savefig(tmp_path / "picture.png")


class TestSection:
    @pytest.fixture
    def results(self, make_result):
        settings = {"genres": ["blues", "jazz"], "n_repeats": 2, "spread": 0.0, "design": "seeds"}
        return [
            make_result(model=model, protocol=protocol, accuracy=0.75, leaky=protocol == "b", **settings)
            for protocol in ("a", "b")
            for model in ("net1", "svm")
        ]

    def test_the_report_shows_what_was_found(self, results, table):
        page = build_report(ReportData(results, robustness=table))
        assert 'id="robustness"' in page
        assert "gain -40 dB" in page
        assert "\N{MINUS SIGN}50.0 *" in page
        assert "Tests see a change in 2 of 2 comparisons" in page
        lines = build_markdown(ReportData(results, robustness=table)).splitlines()
        assert "## Robustness: demo · a" in lines
        assert "| gain -40 dB | \N{MINUS SIGN}50.0 \\* | \N{MINUS SIGN}50.0 \\* |" in lines
        assert "| middle 1 s | \N{EN DASH} | \N{EN DASH} |" in lines

    def test_scores_of_other_trainings_are_not_shown(self, results, table):
        for other in (
            None,
            table.assign(accuracy_of_all=0.5),
            table.assign(split_hash="0123456789abcdef"),
            table.assign(model="net2"),
        ):
            assert 'id="robustness"' not in build_report(ReportData(results, robustness=other))
            assert "Robustness" not in build_markdown(ReportData(results, robustness=other))

    def test_a_cell_that_was_not_asked_of_everything_has_a_gap(self, results, table):
        some = table[(table["model"] == "net1") | (table["intervention"] == "short")]
        assert "| gain -40 dB | \N{MINUS SIGN}50.0 \\* | \N{EN DASH} |" in build_markdown(
            ReportData(results, robustness=some)
        )

    def test_nothing_answered_is_said(self, results, table):
        short = table[table["intervention"] == "short"]
        assert "No track could be changed." in build_markdown(ReportData(results, robustness=short))
