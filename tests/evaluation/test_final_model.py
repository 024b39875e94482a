"""Which cell's model is used, how it is opened, and its card."""

import math
import shutil

import numpy as np
import pytest

from genre_pipeline.errors import CheckpointError
from genre_pipeline.evaluation.leaderboard import describe_leader, leaderboard, leading_result
from genre_pipeline.evaluation.prediction import GenrePredictor, open_model
from genre_pipeline.reporting.document import render_markdown
from genre_pipeline.reporting.final_model import final_model_card
from genre_pipeline.results.cell import cell_of
from genre_pipeline.results.tables import PAIR_COLUMNS, make_table
from genre_pipeline.training import FailedRepeat
from genre_pipeline.training.checkpoints import joint_fingerprint
from tiny_music import make_tiny_music, train_tiny

CELL = "tiny.folds.log_mel_8.net"


class TestLeadingResult:
    def test_the_most_accurate_honest_cell_leads(self, make_result):
        honest = make_result(accuracy=0.6)
        better = make_result(model="net2", accuracy=0.7)
        leaky = make_result(protocol="random_segment", accuracy=0.9)
        leaky["leaky"] = True
        assert cell_of(leading_result([honest, leaky, better])).model == "net2"

    def test_a_leaky_cell_leads_where_there_is_no_other(self, make_result):
        leaky = make_result(protocol="random_segment", accuracy=0.9)
        leaky["leaky"] = True
        assert leading_result([leaky])["leaky"]

    def test_none_leads_where_nothing_was_trained(self, make_result):
        failed = make_result()
        failed |= {"n_repeats": 0, "summary": [], "repeats": [], "failures": [{"repeat": 0, "seed": 0, "reason": ""}]}
        assert leading_result([failed]) is None

    def test_what_is_to_know_of_it(self, make_result):
        result = make_result(accuracy=0.75, n_repeats=3)
        audits = [{"split_hash": "other", "unit": "piece"}, {"split_hash": result["split_hash"], "unit": "track"}]
        leader = describe_leader(result, audits)
        assert leader["cell"] == cell_of(result).name
        assert leader["accuracy"] == pytest.approx(0.75)
        assert leader["test_ratio"] == result["n_tracks"]["test"] / result["n_tracks"]["train"]
        assert leader["statistic"] == "mean of 3 folds"


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


class TestOpenModel:
    @pytest.fixture
    def trained(self, music, tmp_path):
        of_cell = tmp_path.joinpath(*CELL.split("."))
        return [train_tiny(music, of_cell / f"repeat_{repeat:02d}", repeat=repeat) for repeat in range(2)]

    @pytest.fixture
    def leader(self, trained):
        return {"cell": CELL, "fingerprints": {str(each.card.repeat): each.fingerprint for each in trained}}

    def test_the_probabilities_of_all_repeats_are_averaged(self, music, tmp_path, trained, leader):
        path = music.path("jazz/jazz_0")
        single = [GenrePredictor.open(each.folder).segment_probabilities(path) for each in trained]
        assert not np.allclose(*single)
        for model in (open_model(tmp_path, known=leader), open_model(tmp_path, cell=CELL)):
            np.testing.assert_allclose(model.segment_probabilities(path), np.mean(single, axis=0))
        one = open_model(tmp_path, cell=CELL, repeat=1)
        np.testing.assert_array_equal(one.segment_probabilities(path), single[1])

    def test_a_model_that_was_trained_again_since_is_the_one_that_was_compared(self, tmp_path, music, trained, leader):
        folder = trained[0].folder
        train_tiny(music, folder, repeat=0, learning_rate=0.02)
        opened = open_model(tmp_path, known=leader)
        assert len(opened.predictors) == 2
        for kept in folder.parent.glob("repeat_00.*/"):
            shutil.rmtree(kept)
        with pytest.raises(CheckpointError, match="has changed since the comparison was written"):
            open_model(tmp_path, known=leader)

    def test_the_threshold_is_that_of_the_allowed_error(self, tmp_path, trained, leader):
        counts = ((0.9, 9, 0), (0.5, 24, 4), (0.0, 40, 20))
        rows = [
            {"threshold": t, "validation_kept": n, "validation_wrong": wrong, "test_kept": n, "test_wrong": wrong}
            for t, n, wrong in counts
        ]
        for known, cell in (({**leader, "thresholds": rows}, None), ({"thresholds": rows}, CELL)):
            opened = [open_model(tmp_path, cell=cell, known=known, max_error=each) for each in (0.05, 0.1, 0.2, 1.0)]
            assert [each.abstention.threshold for each in opened] == [math.inf, 0.9, 0.5, 0.0]
        assert open_model(tmp_path, cell=CELL).abstention is None

    def test_repeats_that_failed_are_left_out(self, trained):
        assert len(GenrePredictor.of([trained[0], FailedRepeat(1, 1, "diverged")]).predictors) == 1
        with pytest.raises(CheckpointError, match="No repeat of this cell could be trained"):
            GenrePredictor.of([FailedRepeat(1, 1, "diverged")])

    def test_what_is_trained_instead_is_named(self, tmp_path, trained):
        with pytest.raises(CheckpointError, match=f"is not trained. Trained cells of this experiment: {CELL}"):
            open_model(tmp_path, cell="tiny.folds.log_mel_8.other")
        with pytest.raises(CheckpointError, match=f"nothing was compared. Trained cells of this experiment: {CELL}"):
            open_model(tmp_path)

    def test_a_joint_fingerprint_depends_on_every_model(self):
        assert joint_fingerprint(["a"]) == "a"
        assert len({joint_fingerprint(each) for each in (["a", "b"], ["a", "c"], ["b", "a"])}) == 3


class TestCard:
    @pytest.fixture
    def card(self, make_result):
        def make(**changes):
            result = {**make_result(accuracy=0.75, n_repeats=3), **changes}
            quality = {
                "title": "My music",
                "licence": "CC0",
                "n_usable": 40,
                "genres": {genre: {"usable": 20} for genre in result["genres"]},
            }
            pairs = make_table([], PAIR_COLUMNS)
            return render_markdown(final_model_card(result, quality, leaderboard([result]), pairs, experiment="mine"))

        return make

    def test_it_names_data_numbers_limits_licence_and_use(self, card):
        text = card()
        for said in (
            "trained on My music",
            "75.0 % of the test tracks",
            "3 models, one of each repeat of the comparison, whose probabilities are averaged",
            "**Usable tracks**: 40: blues 20, ",
            "It knows no other genre",
            "**Music**: CC0",
            "none: all weights were learned from these tracks",
            "genre-pipeline predict --experiment mine",
            "| 10 | 90.0 | 25.0 | 6.7 |",
            "| 30 | 0.0 | 100.0 | 25.0 |",
        ):
            assert said in text.replace("\N{NO-BREAK SPACE}", " ").replace("\\", ""), said

    def test_the_choice_by_test_tracks_is_stated(self, make_result):
        results = [make_result(model=model, accuracy=accuracy) for model, accuracy in (("net1", 0.7), ("svm", 0.6))]
        quality = {"title": "", "licence": "", "n_usable": 1, "genres": {}}
        quality["genres"] = {genre: {"usable": 1} for genre in results[0]["genres"]}
        card = final_model_card(
            results[0], quality, leaderboard(results), make_table([], PAIR_COLUMNS), experiment="mine"
        )
        assert "the most accurate of 2 cells on these test tracks" in render_markdown(card)

    def test_where_no_threshold_is_right_enough_it_keeps_nothing(self, card):
        row = {"validation_kept": 20, "validation_wrong": 10, "test_kept": 20, "test_wrong": 10}
        assert "| 10 | - | 0.0 | - |" in card(thresholds=[{"threshold": 0.0, **row}])

    def test_a_leaky_one_says_so_first(self, card):
        assert "> **LEAKY**" in card(leaky=True)
        assert "> **" not in card()

    def test_unknown_artists_are_marked(self, card):
        assert "artists unknown" in card(artists_unknown=1.0)
