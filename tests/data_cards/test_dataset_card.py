from __future__ import annotations

from typing import get_args

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre_pipeline.datasets.base import Fault
from genre_pipeline.datasets.reading.files import LeftOut, count_left_out
from genre_pipeline.reporting.data_cards import dataset_card, render_html, render_markdown
from genre_pipeline.reporting.data_cards.durations import duration_classes
from genre_pipeline.reporting.data_cards.faults import MEANINGS
from genre_pipeline.reporting.document import Bars, Facts, Folded, Table
from hand_made_reports import Page, make_quality, make_tracks


def fault(track_id, kind, detail="it is so", *, quarantined=True):
    return {
        "track_id": track_id,
        "path": f"{track_id}.wav",
        "fault": kind,
        "detail": detail,
        "quarantined": quarantined,
    }


@pytest.fixture
def quality(tracks):
    return make_quality(
        tracks,
        expected={"blues": 5, "jazz": 2, "rock": 2},
        missing=[
            {"track_id": "blues.5", "genre": "blues"},
            {"track_id": "rock.1", "genre": "rock"},
            {"track_id": "rock.2", "genre": "rock"},
        ],
        extra=["blues/notes.txt"],
        checksums={"official": 3, "re_encoded": 2, "unknown": 1},
        official_duplicates=[["blues.1", "blues.5"]],
        near_duplicates=[
            {"track_ids": ["blues.1", "jazz.1"], "genres": ["blues", "jazz"], "similarity": 0.934, "offset_s": -1.25},
            {"track_ids": ["blues.2", "blues.3"], "genres": ["blues", "blues"], "similarity": 0.99, "offset_s": 0.0},
        ],
        faults=[
            fault("blues.4", "silent"),
            fault("jazz.1", "duplicate_audio", "same audio as blues.1"),
            fault("jazz.2", "clipped", quarantined=False),
        ],
        subset={"name": "2 of 3 genres, 6 of 9 tracks"},
        caveats=["Artists repeat (Somebody 2013)."],
    )


def section(card, key):
    return next(each for each in card.sections if each.key == key)


def rows_of(card, key):
    """Return a table's texts, without the header, wherever on the card it is."""
    blocks = [block for each in card.sections for block in each.blocks]
    grids = [block.blocks[0] if isinstance(block, Folded) else block for block in blocks]
    table = next(each for each in grids if isinstance(each, Table) and each.key == key)
    return [[entry.text for entry in row] for row in table.entries]


def facts_of(card, key):
    return next(block for block in section(card, key).blocks if isinstance(block, Facts)).values


def words_of(card, key):
    return Page(render_html(type(card)(card.title, card.name, "", [], [section(card, key)]))).text


def test_genres_are_counted(tracks, quality):
    assert rows_of(dataset_card(quality, tracks, []), "genres-table") == [
        # Expected, found, missing, quarantined, usable, artists, of unknown artist, the largest artist's share.
        ["blues", "5", "4", "1", "1", "3", "2", "0", "66.7"],
        ["jazz", "2", "2", "0", "0", "2", "1", "1", "50.0"],
        ["rock", "2", "0", "2", "0", "0", "0", "0", "\N{EN DASH}"],
    ]


def test_without_a_published_list_nothing_is_expected(tracks):
    card = dataset_card(make_quality(tracks), tracks, [])
    assert rows_of(card, "genres-table")[0] == ["blues", "4", "1", "3", "2", "0", "66.7"]
    assert "There is no published list" in words_of(card, "genres")
    assert "what is missing cannot be said" in words_of(card, "missing")
    assert "There are no published checksums" in words_of(card, "checksums")


def test_a_part_and_what_is_missing_are_said_first(tracks, quality):
    notices = dataset_card(quality, tracks, []).notices
    assert [notice.badge for notice in notices] == ["PART", "INCOMPLETE"]
    assert "2 of 3 genres, 6 of 9 tracks" in notices[0].text
    assert "not a number on My Collection" in notices[0].text
    assert notices[1].text.startswith("3 clips")
    assert dataset_card(make_quality(tracks), tracks, []).notices == []


def test_audio_is_that_of_the_usable_clips(tracks, quality):
    card = dataset_card(quality, tracks, [])
    assert rows_of(card, "formats") == [["WAV", "22,050", "1 (mono)", "4"], ["MP3", "44,100", "2 (stereo)", "1"]]
    assert facts_of(card, "audio") == {
        "Shortest": "29.94 s",
        "Median": "30.00 s",
        "Longest": "30.00 s",
        "Together": "2.5 min",
    }
    bars = next(block for block in section(card, "audio").blocks if isinstance(block, Bars))
    assert bars.counts == {"29.9 to 30 s": 1, "30 to 30.1 s": 4}


def test_artists_are_counted_in_one_spelling(tracks, quality):
    card = dataset_card(quality, tracks, [])
    assert rows_of(card, "artists-table") == [
        ["B. B.", "2", "40.0", "blues"],
        ["Nina", "1", "20.0", "jazz"],
        ["Odetta", "1", "20.0", "blues"],
    ]
    assert facts_of(card, "artists") == {
        "Artists": "3",
        "Artists of a single track": "2",
        "Tracks of unknown artist": "1 (20.0\N{NO-BREAK SPACE}%)",
        "Largest artist": "40.0\N{NO-BREAK SPACE}% of the usable tracks",
    }


def test_a_dataset_without_artists_is_warned_of(tracks):
    nameless = tracks.assign(artist=pd.array([""] * len(tracks), dtype="string"))
    assert "No artist is known" in words_of(dataset_card(make_quality(nameless), nameless, []), "artists")


def test_only_the_largest_artists_are_named():
    tracks = make_tracks(
        [{"track_id": f"blues.{number:02d}", "artist": f"Artist {number:02d}"} for number in range(15)]
    )
    rows = rows_of(dataset_card(make_quality(tracks), tracks, []), "artists-table")
    assert [row[0] for row in rows] == [f"Artist {number:02d}" for number in range(10)]


def test_every_kind_of_fault_is_explained_and_every_fault_is_named(tracks, quality):
    card = dataset_card(quality, tracks, [])
    rows = {row[0]: row[1:3] for row in rows_of(card, "faults-table")}
    assert set(rows) == set(get_args(Fault))
    assert rows["silent"] == ["1", "quarantined"]
    assert rows["clipped"] == ["1", "reported only"]
    assert rows["truncated"] == ["0", "\N{EN DASH}"]
    assert rows_of(card, "fault-silent") == [["blues.4", "blues.4.wav", "it is so"]]
    assert rows_of(card, "fault-clipped") == [["jazz.2", "jazz.2.wav", "it is so"]]


def test_faults_are_explained_with_the_thresholds_that_find_them():
    assert set(MEANINGS) == set(get_args(Fault))
    assert "80 dB below full scale" in MEANINGS["silent"]
    assert "0.1\N{NO-BREAK SPACE}%" in MEANINGS["clipped"]
    assert "1\N{NO-BREAK SPACE}%" in MEANINGS["dc_offset"]
    assert "at least 0.8." in MEANINGS["near_duplicate"]


def test_missing_and_extra_files_are_named(tracks, quality):
    card = dataset_card(quality, tracks, [])
    folded = {
        each.summary: each.blocks[0].names for each in section(card, "missing").blocks if isinstance(each, Folded)
    }
    assert folded == {
        "blues (1)": ["blues.5"],
        "rock (2)": ["rock.1", "rock.2"],
        "Extra files (1)": ["blues/notes.txt"],
    }


def test_what_is_left_out_is_counted_and_what_to_check_is_said_first(tracks):
    left_out = [LeftOut("pop/a.m4a", "other_format", ".m4a"), LeftOut("jazz/a\n.jpg", "other", ".jpg")]
    quality = make_quality(tracks, left_out=count_left_out(left_out), remarks=["nothing of 'pop' is used."])
    card = dataset_card(quality, tracks, [])
    assert rows_of(card, "left-out-table") == [
        ["Audio in formats that are not read", "1", ".m4a: 1", "Convert it to FLAC with ffmpeg"],
        ["Other files", "1", ".jpg: 1", "\N{EN DASH}"],
    ]
    assert [(notice.badge, notice.text) for notice in card.notices] == [("CHECK", "Nothing of 'pop' is used.")]
    assert Page(render_html(card)).errors == []


def test_a_complete_collection_is_said_to_be_complete(tracks):
    card = dataset_card(make_quality(tracks, expected={"blues": 4, "jazz": 2}), tracks, [])
    assert "No clip of the published list is missing. No other files lie among the clips." in words_of(card, "missing")


def test_checksums_are_counted(tracks, quality):
    rows = rows_of(dataset_card(quality, tracks, []), "checksums-table")
    assert [row[:2] for row in rows] == [["official", "3"], ["re-encoded", "2"], ["unknown", "1"]]


def test_copies_are_listed(tracks, quality):
    card = dataset_card(quality, tracks, [])
    assert facts_of(card, "copies") == {
        "Exact copies": "1",
        "Pairs of near copies": "2",
        "Copies in the published collection": "1",
    }
    assert rows_of(card, "exact-copies") == [["jazz.1", "duplicate_audio", "same audio as blues.1"]]
    assert rows_of(card, "near-copies") == [
        ["blues.1", "jazz.1", "blues and jazz", "0.93", "-1.2"],
        ["blues.2", "blues.3", "blues", "0.99", "+0.0"],
    ]
    assert "blues.1 = blues.5" in words_of(card, "copies")


def test_a_collection_without_copies_has_no_lists_of_them(tracks):
    card = dataset_card(make_quality(tracks), tracks, [])
    assert facts_of(card, "copies") == {"Exact copies": "0", "Pairs of near copies": "0"}
    assert not [block for block in section(card, "copies").blocks if isinstance(block, Folded)]


def test_caveats_licence_and_citation_are_there(tracks, quality):
    text = render_markdown(dataset_card(quality, tracks, []))
    assert "- Artists repeat (Somebody 2013)." in text
    assert "- **Licence**: CC BY 4.0" in text
    assert "- **Citation**: A. Uthor, 'A collection', 2001." in text
    assert "before trusting" not in render_markdown(dataset_card(make_quality(tracks), tracks, []))


def test_hostile_names_do_no_harm(tracks):
    name = "<script>alert(1)</script>"
    hostile = tracks.assign(artist=pd.array([name] * len(tracks), dtype="string"))
    quality = make_quality(hostile, extra=[name], caveats=[name], faults=[fault(name, "clipped", name)])
    card = dataset_card(quality, hostile, [])
    page = Page(render_html(card))
    assert page.errors == []
    assert name not in render_html(card)
    assert page.text.count(name) >= 5
    assert name not in render_markdown(card)


def test_a_collection_of_which_nothing_is_usable_has_a_card(tracks):
    bad = tracks.assign(quarantined=True, faults="silent").astype({"faults": "string"})
    page = Page(render_html(dataset_card(make_quality(bad), bad, [])))
    assert page.errors == []
    assert "0 of them usable" in page.text


def test_a_large_collection_has_a_small_card():
    """A hundred thousand tracks, each with a fault, half of the list missing."""
    n = 100_000
    few = make_tracks([{"track_id": f"genre{number}.0"} for number in range(16)])
    tracks = few.loc[few.index.repeat(n // 16)].reset_index(drop=True)
    tracks["track_id"] = [f"{genre}.{number:06d}" for number, genre in enumerate(tracks["genre"])]
    tracks["artist"] = [f"Artist {number // 6}" for number in range(n)]
    quality = make_quality(
        tracks,
        expected=dict.fromkeys(set(tracks["genre"]), n // 8),
        missing=[
            {"track_id": f"{track}x", "genre": genre}
            for track, genre in zip(tracks["track_id"], tracks["genre"], strict=True)
        ],
        faults=[fault(track, kind) for track, kind in zip(tracks["track_id"], list(MEANINGS) * n, strict=False)],
        extra=[f"{track}.txt" for track in tracks["track_id"]],
    )
    assert len(render_html(dataset_card(quality, tracks, []))) < 4_000_000


@given(st.lists(st.floats(min_value=0.001, max_value=20_000.0), min_size=1, max_size=200))
def test_every_track_has_a_duration_class(durations):
    classes = duration_classes(pd.Series(durations))
    assert sum(classes.values()) == len(durations)
    assert 1 <= len(classes) <= 13


def test_duration_classes_are_round():
    assert duration_classes(pd.Series([], dtype="float64")) == {}
    assert duration_classes(pd.Series([125.0, 300.0, 480.0, 530.0])) == {
        "2 to 3 min": 1,
        "3 to 4 min": 0,
        "4 to 5 min": 0,
        "5 to 6 min": 1,
        "6 to 7 min": 0,
        "7 to 8 min": 0,
        "8 to 9 min": 2,
    }
    assert list(duration_classes(pd.Series([100.0, 125.0]))) == [
        "100 to 105 s",
        "105 to 110 s",
        "110 to 115 s",
        "115 to 120 s",
        "120 to 125 s",
        "125 to 130 s",
    ]


def test_a_few_very_long_tracks_do_not_squeeze_the_others():
    classes = duration_classes(pd.Series([30.0] * 500 + [30.6] * 499 + [4000.0]))
    assert classes["30 to 30.1 s"] == 500
    assert classes["31.2 s or longer"] == 1
