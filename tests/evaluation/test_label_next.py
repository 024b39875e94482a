"""Which songs to label next."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.errors import AudioError, ConfigError
from genre_pipeline.evaluation.label_next import choose_of_answers, choose_songs, describe_labelled
from genre_pipeline.evaluation.prediction import GenrePredictor
from tiny_music import make_tiny_music, train_tiny, write_clip

# Of a standard deviation of one, so that distances are differences.
LABELLED = np.array([[-1.0], [1.0]])


def songs_of(probabilities):
    table = pd.DataFrame(probabilities, columns=["p_jazz", "p_pop", "p_rock"])
    table.insert(0, "path", [f"{place}.wav" for place in range(len(table))])
    return table


def test_each_group_of_like_songs_has_one_and_the_most_uncertain_group_comes_first():
    # Two groups, around 5 and 20; the first has more songs, the second is less sure.
    songs = songs_of([[0.9, 0.1, 0.0]] * 3 + [[0.5, 0.5, 0.0]] * 2)
    places = np.array([[4.0], [5.0], [6.0], [20.0], [21.0]])
    chosen = choose_songs(songs, places, LABELLED, 2)
    assert chosen["path"].tolist() == ["3.wav", "1.wav"]
    assert chosen["rank"].tolist() == [1, 2]
    assert chosen["uncertainty"].tolist() == pytest.approx([1.0, 0.2])
    assert chosen["distance"].tolist() == pytest.approx([19.0, 4.0])
    assert chosen["n_alike"].tolist() == [2, 3]
    assert list(chosen)[:5] == ["rank", "uncertainty", "distance", "n_alike", "path"]


def test_a_group_is_where_the_uncertain_songs_are():
    songs = songs_of([[1.0, 0.0, 0.0], [0.99, 0.01, 0.0], [0.5, 0.5, 0.0], [0.5, 0.5, 0.0]])
    chosen = choose_songs(songs, np.array([[2.0], [3.0], [8.0], [9.0]]), LABELLED, 1)
    assert chosen["path"].tolist() == ["2.wav"]


def test_copies_and_what_is_certain_are_left_out():
    songs = songs_of([[0.5, 0.5, 0.0]] * 4 + [[1.0, 0.0, 0.0]])
    chosen = choose_songs(songs, np.array([[1.0], [5.0], [5.000001], [-0.999999], [9.0]]), LABELLED, 4)
    assert chosen["path"].tolist() == ["1.wav"]
    assert chosen["n_alike"].tolist() == [1]
    nothing = choose_songs(songs.head(1), np.array([[1.0]]), LABELLED, 4)
    assert list(nothing) == list(chosen)
    assert nothing.empty


@settings(derandomize=True, deadline=None, max_examples=25)
@given(data=st.data())
def test_every_song_is_chosen_once_or_is_like_one_that_is(data):
    n_songs, n_few = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 15))
    generator = np.random.default_rng(data.draw(st.integers(0, 999)))
    songs = songs_of(generator.dirichlet(np.ones(3), n_songs))
    places, labelled = generator.normal(size=(n_songs, 2)), generator.normal(size=(5, 2))
    chosen = choose_songs(songs, places, labelled, n_few)
    assert len(chosen) == min(n_few, n_songs)
    assert chosen["path"].is_unique
    assert chosen["n_alike"].sum() == n_songs
    pd.testing.assert_frame_equal(choose_songs(songs, places, labelled, n_few), chosen)


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="module")
def model(music, tmp_path_factory):
    return GenrePredictor.of([train_tiny(music, tmp_path_factory.mktemp("models") / "model", model="naive_bayes")])


def test_a_described_file_has_the_features_that_are_stored_of_it(music, model, tmp_path):
    track_ids = music.store.index["track_id"].tolist()
    for track_id, expected in zip(track_ids, describe_labelled(model, music.store), strict=True):
        described = model.answer(music.path(track_id), described=True).description
        np.testing.assert_allclose(described, expected, atol=1e-6)
    assert model.answer(music.path(track_ids[0])).description is None
    assert model.answer(tmp_path / "missing.wav", described=True).description is None


def test_features_of_other_parameters_describe_no_labelled_song(music, model):
    other = replace(model, feature=model.feature.model_copy(update={"n_fft": 512}))
    with pytest.raises(ConfigError, match=r"tiny\.log_mel_8: its features were computed again with other parameters"):
        describe_labelled(other, music.store)


def test_files_that_cannot_be_classified_are_not_chosen(music, model, tmp_path):
    labelled = describe_labelled(model, music.store)
    missing = model.answer(tmp_path / "missing.wav", described=True)
    new = model.answer(write_clip(tmp_path / "new.wav", "jazz", seed=99), described=True)
    unsure = replace(new, probabilities=np.full((1, 3), 1 / 3))
    assert choose_of_answers(model, [missing, unsure], labelled, 5)["path"].tolist() == [str(new.path)]
    with pytest.raises(AudioError, match=r"No file could be classified\. The first of 1: .*missing\.wav"):
        choose_of_answers(model, [missing], labelled, 5)
