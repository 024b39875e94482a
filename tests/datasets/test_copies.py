"""Recordings: connected copies have one name, whatever the order of the pairs."""

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.ingest.copies import exact_copies, official_duplicates, recordings

IDS = list("abcdefgh")


def tracks_of(hashes):
    return pd.DataFrame({"track_id": IDS[: len(hashes)], "audio_hash": hashes}, index=range(10, 10 + len(hashes)))


def test_of_exact_copies_the_first_is_kept():
    assert exact_copies(tracks_of(["x", "", "y", "x", "", "x", "y"]), set) == {13: 10, 15: 10, 16: 12}


def test_of_exact_copies_the_first_that_a_list_names_is_kept():
    listed = {"d", "f", "g"}
    assert exact_copies(tracks_of(["x", "", "y", "x", "", "x", "y"]), lambda: listed) == {10: 13, 12: 16, 15: 13}


def test_lists_are_read_only_where_there_are_copies():
    def never():
        raise AssertionError

    assert exact_copies(tracks_of(["x", "", "", "y"]), never) == {}


def test_official_duplicates_may_be_more_than_two():
    assert official_duplicates({"d": "1", "c": "1", "a": "2", "b": "1", "e": "2", "f": "3"}) == [
        ["a", "e"],
        ["b", "c", "d"],
    ]
    assert official_duplicates({}) == []


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)), max_size=10))
def test_recordings(pairs):
    names = dict(zip(IDS, recordings(pd.Series(IDS), pairs), strict=True))
    assert all(names[one] == names[other] for one, other in pairs)
    # Each is named after its first track, and no two are joined without a chain of pairs.
    groups = {track_id: {track_id} for track_id in IDS}
    for one, other in pairs:
        joined = groups[one] | groups[other]
        for track_id in joined:
            groups[track_id] = joined
    assert names == {track_id: min(group) for track_id, group in groups.items()}
