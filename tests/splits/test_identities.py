"""What links tracks, directly and through others."""

from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.splits.identities import MUSIC, identities, linked_groups

FEW = settings(derandomize=True, deadline=None, max_examples=50)


def test_a_track_of_unknown_artist_is_a_group_of_its_own(make_tracks):
    assert linked_groups(make_tracks([("blues", "X"), ("blues", ""), ("jazz", " x"), ("jazz", "")])).tolist() == [
        *(0, 1, 0, 2)
    ]


def test_artists_who_look_alike_are_one(make_tracks):
    spellings = [
        *("Beyonc\N{LATIN SMALL LETTER E WITH ACUTE}", "Beyonce\N{COMBINING ACUTE ACCENT}", "BEYONCE"),
        *(
            "The Beatles",
            "Beatles, The",
            "AC/DC",
            "ACDC",
            "Guns N' Roses",
            "Guns N\N{RIGHT SINGLE QUOTATION MARK} Roses",
        ),
    ]
    assert linked_groups(make_tracks([("rock", artist) for artist in spellings])).tolist() == [
        0,
        0,
        0,
        1,
        1,
        2,
        2,
        3,
        3,
    ]


def test_numbers_and_signs_keep_artists_apart(make_tracks):
    artists = ["Foo [12]", "Foo 1 [2]", "Foo [1]", "!!!", "???", "\u6d41\u884c", "\u6447\u6eda"]
    assert linked_groups(make_tracks([("rock", artist) for artist in artists])).tolist() == list(range(7))


def test_links_go_through_other_tracks(make_tracks):
    tracks = make_tracks(
        [("blues", "a"), ("blues", "b"), ("blues", ""), ("jazz", "c"), ("jazz", "d")],
        content_hash=["0", "1", "2", "3", "3"],
        recording=["t0000", "t0001", "t0001", "t0003", "t0004"],
        audio_hash=["0", "1", "0", "", ""],
    )
    assert linked_groups(tracks).tolist() == [0, 0, 0, 1, 1]
    assert linked_groups(tracks, ("artist", "recording")).tolist() == [0, 1, 1, 2, 3]


def test_the_unknown_links_nothing(make_tracks):
    tracks = make_tracks([("blues", "")] * 3, content_hash="", audio_hash="", recording="")
    assert linked_groups(tracks).tolist() == [0, 1, 2]


def test_an_album_is_known_with_its_artist_only(make_tracks):
    tracks = make_tracks([("blues", "A"), ("blues", "")], album=["The  Hits", "The Hits"])
    assert identities(tracks)["album"].tolist() == ["a: the hits", ""]


@FEW
@given(st.lists(st.tuples(*[st.integers(0, 5)] * 4), min_size=1, max_size=30))
def test_two_tracks_are_in_one_group_only_if_a_chain_links_them(make_tracks, values):
    columns = [[str(value) if value else "" for value in column] for column in zip(*values, strict=True)]
    tracks = make_tracks([("blues", artist) for artist in columns[3]])
    tracks = tracks.assign(**dict(zip(("content_hash", "audio_hash", "recording"), columns[:3], strict=True)))
    groups = linked_groups(tracks.astype({"content_hash": "string", "audio_hash": "string", "recording": "string"}))
    reached = list(range(len(values)))
    for _ in values:
        for one, other in [(i, j) for i in range(len(values)) for j in range(i)]:
            if any(columns[kind][one] == columns[kind][other] != "" for kind in range(len(MUSIC))):
                reached[one] = reached[other] = min(reached[one], reached[other])
    assert groups.tolist() == [sorted(set(reached)).index(first) for first in reached]
