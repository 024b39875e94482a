"""Segments: an index of fixed-length pieces of tracks, in frames of a feature; no audio is copied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.errors import FeatureError
from genre_pipeline.features.base import FeatureBlock, Features, SegmentBlock


@dataclass(frozen=True)
class SegmentResult:
    """The segments of a dataset.

    Attributes:
        table: One row per segment: ``segment_id`` (``track#000``), ``track_id``, ``segment_index``, ``start_frame``,
            ``n_frames``, ``start_s``, ``duration_s``; in the order of the tracks, then of time.
        report: Plain JSON: ``n_tracks`` and ``n_segments`` in the table, ``too_short`` (tracks left out because no
            segment fits), ``segment_duration_s`` (the median).
    """

    table: pd.DataFrame
    report: dict[str, Any]


def frames_of_tracks(tracks: pd.DataFrame, block: FeatureBlock) -> pd.Series[int]:
    """Return how many frames each track will have, from its length as decoded.

    Args:
        tracks: Track table.
        block: The feature's parameters.

    Returns:
        Number of frames, index as ``tracks``: that of the block for ``ceil(n_samples * block.sample_rate /
        sample_rate)`` samples, or 0 if there are none.
    """
    n_samples = tracks["n_samples"].astype("int64")
    own_rate = tracks["sample_rate"].astype("int64").clip(lower=1)
    # Rounded up like the resampler, in integers, because a float's ceiling can be one too many.
    resampled = -(-n_samples * block.sample_rate // own_rate)
    return resampled.map(block.n_frames).astype("int64")


def tracks_with_segments(tracks: pd.DataFrame, block: FeatureBlock) -> pd.DataFrame:
    """Return the tracks that have at least one segment and are not quarantined.

    Args:
        tracks: Track table.
        block: The feature's parameters.

    Returns:
        The rows of those tracks.
    """
    usable = tracks.loc[~tracks["quarantined"].astype(bool)]
    return usable.loc[frames_of_tracks(usable, block) >= block.segment.n_frames]


def segment_tracks(tracks: pd.DataFrame, block: FeatureBlock) -> SegmentResult:
    """Cut the tracks that are not quarantined into complete segments at a constant hop.

    Args:
        tracks: Track table.
        block: The feature's parameters.

    Returns:
        The segments, and a report.

    Raises:
        FeatureError: If no segment is left, or a genre is left without any.
    """
    usable = tracks.loc[~tracks["quarantined"].astype(bool)]
    table = cut_frames(frames_of_tracks(usable, block).set_axis(usable["track_id"]), block)
    is_cut = usable["track_id"].isin(table["track_id"])
    _check_every_genre(tracks, usable.loc[is_cut], block)

    durations_s = (usable["n_samples"] / usable["sample_rate"].clip(lower=1)).set_axis(usable["track_id"])
    # A frame that covers the whole clip lasts as long as the clip.
    frame_s = table["track_id"].map(durations_s) if block.frame_s is None else block.frame_s
    table["start_s"] = table["start_frame"] * frame_s
    table["duration_s"] = table["n_frames"] * frame_s
    report = {
        "n_tracks": int(is_cut.sum()),
        "n_segments": len(table),
        "too_short": usable.loc[~is_cut, "track_id"].astype(str).tolist(),
        "segment_duration_s": float(table["duration_s"].median()),
    }
    return SegmentResult(table=table, report=report)


def cut_frames(n_frames_of: pd.Series[int], block: FeatureBlock) -> pd.DataFrame:
    """Cut tracks of known numbers of frames into complete segments at a constant hop.

    Args:
        n_frames_of: Number of frames by track id.
        block: The feature's parameters.

    Returns:
        One row per segment, in the order of the tracks, then of time: ``segment_id``, ``track_id``, ``segment_index``,
        ``start_frame``, ``n_frames``. A track shorter than one segment has none.
    """
    n_frames, hop_frames = block.segment.n_frames, block.segment.hop_frames
    frames = n_frames_of.to_numpy()
    counts = np.where(frames < n_frames, 0, 1 + (frames - n_frames) // hop_frames)
    track_ids = np.repeat(n_frames_of.index.to_numpy(dtype=object), counts)
    indices = np.concatenate([np.arange(count, dtype=np.int64) for count in (0, *counts)])
    ids = [f"{track_id}#{index:03d}" for track_id, index in zip(track_ids, indices, strict=True)]
    return pd.DataFrame(
        {
            "segment_id": pd.Series(ids, dtype="string"),
            "track_id": pd.Series(track_ids, dtype="string"),
            "segment_index": indices,
            "start_frame": indices * hop_frames,
            "n_frames": np.full(len(ids), n_frames, dtype=np.int64),
        }
    )


def cut_blocks(blocks: Iterable[Features], segment: SegmentBlock, *, n_at_once: int) -> Iterator[NDArray[np.float32]]:
    """Cut a feature that comes block by block into the segments that :func:`cut_frames` lists.

    Args:
        blocks: Frames, shape ``(n_bins, n)`` each, successive in time.
        segment: How the clip is cut.
        n_at_once: How many segments are in memory together.

    Yields:
        Segments, shape ``(n, n_bins, segment.n_frames)``, ``n`` at most ``n_at_once``; nothing if none fits.

    Example:
        >>> blocks = [np.zeros((1, 3), np.float32), np.ones((1, 2), np.float32)]
        >>> segments = cut_blocks(blocks, SegmentBlock(n_frames=2, hop_frames=1), n_at_once=3)
        >>> [each[:, 0].tolist() for each in segments]
        [[[0.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [1.0, 1.0]]]
    """
    n_frames, hop_frames = segment.n_frames, segment.hop_frames
    waiting: Features | None = None
    for block in blocks:
        waiting = block if waiting is None else np.concatenate([waiting, block], axis=1)
        n_segments = max(0, 1 + (waiting.shape[1] - n_frames) // hop_frames)
        for first in range(0, n_segments, n_at_once):
            starts = [index * hop_frames for index in range(first, min(first + n_at_once, n_segments))]
            yield np.stack([waiting[:, start : start + n_frames] for start in starts])
        waiting = waiting[:, n_segments * hop_frames :]


def _check_every_genre(tracks: pd.DataFrame, segmented: pd.DataFrame, block: FeatureBlock) -> None:
    lost = sorted(set(tracks["genre"].astype(str)) - set(segmented["genre"].astype(str)))
    if segmented.empty:
        what = "No track has"
    elif lost:
        what = f"No track of {', '.join(lost)} has"
    else:
        return
    segment = block.segment
    if segment.own_s is None:
        key = "segment.n_frames"
        n_needed = segment.n_frames - segment.pad_frames
        needed = f"{key}={n_needed} frames ({max(0, block.samples_of(n_needed)) / block.sample_rate:.2f} s)"
    else:
        key = "segment.own_s"
        needed = f"{key}={segment.own_s:g} s"
    # A single frame, such as the window of an encoder, cannot be shortened.
    lower = "" if segment.own_s is None and n_needed <= 1 else f"Lower {key} of the '{block.kind}' feature. "
    raise FeatureError(
        f"{what} a segment: expected tracks of at least {needed} that are not quarantined. "
        f"{lower}Use longer clips, or leave the genre out."
    )
