from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from genre_pipeline.errors import AudioError
from genre_pipeline.reporting.data_cards import spectrogram_examples
from hand_made_reports import make_tracks

RATE = 11_025


def write_tone(folder, track_id, *, frequency_hz=440.0, duration_s=2.0, n_channels=1):
    """Write a tone and return its row of the track table."""
    wave = 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * RATE)) / RATE)
    soundfile.write(folder / f"{track_id}.wav", np.stack([wave] * n_channels, axis=1), RATE)
    return {"track_id": track_id, "duration_s": duration_s, "sample_rate": RATE, "n_samples": len(wave)}


def titles(pictures):
    return [(picture.title, picture.caption.split(",")[0]) for picture in pictures]


def test_the_track_of_median_length_is_drawn_and_of_several_the_first(tmp_path):
    lengths = {
        "jazz.1": 1.0,
        "jazz.2": 1.5,
        "jazz.4": 1.5,
        "jazz.3": 1.5,
        "jazz.0": 3.0,
        "blues.1": 1.0,
        "blues.2": 2.0,
    }
    tracks = make_tracks([write_tone(tmp_path, track, duration_s=length) for track, length in lengths.items()])
    assert titles(spectrogram_examples(tracks, tmp_path)) == [("blues", "blues.1"), ("jazz", "jazz.2")]
    backwards = tracks.iloc[::-1].reset_index(drop=True)
    assert titles(spectrogram_examples(backwards, tmp_path)) == [("blues", "blues.1"), ("jazz", "jazz.2")]


def test_what_cannot_be_drawn_is_passed_over(tmp_path):
    rows = [write_tone(tmp_path, track) for track in ("a.1", "a.2", "a.3", "b.1", "c.1", "c.2")]
    rows[0] |= {"quarantined": True}
    rows[1] |= {"faults": "clipped;truncated"}
    rows[3] |= {"faults": "unreadable", "sample_rate": 0, "n_samples": 0, "duration_s": 0.0}
    rows[4] |= {"n_samples": 100}
    rows[5] |= {"faults": "clipped;dc_offset"}
    assert titles(spectrogram_examples(make_tracks(rows), tmp_path)) == [("a", "a.3"), ("c", "c.2")]


def test_a_tone_is_a_line_at_its_height(tmp_path):
    rows = [write_tone(tmp_path, "high.1", frequency_hz=4000.0), write_tone(tmp_path, "low.1", frequency_hz=200.0)]
    heights = []
    for picture in spectrogram_examples(make_tracks(rows), tmp_path):
        pixels = imread(BytesIO(picture.png))
        assert pixels.shape[:2] == (picture.height, picture.width) == (96, 44)
        heights.append(int(pixels[:, 20, :3].sum(axis=1).argmax()))
    # Row 0 is the top; 4 kHz lies at two thirds of the mel scale up to 11 kHz, 200 Hz at its foot.
    assert 20 < heights[0] < 45
    assert heights[1] > 88


def test_only_the_middle_of_a_long_clip_is_read(tmp_path):
    """The clip lies within its file, and only its middle half minute is a tone."""
    wave = np.zeros(100 * RATE)
    middle = slice(40 * RATE, 70 * RATE)
    wave[middle] = 0.5 * np.sin(2 * np.pi * 1000.0 * np.arange(30 * RATE) / RATE)
    soundfile.write(tmp_path / "a.1.wav", wave, RATE)
    row = {
        "track_id": "a.1",
        "sample_rate": RATE,
        "start_sample": 20 * RATE,
        "n_samples": 70 * RATE,
        "duration_s": 70.0,
    }
    (picture,) = spectrogram_examples(make_tracks([row]), tmp_path)
    assert picture.caption == "a.1, the middle 30 s"
    brightness = imread(BytesIO(picture.png))[:, :, :3].sum(axis=2).max(axis=0)
    assert brightness.min() > 0.8 * brightness.max()


def test_pictures_say_in_words_what_they_show(tmp_path):
    rows = [write_tone(tmp_path, "a.1", frequency_hz=300.0, duration_s=2.5, n_channels=2)]
    (picture,) = spectrogram_examples(make_tracks(rows), tmp_path)
    assert picture.caption == "a.1, 2.5 s"
    assert picture.alternative == (
        "Log-mel spectrogram of a.1, 2.5 s: half of the energy lies below about 300 Hz, nine tenths below 0.3 kHz."
    )


def test_the_same_audio_is_the_same_bytes_and_small(tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.1.wav", 0.1 * rng.standard_normal(30 * RATE), RATE)
    tracks = make_tracks([{"track_id": "a.1", "sample_rate": RATE, "n_samples": 30 * RATE}])
    (one,), (other,) = (spectrogram_examples(tracks, tmp_path) for _ in range(2))
    assert one.png == other.png
    # Noise is the worst case; sixteen genres stay far below the card's 5 MB.
    assert len(one.png) < 100_000


def test_a_file_that_vanished_since_ingest_is_named(tmp_path):
    with pytest.raises(AudioError, match="a.1.wav"):
        spectrogram_examples(make_tracks([{"track_id": "a.1"}]), tmp_path)


def test_a_collection_without_a_usable_track_has_no_pictures(tmp_path):
    assert spectrogram_examples(make_tracks([{"track_id": "a.1", "quarantined": True}]), tmp_path) == []
