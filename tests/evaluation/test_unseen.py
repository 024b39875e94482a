"""Whether models that were trained without a genre are less sure of it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.datasets import DatasetBlock
from genre_pipeline.errors import ConfigError
from genre_pipeline.evaluation.unseen import auroc
from genre_pipeline.experiment import ComputeBlock
from genre_pipeline.pipelines.unseen.nodes import join_unseen, leave_genres_out
from genre_pipeline.results.tables import UNSEEN_COLUMNS
from genre_pipeline.splits.folds import KFoldBlock
from genre_pipeline.training import Checkpoint
from tiny_music import AUDIT, CELL, FEATURE, GENRES, make_tiny_music, tiny_model


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


def leave_out(music, folder, *, genres=GENRES, model="naive_bayes"):
    split = music.split[music.split["genre"].isin(genres)].reset_index(drop=True)
    data = music.data()
    return leave_genres_out(
        split,
        {**AUDIT, "artists_unknown": 0.0},
        data.segments.drop(columns="genre"),
        data.store,
        DatasetBlock(kind="folder", path=music.root),
        KFoldBlock(kind="artist_kfold"),
        FEATURE,
        tiny_model(model),
        0,
        ComputeBlock(training_workers=1),
        folder,
        cell=CELL,
    )


def test_every_genre_is_left_out_of_every_repeat(music, tmp_path):
    table, log = leave_out(music, tmp_path)
    assert list(table) == list(UNSEEN_COLUMNS)
    assert table[["genre", "repeat"]].to_numpy().tolist() == [[genre, repeat] for genre in GENRES for repeat in (0, 1)]
    assert set(table["n_known"]) == {2}
    assert set(table["n_unseen"]) == {1}
    assert table["value"].between(0.0, 1.0).all()
    assert table[
        ["dataset", "model", "split", "unit", "metric", "split_hash"]
    ].drop_duplicates().to_numpy().tolist() == [["tiny", "net", "test", "track", "auroc", AUDIT["split_hash"]]]
    assert log.metrics == {"unseen/test_track_auroc": table["value"].mean()}
    for place, genre in enumerate(GENRES):
        card = Checkpoint.open(tmp_path / "unseen" / f"genre_{place:02d}" / "repeat_00").card
        assert card.genres == tuple(each for each in GENRES if each != genre)


def test_what_was_trained_is_not_trained_again(music, tmp_path, monkeypatch):
    first, _ = leave_out(music, tmp_path)
    monkeypatch.setattr("genre_pipeline.training.repeats.fit", lambda *_args, **_kwargs: pytest.fail("trained again"))
    again, _ = leave_out(music, tmp_path)
    pd.testing.assert_frame_equal(again, first)


def test_two_genres_are_too_few(music, tmp_path):
    with pytest.raises(ConfigError, match=r"has 2 genres; expected three or more"):
        leave_out(music, tmp_path, genres=GENRES[:2])


def test_no_cell_is_an_error():
    with pytest.raises(ConfigError, match=r"unseen_genres\.cells: the patterns match no cell"):
        join_unseen()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(data=st.data())
def test_the_area_counts_pairs(data):
    pairs = data.draw(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2))
    confidence, is_known = (np.array(each) for each in zip(*pairs, strict=True))
    if is_known.all() or not is_known.any():
        return
    known, unseen = confidence[is_known][:, None], confidence[~is_known]
    assert auroc(confidence, is_known) == pytest.approx(((known > unseen) + 0.5 * (known == unseen)).mean())
