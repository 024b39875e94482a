"""What happens around a protocol: quarantine, checks, the report and its hash."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from genre_pipeline.errors import SplitError
from genre_pipeline.splits import PROTOCOLS, Assignment, ProtocolBlock, split_tracks

BLOCK = ProtocolBlock(kind="fixed")


def fixed(*rows, **changes):
    """A protocol that always gives these labels."""
    labels = np.array(rows)
    return replace(PROTOCOLS["random_track"], split=lambda *_: Assignment(labels), **changes)


def split(tracks, spec, block=BLOCK, dataset="demo", **options):
    return split_tracks(tracks, spec, block, dataset=dataset, official={}, **options)


@pytest.fixture
def six(make_tracks):
    return make_tracks([(genre, genre) for _ in range(3) for genre in ("blues", "jazz")])


SIX = ("train", "train", "validation", "validation", "test", "test")


def test_the_report_is_plain_json_and_complete(collection):
    spec = PROTOCOLS["artist_kfold"]
    block = spec.block(kind="artist_kfold", seed=3)
    report = split(collection, spec, block, protocol="honest").report
    assert json.loads(json.dumps(report)) == report
    assert set(report) == {
        *("dataset", "protocol", "kind", "parameters", "design", "promises", "leaky", "genres", "n_tracks"),
        *("n_repeats", "split_hash", "counts", "stratification_imbalance", "leaks", "unknown_artist_tracks"),
        *("left_out", "listed_not_present", "listed_quarantined", "subset", "unit", "n_units", "growth"),
        *("verdicts", "artists_unknown"),
    }
    assert (report["dataset"], report["protocol"], report["kind"]) == ("demo", "honest", "artist_kfold")
    assert report["parameters"] == {
        "kind": "artist_kfold",
        "seed": 3,
        "repeats": None,
        "promises": [],
        "growth": "keep",
        "n_folds": 5,
    }
    assert report["promises"] == ["artist", "audio", "file", "recording", "track"]
    assert report["genres"] == ["blues", "jazz", "rock"]
    assert (report["n_tracks"], report["n_repeats"], report["unknown_artist_tracks"]) == (75, 5, 3)
    assert (report["unit"], report["n_units"], report["subset"]) == ("track", 75, "")
    assert report["listed_not_present"] == report["listed_quarantined"] == {"n_tracks": 0, "track_ids": []}


def test_quarantined_tracks_stand_nowhere(make_tracks):
    tracks = make_tracks(
        [("blues", "a"), ("jazz", "b")] * 4, quarantined=[False] * 6 + [True] * 2, faults=[""] * 6 + ["silent"] * 2
    )
    result = split(tracks, fixed(SIX))
    assert result.table["track_id"].tolist() == [f"t000{number}" for number in range(6)]
    assert result.report["left_out"] == {"quarantined": 2, "not_listed": 0}


def test_counts_and_imbalance(make_tracks):
    tracks = make_tracks([("blues", ""), ("jazz", "")] * 3 + [("blues", "")] * 2)
    report = split(tracks, fixed((*SIX, "test", "train"))).report
    assert report["counts"] == [
        {
            "train": {"blues": 2, "jazz": 1},
            "validation": {"blues": 1, "jazz": 1},
            "test": {"blues": 2, "jazz": 1},
        }
    ]
    # Blues: 2 of 3 in training and test, 1 of 2 in validation, 5 of 8 in all.
    expected = {"train": 2 / 3 - 5 / 8, "validation": 5 / 8 - 1 / 2, "test": 2 / 3 - 5 / 8}
    assert report["stratification_imbalance"] == pytest.approx(expected)


def test_the_hash_tells_splits_datasets_and_genres_apart(six):
    spec = fixed(SIX)
    reference = split(six, spec).report["split_hash"]
    assert split(six, spec).report["split_hash"] == reference
    assert split(six, spec, protocol="other").report["split_hash"] == reference
    assert split(six, fixed(SIX[::-1])).report["split_hash"] != reference
    assert split(six, spec, dataset="other").report["split_hash"] != reference
    assert split(six, spec, subset="2 of 10 genres").report["split_hash"] != reference
    assert split(six.replace({"genre": {"jazz": "rock"}}), spec).report["split_hash"] != reference


def test_leaky_is_measured_too(six, make_tracks):
    apart = make_tracks([(genre, f"{genre} {n}") for n in range(3) for genre in ("blues", "jazz")])
    assert split(apart, fixed(SIX, leaky=True)).report["leaky"]
    assert not split(apart, fixed(SIX, leaky=False)).report["leaky"]
    assert split(six, fixed(SIX, leaky=False)).report["leaky"]


@pytest.mark.parametrize(("pairs", "found"), [([], "has none"), ([("blues", "a")] * 9, "has one, 'blues'")])
def test_fewer_than_two_genres_are_refused(make_tracks, pairs, found):
    with pytest.raises(SplitError, match=f"'demo' must have at least two genres, but {found}"):
        split(make_tracks(pairs), fixed(SIX))


def test_a_genre_wholly_in_quarantine_is_named(make_tracks):
    tracks = make_tracks([("blues", "a"), ("jazz", "b")] * 3, quarantined=[False, True] * 3)
    with pytest.raises(SplitError, match="Every track of 'jazz' in the dataset 'demo' is quarantined"):
        split(tracks, fixed(SIX))


def test_a_missing_genre_is_named_with_repeat_and_split(six):
    spec = fixed(SIX, ("train", "train", "validation", "train", "test", "test"))
    message = (
        r"protocols\.random_track: the genre 'jazz' is missing from the validation split of repeat 1\. .* 3 tracks"
    )
    with pytest.raises(SplitError, match=message):
        split(six, spec)


def test_further_gaps_are_counted(six):
    with pytest.raises(SplitError, match=r"train split of repeat 0 \(and 3 more such gaps\)"):
        split(six, fixed(["test"] * 6))


def test_a_split_of_nothing_is_refused(six):
    with pytest.raises(SplitError, match="'blues' is missing from the train split of repeat 0"):
        split(six, fixed([""] * 6))


def test_a_broken_promise_of_artists_is_an_error(six):
    spec = fixed(SIX, promises=frozenset({"artist"}))
    message = "promises that no artist is on two sides.*2 do.*'t0000' is in train and 't0002' in validation"
    with pytest.raises(SplitError, match=message):
        split(six, spec)


def test_a_track_that_is_there_twice_is_an_error(six):
    labels = ("train", "test", "train", "validation", "validation", "test")
    with pytest.raises(SplitError, match=r"promises that no track.*Name every track once"):
        split(six.assign(track_id=["t0", "t1", "t2", "t3", "t0", "t5"]), fixed(labels))


@pytest.mark.parametrize(
    ("kind", "column", "remedy"),
    [
        ("file", "content_hash", "Quarantine duplicates"),
        ("audio", "audio_hash", "Quarantine duplicates"),
        ("recording", "recording", "Add 'near_duplicate' to the dataset's 'quarantine'"),
        ("artist", "artist", "artist_kfold"),
    ],
)
def test_a_block_may_promise_more_than_its_kind(make_tracks, kind, column, remedy):
    tracks = make_tracks([(genre, "") for _ in range(3) for genre in ("blues", "jazz")])
    tracks = tracks.assign(**{column: ["same", *"bcde", "same"]}).astype({column: "string"})
    report = split(tracks, fixed(SIX)).report
    assert (report["leaks"]["overall"][kind], report["promises"]) == (1, ["track"])
    with pytest.raises(SplitError, match=rf"promises that no {kind} .* 1 do .*'t0000' is in train .*{remedy}"):
        split(tracks, fixed(SIX), ProtocolBlock(kind="fixed", promises=(kind,)))


def test_a_subset_is_named(six):
    result = split(six, fixed(SIX), subset="2 of 10 genres, 6 of 1000 tracks")
    assert result.report["subset"] == result.table.attrs["subset"] == "2 of 10 genres, 6 of 1000 tracks"


@pytest.mark.parametrize("leaky", [True, False])
def test_the_table_carries_its_marks_into_parquet(make_tracks, tmp_path, leaky):
    apart = make_tracks([(genre, f"{genre} {n}") for n in range(3) for genre in ("blues", "jazz")])
    result = split(apart, fixed(SIX, leaky=leaky), protocol="mine")
    result.table.to_parquet(tmp_path / "split.parquet")
    table = pd.read_parquet(tmp_path / "split.parquet")
    assert table["leaky"].tolist() == [leaky] * 6
    assert table.attrs == {key: result.report[key] for key in ("dataset", "subset", "protocol", "split_hash", "leaky")}
    assert table.attrs["split_hash"]


def test_pieces_have_their_places_and_one_side_each(six):
    pieces = pd.DataFrame({"row": np.repeat(range(6), 2), "start_s": [0.0, 15.0] * 6, "end_s": [15.0, 30.0] * 6})
    labels = np.array([["train", "test"] * 4 + ["validation", ""] * 2])
    spec = replace(PROTOCOLS["random_segment"], split=lambda *_: Assignment(labels, pieces=pieces))
    result = split(six, spec)
    report = result.report
    assert list(result.table) == ["repeat", "track_id", "start_s", "end_s", "genre", "group", "split", "leaky"]
    assert (report["unit"], report["n_tracks"], report["n_units"]) == ("piece", 6, 10)
    assert report["counts"][0]["validation"] == {"blues": 1, "jazz": 1}
    assert report["leaks"]["overall"]["track"] == 4
    assert report["promises"] == []
    moved = replace(spec, split=lambda *_: Assignment(labels, pieces=pieces.assign(end_s=[14.0, 30.0] * 6)))
    assert split(six, moved).report["split_hash"] != report["split_hash"]


def test_what_is_not_promised_is_a_number(make_tracks):
    tracks = make_tracks([("blues", "a"), ("jazz", "b")] * 3, audio_hash="same")
    report = split(tracks, fixed(SIX)).report
    assert report["leaks"]["overall"] == {"track": 0, "file": 0, "audio": 1, "recording": 0, "artist": 2, "album": 0}
