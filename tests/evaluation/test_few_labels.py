"""How accurate models are that learn from a few artists of each genre."""

import logging
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.blocks import parse_block
from genre_pipeline.datasets import DatasetBlock
from genre_pipeline.errors import ConfigError, TrainingError
from genre_pipeline.evaluation.few_labels import draw_artists, most_artists
from genre_pipeline.experiment import ComputeBlock, EvaluationBlock, FewLabelsBlock
from genre_pipeline.pipelines.few_labels.nodes import join_few_labels, train_on_few_labels
from genre_pipeline.results.tables import FEW_LABELS_COLUMNS
from genre_pipeline.splits.folds import KFoldBlock
from genre_pipeline.training import Checkpoint, FailedRepeat
from tiny_music import AUDIT, CELL, FEATURE, GENRES, make_tiny_music, tiny_model

REPEATS = (0, 1)


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


def train(music, folder, *, model="naive_bayes", **few_labels):
    data = music.data()
    return train_on_few_labels(
        music.split,
        {**AUDIT, "artists_unknown": 1.0},
        data.segments.drop(columns="genre"),
        data.store,
        music.tracks,
        DatasetBlock(kind="folder", path=music.root),
        KFoldBlock(kind="artist_kfold"),
        FEATURE,
        tiny_model(model),
        0,
        ComputeBlock(training_workers=1),
        FewLabelsBlock(**few_labels),
        EvaluationBlock(),
        folder,
        cell=CELL,
    )


def test_a_row_for_each_number_of_artists_and_one_for_all(music, tmp_path):
    table, log = train(music, tmp_path, n_artists=(1, 2, 4), n_draws=3)
    assert list(table) == list(FEW_LABELS_COLUMNS)
    # Each genre has two training tracks, whose artists are unknown: two artists. More than one are all.
    expected = {
        "n_artists": [1, 2],
        "all_artists": [False, True],
        "mean_artists": [3.0, 6.0],
        "mean_tracks": [3.0, 6.0],
        "n_draws": [3, 1],
        "n_repeats": [2, 2],
        "n_failed": [0, 0],
    }
    assert table[list(expected)].to_dict("list") == expected
    assert (table["ci_low"] < table["mean"]).all()
    assert table[
        ["dataset", "model", "split", "unit", "metric", "split_hash"]
    ].drop_duplicates().to_numpy().tolist() == [["tiny", "net", "test", "track", "accuracy", AUDIT["split_hash"]]]
    assert log.metrics == {"few_labels/test_track_accuracy_of_1_artists": table["mean"][0]}
    for draw in range(3):
        card = Checkpoint.open(tmp_path / "few_labels" / "artists_01" / f"draw_{draw:02d}" / "repeat_01").card
        assert card.genres == GENRES


def test_models_of_all_artists_are_those_of_the_cell(music, tmp_path):
    train(music, tmp_path, n_artists=(1,), n_draws=1)
    for repeat in REPEATS:
        assert Checkpoint.open(tmp_path / f"repeat_{repeat:02d}").card.repeat == repeat


def test_networks_can_be_trained_too(music, tmp_path):
    table, _ = train(music, tmp_path, model="net", n_artists=(1,), n_draws=1)
    assert table["n_artists"].tolist() == [1, 2]


def test_what_was_trained_is_not_trained_again(music, tmp_path, monkeypatch):
    first, _ = train(music, tmp_path, n_artists=(1,), n_draws=2)
    monkeypatch.setattr("genre_pipeline.training.repeats.fit", lambda *_args, **_kwargs: pytest.fail("trained again"))
    again, _ = train(music, tmp_path, n_artists=(1,), n_draws=2)
    pd.testing.assert_frame_equal(again, first)


def test_fewer_artists_than_the_smallest_number_leave_the_row_of_all(music, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        table, log = train(music, tmp_path, n_artists=(2, 8))
    assert table["all_artists"].tolist() == [True]
    assert log.metrics == {}
    assert "no genre has more than 2 artists to train on, and the smallest of few_labels.n_artists is 2" in caplog.text


def test_trainings_that_fail_are_counted_and_none_at_all_is_an_error(music, tmp_path, monkeypatch):
    module = "genre_pipeline.pipelines.few_labels.nodes.train_cell"
    monkeypatch.setattr(module, lambda **_: [FailedRepeat(repeat, repeat, "why") for repeat in REPEATS])
    with pytest.raises(TrainingError, match=r"folds\.log_mel_8\.net: no model could be trained, on few artists or all"):
        train(music, tmp_path, n_artists=(1,), n_draws=2)


def test_a_draw_with_too_little_of_a_genre_fails_alone(music, tmp_path, caplog):
    """A support vector machine cannot be calibrated on one segment of a genre."""
    short = replace(music, segments=music.segments.drop_duplicates("track_id"))
    scores, _ = train(short, tmp_path, model="svm", n_artists=(1,), n_draws=1)
    assert scores["all_artists"].tolist() == [True]
    assert "none of the 2 trainings on 1 artists succeeded" in caplog.text
    assert "has a single training segment" in caplog.text


def test_no_cell_is_an_error():
    with pytest.raises(ConfigError, match=r"few_labels\.cells: no cell of the experiment is chosen"):
        join_few_labels()


@pytest.mark.parametrize("wrong", [{"n_artists": [0]}, {"n_artists": []}, {"n_draws": 0}, {"artists": [2]}])
def test_wrong_numbers_are_named(wrong):
    with pytest.raises(ConfigError, match=rf"few_labels\.{next(iter(wrong))}"):
        parse_block(FewLabelsBlock, wrong, key="few_labels")


def test_cells_do_not_decide_the_scores_of_one():
    assert FewLabelsBlock(cells=("*.svm",)).deciding() == FewLabelsBlock().deciding()
    assert FewLabelsBlock(seed=1).deciding() != FewLabelsBlock().deciding()


def random_split(data):
    """Make a split of random artists, each on one side of a repeat, some of several genres."""
    n_groups = data.draw(st.integers(6, 20))
    groups = np.array(data.draw(st.lists(st.integers(0, n_groups - 1), min_size=20, max_size=60)))
    genres = data.draw(st.lists(st.sampled_from(GENRES), min_size=len(groups), max_size=len(groups)))
    sides = np.array(["train", "train", "train", "validation", "test"])
    tables = [
        pd.DataFrame(
            {
                "repeat": repeat,
                "track_id": [f"track_{place:02d}" for place in range(len(groups))],
                "genre": genres,
                "group": groups,
                "split": sides[(groups + repeat) % len(sides)],
            }
        )
        for repeat in REPEATS
    ]
    return pd.concat(tables, ignore_index=True)


def artists_of(split):
    training = split[split["split"] == "train"]
    return training.groupby(["repeat", "genre"])["group"].nunique()


@settings(derandomize=True, deadline=None, max_examples=25)
@given(data=st.data())
def test_every_draw_has_exactly_as_many_artists_and_shares_none(data):
    split = random_split(data)
    seed, draw = data.draw(st.integers(0, 2**31 - 1)), data.draw(st.integers(0, 9))
    there = artists_of(split)
    drawn = [draw_artists(split, n, draw=draw, seed=seed) for n in (1, 2, 4, 8, most_artists(split))]
    for n_artists, each in zip((1, 2, 4, 8), drawn, strict=False):
        assert artists_of(each).equals(there.clip(upper=n_artists))
        # All tracks of an artist in the genre, the other sides as they were, and nothing that was not there.
        training = each[each["split"] == "train"]
        keys = ["repeat", "genre", "group"]
        of_drawn = split[split["split"] == "train"].merge(training[keys].drop_duplicates(), on=keys)
        assert len(of_drawn) == len(training)
        pd.testing.assert_frame_equal(each[each["split"] != "train"], split[split["split"] != "train"])
        pd.testing.assert_frame_equal(each, split.loc[each.index])
        sides = each.groupby(["repeat", "group"])["split"].nunique()
        assert (sides == 1).all()
    # A draw with more artists has those of the draw with fewer.
    assert all(set(fewer.index) <= set(more.index) for fewer, more in pairwise(drawn))
    pd.testing.assert_frame_equal(drawn[-1], split)


def test_a_draw_is_the_same_with_the_same_seed_and_others_differ():
    split = pd.DataFrame(
        {
            "repeat": 0,
            "track_id": [f"track_{place:02d}" for place in range(40)],
            "genre": "jazz",
            "group": range(40),
            "split": "train",
        }
    )

    def drawn(draw, seed):
        return tuple(draw_artists(split, 4, draw=draw, seed=seed)["track_id"])

    assert drawn(0, 0) == drawn(0, 0)
    assert len({drawn(draw, seed) for draw in range(5) for seed in range(2)}) == 10
