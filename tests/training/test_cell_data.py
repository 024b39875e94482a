"""The segments of a cell: who stands where, what is left out, and what a model's data are known by."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import tiny_music
from genre_pipeline.errors import TrainingError
from genre_pipeline.features import FEATURES
from genre_pipeline.stores.extraction import extract
from genre_pipeline.stores.store import FeatureStore, PackedTrack
from genre_pipeline.training.cell_data import CellData
from genre_pipeline.work.backends import Workers
from tiny_music import CELL, FEATURE, GENRES, SEGMENTS_PER_TRACK, make_tiny_music, write_clip

SIDES = ("train", "validation", "test")


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return make_tiny_music(tmp_path_factory.mktemp("music"))


def join(music, **changes):
    parts = {"split": music.split, "segments": music.segments, "store": music.store}
    return CellData.join(CELL.name, **(parts | changes))


def without(table, *track_ids):
    return table[~table["track_id"].isin(track_ids)]


def test_every_segment_of_the_split_is_there_with_its_genre(music):
    data = join(music)
    assert data.genres == GENRES
    assert data.repeats == [0, 1]
    assert data.left_out == []
    assert len(data.segments) == len(music.tracks) * SEGMENTS_PER_TRACK
    for side, n_tracks in {"train": 2, "validation": 1, "test": 1}.items():
        rows = data.rows(1, side)
        assert list(rows.index) == list(range(len(rows)))
        assert rows["track_id"].nunique() == n_tracks * len(GENRES)
        assert rows["genre"].tolist() == [track_id.split("/")[0] for track_id in rows["track_id"]]


def test_sides_do_not_overlap(music):
    data = join(music)
    for repeat in data.repeats:
        sides = [set(data.rows(repeat, side)["segment_id"]) for side in ("train", "validation", "test")]
        assert sum(map(len, sides)) == len(set.union(*sides)) == len(data.segments)


def test_a_segment_set_holds_the_stored_features_in_the_order_of_its_rows(music):
    data = join(music)
    rows = data.rows(0, "validation")
    segments = data.segment_set(0, "validation")
    assert segments.targets.tolist() == [GENRES.index(genre) for genre in rows["genre"]]
    for row, features in zip(rows.itertuples(), segments.features, strict=True):
        track = music.store.read(row.track_id)
        assert np.array_equal(features, track[:, row.start_frame : row.start_frame + row.n_frames])


def test_counts_are_means_over_repeats(music):
    split = music.split
    moved = (split["repeat"] == 1) & (split["split"] == "validation") & (split["genre"] == "jazz")
    more_test = pd.concat([split[moved].assign(split="test"), split])
    tracks, segments = join(music, split=more_test).counts()
    assert tracks == {"train": 6.0, "validation": 3.0, "test": 3.5}
    assert segments == {side: SEGMENTS_PER_TRACK * count for side, count in tracks.items()}


def test_tracks_without_segments_or_features_are_left_out_and_named(music, tmp_path):
    store = FeatureStore.create(tmp_path / "store", FEATURES["log_mel"], FEATURE)
    stored = without(music.tracks, "jazz/jazz_0")
    store.append(
        [
            PackedTrack(track.track_id, track.audio_hash, store.pack(music.store.read(track.track_id)))
            for track in stored.itertuples()
        ]
    )
    data = join(music, segments=without(music.segments, "rock/rock_0"), store=store)
    assert data.left_out == ["jazz/jazz_0", "rock/rock_0"]
    assert len(data.segments) == 10 * SEGMENTS_PER_TRACK
    assert data.counts()[0]["train"] < join(music).counts()[0]["train"]


def test_tracks_that_the_split_does_not_know_are_not_used(music):
    data = join(music, split=without(music.split, "blues/blues_0"))
    assert "blues/blues_0" not in set(data.segments["track_id"])
    assert data.left_out == []


@pytest.mark.parametrize(
    ("track", "side", "repeat"),
    [("jazz/jazz_2", "validation", 0), ("jazz/jazz_3", "test", 0), ("jazz/jazz_1", "validation", 1)],
)
def test_a_genre_that_is_lost_on_one_side_stops_the_cell(music, track, side, repeat):
    expected = rf"{CELL.name}: no segment of 'jazz' is left on the {side} side of repeat {repeat}.*{track}"
    with pytest.raises(TrainingError, match=expected):
        join(music, segments=without(music.segments, track))


def test_a_genre_that_is_lost_in_training_stops_the_cell(music):
    with pytest.raises(TrainingError, match=r"'rock' is left on the train side of repeat 0\..*rock_0, rock/rock_1\)"):
        join(music, segments=without(music.segments, "rock/rock_0", "rock/rock_1"))


def test_many_lost_tracks_are_not_all_listed(music):
    with pytest.raises(TrainingError, match=r"12 tracks .* \(blues/blues_0, .*jazz/jazz_0 and 7 more\)"):
        join(music, segments=music.segments.iloc[:0])


def divided(music, *borders_s):
    """A split of each track's second into pieces that train, validate and test; in no order, for none is promised."""
    whole = music.split[music.split["repeat"] == 0].drop(columns="split")
    places = zip(SIDES, borders_s[:-1], borders_s[1:], strict=True)
    tables = [whole.assign(start_s=start_s, end_s=end_s, split=side, leaky=True) for side, start_s, end_s in places]
    return pd.concat(tables[::-1], ignore_index=True)


class TestPieces:
    """The three segments of a track, of 0.256 s, have their centres at 0.128, 0.384 and 0.640 s."""

    def test_a_segment_stands_where_its_centre_does(self, music):
        data = join(music, split=divided(music, 0.0, 0.25, 0.5, 1.0))
        for index, side in enumerate(SIDES):
            rows = data.rows(0, side)
            assert set(rows["segment_index"]) == {index}
            assert rows["track_id"].tolist() == music.tracks["track_id"].tolist()
            assert rows["genre"].tolist() == [track_id.split("/")[0] for track_id in rows["track_id"]]
            assert data.segment_set(0, side).targets.tolist() == [GENRES.index(genre) for genre in rows["genre"]]
        assert data.counts() == (dict.fromkeys(SIDES, 12.0), dict.fromkeys(SIDES, 12.0))
        assert data.left_out == []

    @pytest.mark.parametrize(("borders_s", "sides"), [((0.0, 0.3, 0.6, 0.65), "012"), ((0.0, 0.2, 0.639, 1.0), "012")])
    def test_only_the_centre_decides(self, music, borders_s, sides):
        data = join(music, split=divided(music, *borders_s))
        assert "".join(str(*set(data.rows(0, side)["segment_index"])) for side in SIDES) == sides

    def test_a_segment_in_no_piece_stands_nowhere(self, music):
        with pytest.raises(TrainingError, match="no segment of 'blues' is left on the test side"):
            join(music, split=divided(music, 0.0, 0.25, 0.5, 0.6))

    def test_the_mark_of_the_split_is_part_of_the_fingerprint(self, music):
        plain, marked = join(music), join(music, split=music.split.assign(leaky=True))
        assert (plain.leaky, marked.leaky) == (False, True)
        assert plain.fingerprint(0, "train") != marked.fingerprint(0, "train")


class TestFingerprint:
    def test_it_does_not_change_by_itself(self, music):
        assert join(music).fingerprint(0, "train", "test") == join(music).fingerprint(0, "train", "test")

    def test_repeats_and_sides_count(self, music):
        data = join(music)
        marks = {
            data.fingerprint(repeat, *sides)
            for repeat in data.repeats
            for sides in (("train",), ("validation",), ("train", "validation"), ("validation", "train"))
        }
        assert len(marks) == 8

    def test_segments_count(self, music):
        shorter = without(music.segments, "rock/rock_0")
        moved = music.segments.assign(start_frame=music.segments["start_frame"] + 1)
        marks = {join(music, segments=each).fingerprint(0, "train") for each in (music.segments, shorter, moved)}
        assert len(marks) == 3

    def test_the_test_side_does_not_count_in_training(self, music):
        fewer = without(music.segments, "blues/blues_3")
        split = music.split
        second = split[(split["split"] == "train") & (split["repeat"] == 0) & (split["genre"] == "blues")].iloc[[0]]
        assert join(music).rows(0, "test")["track_id"].str.contains("blues_3").any()
        # A track more in the test side keeps the genre there when another is gone.
        extended = pd.concat([split, second.assign(split="test")])
        base, other = join(music, split=extended), join(music, split=extended.copy(), segments=fewer)
        assert base.fingerprint(0, "train", "validation") == other.fingerprint(0, "train", "validation")
        assert base.fingerprint(0, "test") != other.fingerprint(0, "test")

    def test_audio_counts(self, music, tmp_path):
        again = make_tiny_music(tmp_path)
        write_clip(again.path("jazz/jazz_0"), "jazz", seed=99)
        hashes = again.tracks["audio_hash"].where(again.tracks["track_id"] != "jazz/jazz_0", "f" * 32)
        changed = extract(
            again.tracks.assign(audio_hash=hashes),
            root=again.root,
            spec=FEATURES["log_mel"],
            block=FEATURE,
            folder=again.store.folder,
            workers=Workers("serial"),
        ).store
        # jazz_0 trains in repeat 0.
        assert join(music).fingerprint(0, "train") != join(music, store=changed).fingerprint(0, "train")
        assert join(music).fingerprint(0, "test") == join(music, store=changed).fingerprint(0, "test")

    def test_the_feature_counts(self, music, tmp_path):
        block = FEATURE.model_copy(update={"top_db": 60.0})
        other = extract(
            music.tracks,
            root=music.root,
            spec=FEATURES["log_mel"],
            block=block,
            folder=tmp_path / "other",
            workers=Workers("serial"),
        ).store
        assert join(music).fingerprint(0, "train") != join(music, store=other).fingerprint(0, "train")

    def test_the_genres_count(self, music):
        data = join(music)
        assert data.fingerprint(0, "train") != replace(data, genres=(*GENRES, "soul")).fingerprint(0, "train")


def test_the_split_in_turn_is_what_these_tests_think(music):
    split = tiny_music.split_in_turn(music.tracks)
    jazz = split[(split["genre"] == "jazz") & (split["repeat"] == 0)].set_index("track_id")["split"]
    assert jazz.to_dict() == {
        "jazz/jazz_0": "train",
        "jazz/jazz_1": "train",
        "jazz/jazz_2": "validation",
        "jazz/jazz_3": "test",
    }
