"""The figure of a feature: one heat map a genre, small, and what is drawn is what is stored."""

import numpy as np
import pandas as pd
import pytest

from genre_pipeline.reporting.pictures import _reduced, example_figure
from tiny_music import make_tiny_music


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


def test_one_heat_map_a_genre_of_its_first_track(music):
    figure = example_figure(music.store, music.tracks, title="log_mel of <tiny>")
    firsts = music.tracks.sort_values("track_id").drop_duplicates("genre").sort_values("genre")
    assert len(figure.data) == len(firsts)
    for heat_map, track_id in zip(figure.data, firsts["track_id"], strict=True):
        stored = music.store.read(track_id)
        np.testing.assert_allclose(np.array(heat_map.z), stored, atol=0.006)
    titles = [note.text for note in figure.layout.annotations]
    assert titles == [f"{row.genre}: {row.track_id}" for row in firsts.itertuples()]
    assert figure.layout.title.text == "log_mel of &lt;tiny&gt;"


def test_tracks_that_are_not_stored_are_passed_over(music):
    others = music.tracks.assign(track_id="another")
    assert len(example_figure(music.store, pd.concat([others, music.tracks]), title="").data) == len(
        music.tracks["genre"].unique()
    )
    assert len(example_figure(music.store, others, title="").data) == 0


def test_large_features_are_averaged():
    values = np.arange(260 * 700, dtype=np.float32).reshape(260, 700)
    reduced = _reduced(values)
    assert reduced.shape == (87, 234)
    assert reduced[0, 0] == pytest.approx(values[:3, :3].mean())
    assert reduced[-1, -1] == pytest.approx(values[258:, 699:].mean())
