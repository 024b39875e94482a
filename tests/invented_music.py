"""Polyphonic music that a seed decides: three voices of plucked notes, with a drum."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 22_050


@lru_cache
def play(seed: int, *, duration_s: float = 12.0, tempo: float = 1.0) -> NDArray[np.float32]:
    """Return a piece; another tempo gives the same notes, faster or slower."""
    rng = np.random.default_rng(seed)
    waveform = np.zeros(round(duration_s * SAMPLE_RATE))
    for lowest, beat_s in ((40, 0.8), (52, 0.5), (64, 0.3)):
        start_s = 0.0
        while True:
            pitch, length_s, loudness = lowest + rng.integers(0, 18), beat_s * rng.choice([0.5, 1, 1.5]), rng.uniform()
            start = round(start_s / tempo * SAMPLE_RATE)
            if start >= len(waveform):
                break
            times = np.arange(min(round(1.5 * SAMPLE_RATE), len(waveform) - start)) / SAMPLE_RATE
            hertz = 440 * 2 ** ((pitch - 69) / 12)
            note = sum(np.sin(2 * np.pi * n * hertz * times) / n**1.5 for n in range(1, 6))
            waveform[start : start + len(times)] += (0.3 + loudness) * note * np.exp(-times / (0.8 * length_s))
            start_s += length_s
    for beat in np.arange(0, duration_s, 0.5 / tempo):
        start = round(beat * SAMPLE_RATE)
        hit = rng.standard_normal(min(2000, len(waveform) - start))
        waveform[start : start + len(hit)] += 0.3 * hit * np.exp(-np.arange(len(hit)) / 400)
    return (0.5 * waveform / np.abs(waveform).max()).astype(np.float32)
