"""Music for the demo dataset: six genres as templates, artists with habits, albums with a sound, and notes.

Genres set tempo, metre, drum patterns, harmony and a choice of instruments. Artists set timbre, keys, drum kit, room
and balance, with about as strong an effect as genres: a model that has trained on an artist recognises the artist's
other tracks, which makes an artist-disjoint split harder than a random one. All numbers here are free choices [?],
tuned so that an SVM on MFCC statistics is right for at least three of four tracks of known artists, and for about half
of the tracks of unknown ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from genre_pipeline.demo.synthesis import Resonance

T = TypeVar("T")

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
DORIAN = (0, 2, 3, 5, 7, 9, 10)
MIXOLYDIAN = (0, 2, 4, 5, 7, 9, 10)

TRIAD = (0, 2, 4)
SEVENTH = (0, 2, 4, 6)
POWER = (0, 4, 7)

PARTS = ("drums", "bass", "chords", "lead")
DRUMS = ("kick", "snare", "hat", "wood")
_STEPS_PER_BEAT = 4
# Loudness of a pattern's strokes.
_LEVELS = {"x": 1.0, "o": 0.5}
# Lowest pitches, in semitones above C4: bass from E1, chords from C3, melody from F4.
_BASS_LOWEST, _CHORDS_LOWEST, _LEAD_LOWEST = -32, -12, 5


_BASSES = ("round_bass", "square_bass", "organ", "saw", "nylon")
_CHORDAL = ("accordion", "brass", "fuzz", "nylon", "organ", "pad", "piano", "saw", "strings")
_MELODIC = ("accordion", "bell", "brass", "flute", "fuzz", "piano", "reed", "saw", "strings")


@dataclass(frozen=True)
class Groove:
    """One bar of drums, one character per sixteenth: ``x`` loud, ``o`` soft, ``.`` nothing."""

    kick: str = ""
    snare: str = ""
    hat: str = ""
    wood: str = ""


@dataclass(frozen=True)
class Genre:
    """Properties that the tracks of a genre share.

    Attributes:
        name: The label.
        tempo_bpm: Lowest and highest tempo, in quarter notes per minute.
        swing: Greatest delay of the eighths between the beats, in sixteenths.
        beats_per_bar: Quarter notes in a bar.
        grooves: Drum patterns to choose from.
        bass: Bass patterns: the digit is the degree above the chord's root, ``.`` nothing.
        chords: Accompaniment patterns: ``x`` loud, ``o`` soft, ``_`` holds, ``.`` nothing.
        scales: Scales to choose from, in semitones.
        progressions: Chord progressions to choose from, as degrees of the scale, one chord per bar.
        voicing: The chord's tones, in scale steps above its root.
        lead_density: Chance of a melody note on a beat, and on the eighth between two beats.
        instruments: Usual timbres of bass, chords and lead.
        levels_db: Levels of drums, bass, chords and lead.
    """

    name: str
    tempo_bpm: tuple[float, float]
    swing: float
    beats_per_bar: int
    grooves: tuple[Groove, ...]
    bass: tuple[str, ...]
    chords: tuple[str, ...]
    scales: tuple[tuple[int, ...], ...]
    progressions: tuple[tuple[int, ...], ...]
    voicing: tuple[int, ...]
    lead_density: tuple[float, float]
    instruments: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    levels_db: tuple[float, float, float, float]

    @property
    def n_steps(self) -> int:
        """Sixteenths in a bar."""
        return self.beats_per_bar * _STEPS_PER_BEAT


GENRES = (
    Genre(
        name="ambient",
        tempo_bpm=(60, 96),
        swing=0.0,
        beats_per_bar=4,
        grooves=(
            Groove(kick="o...............", hat="....o.......o..."),
            Groove(hat="o.......o......."),
            Groove(kick="o.........o.....", wood="......o........."),
        ),
        bass=("1...............", "1.......5......."),
        chords=("x_______________", "x_______o_______"),
        scales=(MAJOR, DORIAN),
        progressions=((0, 5, 3, 4), (0, 2, 3, 3), (0, 4, 5, 3)),
        voicing=SEVENTH,
        lead_density=(0.45, 0.3),
        instruments=(("round_bass", "organ"), ("pad", "strings", "organ"), ("bell", "flute", "piano")),
        levels_db=(-16, -6, -2, -7),
    ),
    Genre(
        name="bossa",
        tempo_bpm=(104, 148),
        swing=0.25,
        beats_per_bar=4,
        grooves=(
            Groove(kick="x..ox..ox..ox..o", hat="x.o.x.o.x.o.x.o.", wood="x..x..x...x..x.."),
            Groove(kick="x.....x.x.....x.", hat="xoxoxoxoxoxoxoxo", wood="x.....x.....x..."),
        ),
        bass=("1.....5.5.....1.", "1..1..5.5..5..1."),
        chords=("x__.x..x__.x..x.", "x..x..x_..x_..x."),
        scales=(MAJOR, DORIAN),
        progressions=((1, 4, 0, 0), (0, 5, 1, 4), (0, 3, 1, 4)),
        voicing=SEVENTH,
        lead_density=(0.5, 0.4),
        instruments=(("round_bass", "nylon"), ("nylon", "piano", "organ"), ("flute", "reed", "piano")),
        levels_db=(-7, -4, -3, -7),
    ),
    Genre(
        name="house",
        tempo_bpm=(112, 132),
        swing=0.3,
        beats_per_bar=4,
        grooves=(
            Groove(kick="x...x...x...x...", snare="....x.......x...", hat="..x...x...x...x."),
            Groove(kick="x...x...x...x..o", snare="....x.......x..o", hat="o.xoo.xoo.xoo.xo"),
        ),
        bass=("..1...1...1...1.", "1..1..8.1..1..5."),
        chords=("..x...x...x...x.", "x..x..x...x..x..", "x_______________"),
        scales=(MINOR, DORIAN),
        progressions=((0, 0, 5, 6), (0, 3, 0, 4), (0, 5, 2, 6)),
        voicing=SEVENTH,
        lead_density=(0.35, 0.5),
        instruments=(("square_bass", "saw"), ("saw", "organ", "piano"), ("saw", "bell", "piano")),
        levels_db=(-2, -4, -7, -9),
    ),
    Genre(
        name="march",
        tempo_bpm=(96, 126),
        swing=0.0,
        beats_per_bar=4,
        grooves=(
            Groove(kick="x.......x.......", snare="x..xx.x.x.ooxooo", hat="x.......x......."),
            Groove(kick="x...x...x...x...", snare="..x...xx..x.xxxx"),
        ),
        bass=("1...5...1...5...", "1...5...8...5..."),
        chords=("..x...x...x...x.", "..xx..xx..xx..x."),
        scales=(MAJOR, MIXOLYDIAN),
        progressions=((0, 0, 4, 0), (0, 3, 4, 0), (0, 5, 1, 4)),
        voicing=TRIAD,
        lead_density=(0.9, 0.5),
        instruments=(("round_bass", "square_bass"), ("reed", "brass", "organ"), ("brass", "reed", "flute")),
        levels_db=(-2, -6, -8, -3),
    ),
    Genre(
        name="punk",
        tempo_bpm=(148, 200),
        swing=0.0,
        beats_per_bar=4,
        grooves=(
            Groove(kick="x.x...x.x.x...x.", snare="....x.......x...", hat="x.x.x.x.x.x.x.x."),
            Groove(kick="x...x...x...x...", snare="..x...x...x...x.", hat="x.x.x.x.x.x.x.x."),
        ),
        bass=("1.1.1.1.1.1.1.1.", "1.1.1.1.5.5.8.8."),
        chords=("x.x.x.x.x.x.x.x.", "x_x_x.x_x_x.x.x.", "x_______x___x_x_"),
        scales=(MAJOR, MIXOLYDIAN, MINOR),
        progressions=((0, 3, 4, 3), (0, 5, 3, 4), (0, 6, 3, 0)),
        voicing=POWER,
        lead_density=(0.35, 0.3),
        instruments=(("square_bass", "saw"), ("fuzz", "saw"), ("fuzz", "brass", "reed")),
        levels_db=(-3, -7, -3, -9),
    ),
    Genre(
        name="waltz",
        tempo_bpm=(120, 190),
        swing=0.0,
        beats_per_bar=3,
        grooves=(
            Groove(kick="x...........", snare="....o...o...", hat="....x...x..."),
            Groove(kick="x...........", wood="....o...o..."),
            Groove(hat="x...o...o.o."),
        ),
        bass=("1...........", "1.......5..."),
        chords=("....x...x...", "....x_..x_.."),
        scales=(MAJOR, MINOR),
        progressions=((0, 0, 4, 4), (0, 3, 4, 0), (0, 5, 1, 4)),
        voicing=TRIAD,
        lead_density=(0.8, 0.35),
        instruments=(
            ("round_bass", "nylon"),
            ("strings", "accordion", "piano"),
            ("strings", "accordion", "flute"),
        ),
        levels_db=(-14, -6, -3, -4),
    ),
)


@dataclass(frozen=True)
class Artist:
    """The habits that all tracks of one artist share.

    Attributes:
        tempo: The artist's place in the genre's tempo range, from 0 to 1.
        tonics: Preferred keys, in semitones above C.
        groove: Index of the usual drum pattern.
        instruments: Timbres of bass, chords and lead.
        detune_cents: Distance between the voices of one instrument.
        octave_shift: Shift of chords and lead together, in octaves.
        kit_tuning: Factor on the pitch of all drums.
        kit_decay: Factor on the length of all drums.
        kit_levels_db: Levels of kick, snare, hat and wood.
        levels_db: Added to the genre's levels of drums, bass, chords and lead.
        tilt_db: Slope of the mix's spectrum, in dB per octave.
        resonances: Peaks and dips of the mix's spectrum.
        room_decay_s: Time constant of the reverberation.
        room_level_db: Its level against the dry sound.
    """

    tempo: float
    tonics: tuple[int, ...]
    groove: int
    instruments: tuple[str, str, str]
    detune_cents: float
    octave_shift: int
    kit_tuning: float
    kit_decay: float
    kit_levels_db: tuple[float, ...]
    levels_db: tuple[float, ...]
    tilt_db: float
    resonances: tuple[Resonance, ...]
    room_decay_s: float
    room_level_db: float


@dataclass(frozen=True)
class Album:
    """The production that all tracks of one album share.

    Attributes:
        loudness_db: Level of the mix, RMS against full scale.
        drive: Saturation before the level is set.
        tilt_db: Slope that mastering adds to the spectrum, in dB per octave.
        lowpass_hz: Upper limit of the treble.
        noise_db: Level of the background noise against the mix.
    """

    loudness_db: float
    drive: float
    tilt_db: float
    lowpass_hz: float
    noise_db: float


@dataclass(frozen=True)
class Note:
    """One event of a part.

    Attributes:
        part: ``kick``, ``snare``, ``hat``, ``wood``, ``bass``, ``chords`` or ``lead``.
        start_s: Its start.
        duration_s: How long it is held (ignored for drums).
        pitch: Semitones above C4; not used for drums.
        level: Linear.
    """

    part: str
    start_s: float
    duration_s: float
    pitch: int
    level: float


@dataclass(frozen=True)
class Piece:
    """A written track.

    Attributes:
        tempo_bpm: Quarter notes per minute.
        instruments: Timbres of bass, chords and lead.
        notes: The notes, not sorted by time.
    """

    tempo_bpm: float
    instruments: tuple[str, str, str]
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Grid:
    """The sixteenths of one bar.

    Attributes:
        step_s: Length of a straight sixteenth.
        times_s: Start of each sixteenth, with swing.
    """

    step_s: float
    times_s: tuple[float, ...]


@dataclass(frozen=True)
class Harmony:
    """A key.

    Attributes:
        tonic: Semitones above C4.
        scale: Semitones above the tonic, within an octave.

    Example:
        >>> key = Harmony(2, MAJOR)
        >>> key.pitch(0), key.pitch(4), key.pitch(7), key.pitch(-1)
        (2, 9, 14, 1)
    """

    tonic: int
    scale: tuple[int, ...]

    def pitch(self, degree: int) -> int:
        """Return the pitch of a degree, in semitones above C4; it may be negative or beyond the octave."""
        octave, index = divmod(degree, len(self.scale))
        return self.tonic + 12 * octave + self.scale[index]


def _instrument(rng: np.random.Generator, usual: tuple[str, ...], possible: tuple[str, ...]) -> str:
    """Pick a usual instrument, or for one artist in eight any that can play the part."""
    return _pick(rng, possible if rng.random() < 0.125 else usual)


def draw_resonance(rng: np.random.Generator, spread_db: float) -> Resonance:
    """Draw a peak or dip between 150 Hz and 6.8 kHz, whose height has the given standard deviation."""
    return Resonance(150 * 2 ** rng.uniform(0, 5.5), rng.normal(0, spread_db), rng.uniform(0.3, 0.9))


def draw_artist(genre: Genre, rng: np.random.Generator) -> Artist:
    """Invent an artist.

    Args:
        genre: The artist's genre.
        rng: Source of the habits.

    Returns:
        The artist.
    """
    bass, chords, lead = genre.instruments
    return Artist(
        tempo=rng.uniform(0.1, 0.9),
        tonics=tuple(rng.choice(12, size=2, replace=False).tolist()),
        groove=int(rng.integers(len(genre.grooves))),
        instruments=(
            _instrument(rng, bass, _BASSES),
            _instrument(rng, chords, _CHORDAL),
            _instrument(rng, lead, _MELODIC),
        ),
        detune_cents=rng.uniform(3, 25),
        octave_shift=int(rng.choice([-1, 0, 0, 0, 1])),
        kit_tuning=2 ** rng.uniform(-0.5, 0.5),
        kit_decay=2 ** rng.uniform(-0.8, 0.8),
        kit_levels_db=tuple(rng.normal(0, 3, size=len(DRUMS)).tolist()),
        levels_db=tuple(rng.normal(0, 2.5, size=len(PARTS)).tolist()),
        tilt_db=rng.normal(-1.0, 0.6),
        resonances=tuple(draw_resonance(rng, 2.5) for _ in range(3)),
        room_decay_s=0.05 * 2 ** rng.uniform(0, 3),
        room_level_db=rng.uniform(-20, -4),
    )


def draw_album(rng: np.random.Generator) -> Album:
    """Invent an album's production."""
    return Album(
        loudness_db=rng.uniform(-24, -14),
        drive=rng.uniform(0.2, 1.2),
        tilt_db=rng.normal(0, 0.5),
        lowpass_hz=rng.uniform(6500, 10000),
        noise_db=rng.uniform(-70, -45),
    )


def compose(genre: Genre, artist: Artist, rng: np.random.Generator, duration_s: float) -> Piece:
    """Write a track.

    Args:
        genre: The template.
        artist: The habits.
        rng: Source of the track's own properties.
        duration_s: Length to fill; notes begin before its end.

    Returns:
        The piece, its notes bar by bar.
    """
    tempo_bpm = _tempo(genre, artist, rng)
    step_s = 60 / tempo_bpm / _STEPS_PER_BEAT
    swing = genre.swing * rng.uniform(0.5, 1.0)
    harmony = Harmony(_pick(rng, artist.tonics), _pick(rng, genre.scales))
    progression = _pick(rng, genre.progressions)
    # One track in four may leave the artist's usual drum pattern, one part in three is played by a guest.
    groove = genre.grooves[artist.groove] if rng.random() < 0.75 else _pick(rng, genre.grooves)
    bass, chords = _pick(rng, genre.bass), _pick(rng, genre.chords)
    bass_timbre, chords_timbre, lead_timbre = (
        own if rng.random() < 2 / 3 else _pick(rng, usual)
        for own, usual in zip(artist.instruments, genre.instruments, strict=True)
    )
    notes: list[Note] = []
    first_bar = int(rng.integers(len(progression)))
    for bar in range(int(duration_s / (genre.n_steps * step_s)) + 1):
        degree = progression[(first_bar + bar) % len(progression)]
        # Swing delays the eighths between the beats.
        steps = [bar * genre.n_steps + n + swing * (n % 4 == 2) for n in range(genre.n_steps)]
        grid = Grid(step_s, tuple(step_s * step for step in steps))
        notes += _drum_notes(groove, grid, rng)
        notes += _bass_notes(bass, grid, harmony, degree)
        notes += _chord_notes(chords, grid, harmony, [degree + step for step in genre.voicing])
        notes += _lead_notes(genre, grid, harmony, degree, rng)
    audible = tuple(note for note in notes if note.start_s < duration_s)
    return Piece(tempo_bpm, (bass_timbre, chords_timbre, lead_timbre), audible)


def _pick(rng: np.random.Generator, options: tuple[T, ...]) -> T:
    return options[rng.integers(len(options))]


def _tempo(genre: Genre, artist: Artist, rng: np.random.Generator) -> float:
    """Draw a tempo near the artist's own, within the genre's range."""
    low, high = genre.tempo_bpm
    position = artist.tempo + rng.normal(0, 0.08)
    return low + min(max(position, 0.0), 1.0) * (high - low)


def _near(pitch: int, lowest: int) -> int:
    """Move a pitch by octaves into the octave that begins at the lowest pitch."""
    return (pitch - lowest) % 12 + lowest


def _drum_notes(groove: Groove, grid: Grid, rng: np.random.Generator) -> list[Note]:
    notes = []
    for drum in DRUMS:
        for start_s, stroke in zip(grid.times_s, getattr(groove, drum), strict=False):
            chance = rng.random()
            # The drummer is human: a stroke in twelve is left out, one rest in twenty-five is filled.
            if stroke != "." and chance > 0.08:
                notes.append(Note(drum, start_s, 0.0, 0, _LEVELS[stroke] * rng.uniform(0.8, 1.0)))
            elif stroke == "." and chance < 0.04:
                notes.append(Note(drum, start_s, 0.0, 0, 0.3))
    return notes


def _bass_notes(pattern: str, grid: Grid, harmony: Harmony, degree: int) -> list[Note]:
    """Play the pattern's degrees above the chord's root, each almost until the next."""
    starts = [n for n, character in enumerate(pattern) if character != "."]
    root = _near(harmony.pitch(degree), _BASS_LOWEST)
    notes = []
    for start, end in zip(starts, [*starts, len(pattern)][1:], strict=True):
        interval = harmony.pitch(degree + int(pattern[start]) - 1) - harmony.pitch(degree)
        notes.append(Note("bass", grid.times_s[start], 0.85 * grid.step_s * (end - start), root + interval, 1.0))
    return notes


def _chord_notes(pattern: str, grid: Grid, harmony: Harmony, degrees: list[int]) -> list[Note]:
    """Play the chord at the pattern's strokes, with the root below and the other tones in close position above."""
    root, *others = [harmony.pitch(degree) for degree in degrees]
    pitches = [_near(root, _CHORDS_LOWEST), *(_near(pitch, _CHORDS_LOWEST + 4) for pitch in others)]
    notes = []
    for start, stroke in enumerate(pattern):
        if stroke in _LEVELS:
            after = pattern[start + 1 :]
            n_held = len(after) - len(after.lstrip("_"))
            duration_s = grid.step_s * (n_held + 0.8)
            notes += [Note("chords", grid.times_s[start], duration_s, pitch, _LEVELS[stroke]) for pitch in pitches]
    return notes


def _lead_notes(genre: Genre, grid: Grid, harmony: Harmony, degree: int, rng: np.random.Generator) -> list[Note]:
    """Walk along the scale: chord tones on the beats, small steps from there between them."""
    on_beat, between = genre.lead_density
    starts = [n for n in range(0, genre.n_steps, 2) if rng.random() < (between if n % 4 else on_beat)]
    notes = []
    current = degree
    for start, end in zip(starts, [*starts, genre.n_steps][1:], strict=True):
        current = current + int(rng.integers(-2, 3)) if start % 4 else degree + _pick(rng, genre.voicing)
        # A note lasts six sixteenths at most, so that slow melodies breathe.
        duration_s = 0.9 * grid.step_s * min(end - start, 6)
        pitch = _near(harmony.pitch(current), _LEAD_LOWEST)
        notes.append(Note("lead", grid.times_s[start], duration_s, pitch, rng.uniform(0.7, 1.0)))
    return notes
