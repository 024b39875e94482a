"""What genres look like: a log-mel spectrogram of one track of each."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.audio import read_waveform
from genre_pipeline.data_cards.page import Picture

# Parameters of the pictures [?]: 30 s are 646 frames, about the pixels of a picture on a dense screen.
_SAMPLE_RATE = 22050
_LONGEST_S = 30.0
_N_FFT = 2048
_HOP_LENGTH = 1024
_N_MELS = 96
_RANGE_DB = 80.0
# [?] Levels 2 dB apart: the eye sees no difference, and the pictures are a third of the size.
_N_COLOURS = 40
# What a spectrogram cannot be made of.
_UNSUITABLE = frozenset({"unreadable", "truncated", "empty", "silent", "non_finite"})

HOW_TO_READ = (
    "Each picture is one track: time from left to right, frequency from low (bottom) to "
    f"{_SAMPLE_RATE / 2000:.0f} kHz (top) on the mel scale, brighter where there is more energy, over "
    f"{_RANGE_DB:.0f} dB. Shown is the track of the genre's median length (of several, the first by name), of longer "
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
    is_long = tracks["n_samples"] / rate * _SAMPLE_RATE >= _N_FFT
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
    waveform = read_waveform(
        root / str(track["path"]),
        sample_rate=_SAMPLE_RATE,
        start_sample=int(track["start_sample"]) + (int(track["n_samples"]) - n_samples) // 2,
        n_samples=n_samples,
    )
    levels_db = _levels(waveform)
    shown_s = n_samples / int(track["sample_rate"])
    part = f"{shown_s:.1f} s" if n_samples == track["n_samples"] else f"the middle {shown_s:.0f} s"
    height, width = levels_db.shape
    return Picture(
        title=str(track["genre"]),
        caption=f"{track['track_id']}, {part}",
        alternative=f"Log-mel spectrogram of {track['track_id']}, {part}: {_in_words(levels_db)}.",
        png=_png(levels_db),
        width=width,
        height=height,
    )


def _levels(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return levels in dB below the greatest, shape ``(n_mels, n_frames)``."""
    from genre_pipeline.features import FEATURES, SegmentBlock
    from genre_pipeline.features.log_mel import LogMelBlock

    block = LogMelBlock(
        kind="log_mel",
        sample_rate=_SAMPLE_RATE,
        n_fft=_N_FFT,
        hop_length=_HOP_LENGTH,
        n_mels=_N_MELS,
        ref="max",
        top_db=_RANGE_DB,
        segment=SegmentBlock(n_frames=1, hop_frames=1),
    )
    return FEATURES["log_mel"].extract(waveform, block)


def _in_words(levels_db: NDArray[np.float32]) -> str:
    """Say where the energy lies, roughly: two digits at most."""
    from genre_pipeline.features.log_mel import hz_from_mel, mel_from_hz

    energy = (10.0 ** (levels_db.astype(np.float64) / 10.0)).mean(axis=1)
    centres_hz = hz_from_mel(np.linspace(0.0, mel_from_hz(_SAMPLE_RATE / 2, "slaney"), _N_MELS + 2), "slaney")[1:-1]
    half, most = (float(centres_hz[np.searchsorted(np.cumsum(energy) / energy.sum(), share)]) for share in (0.5, 0.9))
    return f"half of the energy lies below about {float(f'{half:.1g}'):.0f} Hz, nine tenths below {most / 1000:.1f} kHz"


def _png(levels_db: NDArray[np.float32]) -> bytes:
    from matplotlib.image import imsave

    steps = np.rint((levels_db / _RANGE_DB + 1.0) * (_N_COLOURS - 1))
    file = BytesIO()
    imsave(
        file,
        steps,
        vmin=0,
        vmax=_N_COLOURS - 1,
        cmap="magma",
        origin="lower",
        format="png",
        # Without the name and version of the program, the same levels are the same bytes.
        metadata=cast("dict[str, str]", {"Software": None}),
        pil_kwargs={"optimize": True},
    )
    return file.getvalue()
