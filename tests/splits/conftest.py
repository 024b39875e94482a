"""Track tables made from (genre, artist) pairs."""

import pandas as pd
import pytest

from genre_pipeline.datasets import TRACK_COLUMNS

DEFAULTS = {
    "title": "",
    "album": "",
    "duration_s": 30.0,
    "sample_rate": 22050,
    "n_channels": 1,
    "start_sample": 0,
    "n_samples": 661500,
    "format": "WAV",
    "n_bytes": 1323044,
    "checksum": "",
    "faults": "",
    "quarantined": False,
}


def build_tracks(clips, **columns):
    """One track for each (genre, artist); other columns as given, a value or a list."""
    ids = [f"t{number:04d}" for number in range(len(clips))]
    table = pd.DataFrame(
        {
            "track_id": ids,
            "genre": [genre for genre, _ in clips],
            "artist": [artist for _, artist in clips],
            "path": [f"{track}.wav" for track in ids],
            "content_hash": [f"file-{track}" for track in ids],
            "audio_hash": [f"audio-{track}" for track in ids],
            "recording": ids,
        }
    )
    return table.assign(**DEFAULTS).assign(**columns)[list(TRACK_COLUMNS)].astype(dict(TRACK_COLUMNS))


@pytest.fixture(scope="session")
def make_tracks():
    return build_tracks


@pytest.fixture(scope="session")
def collection():
    """Three genres, twelve artists each with two tracks, two on one album, one track of unknown artist a genre."""
    clips = [(genre, f"{genre} {artist}") for genre in ("blues", "jazz", "rock") for artist in range(12) for _ in "ab"]
    clips += [(genre, "") for genre in ("blues", "jazz", "rock")]
    return build_tracks(clips, album=["First"] * 4 + [""] * (len(clips) - 4))
