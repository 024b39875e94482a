"""What tuning is given: nothing of the test split, whatever is there."""

from dataclasses import fields

import numpy as np
import pytest

import tiny_music
from genre_pipeline.errors import ConfigError, TrainingError
from genre_pipeline.features import FEATURES
from genre_pipeline.stores.store import FeatureStore, PackedTrack
from genre_pipeline.training.cell_data import CellData
from genre_pipeline.tuning import Development, Search, TuningBlock, hold_out_test, parse_space, tune
from tiny_music import CELL, FEATURE


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return tiny_music.make_tiny_music(tmp_path_factory.mktemp("music"))


def on_side(music, repeat, side):
    split = music.split
    return set(split.loc[(split["repeat"] == repeat) & (split["split"] == side), "track_id"])


def with_poisoned_test(music, repeat, folder):
    """Return the same data, in whose store no feature of a test track is a number."""
    tested = on_side(music, repeat, "test")
    store = FeatureStore.create(folder, FEATURES["log_mel"], FEATURE)
    for track in music.tracks.itertuples():
        frames = store.pack(music.store.read(track.track_id))
        frames = np.full_like(frames, np.nan) if track.track_id in tested else frames
        store.append([PackedTrack(track.track_id, track.audio_hash, frames)])
    return CellData.join(CELL.name, split=music.split, segments=music.segments, store=store)


def search_on(development):
    model = {"family": "naive_bayes", "feature": CELL.feature}
    space = {"architecture": {"var_smoothing": {"kind": "float", "low": 1e-9, "high": 1.0, "log": True}}}
    return Search(
        development=development,
        space=parse_space("naive_bayes", space, model, {}),
        block=TuningBlock(n_trials=3),
        model=model,
        defaults={},
        feature=FEATURE,
        seed=0,
    )


def test_a_search_is_the_same_without_a_single_test_feature(music, tmp_path):
    poisoned = with_poisoned_test(music, 0, tmp_path / "store")
    with pytest.raises(TrainingError, match="not all finite"):
        poisoned.segment_set(0, "test")
    results = [
        [(each.values, each.value) for each in tune(search_on(hold_out_test(data, 0)), tmp_path / name).trials]
        for name, data in {"whole": music.data(), "poisoned": poisoned}.items()
    ]
    assert results[0] == results[1]


def test_a_search_is_the_same_whatever_the_genres_of_the_test_tracks(music, tmp_path):
    split = music.split
    is_test = (split["repeat"] == 0) & (split["split"] == "test")
    turned = split[split["repeat"] == 0].assign(genre=split["genre"].where(~is_test, split["genre"].shift(-1)))
    turned.loc[is_test, "genre"] = np.roll(split.loc[is_test, "genre"], 1)
    data = music.data()
    others = CellData(data.cell, data.genres, turned, data.segments, data.store)
    assert hold_out_test(others, 0).inputs == hold_out_test(data, 0).inputs


def test_what_is_handed_on_holds_the_two_sides_and_no_way_to_a_third(music):
    development = hold_out_test(music.data(), 1)
    data = music.data()
    for side in ("train", "validation"):
        segments = getattr(development, side)
        assert np.array_equal(segments.features, data.segment_set(1, side).features)
        assert np.array_equal(segments.targets, data.segment_set(1, side).targets)
    assert {each.name for each in fields(Development)} == {
        "cell", "repeat", "genres", "train", "validation", "inputs", "n_tested_elsewhere",
    }  # fmt: skip
    kinds = {type(getattr(development, each.name)) for each in fields(Development)}
    assert kinds == {str, int, tuple, type(development.train)}


def test_tracks_that_other_repeats_test_on_are_counted_and_said(music, caplog):
    seen = on_side(music, 0, "train") | on_side(music, 0, "validation")
    assert hold_out_test(music.data(), 0).n_tested_elsewhere == len(seen & on_side(music, 1, "test")) == 3
    assert "3 of its training and validation tracks are test tracks of other repeats" in caplog.text
    caplog.clear()
    one = music.split[music.split["repeat"] == 0]
    data = CellData.join(CELL.name, split=one, segments=music.segments, store=music.store)
    assert hold_out_test(data, 0).n_tested_elsewhere == 0
    assert not caplog.text


def test_a_repeat_that_is_not_there(music):
    with pytest.raises(ConfigError, match=r"tuning\.repeat: 2 is not a repeat of .*; they go from 0 to 1"):
        hold_out_test(music.data(), 2)
