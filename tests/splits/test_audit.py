"""The audit finds what stands on two sides, and nothing else."""

import numpy as np
import pytest

from genre_pipeline.splits.audit import MAX_EXAMPLES, artists_unknown, leak_audit, verdict

NOTHING = {"track": 0, "file": 0, "audio": 0, "recording": 0, "artist": 0, "album": 0}


def test_a_clean_split_has_no_leaks(make_tracks):
    tracks = make_tracks([("blues", "a"), ("blues", "b"), ("jazz", "c")])
    audit = leak_audit(tracks, np.array([["train", "validation", "test"]]))
    assert audit["overall"] == NOTHING
    assert audit["per_repeat"] == [
        {"repeat": 0, "train_validation": NOTHING, "train_test": NOTHING, "validation_test": NOTHING}
    ]
    assert audit["examples"] == {kind: [] for kind in NOTHING}


def test_leaks_are_counted_by_pair_and_shown(make_tracks):
    tracks = make_tracks(
        [("blues", "A"), ("blues", "a "), ("jazz", "b"), ("jazz", "b")], audio_hash=["1", "2", "3", "3"]
    )
    audit = leak_audit(tracks, np.array([["train", "test", "validation", "test"]]))
    assert audit["overall"] == {**NOTHING, "audio": 1, "artist": 2}
    (counts,) = audit["per_repeat"]
    assert counts["train_test"] == {**NOTHING, "artist": 1}
    assert counts["validation_test"] == {**NOTHING, "artist": 1, "audio": 1}
    assert counts["train_validation"] == NOTHING
    assert audit["examples"]["audio"] == [
        {"value": "3", "repeat": 0, "splits": ["validation", "test"], "track_ids": ["t0002", "t0003"]}
    ]


def test_a_value_is_counted_once_over_repeats(make_tracks):
    tracks = make_tracks([("blues", "a"), ("blues", "a"), ("jazz", "a")])
    audit = leak_audit(tracks, np.array([["train", "test", "test"], ["test", "validation", "train"]]))
    assert audit["overall"]["artist"] == 1
    assert len(audit["examples"]["artist"]) == 1
    assert [counts["train_validation"]["artist"] for counts in audit["per_repeat"]] == [0, 1]


def test_the_unknown_is_not_compared(make_tracks):
    tracks = make_tracks([("blues", ""), ("blues", "")], album="Greatest Hits", audio_hash="", content_hash="")
    assert leak_audit(tracks, np.array([["train", "test"]]))["overall"] == NOTHING


def test_an_album_belongs_to_its_artist(make_tracks):
    tracks = make_tracks([("blues", "a"), ("blues", "a"), ("jazz", "b")], album=["Hits", "hits", "Hits"])
    audit = leak_audit(tracks, np.array([["train", "test", "test"]]))
    assert audit["overall"]["album"] == 1
    assert audit["examples"]["album"][0]["value"] == "a: hits"


def test_tracks_left_out_leak_nothing(make_tracks):
    tracks = make_tracks([("blues", "a"), ("blues", "a")])
    assert leak_audit(tracks, np.array([["train", ""]]))["overall"] == NOTHING


def test_examples_are_few(make_tracks):
    tracks = make_tracks([("blues", f"artist {n}") for n in range(9) for _ in "ab"])
    audit = leak_audit(tracks, np.array([["train", "test"] * 9]))
    assert audit["overall"]["artist"] == 9
    assert len(audit["examples"]["artist"]) == MAX_EXAMPLES


def test_files_and_recordings_are_compared_too(make_tracks):
    pairs = [("blues", "a"), ("blues", "b"), ("jazz", "c")]
    tracks = make_tracks(pairs, content_hash=["1", "1", "2"], recording=["t0000", "t0001", "t0000"])
    audit = leak_audit(tracks, np.array([["train", "test", "validation"]]))
    assert audit["overall"] == {**NOTHING, "file": 1, "recording": 1}
    assert audit["examples"]["recording"] == [
        {"value": "t0000", "repeat": 0, "splits": ["train", "validation"], "track_ids": ["t0000", "t0002"]}
    ]


def test_pieces_share_their_track_and_all_that_it_is(make_tracks):
    tracks = make_tracks([("blues", "a"), ("jazz", "")], album="Hits").take([0, 0, 1, 1]).reset_index(drop=True)
    audit = leak_audit(tracks, np.array([["train", "test", "validation", "validation"]]))
    assert audit["overall"] == dict.fromkeys(NOTHING, 1)
    assert audit["examples"]["track"] == [
        {"value": "t0000", "repeat": 0, "splits": ["train", "test"], "track_ids": ["t0000", "t0000"]}
    ]


def report_of(*, promises=("artist",), shared=0, unknown=0, leaky=False):
    leaks = {"overall": {**NOTHING, "artist": shared}}
    return {
        "leaks": leaks,
        "promises": promises,
        "unknown_artist_tracks": unknown,
        "n_tracks": 18,
        "leaky": leaky,
    }


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (report_of(), "held"),
        (report_of(unknown=18), "cannot be checked"),
        (report_of(unknown=1), "cannot be checked"),
        (report_of(shared=1, unknown=1), "broken"),
        (report_of(promises=()), "none found"),
        (report_of(promises=(), unknown=18), "cannot be checked"),
        (report_of(promises=(), shared=1, unknown=1), "on two sides"),
    ],
)
def test_what_is_not_known_holds_no_promise(report, expected):
    assert verdict(report, "artist") == expected
    assert verdict({**report, "promises": ("recording",)}, "recording") == "held"


@pytest.mark.parametrize(
    ("report", "share"),
    [
        (report_of(unknown=18), 1.0),
        (report_of(unknown=9), 0.5),
        (report_of(), 0.0),
        # A list that is not leaky is taken for honest, whatever it promises.
        (report_of(promises=("track",), unknown=18), 1.0),
        # A leaky split is marked as such, and says nothing of artists unless it promises to keep them apart.
        (report_of(promises=("track",), unknown=18, leaky=True), 0.0),
        (report_of(unknown=18, leaky=True), 1.0),
    ],
)
def test_unknown_artists_count_where_a_reader_takes_artists_to_be_apart(report, share):
    assert artists_unknown(report) == share
