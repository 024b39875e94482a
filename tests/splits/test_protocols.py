"""Every protocol keeps what it promises, whatever the tracks."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError, SplitError
from genre_pipeline.splits import PROTOCOLS, SPLITS, split_tracks

EXACT = settings(derandomize=True, deadline=None, max_examples=25)
KINDS = ["artist_kfold", "official", "random_track", "track_kfold"]
# Small enough for the smallest random table: five artists a genre.
VALUES = {
    "artist_kfold": {"n_folds": 5},
    "official": {"list": "published", "validation_ratio": 0.2},
    "random_track": {"repeats": 4, "validation_ratio": 0.2, "test_ratio": 0.2},
    "track_kfold": {"n_folds": 5},
}


def block_of(kind, **values):
    return parse_block(PROTOCOLS[kind].block, {"kind": kind, **VALUES[kind], **values}, key=f"protocols.{kind}")


def published(tracks):
    """An official list without validation part: every third track of a genre tests."""
    ordered = tracks.sort_values("track_id")
    order = ordered.groupby("genre").cumcount()
    return {"published": dict(zip(ordered["track_id"], np.where(order % 3 == 0, "test", "train"), strict=True))}


def split(kind, tracks, official=None, **values):
    lists = published(tracks) if official is None else official
    return split_tracks(tracks, PROTOCOLS[kind], block_of(kind, **values), dataset="demo", official=lists)


@st.composite
def clips(draw):
    """Two to four genres of five to nine artists, one to four tracks each, and up to four of unknown artist."""
    pairs = []
    for genre in ("blues", "jazz", "pop", "rock")[: draw(st.integers(2, 4))]:
        for artist, n_tracks in enumerate(draw(st.lists(st.integers(1, 4), min_size=5, max_size=9))):
            pairs += [(genre, f"{genre} {artist}")] * n_tracks
        pairs += [(genre, "")] * draw(st.integers(0, 4))
    return draw(st.permutations(pairs))


def sides(table, repeat):
    rows = table[table["repeat"] == repeat]
    return {side: set(rows["track_id"][rows["split"] == side]) for side in SPLITS}


def test_the_registry_holds_the_protocols():
    assert PROTOCOLS.names() == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_specification_is_whole(kind):
    spec = PROTOCOLS[kind]
    assert "track" in spec.promises
    assert spec.promises <= {"track", "audio", "artist"}
    assert spec.design in {"kfold", "resampled", "seeds"}
    assert spec.n_repeats(block_of(kind, repeats=2)) == 2
    assert spec.n_repeats(block_of(kind, repeats=None)) > 2


@pytest.mark.parametrize(
    ("kind", "values", "n_repeats"),
    [
        ("artist_kfold", {}, 5),
        ("official", {"list": "any"}, 5),
        ("random_track", {}, 10),
        ("track_kfold", {}, 10),
    ],
)
def test_the_default_number_of_repeats(kind, values, n_repeats):
    spec = PROTOCOLS[kind]
    block = parse_block(spec.block, {"kind": kind, **values}, key="protocols.any")
    assert spec.n_repeats(block) == n_repeats


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_has_its_columns_types_and_order(kind, collection):
    table = split(kind, collection).table
    assert {column: str(dtype) for column, dtype in table.dtypes.items()} == {
        "repeat": "int64",
        "track_id": "string",
        "genre": "string",
        "split": "string",
    }
    assert table.equals(table.sort_values(["repeat", "track_id"], ignore_index=True))


@pytest.mark.parametrize("kind", KINDS)
@EXACT
@given(pairs=clips(), seed=st.integers(0, 1000))
def test_splits_are_disjoint_exhaustive_and_hold_every_genre(kind, make_tracks, pairs, seed):
    tracks = make_tracks(pairs)
    result = split(kind, tracks, seed=seed)
    for repeat in range(result.report["n_repeats"]):
        parts = sides(result.table, repeat)
        assert sum(map(len, parts.values())) == len(tracks)
        assert set().union(*parts.values()) == set(tracks["track_id"])
    genre_of = dict(zip(tracks["track_id"], tracks["genre"], strict=True))
    assert (result.table["track_id"].map(genre_of) == result.table["genre"]).all()
    present = result.table.groupby(["repeat", "split"])["genre"].nunique()
    assert (present == tracks["genre"].nunique()).all()
    assert len(present) == 3 * result.report["n_repeats"]


@pytest.mark.parametrize("kind", KINDS)
@EXACT
@given(pairs=clips(), seed=st.integers(0, 1000), data=st.data())
def test_the_order_of_rows_does_not_matter(kind, make_tracks, pairs, seed, data):
    tracks = make_tracks(pairs)
    order = data.draw(st.permutations(range(len(tracks))))
    once, again = split(kind, tracks, seed=seed), split(kind, tracks.iloc[order], seed=seed)
    pd.testing.assert_frame_equal(once.table, again.table)
    assert once.report == again.report


@pytest.mark.parametrize("kind", ["artist_kfold", "track_kfold"])
@EXACT
@given(pairs=clips(), seed=st.integers(0, 1000))
def test_each_track_tests_once_and_validates_once(kind, make_tracks, pairs, seed):
    table = split(kind, make_tracks(pairs), seed=seed).table
    for side in ("test", "validation"):
        assert (table[table["split"] == side].groupby("track_id").size() == 1).all()
        assert set(table["track_id"][table["split"] == side]) == set(table["track_id"])


@pytest.mark.parametrize("kind", ["artist_kfold", "track_kfold"])
def test_the_next_fold_validates(kind, collection):
    table = split(kind, collection).table
    for repeat in range(5):
        assert sides(table, repeat)["validation"] == sides(table, (repeat + 1) % 5)["test"]


@EXACT
@given(pairs=clips(), seed=st.integers(0, 1000))
def test_artist_folds_never_share_an_artist(make_tracks, pairs, seed):
    tracks = make_tracks(pairs)
    result = split("artist_kfold", tracks, seed=seed)
    artist_of = dict(zip(tracks["track_id"], tracks["artist"], strict=True))
    for repeat in range(5):
        artists = [{artist_of[track] for track in part} - {""} for part in sides(result.table, repeat).values()]
        assert sum(map(len, artists)) == len(set().union(*artists))
    assert result.report["leaks"]["overall"]["artist"] == 0


@EXACT
@given(pairs=clips(), seed=st.integers(0, 1000))
def test_track_folds_are_stratified(make_tracks, pairs, seed):
    table = split("track_kfold", make_tracks(pairs), seed=seed).table
    tested = table[table["split"] == "test"].groupby(["genre", "repeat"]).size().unstack()
    assert (tested.max(axis=1) - tested.min(axis=1) <= 1).all()


@EXACT
@given(
    pairs=clips(), seed=st.integers(0, 1000), validation_ratio=st.floats(0.01, 0.45), test_ratio=st.floats(0.01, 0.45)
)
def test_random_splits_follow_the_ratios(make_tracks, pairs, seed, validation_ratio, test_ratio):
    ratios = {"validation_ratio": validation_ratio, "test_ratio": test_ratio}
    table = split("random_track", make_tracks(pairs), seed=seed, **ratios).table
    counts = table.groupby(["repeat", "genre", "split"]).size().unstack()
    n_tracks = counts.sum(axis=1)
    for side, ratio in (("validation", validation_ratio), ("test", test_ratio)):
        # Half a track of rounding, and never less than one; a side gives way where training would get none.
        assert (counts[side] <= np.maximum(1, ratio * n_tracks + 0.5)).all()
        assert (counts[side] >= np.minimum(np.maximum(1, ratio * n_tracks - 0.5), n_tracks - 2) - 1).all()


def test_the_usual_random_split_is_80_10_10(make_tracks):
    tracks = make_tracks([(genre, "") for genre in ("blues", "jazz") for _ in range(100)])
    result = split("random_track", tracks, validation_ratio=0.1, test_ratio=0.1)
    for counts in result.report["counts"]:
        assert counts == {
            "train": {"blues": 80, "jazz": 80},
            "validation": {"blues": 10, "jazz": 10},
            "test": {"blues": 10, "jazz": 10},
        }
    assert result.report["stratification_imbalance"] == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_another_split(kind, collection):
    one, other = split(kind, collection, seed=1), split(kind, collection, seed=2)
    assert one.report["split_hash"] != other.report["split_hash"]


def test_random_repeats_differ_and_more_of_them_keep_the_first(collection):
    few = split("random_track", collection, repeats=2).table
    many = split("random_track", collection, repeats=3).table
    assert sides(few, 0) != sides(few, 1)
    pd.testing.assert_frame_equal(few, many[many["repeat"] < 2])


@pytest.mark.parametrize("kind", ["artist_kfold", "track_kfold"])
def test_fewer_repeats_test_the_first_folds(kind, collection):
    some, all_folds = split(kind, collection, repeats=2).table, split(kind, collection).table
    pd.testing.assert_frame_equal(some, all_folds[all_folds["repeat"] < 2])


def test_unknown_artists_are_not_kept_together(make_tracks):
    tracks = make_tracks([(genre, "") for genre in ("blues", "jazz") for _ in range(10)])
    result = split("artist_kfold", tracks)
    assert [len(sides(result.table, repeat)["test"]) for repeat in range(5)] == [4] * 5
    assert result.report["unknown_artist_tracks"] == 20


def test_an_artist_of_two_genres_stays_on_one_side(make_tracks):
    pairs = [(genre, f"artist {number}") for number in range(10) for genre in ("blues", "jazz")]
    result = split("artist_kfold", make_tracks(pairs))
    assert result.report["leaks"]["overall"]["artist"] == 0
    assert result.report["stratification_imbalance"] == 0.0


def test_artists_spelt_differently_are_one_artist(make_tracks):
    pairs = [("blues", "B.B. King"), ("blues", " b.b.  king")] * 3 + [("blues", f"{n}") for n in range(4)]
    tracks = make_tracks(pairs + [("jazz", f"jazz {n}") for n in range(5)])
    table = split("artist_kfold", tracks).table
    king = table[table["track_id"].isin(tracks["track_id"][:6])]
    assert (king.groupby("repeat")["split"].nunique() == 1).all()


# Lists


def test_a_list_with_all_parts_is_taken_as_it_is(collection):
    parts = dict(zip(collection["track_id"], np.resize(["train", "validation", "test"], 75), strict=True))
    table = split("official", collection, {"published": parts}, repeats=3).table
    assert dict(zip(table["track_id"], table["split"], strict=True)) == parts
    assert table.groupby("track_id")["split"].nunique().eq(1).all()
    assert table["repeat"].unique().tolist() == [0, 1, 2]


def test_tracks_that_a_list_does_not_name_are_left_out_and_the_absent_named(collection):
    parts = published(collection)["published"]
    left_out = [parts.popitem()[0] for _ in range(3)]
    parts |= {f"lost{number:02d}": "train" for number in range(25)}
    result = split("official", collection, {"published": parts})
    assert not set(left_out) & set(result.table["track_id"])
    assert result.report["left_out"] == {"quarantined": 0, "not_listed": 3}
    assert result.report["n_tracks"] == 72
    assert result.report["listed_not_present"] == {
        "n_tracks": 25,
        "track_ids": [f"lost{number:02d}" for number in range(20)],
    }


def test_a_listed_track_in_quarantine_is_not_absent(make_tracks):
    tracks = make_tracks(
        [(genre, f"{genre} {n}") for genre in ("blues", "jazz") for n in range(9)], quarantined=[True] + [False] * 17
    )
    report = split("official", tracks).report
    assert report["left_out"] == {"quarantined": 1, "not_listed": 0}
    assert report["listed_not_present"]["n_tracks"] == 0


@EXACT
@given(pairs=clips(), seed=st.integers(0, 1000))
def test_validation_is_carved_from_training_by_artist(make_tracks, pairs, seed):
    tracks = make_tracks(pairs)
    parts = published(tracks)["published"]
    result = split("official", tracks, {"published": parts}, seed=seed)
    first = sides(result.table, 0)
    assert first["test"] == {track for track, side in parts.items() if side == "test"}
    for counts in result.report["leaks"]["per_repeat"]:
        assert counts["train_validation"]["artist"] == 0


@pytest.mark.parametrize("ratio", [0.1, 0.25])
def test_the_carved_share_is_near_the_ratio(make_tracks, ratio):
    tracks = make_tracks([(genre, f"{genre} {n}") for genre in ("blues", "jazz") for n in range(50) for _ in "ab"])
    parts = {track: "test" if number % 100 < 20 else "train" for number, track in enumerate(tracks["track_id"])}
    counts = split("official", tracks, {"published": parts}, validation_ratio=ratio).report["counts"][0]
    assert counts["validation"] == {"blues": 80 * ratio, "jazz": 80 * ratio}


def test_carving_gives_a_genre_of_large_artists_its_smallest(make_tracks):
    pairs = [("blues", f"blues {n}") for n in range(20)] + [("jazz", "big")] * 6 + [("jazz", "small")] * 4
    tracks = make_tracks([*pairs, ("blues", ""), ("jazz", "")])
    parts = dict(zip(tracks["track_id"], ["train"] * 30 + ["test"] * 2, strict=True))
    counts = split("official", tracks, {"published": parts}, validation_ratio=0.1).report["counts"][0]
    assert counts["validation"] == {"blues": 2, "jazz": 4}


def test_an_unknown_list_is_named_with_a_suggestion(collection):
    message = r"protocols\.official\.list: .*'demo' has no official split 'published'.*Did you mean 'publish'\?"
    with pytest.raises(SplitError, match=message):
        split("official", collection, {"publish": {}})


def test_a_part_of_another_name_is_refused(collection):
    parts = dict.fromkeys(collection["track_id"], "valid")
    with pytest.raises(SplitError, match="puts tracks into 'valid'; expected train, validation, test"):
        split("official", collection, {"published": parts})


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_list_without_training_or_test_is_refused(collection, part):
    parts = dict.fromkeys(collection["track_id"], part)
    with pytest.raises(SplitError, match="use a list that has every genre in each part"):
        split("official", collection, {"published": parts})


# Too little music


def test_two_genres_of_one_track_each_give_one_message(make_tracks):
    tracks = make_tracks([("blues", "a"), ("jazz", "b")])
    message = r"protocols\.track_kfold needs at least 5 tracks of each genre, but 'blues' has 1, 'jazz' has 1\."
    with pytest.raises(SplitError, match=message) as error:
        split("track_kfold", tracks)
    assert "protocols.track_kfold.n_folds" in str(error.value)
    assert "leave those genres out" in str(error.value)


def test_too_few_artists_are_counted(make_tracks):
    tracks = make_tracks([("blues", f"{n}") for n in range(5)] + [("jazz", "x")] * 50 + [("jazz", "")])
    with pytest.raises(SplitError, match=r"needs at least 5 artists .*'jazz' has 2\..*lower protocols\.artist_kfold"):
        split("artist_kfold", tracks)


@pytest.mark.parametrize("pairs", [[("blues", "a"), ("jazz", "b")], [("blues", "a")] * 5 + [("jazz", "b")] * 2])
def test_random_splits_need_three_tracks_a_genre(make_tracks, pairs):
    with pytest.raises(SplitError, match="needs at least 3 tracks of each genre"):
        split("random_track", make_tracks(pairs))


def test_three_tracks_a_genre_give_one_to_each_side(make_tracks):
    tracks = make_tracks([(genre, "") for genre in ("blues", "jazz") for _ in range(3)])
    report = split("random_track", tracks, validation_ratio=0.45, test_ratio=0.5).report
    assert all(set(genres.values()) == {1} for counts in report["counts"] for genres in counts.values())


# Parameters


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("artist_kfold", {"n_folds": 2}, r"protocols\.artist_kfold\.n_folds: got 2\."),
        ("track_kfold", {"n_folds": 5, "repeats": 6}, "repeats=6 is greater than n_folds=5"),
        ("random_track", {"test_ratio": 0.6, "validation_ratio": 0.4}, "leave nothing to train on"),
        ("random_track", {"test_ratio": 0.0}, r"protocols\.random_track\.test_ratio: got 0\.0"),
        ("random_track", {"repeats": 0}, r"protocols\.random_track\.repeats: got 0"),
        ("artist_kfold", {"seed": -1}, r"protocols\.artist_kfold\.seed: got -1"),
        ("artist_kfold", {"folds": 5}, "Did you mean 'n_folds'"),
        ("official", {"list": None}, r"protocols\.official\.list: got None"),
    ],
)
def test_bad_parameters_are_named(kind, values, message):
    with pytest.raises(ConfigError, match=message):
        block_of(kind, **values)
