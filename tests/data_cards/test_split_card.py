from __future__ import annotations

import copy

import numpy as np
import pytest

from genre_pipeline.reporting.data_cards import render_html, render_markdown, split_card
from genre_pipeline.reporting.document import Folded, Table
from genre_pipeline.splits import PROTOCOLS, split_tracks
from hand_made_reports import Page, make_audit, make_tracks

LEAK = {
    "value": "B. B. <b>King</b>",
    "repeat": 1,
    "splits": ["train", "test"],
    "track_ids": ["blues.1", "blues.2"],
}


def leaking(**changes):
    """Return the audit of a split with two artists and an album on two sides in its second repeat."""
    audit = copy.deepcopy(make_audit())
    leaks = audit["leaks"]
    leaks["overall"] |= {"artist": 2, "album": 1}
    leaks["per_repeat"][1]["train_test"] |= {"artist": 2, "album": 1}
    leaks["examples"] |= {"artist": [LEAK]}
    return {**audit, "leaky": True, "promises": ["track"], **changes}


def card_of(audit):
    return split_card(audit, title="My Collection")


def table_of(card, key):
    blocks = [block for section in card.sections for block in section.blocks]
    grids = [block.blocks[0] if isinstance(block, Folded) else block for block in blocks]
    table = next((each for each in grids if isinstance(each, Table) and each.key == key), None)
    return None if table is None else [[entry.text for entry in row] for row in table.entries]


def text_of(audit):
    page = Page(render_html(card_of(audit)))
    assert page.errors == []
    return page.text


def test_promises_that_are_held():
    card = card_of(make_audit())
    assert card.notices == []
    assert [row[:4] for row in table_of(card, "verdicts")] == [
        ["track", "yes", "0", "held"],
        ["file", "yes", "0", "held"],
        ["audio", "yes", "0", "held"],
        ["recording", "yes", "0", "held"],
        ["artist", "yes", "0", "held"],
        ["album", "no", "0", "none found"],
    ]
    assert table_of(card, "pairs") is None
    assert table_of(card, "examples") is None


def test_leaks_are_marked_and_counted():
    card = card_of(leaking())
    assert [notice.badge for notice in card.notices] == ["LEAKY"]
    assert "On two sides: 2 artists." in card.notices[0].text
    verdicts = {row[0]: row[1:4] for row in table_of(card, "verdicts")}
    assert verdicts["artist"] == ["no", "2", "on two sides"]
    assert verdicts["album"] == ["no", "1", "on two sides: a hint"]
    assert verdicts["file"] == ["no", "0", "none found"]
    assert table_of(card, "pairs") == [
        ["train and validation", "0", "0", "0", "0", "0", "0"],
        ["train and test", "0", "0", "0", "0", "0 to 2", "0 to 1"],
        ["validation and test", "0", "0", "0", "0", "0", "0"],
    ]
    by_repeat = table_of(card, "pairs-by-repeat")
    assert len(by_repeat) == 6
    assert by_repeat[4] == ["1", "train and test", "0", "0", "0", "0", "2", "1"]
    assert table_of(card, "examples") == [["artist", LEAK["value"], "1", "blues.1 (train)", "blues.2 (test)"]]


def test_only_leaks_have_badges():
    verdicts = next(block for block in card_of(leaking()).sections[1].blocks if isinstance(block, Table))
    assert [row[0].text for row in verdicts.entries if any(entry.badge for entry in row)] == ["artist"]


def test_a_broken_promise_is_called_broken():
    verdicts = {row[0]: row[1:4] for row in table_of(card_of(leaking(promises=["artist"])), "verdicts")}
    assert verdicts["artist"] == ["yes", "2", "broken"]


@pytest.mark.parametrize(
    ("shared", "words"),
    [
        ({"audio": 1}, "1 identical recording."),
        ({"track": 1, "recording": 3}, "1 track, 3 near-identical recordings."),
    ],
)
def test_what_leaks_is_named_in_words(shared, words):
    audit = make_audit(leaky=True)
    audit["leaks"]["overall"] |= shared
    assert card_of(audit).notices[0].text.endswith(f"On two sides: {words}")


def test_what_leaks_by_design_is_marked_without_a_leak_in_the_data():
    assert "nothing was found on two sides here" in card_of(make_audit(leaky=True)).notices[0].text


def test_a_part_is_named():
    (notice,) = card_of(make_audit(subset="2 of 3 genres, 40 of 90 tracks")).notices
    assert (notice.badge, notice.text) == ("PART", "Only a part of the dataset: 2 of 3 genres, 40 of 90 tracks.")


def test_counts_are_ranges_over_repeats_and_each_repeat():
    card = card_of(make_audit())
    assert table_of(card, "sides") == [
        ["train", "12 to 14", "13", "25 to 27"],
        ["validation", "2 to 4", "3", "5 to 7"],
        ["test", "4", "4", "8"],
    ]
    assert table_of(card, "sides-by-repeat")[3] == ["1", "train", "14", "13", "27"]
    assert "train 1.0, validation 7.1, test 0.0 percentage points" in text_of(make_audit())


def test_one_division_is_told_once():
    audit = make_audit(design="seeds")
    card = card_of(audit)
    assert table_of(card, "sides")[0] == ["train", "12", "13", "25"]
    assert table_of(card, "sides-by-repeat") is None
    assert "The 2 repeats train on the same tracks" in text_of(audit)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"design": "kfold"}, "No track is tested twice."),
        ({"design": "resampled"}, "the tracks are drawn anew"),
        ({"unit": "piece", "n_units": 400}, "the pieces of one track may stand on different sides"),
        ({"unit": "piece", "n_units": 4000}, "Pieces 4,000"),
        ({"unknown_artist_tracks": 10}, "The artist of 10 of 40 tracks is not known (25.0 %)"),
        ({"unknown_artist_tracks": 0}, "The artist of every track is known."),
        ({"left_out": {"quarantined": 3, "not_listed": 5}}, "Quarantined by ingest 3 Usable, but on no list 5"),
        (
            {"parameters": {"kind": "x", "repeats": None, "promises": ["file", "audio"]}},
            "repeats none promises file, audio",
        ),
    ],
)
def test_the_split_is_described(changes, words):
    assert words in text_of(make_audit(**changes))


def test_what_a_list_names_and_is_not_there_is_listed():
    text = text_of(
        make_audit(
            listed_not_present={"n_tracks": 30, "track_ids": ["rock.1", "rock.2"]},
            listed_quarantined={"n_tracks": 1, "track_ids": ["rock.3"]},
        )
    )
    assert "Listed, but not there (30) rock.1 rock.2 … and 28 more: see the protocol's list" in text
    assert "Listed, but quarantined (1) rock.3" in text


def test_names_from_data_do_no_harm():
    audit = leaking(subset="<script>alert(1)</script>")
    assert "<b>King" not in render_html(card_of(audit))
    assert "<script>alert" not in render_html(card_of(audit))
    assert "<b>King" not in render_markdown(card_of(audit))
    assert LEAK["value"] in text_of(audit)


def test_the_same_audit_is_the_same_bytes():
    assert render_html(card_of(leaking())) == render_html(card_of(leaking()))
    assert render_markdown(card_of(leaking())) == render_markdown(card_of(leaking()))


@pytest.mark.parametrize("kind", ["artist_kfold", "track_kfold", "random_track", "random_segment", "official"])
def test_real_splits_have_cards(kind):
    """Two genres of twelve tracks, of which two each are of one artist."""
    tracks = make_tracks(
        [
            {"track_id": f"{genre}.{number:02d}", "artist": f"{genre} {number // 2}"}
            for genre in ("blues", "jazz")
            for number in range(12)
        ]
    )
    spec = PROTOCOLS[kind]
    parameters = {"n_folds": 3} if kind.endswith("kfold") else {"list": "published"} if kind == "official" else {}
    sides = dict(zip(tracks["track_id"], np.tile(["train", "validation", "test"], 8).tolist(), strict=True))
    block = spec.block(kind=kind, **parameters)
    report = split_tracks(tracks, spec, block, dataset="mine", official={"published": sides}).report
    card = card_of(report)
    assert Page(render_html(card)).errors == []
    assert bool(card.notices) == report["leaky"]
    assert [row[1] for row in table_of(card, "verdicts")] == [
        "yes" if leak in report["promises"] else "no" for leak in report["leaks"]["overall"]
    ]


def test_what_came_went_and_moved_since_the_split_before():
    named = {"n_tracks": 1, "track_ids": ["jazz.9"]}
    growth = {
        "previous_split_hash": "fedcba9876543210",
        "resplit": False,
        "n_kept": 38,
        "added": {"n_tracks": 30, "track_ids": [f"blues.{number:02d}" for number in range(20)]},
        "removed": {"n_tracks": 0, "track_ids": []},
        "renamed": {"n_tracks": 0, "track_ids": []},
        "moved": named,
        "relabelled": named,
        "moves": [{"track_id": "jazz.9", "repeat": 0, "from": "fold 1", "to": "fold 2", "with": "jazz.3"}],
    }
    audit = make_audit(growth=growth)
    text = text_of(audit)
    assert "fedcba9876543210" in text
    assert "Tracks that were there before keep their sides" in text
    assert "Added (30)" in text
    assert "and 10 more: see the two versions of split.parquet" in text
    assert "Removed (" not in text
    assert table_of(card_of(audit), "moves") == [["jazz.9", "0", "fold 1", "fold 2", "jazz.3"]]


def test_a_new_split_on_request_says_what_that_means_for_older_numbers():
    nothing = {"n_tracks": 0, "track_ids": []}
    growth = dict.fromkeys(("added", "removed", "renamed", "moved", "relabelled"), nothing)
    growth |= {"previous_split_hash": "fedcba9876543210", "resplit": True, "n_kept": 40, "moves": []}
    assert "Every track was dealt anew" in text_of(make_audit(growth=growth))


def test_the_first_split_did_not_grow_from_another():
    assert "This is the first split of the dataset" in text_of(make_audit())


@pytest.mark.parametrize(
    ("n_unknown", "mark", "words"),
    [
        (40, "artists unknown: 100 %", "cannot be checked"),
        (10, "artists unknown: 25.0 %", "cannot be checked for 10 of 40 tracks"),
    ],
)
def test_a_promise_on_unknown_artists_is_not_called_held(n_unknown, mark, words):
    card = card_of(make_audit(unknown_artist_tracks=n_unknown))
    assert [notice.badge for notice in card.notices] == [mark]
    verdicts = {row[0]: row[1:4] for row in table_of(card, "verdicts")}
    assert verdicts["artist"] == ["yes", "0", words]
    assert verdicts["recording"] == ["yes", "0", "held"]
    assert "each such track counts as an artist of its own" in text_of(make_audit(unknown_artist_tracks=n_unknown))
    unpromised = card_of(make_audit(unknown_artist_tracks=n_unknown, promises=["track"], leaky=True))
    assert [notice.badge for notice in unpromised.notices] == ["LEAKY"]
    assert {row[0]: row[1:4] for row in table_of(unpromised, "verdicts")}["artist"] == ["no", "0", words]
