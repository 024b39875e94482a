"""What models said of each test track, and the training tracks that are closest to it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from genre_pipeline.evaluation.track_answers import FramesDescription, answer_tracks, describe_frames, find_closest

GENRES = ("jazz", "rock")


def rows(repeat, track_id, genre, *jazz, split="test"):
    """Predictions of a track's segments, given their probabilities of jazz."""
    return [
        {"repeat": repeat, "split": split, "track_id": track_id, "segment_id": f"{track_id}#{i}", "genre": genre}
        | {"p_jazz": share, "p_rock": 1 - share}
        for i, share in enumerate(jazz)
    ]


@pytest.fixture
def asked():
    tracks = pd.DataFrame(
        {
            "track_id": ["a", "b"],
            "path": ["jazz/a.wav", "rock/b.wav"],
            "artist": ["Ann", None],
            "title": ["Song", ""],
            "start_sample": [0, 8000],
            "n_samples": [32000, 32000],
            "sample_rate": [8000, 8000],
        }
    )
    segments = pd.DataFrame(
        {"segment_id": [f"{t}#{i}" for t in "ab" for i in (0, 1)], "start_s": [0.0, 2.0] * 2, "duration_s": 2.0}
    )
    return {"genres": GENRES, "segments": segments, "tracks": tracks, "root": Path("music")}


def test_an_answer_is_the_mean_over_the_repeats_that_tested_the_track(asked):
    predictions = pd.DataFrame(
        [
            *rows(0, "a", "jazz", 0.2, 0.4),
            *rows(1, "a", "jazz", 0.6, 0.6),
            *rows(1, "b", "rock", 1.0, 0.0, split="validation"),
        ]
    )
    (answer,) = answer_tracks(predictions, **asked)
    assert answer == {
        "track_id": "a",
        "genre": "jazz",
        "answer": "rock",
        "title": "Ann · Song",
        "path": str(Path("music/jazz/a.wav")),
        "start_s": 0.0,
        "duration_s": 4.0,
        "n_repeats": 2,
        "n_right": 1,
        "probabilities": [0.45, 0.55],
        "times_s": [1.0, 3.0],
        "answer_over_time": [0.6, 0.5],
        "genre_over_time": [0.4, 0.5],
        "closest": [],
    }


def test_what_is_not_known_of_a_track_is_left_out_and_a_clip_keeps_its_place_in_the_file(asked):
    (answer,) = answer_tracks(pd.DataFrame(rows(0, "b", "rock", 0.0, 0.2)), **asked)
    assert (answer["title"], answer["start_s"], answer["duration_s"]) == ("", 1.0, 4.0)


def test_without_a_tested_track_there_is_no_answer(asked):
    assert answer_tracks(pd.DataFrame(rows(0, "a", "jazz", 0.5, 0.5, split="validation")), **asked) == []


def sides(repeat, **split):
    return [
        {"repeat": repeat, "track_id": track_id, "genre": "jazz", "split": side} for track_id, side in split.items()
    ]


def store_of(**levels):
    """A store of features of one bin."""
    frames = {track_id: np.asarray([values], dtype=np.float32) for track_id, values in levels.items()}
    return SimpleNamespace(index=pd.DataFrame({"track_id": list(frames)}), read=frames.__getitem__)


def closest(split, store, *asked):
    answers = [{"track_id": track_id, "closest": []} for track_id in asked]
    return [
        [name for name, _ in each["closest"]] for each in find_closest(answers, split=pd.DataFrame(split), store=store)
    ]


def test_the_closest_training_tracks_are_those_of_the_first_repeat_that_tests_the_track():
    store = store_of(a=[0, 0], b=[1, 1], c=[2, 2], d=[5, 5], e=[9, 9], f=[0, 0])
    split = [
        *sides(0, a="validation", b="train", c="train", d="train", e="train", f="test"),
        *sides(1, a="test", b="validation", c="train", d="train", e="train", f="train"),
        *sides(2, a="test", b="train", c="train", d="train", e="train", f="validation"),
    ]
    assert closest(split, store, "a", "f") == [["f", "c", "d"], ["b", "c", "d"]]


def test_fewer_training_tracks_and_tracks_without_a_feature_are_no_error():
    split = sides(0, a="test", b="train", c="test", gone="train")
    assert closest(split, store_of(a=[0, 1], b=[4, 4]), "a", "c") == [["b"], []]
    assert closest(sides(0, a="test"), store_of(a=[0, 1]), "a") == [[]]


def test_a_leaky_split_gives_the_track_itself_away():
    split = [*sides(0, a="train", b="train"), *sides(0, a="test")]
    assert closest(split, store_of(a=[0, 1], b=[4, 4]), "a") == [["a", "b"]]


@pytest.mark.parametrize("cuts", [[], [1], [3, 4, 9]])
@pytest.mark.parametrize("mean", [0.0, 1e7])
def test_a_feature_in_blocks_is_described_as_the_whole_is(cuts, mean):
    frames = mean + np.random.default_rng(0).normal(size=(4, 12))
    description = FramesDescription()
    for block in np.split(frames, cuts, axis=1):
        description.add(block)
    np.testing.assert_allclose(description.vector, describe_frames(frames), rtol=1e-7)
