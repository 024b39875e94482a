"""The fault-filtered lists of GTZAN hold what their preset promises, with the artists of Sturm's index."""

from pathlib import Path

import pandas as pd
import pytest

from genre_pipeline.configuration import load_configuration
from genre_pipeline.datasets import DATASETS, DatasetBlock
from genre_pipeline.datasets.gtzan import artists
from genre_pipeline.errors import SplitError
from genre_pipeline.experiment import parse_protocol
from genre_pipeline.splits import PROTOCOLS, split_tracks


@pytest.fixture(scope="module")
def lists():
    return DATASETS["gtzan"].official_splits(DatasetBlock(kind="gtzan", path=Path("/nowhere")))


@pytest.fixture(scope="module")
def gtzan(make_tracks):
    """The 1000 tracks, with the artists that are known."""
    known = artists()
    table = make_tracks([(track_id.split(".")[0], known[track_id][0]) for track_id in sorted(known)])
    return table.assign(track_id=pd.Series(sorted(known), dtype="string"), recording=sorted(known))


@pytest.fixture(scope="module")
def preset():
    loader = load_configuration()
    return parse_protocol("fault_filtered", loader["parameters"]["protocols"]["fault_filtered"])


def split(tracks, block, lists):
    return split_tracks(tracks, PROTOCOLS["official"], block, dataset="gtzan", official=lists).report


def test_no_known_artist_stands_on_two_sides(gtzan, preset, lists):
    report = split(gtzan, preset, lists)
    assert report["promises"] == ["artist", "audio", "file", "track"]
    assert set(report["leaks"]["overall"].values()) == {0}
    assert not report["leaky"]
    assert {side: sum(genres.values()) for side, genres in report["counts"][0].items()} == {
        "train": 443,
        "validation": 197,
        "test": 290,
    }
    assert report["unknown_artist_tracks"] == 81
    assert report["left_out"] == {"quarantined": 0, "not_listed": 70}


@pytest.mark.parametrize(
    ("column", "promise"), [("artist", "artist"), ("audio_hash", "audio"), ("content_hash", "file")]
)
def test_a_list_that_breaks_the_promise_is_an_error(gtzan, preset, lists, column, promise):
    parts = lists["fault_filtered"]
    one = next(track for track, side in parts.items() if side == "train")
    other = next(track for track, side in parts.items() if side == "test")
    same = gtzan.set_index("track_id")
    same.loc[[one, other], column] = "the same"
    with pytest.raises(SplitError, match=rf"promises that no {promise} is on two sides .*'{one}' is in train"):
        split(same.reset_index(), preset, lists)


def test_listed_tracks_that_ingest_leaves_out_are_named(gtzan, preset, lists):
    report = split(gtzan.assign(quarantined=gtzan["track_id"].isin(["rock.00016", "metal.00058"])), preset, lists)
    assert report["listed_quarantined"] == {"n_tracks": 1, "track_ids": ["rock.00016"]}
