"""Parts of a dataset: the same whatever the order of the files, and named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.datasets import Clip, DatasetBlock, Listing
from genre_pipeline.errors import ConfigError
from genre_pipeline.ingest.selection import Subset, select_clips


def listing(*track_ids: str, missing: tuple[str, ...] = ()) -> Listing:
    """Return clips whose genre is the first letter of their id."""
    clips = tuple(Clip(track_id, track_id[0], f"{track_id}.wav") for track_id in (*track_ids, *missing))
    return Listing(clips, {f"{track_id}.wav": (1, 1) for track_id in track_ids})


def select(found: Listing, catalogue: dict[str, str] | None = None, **values) -> tuple[list[str], Subset]:
    block = DatasetBlock(kind="folder", path="music", **values)
    clips, subset = select_clips("mine", found, catalogue or {}, block)
    return [clip.track_id for clip in clips], subset


ALL = ("a1", "a2", "a3", "b1", "b2", "c1")
CATALOGUE = {track_id: track_id[0] for track_id in ALL}


@pytest.mark.parametrize("catalogue", [{}, CATALOGUE])
def test_whole_dataset_has_no_name(catalogue):
    track_ids, subset = select(listing(*ALL), catalogue)
    assert track_ids == list(ALL)
    assert subset == Subset("", ("a", "b", "c"), 3, 6, 6, None)


@pytest.mark.parametrize("catalogue", [{}, CATALOGUE])
def test_genres(catalogue):
    track_ids, subset = select(listing(*ALL), catalogue, genres=("c", "b"))
    assert track_ids == ["b1", "b2", "c1"]
    assert subset == Subset("2 of 3 genres, 3 of 6 tracks", ("b", "c"), 3, 3, 6, None)


@pytest.mark.parametrize("catalogue", [{}, CATALOGUE])
def test_max_per_genre(catalogue):
    track_ids, subset = select(listing(*ALL), catalogue, max_per_genre=1)
    assert [track_id[0] for track_id in track_ids] == ["a", "b", "c"]
    assert subset == Subset("at most 1 tracks a genre, 3 of 6 tracks", ("a", "b", "c"), 3, 3, 6, 1)


def test_limit_that_leaves_nothing_out_makes_no_subset():
    track_ids, subset = select(listing(*ALL), max_per_genre=3)
    assert track_ids == list(ALL)
    assert subset.name == ""


def test_missing_files_make_a_subset_of_what_was_published():
    assert select(listing(*ALL[:-1]), CATALOGUE)[1].name == "2 of 3 genres, 5 of 6 tracks"
    assert select(listing(*ALL[1:]), CATALOGUE)[1].name == "5 of 6 tracks"
    assert select(listing(*ALL[1:], missing=("a1",)), CATALOGUE)[1].name == "5 of 6 tracks"


def test_missing_files_of_ones_own_music_are_faults():
    track_ids, subset = select(listing(*ALL[1:], missing=("a1",)))
    assert sorted(track_ids) == sorted(ALL)
    assert subset.name == ""


@pytest.mark.parametrize("catalogue", [{}, CATALOGUE])
def test_unknown_genre(catalogue):
    with pytest.raises(ConfigError, match=r"datasets\.mine\.genres: the dataset has no genre 'd'"):
        select(listing(*ALL), catalogue, genres=("a", "d"))


def test_genre_of_the_published_list_may_be_absent():
    assert select(listing("a1"), CATALOGUE, genres=("a", "c"))[0] == ["a1"]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.permutations([f"{genre}{number}" for genre in "ab" for number in range(8)]), st.integers(1, 8))
def test_max_per_genre_does_not_depend_on_the_order(track_ids, n):
    chosen = select(listing(*track_ids), max_per_genre=n)[0]
    assert set(chosen) == set(select(listing(*sorted(track_ids)), max_per_genre=n)[0])
    assert chosen == [track_id for track_id in track_ids if track_id in chosen]
    assert len(chosen) == 2 * n


def test_larger_limit_keeps_what_a_smaller_one_chose():
    found = listing(*(f"a{number}" for number in range(50)))
    chosen = [set(select(found, max_per_genre=n)[0]) for n in (5, 10, 20)]
    assert chosen[0] < chosen[1] < chosen[2]
    # Not simply the first ones.
    assert chosen[1] != {f"a{number}" for number in range(10)}
