from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.errors import FeatureError
from genre_pipeline.features import FeatureBlock, SegmentBlock
from genre_pipeline.features.segments import cut_blocks, frames_of_tracks, segment_tracks

COLUMNS = ["segment_id", "track_id", "segment_index", "start_frame", "n_frames", "start_s", "duration_s"]


def block_of(n_frames, hop_frames, *, sample_rate=8000, hop_length=128):
    segment = SegmentBlock(n_frames=n_frames, hop_frames=hop_frames)
    return FeatureBlock(kind="log_mel", sample_rate=sample_rate, hop_length=hop_length, segment=segment)


def tracks_of(lengths, *, sample_rate=8000):
    n_tracks = len(lengths)
    return pd.DataFrame(
        {
            "track_id": pd.Series([f"t{number}" for number in range(n_tracks)], dtype="string"),
            "genre": pd.Series(["rock"] * n_tracks, dtype="string"),
            "n_samples": np.array(lengths, dtype=np.int64),
            "sample_rate": np.full(n_tracks, sample_rate, dtype=np.int64),
            "quarantined": np.zeros(n_tracks, dtype=bool),
        }
    )


def test_segments_of_one_track_by_hand(make_tracks):
    # 1 + 8000 // 128 = 63 frames: segments of 20 begin at 0, 15 and 30; one at 45 would need 65.
    result = segment_tracks(make_tracks([{"track_id": "a", "n_samples": 8000}]), block_of(20, 15))
    assert list(result.table.columns) == COLUMNS
    assert result.table["segment_id"].tolist() == ["a#000", "a#001", "a#002"]
    assert result.table["start_frame"].tolist() == [0, 15, 30]
    assert result.table["start_s"].tolist() == pytest.approx([0.0, 0.24, 0.48])
    assert result.table["duration_s"].tolist() == pytest.approx([0.32] * 3)
    assert result.report == {"n_tracks": 1, "n_segments": 3, "too_short": [], "segment_duration_s": 0.32}
    assert json.loads(json.dumps(result.report)) == result.report


def test_types_of_the_columns(make_tracks):
    types = segment_tracks(make_tracks([{"track_id": "a"}]), block_of(20, 20)).table.dtypes.astype(str).tolist()
    assert types == ["string", "string", "int64", "int64", "int64", "float64", "float64"]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 4000), min_size=1, max_size=5),
    n_frames=st.integers(1, 12),
    overlap=st.integers(0, 11),
    own_rate=st.sampled_from([8000, 11025, 16000]),
)
def test_segments_are_complete_evenly_spaced_and_cover_their_track(lengths, n_frames, overlap, own_rate):
    block = block_of(n_frames, max(1, n_frames - overlap))
    tracks = tracks_of([12 * 128 * 2, *lengths], sample_rate=own_rate)
    result = segment_tracks(tracks, block)
    frames = dict(zip(tracks["track_id"], frames_of_tracks(tracks, block), strict=True))
    covered = {}
    for track_id, segments in result.table.groupby("track_id", sort=False):
        starts = segments["start_frame"].to_numpy()
        ends = starts + segments["n_frames"].to_numpy()
        assert (segments["n_frames"] == n_frames).all()
        assert starts[0] == 0
        assert (np.diff(starts) == block.segment.hop_frames).all()
        assert ends[-1] <= frames[track_id] < ends[-1] + block.segment.hop_frames
        assert segments["segment_index"].tolist() == list(range(len(segments)))
        covered[track_id] = True
    assert sorted([*covered, *result.report["too_short"]]) == tracks["track_id"].tolist()
    assert result.table["segment_id"].is_unique
    assert result.report["n_segments"] == len(result.table)
    assert result.report["n_tracks"] == len(covered)


@pytest.mark.parametrize(
    ("n_samples", "own_rate", "expected"),
    [(0, 8000, 0), (127, 8000, 1), (128, 8000, 2), (255, 16000, 2), (254, 16000, 1), (44100, 44100, 63), (5, 0, 313)],
)
def test_frames_follow_the_resampled_length(n_samples, own_rate, expected):
    tracks = tracks_of([n_samples], sample_rate=own_rate)
    assert frames_of_tracks(tracks, block_of(1, 1)).tolist() == [expected]


def test_quarantined_tracks_have_no_segments(make_tracks):
    tracks = make_tracks([{"track_id": "a"}, {"track_id": "b", "quarantined": True, "faults": "silent"}])
    result = segment_tracks(tracks, block_of(20, 20))
    assert set(result.table["track_id"]) == {"a"}
    assert result.report["too_short"] == []


def test_short_tracks_are_left_out_and_reported(make_tracks):
    tracks = make_tracks([{"track_id": "a"}, {"track_id": "b", "n_samples": 19 * 128 - 1}])
    result = segment_tracks(tracks, block_of(20, 20))
    assert set(result.table["track_id"]) == {"a"}
    assert result.report["too_short"] == ["b"]


def test_a_genre_without_segments_is_an_error(make_tracks):
    tracks = make_tracks(
        [
            {"track_id": "a"},
            {"track_id": "b", "genre": "jazz", "n_samples": 100},
            {"track_id": "c", "genre": "blues", "quarantined": True},
        ]
    )
    with pytest.raises(FeatureError, match=r"No track of blues, jazz has a segment.*segment\.n_frames=20 frames"):
        segment_tracks(tracks, block_of(20, 20))


@pytest.mark.parametrize("rows", [[], [{"track_id": "a", "n_samples": 100}], [{"track_id": "a", "quarantined": True}]])
def test_no_segment_at_all_is_an_error(make_tracks, rows):
    with pytest.raises(FeatureError, match=r"No track has a segment.*Lower segment\.n_frames of the 'log_mel' feature"):
        segment_tracks(make_tracks(rows), block_of(20, 20))


def test_segments_with_gaps_are_refused():
    with pytest.raises(ValueError, match=r"segment\.hop_frames=21 is greater than segment\.n_frames=20.*gaps"):
        block_of(20, 21)


@given(st.data())
def test_a_feature_in_blocks_is_cut_as_the_whole_is(data):
    block = block_of(n_frames := data.draw(st.integers(1, 6)), data.draw(st.integers(1, n_frames)))
    lengths = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=5))
    frames = np.arange(2 * sum(lengths), dtype=np.float32).reshape(2, -1)
    blocks = np.split(frames, np.cumsum(lengths)[:-1], axis=1)
    n_at_once = data.draw(st.integers(1, 4))
    found = list(cut_blocks(iter(blocks), block.segment, n_at_once=n_at_once))
    assert all(1 <= len(each) <= n_at_once for each in found)
    starts = range(0, frames.shape[1] - n_frames + 1, block.segment.hop_frames)
    expected = [frames[:, start : start + n_frames].tolist() for start in starts]
    assert [segment.tolist() for each in found for segment in each] == expected
