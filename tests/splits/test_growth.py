"""When a dataset grows, what was split stays where it is, as far as the promises allow."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from genre_pipeline.blocks import parse_block
from genre_pipeline.datasets import DatasetBlock
from genre_pipeline.errors import SplitError
from genre_pipeline.splits import PROTOCOLS, SPLITS, SplitRecord, read_record, record_key, split_tracks, write_record
from genre_pipeline.splits.folds import balanced_folds, kept_places
from genre_pipeline.splits.resampling import ResampledBlock, resample

EXACT = settings(derandomize=True, deadline=None, max_examples=6, phases=[Phase.generate])
GENRES = ("blues", "jazz", "rock")
VALUES = {
    "artist_kfold": {"n_folds": 3},
    "official": {"list": "published", "validation_ratio": 0.25},
    "random_segment": {"repeats": 2, "segment_s": 10.0},
    "random_track": {"repeats": 2, "validation_ratio": 0.2, "test_ratio": 0.2},
    "track_kfold": {"n_folds": 3},
}
KINDS = sorted(VALUES)


def published(tracks):
    """A list that tests every third artist, whatever else there is; the unknown ones train."""
    tested = tracks["artist"].str.contains(r" (?:0|3|6|9)$")
    return {"published": dict(zip(tracks["track_id"], np.where(tested, "test", "train").tolist(), strict=True))}


def split(kind, tracks, record=None, **values):
    block = parse_block(PROTOCOLS[kind].block, {"kind": kind, **VALUES[kind], **values}, key=f"protocols.{kind}")
    return split_tracks(tracks, PROTOCOLS[kind], block, dataset="demo", official=published(tracks), record=record)


def sides(table):
    """The side of each track (or piece) in each repeat."""
    place = ["start_s"] if "start_s" in table else []
    return table.set_index(["repeat", "track_id", *place])["split"]


def assert_kept(before, after):
    """Whatever is in both stands on the same side in both."""
    both = sides(before.table).to_frame("old").join(sides(after.table).rename("new"), how="inner")
    assert len(both)
    assert (both["old"] == both["new"]).all()


@st.composite
def collections(draw, make_tracks):
    """A collection, and which tracks of it come later: what comes first has six artists a genre, one track each."""
    pairs = [(genre, f"{genre} {artist}") for genre in GENRES for artist in range(6)]
    n_first = len(pairs)
    for genre in GENRES:
        pairs += [(genre, f"{genre} {artist}") for artist in draw(st.lists(st.integers(0, 11), max_size=9))]
    later = draw(st.permutations(range(n_first, len(pairs))))
    cut = draw(st.integers(0, len(later)))
    tracks = make_tracks(pairs)
    first = list(range(n_first))
    return tracks, [first, first + later[:cut], first + later]


@pytest.mark.parametrize("kind", KINDS)
@EXACT
@given(data=st.data(), seed=st.integers(0, 99))
def test_growth_moves_no_track_and_keeps_the_promises(kind, make_tracks, data, seed):
    tracks, stages = data.draw(collections(make_tracks))
    before = split(kind, tracks.iloc[stages[0]], seed=seed)
    for stage in stages[1:]:
        after = split(kind, tracks.iloc[stage], before.record, seed=seed)
        assert_kept(before, after)
        assert after.report["leaks"]["overall"].items() >= dict.fromkeys(PROTOCOLS[kind].promises, 0).items()
        growth = after.report["growth"]
        if growth is not None:
            assert growth["moved"]["n_tracks"] == growth["removed"]["n_tracks"] == 0
            assert growth["n_kept"] + growth["added"]["n_tracks"] == after.report["n_tracks"]
        before = after


@pytest.mark.parametrize("kind", KINDS)
@EXACT
@given(data=st.data())
def test_the_order_of_rows_does_not_matter_when_a_dataset_grows(kind, make_tracks, data):
    tracks, (first, _, everything) = data.draw(collections(make_tracks))
    record = split(kind, tracks.iloc[first]).record
    order = data.draw(st.permutations(everything))
    once, again = split(kind, tracks.iloc[everything], record), split(kind, tracks.iloc[order], record)
    pd.testing.assert_frame_equal(once.table, again.table)
    pd.testing.assert_frame_equal(once.record.units, again.record.units)
    assert once.report == again.report


@EXACT
@given(
    sizes=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=8), min_size=2, max_size=4),
    n_folds=st.integers(3, 6),
    seed=st.integers(0, 99),
)
def test_folds_stay_as_even_as_the_largest_group_allows(sizes, n_folds, seed):
    """Groups of one genre that come in several lots: no two folds differ by more than the largest group so far."""
    folds = np.array([], dtype=np.intp)
    groups = np.array([], dtype=np.intp)
    for lot in sizes:
        new = np.repeat(np.arange(len(lot)) + groups.max(initial=-1) + 1, lot)
        kept = np.concatenate([folds, np.full(len(new), -1)])
        groups = np.concatenate([groups, new])
        folds = balanced_folds(groups, np.full(len(groups), "jazz"), n_folds=n_folds, seed=seed, kept=kept)
        n_tracks = np.bincount(folds, minlength=n_folds)
        assert n_tracks.max() - n_tracks.min() <= np.bincount(groups).max()


@EXACT
@given(data=st.data(), n_folds=st.integers(3, 5), seed=st.integers(0, 99))
def test_added_groups_of_several_genres_are_never_less_even_than_chance(data, n_folds, seed):
    """The excess over what was kept is at most what folds drawn at random would add on average."""
    numbers = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(any), min_size=1, max_size=8)
    kept_groups, new_groups = data.draw(numbers), data.draw(numbers)
    counts = np.array([*kept_groups, *new_groups])
    groups = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
    genres = np.concatenate([np.repeat(["blues", "jazz"], each) for each in counts])
    old = data.draw(st.lists(st.integers(0, n_folds - 1), min_size=len(kept_groups), max_size=len(kept_groups)))
    places = np.array([*old, *[-1] * len(new_groups)])
    folds = balanced_folds(groups, genres, n_folds=n_folds, seed=seed, kept=places[groups])
    assert (folds[places[groups] >= 0] == places[groups][places[groups] >= 0]).all()
    totals = np.maximum(1, counts.sum(axis=0))

    def unevenness(held):
        return float((((held - held.mean(axis=0)) / totals) ** 2).sum())

    of_group = folds[np.searchsorted(groups, np.arange(len(counts)))]
    held = np.array([counts[of_group == fold].sum(axis=0) for fold in range(n_folds)])
    before = np.array([counts[places == fold].sum(axis=0) for fold in range(n_folds)])
    chance = (1 - 1 / n_folds) * float(((counts[len(kept_groups) :] / totals) ** 2).sum())
    assert unevenness(held) <= unevenness(before) + chance + 1e-9


@EXACT
@given(
    lots=st.lists(st.integers(1, 12), min_size=2, max_size=8),
    ratios=st.tuples(st.floats(0.05, 0.4), st.floats(0.05, 0.4)),
    seed=st.integers(0, 99),
)
def test_additions_follow_the_ratios(lots, ratios, seed):
    """The test side is as large as if all were drawn at once, the validation side at most one short."""
    block = ResampledBlock(kind="any", seed=seed, validation_ratio=ratios[0], test_ratio=ratios[1])
    codes = np.empty((2, 0), dtype=np.intp)
    for lot in [5, *lots]:
        kept = np.concatenate([codes, np.full((2, lot), -1)], axis=1)
        genres = np.full(kept.shape[1], "jazz")
        labels = resample(genres, block, kept=kept)
        at_once = resample(genres, block, kept=np.full_like(kept, -1))
        for side, missing in (("test", 0), ("validation", 1)):
            wanted = (at_once == side).sum(axis=1)
            assert (
                (wanted - (labels == side).sum(axis=1) >= 0) & (wanted - (labels == side).sum(axis=1) <= missing)
            ).all()
        codes = np.vectorize(SPLITS.index)(labels)
        assert (codes[kept >= 0] == kept[kept >= 0]).all()


def test_an_artist_correction_that_joins_two_groups_moves_the_fewer_tracks_and_says_so(make_tracks):
    clips = [(genre, f"{genre} {artist}") for genre in GENRES for artist in range(4) for _ in range(2)]
    tracks = make_tracks([*clips, ("jazz", "jazz 3")])
    before = split("artist_kfold", tracks)
    fold = before.record.places(tracks["track_id"].tolist(), 1)[0]
    of_artist = dict(zip(tracks["artist"], fold, strict=True))
    # The pair is of two folds; 'jazz 3' has three tracks.
    other = next(f"jazz {artist}" for artist in range(3) if of_artist[f"jazz {artist}"] != of_artist["jazz 3"])
    corrected = tracks.assign(artist=tracks["artist"].replace(other, "jazz 3"))
    after = split("artist_kfold", corrected, before.record)
    growth = after.report["growth"]
    moved = tracks["track_id"][tracks["artist"] == other].tolist()
    assert growth["moved"] == {"n_tracks": 2, "track_ids": moved}
    assert growth["moves"] == [
        {
            "track_id": track,
            "repeat": 0,
            "from": f"fold {of_artist[other]}",
            "to": f"fold {of_artist['jazz 3']}",
            "with": tracks["track_id"][tracks["artist"] == "jazz 3"].iloc[0],
        }
        for track in moved
    ]
    assert growth["n_kept"] == len(tracks) - 2
    assert growth["previous_split_hash"] == before.report["split_hash"]
    assert after.report["leaks"]["overall"]["artist"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_back_returns_to_its_side(kind, make_tracks):
    tracks = make_tracks([(genre, f"{genre} {artist}") for genre in GENRES for artist in range(9)])
    whole = split(kind, tracks)
    gone = whole.table["track_id"][whole.table["split"] == "train"].iloc[0]
    without = split(kind, tracks[tracks["track_id"] != gone], whole.record)
    assert without.report["growth"]["removed"] == {"n_tracks": 1, "track_ids": [gone]}
    again = split(kind, tracks, without.record)
    assert again.report["split_hash"] == whole.report["split_hash"]
    assert again.report["growth"]["added"] == {"n_tracks": 1, "track_ids": [gone]}
    pd.testing.assert_frame_equal(again.table, whole.table)


@pytest.mark.parametrize("kind", ["artist_kfold", "random_segment", "random_track", "track_kfold"])
def test_a_renamed_track_keeps_its_side(kind, make_tracks):
    tracks = make_tracks([(genre, "") for genre in GENRES for _ in range(9)])
    before = split(kind, tracks)
    old = tracks["track_id"].iloc[4]
    after = split(kind, tracks.assign(track_id=tracks["track_id"].replace(old, "zz@new")), before.record)
    assert_kept(before, after)
    assert set(sides(before.table)[:, old]) == set(sides(after.table)[:, "zz@new"])
    growth = after.report["growth"]
    assert growth["renamed"] == {"n_tracks": 1, "track_ids": ["zz@new"]}
    assert growth["n_kept"] == len(tracks)
    for nothing in ("added", "removed", "moved"):
        assert growth[nothing]["n_tracks"] == 0


def test_of_two_copies_that_were_renamed_each_takes_one_place(make_tracks):
    tracks = make_tracks([(genre, "") for genre in GENRES for _ in range(9)])
    tracks.loc[[0, 1], "audio_hash"] = "the same"
    before = split("track_kfold", tracks)
    names = {"t0000": "y", "t0001": "z"}
    after = split("track_kfold", tracks.assign(track_id=tracks["track_id"].replace(names)), before.record)
    assert after.report["growth"]["renamed"]["track_ids"] == ["y", "z"]
    places = [before.record.places(list(names), 1), after.record.places(list(names.values()), 1)]
    assert np.array_equal(*places)


def test_the_first_split_did_not_grow_and_the_last_change_is_told_until_the_next(collection):
    first = split("track_kfold", collection.iloc[:-1])
    assert first.report["growth"] is None
    assert split("track_kfold", collection.iloc[:-1], first.record).report == first.report
    grown = split("track_kfold", collection, first.record)
    assert grown.report["growth"]["added"]["n_tracks"] == 1
    assert split("track_kfold", collection, grown.record).report == grown.report


def test_all_are_dealt_anew_on_request_only(collection):
    first = split("artist_kfold", collection.iloc[::2])
    grown = split("artist_kfold", collection, first.record)
    anew = split("artist_kfold", collection, grown.record, growth="resplit")
    pd.testing.assert_frame_equal(anew.table, split("artist_kfold", collection).table)
    growth = anew.report["growth"]
    assert growth["resplit"]
    assert growth["moved"]["n_tracks"] > 0
    assert growth["moves"] == []
    # Asked for again it changes nothing, and from then on the tracks stay.
    assert split("artist_kfold", collection, anew.record, growth="resplit").table.equals(anew.table)
    assert split("artist_kfold", collection, anew.record).table.equals(anew.table)


def test_another_genre_of_a_track_is_told(collection):
    first = split("track_kfold", collection)
    track = collection["track_id"].iloc[0]
    edited = collection.assign(genre=collection["genre"].where(collection["track_id"] != track, "rock"))
    grown = split("track_kfold", edited, first.record)
    assert grown.report["growth"]["relabelled"] == {"n_tracks": 1, "track_ids": [track]}
    assert_kept(first, grown)


def test_a_list_that_changed_wins(make_tracks):
    tracks = make_tracks([(genre, f"{genre} {artist}") for genre in GENRES for artist in range(9)])
    block = PROTOCOLS["official"].block(kind="official", list="published")
    official = published(tracks)
    moved = next(track for track, side in official["published"].items() if side == "train")

    def listed(record, lists):
        return split_tracks(tracks, PROTOCOLS["official"], block, dataset="demo", official=lists, record=record)

    before = listed(None, official)
    after = listed(before.record, {"published": {**official["published"], moved: "test"}})
    assert after.report["growth"]["moved"] == {"n_tracks": 1, "track_ids": [moved]}
    assert after.report["growth"]["moves"][0]["to"] == "test"
    # A track that tested is as good as new to training and validation.
    back = listed(after.record, official)
    assert back.table["split"][back.table["track_id"] == moved].isin(["train", "validation"]).all()


def test_a_side_that_lost_a_genre_asks_for_a_new_split(make_tracks):
    tracks = make_tracks([(genre, f"{genre} {artist}") for genre in GENRES for artist in range(9)])
    before = split("artist_kfold", tracks)
    fold = before.record.places(tracks["track_id"].tolist(), 1)[0]
    left = tracks[(tracks["genre"] != "jazz") | (fold != 1)]
    with pytest.raises(SplitError, match=r"'jazz' is missing .* deal all tracks anew, .*growth=resplit"):
        split("artist_kfold", left, before.record)
    assert split("artist_kfold", left, before.record, growth="resplit").report["growth"]["resplit"]


def test_a_carved_genre_without_free_artists_asks_for_a_new_split(make_tracks):
    tracks = make_tracks([(genre, f"{genre} {artist}") for genre in GENRES for artist in range(9)])
    before = split("official", tracks)
    held = set(before.table["track_id"][before.table["split"] == "validation"])
    left = tracks[~tracks["track_id"].isin(held) | (tracks["genre"] != "rock")]
    with pytest.raises(SplitError, match="'rock' is missing from the validation split"):
        split("official", left, before.record)


def test_more_repeats_keep_the_folds_and_fewer_forget_no_deal(collection):
    few = split("track_kfold", collection.iloc[:-9], repeats=1)
    grown = split("track_kfold", collection, few.record, repeats=3)
    assert_kept(few, grown)
    many = split("random_track", collection, repeats=3)
    fewer = split("random_track", collection, many.record, repeats=1)
    again = split("random_track", collection, fewer.record, repeats=3)
    assert again.table.equals(many.table)


def test_a_record_is_read_as_it_was_written(collection, tmp_path):
    path = tmp_path / "folder" / "record.parquet"
    assert read_record(path).split_hash == ""
    grown = split("random_segment", collection, split("random_segment", collection.iloc[1:]).record)
    write_record(path, grown.record)
    record = read_record(path)
    assert (record.split_hash, record.growth) == (grown.report["split_hash"], grown.report["growth"])
    assert json.loads(json.dumps(record.growth)) == record.growth
    assert split("random_segment", collection, record).table.equals(grown.table)
    pd.testing.assert_frame_equal(record.units, grown.record.units, check_names=False, check_index_type=False)


def test_a_damaged_record_is_named_and_never_taken_for_none(tmp_path):
    path = tmp_path / "record.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(SplitError, match=r"record\.parquet records the side of each track, and cannot be read"):
        read_record(path)


def test_what_decides_where_a_track_goes_decides_where_it_is_remembered(tmp_path):
    dataset = DatasetBlock(kind="folder", path=tmp_path)
    protocol = PROTOCOLS["artist_kfold"].block(kind="artist_kfold")
    key = record_key(dataset, protocol)
    for same in ({"repeats": 2}, {"promises": ("artist",)}, {"growth": "resplit"}):
        assert record_key(dataset, protocol.model_copy(update=same)) == key
    assert record_key(dataset.model_copy(update={"min_duration_s": 1.0}), protocol) == key
    assert record_key(dataset.model_copy(update={"genres": ("jazz", "rock")}), protocol) != key
    assert record_key(dataset, protocol.model_copy(update={"n_folds": 3})) != key


def test_nothing_kept_is_nobody_s_place():
    assert SplitRecord().places(["a", "b"], 2).tolist() == [[-1, -1], [-1, -1]]
    assert kept_places(np.array([0, 1]), np.array([-1, -1])).tolist() == [-1, -1]
