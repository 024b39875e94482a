"""Every protocol keeps what it promises, whatever the tracks."""

import re
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError, SplitError
from genre_pipeline.splits import PROTOCOLS, SPLITS, split_tracks
from genre_pipeline.splits.base import Promise
from genre_pipeline.splits.folds import balanced_folds

EXACT = settings(derandomize=True, deadline=None, max_examples=25)
KINDS = PROTOCOLS.names()
# Small enough for the smallest random table: five artists a genre.
VALUES = {
    "artist_kfold": {"n_folds": 5},
    "official": {"list": "published", "validation_ratio": 0.2},
    "random_segment": {"repeats": 3, "segment_s": 10.0},
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
    """The tracks of each side, or their pieces, as (track, start)."""
    rows = table[table["repeat"] == repeat]
    units = list(zip(rows["track_id"], rows["start_s"], strict=True)) if "start_s" in rows else rows["track_id"]
    return {side: {unit for unit, each in zip(units, rows["split"], strict=True) if each == side} for side in SPLITS}


def genre_counts(table):
    """Numbers of tracks or pieces, one row a repeat and genre, one column a side."""
    return table.groupby(["repeat", "genre", "split"]).size().unstack(fill_value=0)[list(SPLITS)]


def test_the_registry_holds_the_protocols():
    assert set(VALUES) == set(STRATIFIED) == set(KINDS)
    assert {kind for kind in KINDS if PROTOCOLS[kind].leaky} == {"random_segment", "random_track", "track_kfold"}
    assert {kind for kind in KINDS if PROTOCOLS[kind].only_by_name} == {"random_segment"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_specification_is_whole(kind):
    spec = PROTOCOLS[kind]
    assert ("track" in spec.promises) == (kind != "random_segment")
    assert spec.promises <= set(get_args(Promise))
    assert spec.design in {"kfold", "resampled", "seeds"}
    assert spec.n_repeats(block_of(kind, repeats=2)) == 2
    assert spec.n_repeats(block_of(kind, repeats=None)) > 2


@pytest.mark.parametrize(
    ("kind", "values", "n_repeats"),
    [
        ("artist_kfold", {}, 5),
        ("official", {"list": "any"}, 5),
        ("random_segment", {}, 5),
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
    place = {"start_s": "float64", "end_s": "float64"} if kind == "random_segment" else {}
    types = {"repeat": "int64", "track_id": "string", **place, "genre": "string", "group": "int64", "split": "string"}
    types["leaky"] = "bool"
    assert {column: str(dtype) for column, dtype in table.dtypes.items()} == types
    assert list(table) == list(types)
    assert table.equals(table.sort_values(["repeat", "track_id", *list(place)[:1]], ignore_index=True))


@pytest.mark.parametrize("kind", KINDS)
@EXACT
@given(pairs=clips(), seed=st.integers(0, 1000))
def test_splits_are_disjoint_exhaustive_and_hold_every_genre(kind, make_tracks, pairs, seed):
    tracks = make_tracks(pairs)
    result = split(kind, tracks, seed=seed)
    for repeat in range(result.report["n_repeats"]):
        parts = sides(result.table, repeat)
        units = set(tracks["track_id"])
        if kind == "random_segment":
            units = {(track, start_s) for track in units for start_s in (0.0, 10.0, 20.0)}
        assert sum(map(len, parts.values())) == len(units)
        assert set().union(*parts.values()) == units
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


@pytest.mark.parametrize("kind", KINDS)
@EXACT
@given(pairs=clips(), seed=st.integers(0, 1000), data=st.data())
def test_what_is_promised_never_stands_on_two_sides(kind, make_tracks, pairs, seed, data):
    """Whatever the artists share: the copies of a track have another track's artist, file, audio or recording."""
    tracks = make_tracks(pairs)
    for column in ("content_hash", "audio_hash", "recording") if kind == "artist_kfold" else ():
        one, other = (data.draw(st.integers(0, len(tracks) - 1)) for _ in range(2))
        tracks.loc[one, column] = tracks.loc[other, column]
    try:
        result = split(kind, tracks, seed=seed)
    except SplitError as error:
        # Links may leave a genre with fewer groups than folds, or give one of its folds nothing.
        if kind != "artist_kfold" or not re.search("needs at least 5 artists|is missing from", str(error)):
            raise
        return
    known = tracks.assign(artist=tracks["artist"].str.casefold()).set_index("track_id")
    columns = {"file": "content_hash", "audio": "audio_hash", "recording": "recording", "artist": "artist"}
    for promise in PROTOCOLS[kind].promises:
        values = result.table["track_id"]
        if promise in columns:
            values = values.map(known[columns[promise]])
        table = result.table.assign(value=values)[lambda rows: rows["value"] != ""]
        assert (table.groupby(["repeat", "value"])["split"].nunique() == 1).all()
        assert result.report["leaks"]["overall"][promise] == 0


@pytest.mark.parametrize("kind", KINDS)
@EXACT
@given(pairs=clips(), seed=st.integers(0, 1000))
def test_genres_are_as_even_as_the_protocol_says(kind, make_tracks, pairs, seed):
    tracks = make_tracks(pairs)
    result = split(kind, tracks, seed=seed)
    STRATIFIED[kind](tracks, result.table)
    counts = genre_counts(result.table)
    shares = counts / counts.groupby("repeat").transform("sum")
    everything = counts.sum(axis=1)
    overall = everything / everything.groupby("repeat").transform("sum")
    differences = shares.sub(overall, axis=0).abs()
    assert result.report["stratification_imbalance"] == pytest.approx(differences.max().to_dict())


def artist_sizes(tracks):
    """Tracks of each genre's artists; a track of unknown artist is one."""
    owners = tracks["artist"].where(tracks["artist"] != "", tracks["track_id"])
    return tracks.groupby(["genre", owners]).size().groupby("genre")


def check_artist_folds(tracks, table):
    # Every fold tests once, so that the test sides are the folds. No artist of these tables has two genres.
    tested = genre_counts(table)["test"].unstack("genre")
    assert (tested.max() - tested.min() <= artist_sizes(tracks).max()).all()
    totals = tracks.groupby("genre").size()
    deviation = ((tested / totals - 1 / 5) ** 2).sum().sum()
    at_random = (1 - 1 / 5) * (artist_sizes(tracks).apply(lambda sizes: (sizes**2).sum()) / totals**2).sum()
    assert deviation <= at_random + 1e-9


def check_track_folds(tracks, table):
    tested = genre_counts(table)["test"].unstack("genre")
    assert (tested.max() - tested.min() <= 1).all()
    # Folds as a whole too: the odd tracks of the genres do not all go to the first.
    assert tested.sum(axis=1).max() - tested.sum(axis=1).min() <= 1


def check_carved(tracks, table):
    trained = tracks[tracks["track_id"].isin(table["track_id"][table["split"] != "test"])]
    counts = genre_counts(table).loc[0]
    wanted = VALUES["official"]["validation_ratio"] * trained.groupby("genre").size()
    largest, smallest = artist_sizes(trained).max(), artist_sizes(trained).min()
    near = (counts["validation"] - wanted).abs() <= largest / 2 + 1e-9
    assert (near | (counts["validation"] == smallest)).all()


def check_ratios(validation_ratio, test_ratio):
    def check(tracks, table):
        counts = genre_counts(table)
        n_units = counts.sum(axis=1)
        for side, ratio in (("validation", validation_ratio), ("test", test_ratio)):
            # Half a unit of rounding, and never less than one; a side gives way where training would get none.
            assert (counts[side] <= np.maximum(1, ratio * n_units + 0.5)).all()
            assert (counts[side] >= np.minimum(np.maximum(1, ratio * n_units - 0.5), n_units - 2) - 1).all()

    return check


STRATIFIED = {
    "artist_kfold": check_artist_folds,
    "official": check_carved,
    "random_segment": check_ratios(0.1, 0.2),
    "random_track": check_ratios(0.2, 0.2),
    "track_kfold": check_track_folds,
}


@EXACT
@given(
    groups=st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3).filter(any), min_size=1, max_size=25),
    n_folds=st.integers(2, 6),
    seed=st.integers(0, 1000),
)
def test_folds_are_never_less_even_than_chance(groups, n_folds, seed):
    """Also where groups have tracks of several genres."""
    counts = np.array(groups)
    owners = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
    genres = np.concatenate([np.repeat(["a", "b", "c"], row) for row in counts])
    folds = balanced_folds(owners, genres, n_folds=n_folds, seed=seed)
    held = np.array([[np.sum((folds == fold) & (genres == genre)) for genre in "abc"] for fold in range(n_folds)])
    totals = np.maximum(counts.sum(axis=0), 1)
    present = counts.sum(axis=0) > 0
    deviation = ((held / totals - 1 / n_folds) ** 2)[:, present].sum()
    assert deviation <= (1 - 1 / n_folds) * ((counts / totals) ** 2).sum() + 1e-9
    assert all(len(set(folds[owners == owner])) == 1 for owner in set(owners))


@pytest.mark.parametrize("kind", ["random_segment", "random_track"])
@EXACT
@given(
    pairs=clips(), seed=st.integers(0, 1000), validation_ratio=st.floats(0.01, 0.45), test_ratio=st.floats(0.01, 0.45)
)
def test_random_splits_follow_the_ratios(kind, make_tracks, pairs, seed, validation_ratio, test_ratio):
    ratios = {"validation_ratio": validation_ratio, "test_ratio": test_ratio}
    tracks = make_tracks(pairs)
    check_ratios(validation_ratio, test_ratio)(tracks, split(kind, tracks, seed=seed, **ratios).table)


def test_the_usual_random_split_is_80_10_10(make_tracks):
    tracks = make_tracks([(genre, "") for genre in ("blues", "jazz") for _ in range(100)])
    result = split("random_track", tracks, validation_ratio=0.1, test_ratio=0.1)
    for counts in result.report["counts"]:
        assert counts == {
            "train": {"blues": 80, "jazz": 80},
            "validation": {"blues": 10, "jazz": 10},
            "test": {"blues": 10, "jazz": 10},
        }
    assert result.report["stratification_imbalance"] == pytest.approx(dict.fromkeys(SPLITS, 0.0))


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_another_split(kind, collection):
    one, other = split(kind, collection, seed=1), split(kind, collection, seed=2)
    assert one.report["split_hash"] != other.report["split_hash"]


@pytest.mark.parametrize("kind", ["random_segment", "random_track"])
def test_random_repeats_differ_and_more_of_them_keep_the_first(kind, collection):
    few = split(kind, collection, repeats=2).table
    many = split(kind, collection, repeats=3).table
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
    assert (result.report["verdicts"]["artist"], result.report["artists_unknown"]) == ("cannot be checked", 1.0)
    assert (result.report["verdicts"]["recording"], result.report["leaky"]) == ("held", False)


@pytest.mark.parametrize("nobody", [" ", "Unknown Artist", "various artists", "V.A.", "N/A", "[unknown]", "-", "佚名"])
def test_names_of_nobody_are_unknown_artists(make_tracks, nobody, caplog):
    tracks = make_tracks([(genre, nobody) for genre in ("blues", "jazz") for _ in range(10)])
    plain = split("artist_kfold", make_tracks([(genre, "") for genre in ("blues", "jazz") for _ in range(10)]))
    result = split("artist_kfold", tracks)
    assert result.report["artists_unknown"] == 1.0
    pd.testing.assert_frame_equal(result.table, plain.table)
    assert "demo.artist_kfold: artists unknown: 20 of 20 tracks; whether artists are on two sides" in caplog.text


def test_one_track_of_unknown_artist_is_enough_for_the_mark(make_tracks, caplog):
    artists = [(genre, f"{genre} {number}") for genre in ("blues", "jazz") for number in range(10)]
    known = split("artist_kfold", make_tracks(artists)).report
    assert (known["verdicts"]["artist"], known["artists_unknown"], caplog.text) == ("held", 0.0, "")
    report = split("artist_kfold", make_tracks([*artists[:-1], ("jazz", "?")])).report
    assert (report["verdicts"]["artist"], report["artists_unknown"]) == ("cannot be checked", 0.05)


def test_a_leaky_protocol_says_nothing_of_unknown_artists(make_tracks, caplog):
    report = split("track_kfold", make_tracks([(genre, "") for genre in ("blues", "jazz") for _ in range(10)])).report
    assert (report["leaky"], report["artists_unknown"], caplog.text) == (True, 0.0, "")
    assert report["verdicts"]["artist"] == "cannot be checked"


def test_an_artist_of_two_genres_stays_on_one_side(make_tracks):
    pairs = [(genre, f"artist {number}") for number in range(10) for genre in ("blues", "jazz")]
    result = split("artist_kfold", make_tracks(pairs))
    assert result.report["leaks"]["overall"]["artist"] == 0
    assert result.report["stratification_imbalance"] == pytest.approx(dict.fromkeys(SPLITS, 0.0))


def test_artists_spelt_differently_are_one_artist(make_tracks):
    pairs = [("blues", "B.B. King"), ("blues", " b.b.  king")] * 3 + [("blues", f"{n}") for n in range(4)]
    tracks = make_tracks(pairs + [("jazz", f"jazz {n}") for n in range(5)])
    table = split("artist_kfold", tracks).table
    king = table[table["track_id"].isin(tracks["track_id"][:6])]
    assert (king.groupby("repeat")["split"].nunique() == 1).all()


def test_artists_who_share_a_recording_stay_together(make_tracks):
    pairs = [(genre, f"{genre} {n}") for genre in ("blues", "jazz") for n in range(6)]
    tracks = make_tracks(pairs)
    tracks.loc[1, "recording"] = "t0000"
    table = split("artist_kfold", tracks).table
    pair = table[table["track_id"].isin(["t0000", "t0001"])]
    assert (pair.groupby("repeat")["split"].nunique() == 1).all()


# What came out when the test was written: another machine, or a newer library, must give the same.
TESTED = {
    "artist_kfold": ["t0002", "t0003", "t0010", "t0011", "t0018"],
    "random_segment": ["t0002", "t0005", "t0005", "t0005", "t0006"],
    "random_track": ["t0001", "t0007", "t0017", "t0020", "t0021"],
    "track_kfold": ["t0003", "t0009", "t0012", "t0017", "t0018"],
}


@pytest.mark.parametrize(("kind", "tested"), TESTED.items())
def test_the_split_is_the_same_everywhere(kind, tested, collection):
    table = split(kind, collection, seed=1).table
    test = table[(table["repeat"] == 0) & (table["split"] == "test")]
    assert sorted(test["track_id"])[:5] == tested


# Pieces


def test_tracks_are_cut_into_pieces_of_the_length_asked_for(make_tracks):
    pairs = [(genre, "") for genre in ("blues", "jazz") for _ in range(4)]
    tracks = make_tracks(pairs, duration_s=[30.0133, 2.0, 8.9, 9.0] * 2)
    table = split("random_segment", tracks, segment_s=3.0, repeats=1).table
    places = {
        track: list(zip(rows["start_s"], rows["end_s"], strict=True)) for track, rows in table.groupby("track_id")
    }
    assert places["t0000"] == [(3.0 * n, 3.0 * (n + 1)) for n in range(9)] + [(27.0, 30.0133)]
    assert places["t0001"] == [(0.0, 2.0)]
    assert places["t0002"] == [(0.0, 3.0), (3.0, 8.9)]
    assert places["t0003"] == [(0.0, 3.0), (3.0, 6.0), (6.0, 9.0)]


def test_pieces_leak_and_say_so(collection):
    report = split("random_segment", collection, segment_s=3.0).report
    assert report["leaky"]
    assert report["promises"] == []
    assert (report["unit"], report["n_tracks"], report["n_units"]) == ("piece", 75, 750)
    assert report["leaks"]["overall"]["track"] == 75
    assert report["counts"][0] == {
        "train": dict.fromkeys(("blues", "jazz", "rock"), 175),
        "validation": dict.fromkeys(("blues", "jazz", "rock"), 25),
        "test": dict.fromkeys(("blues", "jazz", "rock"), 50),
    }


def test_too_few_pieces_are_counted(make_tracks):
    with pytest.raises(SplitError, match=r"at least 3 pieces of 30 s .* 'blues' has 2, 'jazz' has 2\..*segment_s"):
        split("random_segment", make_tracks([("blues", ""), ("jazz", "")] * 2), segment_s=30.0)


# Lists


def test_a_list_with_all_parts_is_taken_as_it_is(collection):
    parts = dict(zip(collection["track_id"], np.resize(["train", "validation", "test"], 75), strict=True))
    table = split("official", collection, {"published": parts}, repeats=3).table
    assert dict(zip(table["track_id"], table["split"], strict=True)) == parts
    assert table.groupby("track_id")["split"].nunique().eq(1).all()
    assert table["repeat"].unique().tolist() == [0, 1, 2]


def test_the_validation_part_tests_where_the_test_part_is_not_at_hand(collection):
    parts = dict(zip(collection["track_id"], np.resize(["train", "validation", "test"], 75), strict=True))
    result = split("official", collection, {"published": parts}, test_part="validation")
    first = sides(result.table, 0)
    assert first["test"] == {track for track, part in parts.items() if part == "validation"}
    assert first["train"] | first["validation"] == {track for track, part in parts.items() if part == "train"}
    assert first["validation"]
    assert result.report["left_out"] == {"quarantined": 0, "not_listed": 25}
    assert result.report["leaks"]["per_repeat"][0]["train_validation"]["artist"] == 0


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
    assert report["listed_quarantined"] == {"n_tracks": 1, "track_ids": ["t0000"]}


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
        ("official", {"test_part": "train"}, r"protocols\.official\.test_part: got 'train'"),
        ("track_kfold", {"promises": ["artists"]}, r"protocols\.track_kfold\.promises\.0: got 'artists'"),
    ],
)
def test_bad_parameters_are_named(kind, values, message):
    with pytest.raises(ConfigError, match=message):
        block_of(kind, **values)
