from __future__ import annotations

import pytest

from hand_made_reports import make_tracks


@pytest.fixture
def tracks():
    return make_tracks(
        [
            {"track_id": "blues.1", "artist": "B. B.", "duration_s": 29.94},
            {"track_id": "blues.2", "artist": "b. b. ", "format": "MP3", "sample_rate": 44100, "n_channels": 2},
            {"track_id": "blues.3", "artist": "Odetta"},
            {"track_id": "blues.4", "artist": "Odetta", "faults": "silent", "quarantined": True},
            {"track_id": "jazz.1", "artist": "Nina"},
            {"track_id": "jazz.2"},
        ]
    )
