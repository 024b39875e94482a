"""Recordings made on the spot: a tone with noise, whose codecs behave like music's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Write = Callable[..., Path]


def tone(duration_s: float, sample_rate: int, n_channels: int = 1) -> np.ndarray:
    times = np.arange(int(duration_s * sample_rate)) / sample_rate
    noise = np.random.default_rng(0).standard_normal((len(times), n_channels))
    loudness = 0.3 / np.arange(1, n_channels + 1)
    return (loudness * np.sin(2 * np.pi * 220 * times)[:, None] + 0.05 * noise).astype(np.float32)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a tone, or given samples, under a name whose extension says the format."""

    def write_file(
        name: str,
        samples: np.ndarray | None = None,
        *,
        duration_s: float = 1.0,
        sample_rate: int = 22_050,
        n_channels: int = 1,
        **options: str,
    ) -> Path:
        path = tmp_path / name
        if samples is None:
            samples = tone(duration_s, sample_rate, n_channels)
        soundfile.write(path, samples, sample_rate, **options)
        return path

    return write_file
