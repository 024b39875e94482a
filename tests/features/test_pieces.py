"""Segments that are not slices: pieces transformed on their own, and clips continued by silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.errors import FeatureError
from genre_pipeline.features import FEATURES, FeatureBlock, SegmentBlock
from genre_pipeline.features.segments import frames_of_tracks, segment_tracks

log_mel = FEATURES["log_mel"].extract


def own(n_frames, own_s):
    return {"n_frames": n_frames, "hop_frames": n_frames, "own_s": own_s}


def whole(n_frames, pad_frames):
    return {"n_frames": n_frames, "hop_frames": n_frames, "pad_frames": pad_frames}


def test_each_piece_is_transformed_as_if_it_were_a_clip(signals, make_log_mel):
    block = make_log_mel(segment=own(33, 0.75), ref="max")
    frames = log_mel(signals["chirp"], block)
    # 2 s hold two pieces of 0.75 s; what is left is dropped.
    assert frames.shape == (128, 66)
    for index in range(2):
        piece = signals["chirp"][index * 16_538 : (index + 1) * 16_538]
        np.testing.assert_array_equal(frames[:, 33 * index : 33 * index + 33], log_mel(piece, make_log_mel(ref="max")))
        assert frames[:, 33 * index : 33 * index + 33].max() == pytest.approx(0.0, abs=1e-5)


def test_pieces_differ_from_slices_at_their_ends_only_when_levels_are_absolute(signals, make_log_mel):
    # Pieces of 16 hops: their frames are centred where the clip's are.
    own_s = 16 * 512 / 22050
    pieces = log_mel(signals["noise"], make_log_mel(segment=own(17, own_s), top_db=None))
    clip = log_mel(signals["noise"], make_log_mel(top_db=None))
    for index in range(pieces.shape[1] // 17):
        difference_db = np.abs(pieces[:, 17 * index : 17 * index + 17] - clip[:, 16 * index : 16 * index + 17])
        # A frame of 2048 reaches two hops to each side.
        assert difference_db[:, 2:-2].max() < 1e-3
        assert difference_db[:, [0, -1]].mean() > 1.0 or index == 0


@pytest.mark.parametrize(
    ("n_samples", "n_frames"), [(660_000, 646), (661_794, 647), (655_000, 646), (653_000, 638), (660_480, 646)]
)
def test_clips_that_lack_few_frames_are_continued(make_log_mel, n_samples, n_frames):
    block = make_log_mel(hop_length=1024, segment=whole(646, 6))
    assert block.n_frames(n_samples) == n_frames


def test_what_is_added_is_silence(signals, make_log_mel):
    waveform = signals["noise"]
    block = make_log_mel(segment=whole(90, 4), top_db=None)
    continued = log_mel(waveform, block)
    assert continued.shape == (128, 90)
    silence = np.zeros(89 * 512 - len(waveform), np.float32)
    expected = log_mel(np.concatenate([waveform, silence]), make_log_mel(top_db=None))
    np.testing.assert_allclose(continued, expected, rtol=0, atol=1e-3)
    assert (continued[:, -1] == -100.0).all()


def test_clips_that_lack_more_stay_as_they_are(signals, make_log_mel):
    block = make_log_mel(segment=whole(90, 2))
    np.testing.assert_array_equal(log_mel(signals["noise"], block), log_mel(signals["noise"], make_log_mel()))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    n_samples=st.integers(2048, 50_000),
    segment=st.one_of(
        st.builds(whole, st.integers(1, 90), st.integers(1, 8)), st.sampled_from([own(33, 0.75), own(44, 1.0)])
    ),
)
def test_the_number_of_frames_is_known_beforehand(n_samples, segment):
    values = {"kind": "log_mel", "sample_rate": 22050, "hop_length": 512, "n_fft": 2048, "n_mels": 8}
    block = FEATURES["log_mel"].block.model_validate({**values, "segment": segment})
    expected = block.n_frames(n_samples)
    if expected:
        assert log_mel(np.zeros(n_samples, np.float32), block).shape[1] == expected


def test_segments_of_pieces_begin_where_the_pieces_do(make_tracks):
    block = FeatureBlock(kind="log_mel", sample_rate=8000, hop_length=128, segment=SegmentBlock(**own(19, 0.3)))
    tracks = make_tracks([{"track_id": "a", "n_samples": 8000}, {"track_id": "b", "n_samples": 2399}])
    assert frames_of_tracks(tracks, block).tolist() == [57, 0]
    result = segment_tracks(tracks, block)
    assert result.table["start_frame"].tolist() == [0, 19, 38]
    assert result.table["start_s"].tolist() == pytest.approx([0.0, 0.3, 0.6])
    assert result.table["duration_s"].tolist() == pytest.approx([0.3] * 3)
    assert result.report["too_short"] == ["b"]


def test_a_genre_without_a_whole_piece_is_an_error(make_tracks):
    block = FeatureBlock(kind="log_mel", sample_rate=8000, hop_length=128, segment=SegmentBlock(**own(19, 0.3)))
    with pytest.raises(
        FeatureError, match=r"at least segment\.own_s=0\.3 s that.*Lower segment\.own_s of the 'log_mel'"
    ):
        segment_tracks(make_tracks([{"track_id": "a", "n_samples": 2399}]), block)


def test_pieces_that_cannot_give_the_feature_are_refused(signals, make_mfcc):
    # Five frames are too few for slopes.
    block = make_mfcc(segment=own(5, 0.1), delta_order=1)
    with pytest.raises(FeatureError, match="too short for delta_order=1: expected at least 9 frames, got 5"):
        FEATURES["mfcc"].extract(signals["noise"], block)


def test_a_frame_that_is_the_clip_lasts_as_long_as_the_clip(make_tracks):
    block = FEATURES["statistics"].block(
        kind="statistics", sample_rate=8000, hop_length=128, n_fft=256, segment=SegmentBlock(n_frames=1, hop_frames=1)
    )
    tracks = make_tracks([{"track_id": "a", "n_samples": 8000}, {"track_id": "b", "n_samples": 4000}])
    result = segment_tracks(tracks, block)
    assert result.table["n_frames"].tolist() == [1, 1]
    assert result.table["duration_s"].tolist() == [1.0, 0.5]
    assert result.report["segment_duration_s"] == 0.75


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (own(34, 0.75), r"segment\.n_frames=34 is not what a piece of segment\.own_s=0\.75 s gives: 33"),
        ({**own(33, 0.75), "hop_frames": 10}, r"segment\.hop_frames=10 must equal segment\.n_frames=33"),
        ({**own(33, 0.75), "pad_frames": 1}, "own_s and segment.pad_frames exclude each other"),
        ({**own(33, 0.0)}, "greater than 0"),
    ],
)
def test_contradictions_are_refused(make_log_mel, segment, message):
    with pytest.raises(ValueError, match=message):
        make_log_mel(segment=segment)
