"""What genres look like: a log-mel spectrogram of one track of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genre_pipeline.reporting.clip_pictures import N_FFT, PICTURE_RATE, RANGE_DB, draw_clip
from genre_pipeline.reporting.document import Picture

# [?] Of longer tracks the middle is shown.
_LONGEST_S = 30.0
# What a spectrogram cannot be made of.
_UNSUITABLE = frozenset({"unreadable", "unusable_rate", "truncated", "empty", "silent", "non_finite"})

HOW_TO_READ = (
    "Each picture is one track: time from left to right, frequency from low (bottom) to "
    f"{PICTURE_RATE / 2000:.0f} kHz (top) on the mel scale, brighter where there is more energy, over "
    f"{RANGE_DB:.0f} dB. Shown is the track of the genre's median length (of several, the first by name), of longer "
    f"tracks the {_LONGEST_S:.0f} s in the middle."
)


def spectrogram_examples(tracks: pd.DataFrame, root: Path) -> list[Picture]:
    """Draw one track of each genre.

    Args:
        tracks: The track table.
        root: The folder that the tracks' paths are relative to.

    Returns:
        A picture for each genre that has a usable track which can be drawn, in alphabetical order.

    Raises:
        AudioError: If a track's file changed since it was ingested.
    """
    rate = tracks["sample_rate"].clip(lower=1)
    is_long = tracks["n_samples"] / rate * PICTURE_RATE >= N_FFT
    is_sound = np.array([_UNSUITABLE.isdisjoint(faults.split(";")) for faults in tracks["faults"]], dtype=np.bool_)
    candidates = tracks[~tracks["quarantined"] & is_long & is_sound].sort_values(["duration_s", "track_id"])
    return [_draw(_median(same), root) for _, same in candidates.groupby("genre", sort=True)]


def _median(tracks: pd.DataFrame) -> pd.Series[Any]:
    """Return the first track, by name, of the median length; the tracks are sorted by length and name."""
    median = tracks.iloc[(len(tracks) - 1) // 2]
    first: pd.Series[Any] = tracks[tracks["duration_s"] == median["duration_s"]].iloc[0]
    return first


def _draw(track: pd.Series[Any], root: Path) -> Picture:
    n_samples = min(int(track["n_samples"]), round(_LONGEST_S * int(track["sample_rate"])))
    picture = draw_clip(
        root / str(track["path"]),
        start_sample=int(track["start_sample"]) + (int(track["n_samples"]) - n_samples) // 2,
        n_samples=n_samples,
    )
    shown_s = n_samples / int(track["sample_rate"])
    part = f"{shown_s:.1f} s" if n_samples == track["n_samples"] else f"the middle {shown_s:.0f} s"
    return Picture(
        title=str(track["genre"]),
        caption=f"{track['track_id']}, {part}",
        alternative=f"Log-mel spectrogram of {track['track_id']}, {part}: {picture.words}.",
        png=picture.png,
        width=picture.width,
        height=picture.height,
    )
