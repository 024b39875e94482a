"""Explanations of what a model says of a track."""

from dataclasses import replace

import numpy as np
import pytest

from encoder_files import encoder_values
from genre_pipeline.errors import ConfigError
from genre_pipeline.evaluation.explaining import explain_track
from genre_pipeline.features import FEATURES, Bins
from genre_pipeline.features.segments import cut_frames
from genre_pipeline.reporting.explaining import explanation_figure, explanation_summary
from genre_pipeline.reporting.report import build_report
from genre_pipeline.reporting.sections import ReportData
from tiny_music import CELL, FEATURE, GENRES, make_tiny_music, train_tiny

HOSTILE = "<script>window.broken = true</script>"


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="module")
def networks(music, tmp_path_factory):
    folder = tmp_path_factory.mktemp("net")
    return [train_tiny(music, folder / str(repeat), repeat=repeat) for repeat in (0, 1)]


@pytest.fixture(scope="module")
def estimators(music, tmp_path_factory):
    return [train_tiny(music, tmp_path_factory.mktemp("nb") / "0", model="naive_bayes")]


def a_test_track(music, repeat):
    return music.data().rows(repeat, "test")["track_id"].iloc[0]


@pytest.fixture(scope="module")
def explanation(music, networks):
    return explain_track(CELL, networks, music.data(), a_test_track(music, 0), n_steps=128)


class TestExplaining:
    def test_a_network_is_explained_by_gradients_that_sum_to_what_it_says(self, explanation, music, networks):
        assert explanation.method == "integrated gradients"
        assert explanation.levels.shape == explanation.contributions.shape == (8, 48)
        assert explanation.contributions.sum() / 3 == pytest.approx(explanation.explained, abs=explanation.residual)
        assert explanation.residual < 0.02 * abs(explanation.explained) + 0.01
        segments = music.data().rows(0, "test").query("track_id == @explanation.track_id")
        features = music.store.gather(segments)
        assert np.allclose(explanation.probabilities, networks[0].predictor().predict_probabilities(features))
        assert np.array_equal(explanation.levels, np.concatenate(features, axis=1))
        assert explanation.target == explanation.answer
        assert explanation.genre == segments["genre"].iloc[0]

    def test_the_model_is_the_one_that_was_tested_on_the_track(self, music, networks):
        assert explain_track(CELL, networks, music.data(), a_test_track(music, 1), n_steps=2).repeat == 1

    def test_another_genre_can_be_asked_about(self, music, networks):
        track_id = a_test_track(music, 0)
        targets = {
            genre: explain_track(CELL, networks, music.data(), track_id, genre=genre, n_steps=8) for genre in GENRES
        }
        assert {genre: each.target for genre, each in targets.items()} == {genre: genre for genre in GENRES}
        assert len({round(each.explained, 4) for each in targets.values()}) == 3

    def test_an_estimator_is_explained_by_occlusion(self, music, estimators):
        found = explain_track(CELL, estimators, music.data(), a_test_track(music, 0))
        assert found.method == "occlusion"
        assert found.contributions.shape == (8, 48)

    def test_occlusion_can_be_chosen_for_networks(self, music, networks):
        assert (
            explain_track(CELL, networks, music.data(), a_test_track(music, 0), method="occlusion").method
            == "occlusion"
        )

    def test_overlapping_segments_are_averaged(self, music, networks):
        half = FEATURE.segment.model_copy(update={"hop_frames": 8})
        block = FEATURE.model_copy(update={"segment": half})
        clean = music.data()
        segments = cut_frames(music.store.index.set_index("track_id")["n_frames"], block)
        segments = segments.assign(
            genre=segments["track_id"].str.split("/").str[0], start_s=segments["start_frame"] * 0.016, duration_s=0.256
        )
        found = explain_track(CELL, networks, replace(clean, segments=segments), a_test_track(music, 0), n_steps=2)
        assert found.levels.shape == (8, 56)
        assert np.allclose(found.levels, music.store.read(found.track_id)[:, :56], atol=1e-4)

    def test_what_cannot_be_explained_is_said(self, music, networks, estimators):
        data = music.data()
        with pytest.raises(ConfigError, match=r"explain\.tracks: 'nobody' has no segment"):
            explain_track(CELL, networks, data, "nobody")
        never = set(data.segments["track_id"]) - set(data.rows(0, "test")["track_id"])
        with pytest.raises(ConfigError, match="is on the test side of no trained repeat"):
            explain_track(CELL, networks[:1], data, sorted(never)[0])
        with pytest.raises(ConfigError, match=r"explain\.genre: .* does not know 'polka'"):
            explain_track(CELL, networks, data, a_test_track(music, 0), genre="polka")
        with pytest.raises(ConfigError, match=r"explain\.method: .* has no gradients"):
            explain_track(CELL, estimators, data, a_test_track(music, 0), method="integrated_gradients")


class TestPictures:
    def test_each_track_has_its_feature_its_contributions_and_its_probabilities(self, explanation, tmp_path):
        figure = explanation_figure([explanation, explanation])
        axes = figure.get_axes()
        assert len(axes) == 6
        assert np.array_equal(axes[0].images[0].get_array(), explanation.levels)
        assert np.array_equal(axes[1].images[0].get_array(), explanation.contributions)
        assert len(axes[2].lines) == len(GENRES)
        figure.savefig(tmp_path / "picture.png")

    def test_axes_are_in_seconds_and_in_what_the_bins_are(self, explanation):
        feature, contributions, over_time = explanation_figure([explanation]).axes[:3]
        assert over_time.get_xlabel() == "time (s)"
        for axes in (feature, contributions):
            assert axes.get_ylabel() == "frequency (Hz)"
            assert [each.get_text() for each in axes.get_yticklabels()] == ["500", "1,000", "2,000"]

    def test_coefficients_are_named_by_their_number(self, explanation):
        names = tuple(f"{number}{order}" for order in ("", " slope") for number in range(4))
        figure = explanation_figure([replace(explanation, bins=Bins("coefficient", names=names))])
        assert figure.axes[0].get_ylabel() == "coefficient"
        assert [each.get_text() for each in figure.axes[0].get_yticklabels()] == list(names)

    def test_nothing_but_zeros_can_be_drawn(self, explanation):
        explanation_figure([replace(explanation, contributions=np.zeros((8, 48)))])


class TestSection:
    def page(self, make_result, summaries):
        result = make_result(
            dataset=CELL.dataset, protocol=CELL.protocol, feature=CELL.feature, model=CELL.model, genres=list(GENRES)
        )
        return build_report(ReportData([result], explanations=summaries))

    def test_the_report_shows_them(self, make_result, explanation):
        page = self.page(make_result, [explanation_summary(explanation)])
        assert 'id="explanations"' in page
        assert '<img src="data:image/png;base64,' in page
        assert "By integrated gradients" in page
        assert "log odds" in page

    def test_names_are_escaped(self, make_result, explanation):
        assert HOSTILE not in self.page(make_result, [{**explanation_summary(explanation), "track_id": HOSTILE}])

    def test_those_of_other_cells_are_not_shown(self, make_result, explanation):
        other = explanation_summary(replace(explanation, cell=replace(CELL, model="another")))
        assert 'id="explanations"' not in self.page(make_result, [other])
        assert 'id="explanations"' not in self.page(make_result, [])


SEGMENT = {"n_frames": 43, "hop_frames": 43}
PARAMETERS = {"sample_rate": 22050, "hop_length": 512, "segment": SEGMENT}


@pytest.mark.parametrize(
    ("kind", "parameters", "centres_hz"),
    [
        # Slaney's scale is linear below 1 kHz: three bands up to 800 Hz lie 200 Hz apart.
        ("log_mel", {"n_fft": 2048, "n_mels": 3, "f_max_hz": 800.0}, [200.0, 400.0, 600.0]),
        ("cqt", {"n_octaves": 2, "bins_per_octave": 2, "f_min_hz": 100.0}, [100.0, 141.42, 200.0, 282.84]),
        ("stft", {"n_fft": 4, "sample_rate": 8000}, [0.0, 2000.0, 4000.0]),
    ],
)
def test_bins_of_spectra_have_their_frequencies(kind, parameters, centres_hz):
    block = FEATURES[kind].block.parse({"kind": kind, **PARAMETERS, **parameters}, key="feature")
    bins = FEATURES[kind].bins(block)
    assert bins.meaning == "frequency"
    assert bins.centres_hz == pytest.approx(centres_hz, abs=0.01)


@pytest.mark.parametrize("kind", [spec.name for spec in FEATURES])
def test_every_kind_has_one_name_or_frequency_a_bin_or_none(kind, tmp_path):
    spectral = {"n_fft": 2048}
    own = {
        "log_mel": {**spectral, "n_mels": 40},
        "mfcc": {**spectral, "n_mels": 40, "n_mfcc": 13, "delta_order": 2},
        "stft": spectral,
        "chroma": spectral,
        "cqt": {"n_octaves": 3, "bins_per_octave": 12},
        "statistics": {**spectral, "segment": {"n_frames": 1, "hop_frames": 1}},
        "musicnn": {
            "weights": "MSD_musicnn",
            "layer": "taggram",
            "sample_rate": 16_000,
            "hop_length": 256,
            "segment": {"n_frames": 1, "hop_frames": 1},
        },
        "embeddings": {"path": "e.parquet", "n_dims": 8, "segment": {"n_frames": 1, "hop_frames": 1}},
    }
    values = {**PARAMETERS, **own[kind]} if kind in own else encoder_values(kind, tmp_path)
    block = FEATURES[kind].block.parse({"kind": kind, **values}, key="feature")
    bins = FEATURES[kind].bins(block)
    n_known = len(bins.names if bins.centres_hz is None else bins.centres_hz)
    assert n_known in {0, FEATURES[kind].n_bins(block)}
    assert bins.meaning
