import dataclasses

import numpy as np
import pytest

from genre_pipeline.demo.composition import DRUMS, GENRES, Harmony, compose, draw_album, draw_artist
from genre_pipeline.demo.rendering import TIMBRES, TrackNumber, render

BY_NAME = {genre.name: genre for genre in GENRES}


@pytest.fixture(params=GENRES, ids=lambda genre: genre.name)
def genre(request):
    return request.param


def write(genre, seed=0, duration_s=20.0):
    rng = np.random.default_rng(seed)
    return compose(genre, draw_artist(genre, rng), rng, duration_s)


def test_there_are_six_genres_of_different_names():
    assert len(BY_NAME) == len(GENRES) == 6


def test_patterns_fill_a_bar(genre):
    patterns = [*genre.bass, *genre.chords]
    patterns += [getattr(groove, drum) for groove in genre.grooves for drum in DRUMS if getattr(groove, drum)]
    assert {len(pattern) for pattern in patterns} == {genre.n_steps}
    assert set("".join(patterns)) <= set("xo._123456789")


def test_progressions_and_scales_are_possible(genre):
    for scale in genre.scales:
        assert list(scale) == sorted(set(scale))
        assert scale[0] == 0
        assert scale[-1] < 12
        assert all(0 <= degree < len(scale) for progression in genre.progressions for degree in progression)


def test_every_instrument_exists(genre):
    for seed in range(20):
        assert set(write(genre, seed, 2.0).instruments) <= set(TIMBRES)
    assert {name for part in genre.instruments for name in part} <= set(TIMBRES)


def test_tempo_is_within_the_genres_range_and_near_the_artists(genre):
    low, high = genre.tempo_bpm
    for seed in range(5):
        artist = draw_artist(genre, np.random.default_rng(seed))
        tempos = [compose(genre, artist, np.random.default_rng([seed, n]), 1.0).tempo_bpm for n in range(10)]
        assert low <= min(tempos) <= max(tempos) <= high
        assert abs(np.mean(tempos) - low - artist.tempo * (high - low)) < 0.1 * (high - low)


def test_notes_begin_within_the_track(genre):
    notes = write(genre, duration_s=7.0).notes
    assert notes
    assert all(0 <= note.start_s < 7.0 for note in notes)


def test_pitches_stay_in_their_parts_registers(genre):
    pitches = {"bass": range(-34, -8), "chords": range(-12, 4), "lead": range(5, 17)}
    for note in write(genre).notes:
        if note.part in pitches:
            assert note.pitch in pitches[note.part]


def test_pitched_notes_are_in_one_key(genre):
    played = {note.pitch % 12 for note in write(genre).notes if note.part not in DRUMS}
    keys = [{Harmony(tonic, scale).pitch(n) % 12 for n in range(7)} for tonic in range(12) for scale in genre.scales]
    assert any(played <= key for key in keys)


def test_house_has_a_kick_on_every_beat():
    piece = write(BY_NAME["house"])
    kicks = [note.start_s for note in piece.notes if note.part == "kick" and note.level > 0.7]
    beats = np.array(kicks) * piece.tempo_bpm / 60
    np.testing.assert_allclose(beats, np.round(beats), atol=1e-9)
    # A stroke in twelve is left out.
    assert len(kicks) > 0.75 * 20 * piece.tempo_bpm / 60


def test_a_waltz_has_its_bass_on_one_of_three():
    piece = write(BY_NAME["waltz"])
    steps = np.array([note.start_s for note in piece.notes if note.part == "bass"]) * piece.tempo_bpm / 60
    assert set(np.round(steps % 3).astype(int)) <= {0, 2, 3}


def test_swing_delays_the_eighths_between_the_beats():
    # Bossa strikes its shaker on straight beats and between them.
    piece = write(BY_NAME["bossa"], duration_s=30.0)
    quarters = np.array([note.start_s for note in piece.notes if note.part == "hat"]) * piece.tempo_bpm / 60 % 1
    between = quarters[(quarters > 0.45) & (quarters < 0.7)]
    assert between.min() > 0.5


def test_a_bar_without_melody_is_possible():
    silent = dataclasses.replace(BY_NAME["ambient"], lead_density=(0.0, 0.0))
    assert not [note for note in write(silent).notes if note.part == "lead"]


def test_artists_and_albums_differ(genre):
    artists = [draw_artist(genre, np.random.default_rng(seed)) for seed in range(5)]
    albums = [draw_album(np.random.default_rng(seed)) for seed in range(5)]
    assert len(set(artists)) == 5
    assert len(set(albums)) == 5


@pytest.mark.parametrize("index", range(len(GENRES)))
def test_rendered_music_is_sound(index):
    waveform = render(TrackNumber(0, index, 0, 0, 0), duration_s=2.0, sample_rate=16000)
    assert waveform.shape == (2, 32000)
    assert np.isfinite(waveform).all()
    assert np.abs(waveform).max() < 1
    assert waveform[:, [0, -1]].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert np.sqrt(np.mean(waveform**2)) > 0.02
    assert not np.allclose(waveform[0], waveform[1])


def test_the_same_number_gives_the_same_samples():
    number = TrackNumber(seed=3, genre=1, artist=1, album=0, track=2)
    first, second = (render(number, duration_s=1.0, sample_rate=16000) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("change", ["seed", "genre", "artist", "album", "track"])
def test_every_part_of_the_number_matters(change):
    number = TrackNumber(seed=3, genre=1, artist=1, album=0, track=2)
    other = dataclasses.replace(number, **{change: getattr(number, change) + 1})
    first, second = (render(which, duration_s=1.0, sample_rate=16000) for which in (number, other))
    assert not np.allclose(first, second)


def test_generators_of_different_levels_differ():
    number = TrackNumber(seed=0, genre=0, artist=0, album=0, track=0)
    levels = ["genre", "artist", "album", "track"]
    draws = [number.generator(*levels[: n + 1]).random() for n in range(4)]
    assert len(set(draws)) == 4


def test_the_tempo_can_be_heard():
    # The level of a house track rises with every kick: its autocorrelation peaks at a beat's length.
    number = TrackNumber(seed=0, genre=list(BY_NAME).index("house"), artist=0, album=0, track=0)
    artist_rng = number.generator("genre", "artist")
    artist = draw_artist(BY_NAME["house"], artist_rng)
    piece = compose(BY_NAME["house"], artist, number.generator("genre", "artist", "album", "track"), 10.0)
    waveform = render(number, duration_s=10.0, sample_rate=16000).mean(axis=0)
    level = np.sqrt(np.mean(waveform.reshape(-1, 160) ** 2, axis=1))
    rise = np.maximum(np.diff(level), 0)
    rise -= rise.mean()
    likeness = np.correlate(rise, rise, mode="full")[len(rise) - 1 :]
    # Levels are 10 ms apart; between 0.3 and 0.7 s only one beat's length can be found.
    beat_s = (30 + np.argmax(likeness[30:70])) * 0.01
    assert beat_s == pytest.approx(60 / piece.tempo_bpm, abs=0.015)
