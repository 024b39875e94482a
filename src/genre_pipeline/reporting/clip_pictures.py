"""A clip as a picture: its log-mel spectrogram as a small PNG, with what it shows in words."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.audio import read_waveform

# Parameters of the pictures [?]: 30 s are 646 frames, about the pixels of a picture on a dense screen.
PICTURE_RATE = 22050
N_FFT = 2048
HOP_LENGTH = 1024
_MAX_FRAMES = 700
_N_MELS = 96
RANGE_DB = 80.0
# [?] Levels 2 dB apart: the eye sees no difference, and the pictures are a third of the size.
_N_COLOURS = 40


@dataclass(frozen=True)
class ClipPicture:
    """A clip's spectrogram.

    Attributes:
        png: The PNG file: time from left to right, frequency from bottom to top on the mel scale.
        width: In pixels.
        height: In pixels.
        words: Where its energy lies, for those who cannot see it.
    """

    png: bytes
    width: int
    height: int
    words: str


def draw_clip(path: Path, *, start_sample: int, n_samples: int) -> ClipPicture:
    """Draw a clip, from its beginning to its end.

    Args:
        path: Its file.
        start_sample: The clip's first sample, at the file's own rate.
        n_samples: The clip's length, at that rate.

    Returns:
        A picture of at most 700 pixels across.

    Raises:
        AudioError: If the file cannot be read, or does not hold the clip.
    """
    return draw_waveform(read_waveform(path, sample_rate=PICTURE_RATE, start_sample=start_sample, n_samples=n_samples))


def draw_waveform(waveform: NDArray[np.float32]) -> ClipPicture:
    """Draw a waveform at the rate of :data:`PICTURE_RATE`, shape ``(n,)``."""
    levels_db = _levels(waveform, hop_length=HOP_LENGTH * -(-len(waveform) // (HOP_LENGTH * _MAX_FRAMES)))
    height, width = levels_db.shape
    return ClipPicture(_png(levels_db), width, height, _in_words(levels_db))


def _levels(waveform: NDArray[np.float32], *, hop_length: int) -> NDArray[np.float32]:
    """Return levels in dB below the greatest, shape ``(n_mels, n_frames)``."""
    from genre_pipeline.features import FEATURES, SegmentBlock
    from genre_pipeline.features.log_mel import LogMelBlock

    block = LogMelBlock(
        kind="log_mel",
        sample_rate=PICTURE_RATE,
        n_fft=N_FFT,
        hop_length=hop_length,
        n_mels=_N_MELS,
        ref="max",
        top_db=RANGE_DB,
        segment=SegmentBlock(n_frames=1, hop_frames=1),
    )
    return FEATURES["log_mel"].extract(waveform, block)


def _in_words(levels_db: NDArray[np.float32]) -> str:
    """Describe roughly where the energy lies: two digits at most."""
    from genre_pipeline.features.log_mel import hz_from_mel, mel_from_hz

    energy = (10.0 ** (levels_db.astype(np.float64) / 10.0)).mean(axis=1)
    centres_hz = hz_from_mel(np.linspace(0.0, mel_from_hz(PICTURE_RATE / 2, "slaney"), _N_MELS + 2), "slaney")[1:-1]
    half, most = (float(centres_hz[np.searchsorted(np.cumsum(energy) / energy.sum(), share)]) for share in (0.5, 0.9))
    return f"half of the energy lies below about {float(f'{half:.1g}'):.0f} Hz, nine tenths below {most / 1000:.1f} kHz"


def _png(levels_db: NDArray[np.float32]) -> bytes:
    from matplotlib.image import imsave

    steps = np.rint((levels_db / RANGE_DB + 1.0) * (_N_COLOURS - 1))
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
