"""Performance of the demo dataset's music: its instruments, the artist's drum kit and room, the mix and the master."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genre_pipeline.demo.composition import (
    DRUMS,
    GENRES,
    PARTS,
    Album,
    Artist,
    Genre,
    Piece,
    compose,
    draw_album,
    draw_artist,
    draw_resonance,
)
from genre_pipeline.demo.synthesis import (
    Timbre,
    Waveform,
    convolve,
    cymbal,
    equaliser,
    kick_drum,
    mix_in,
    normalised,
    play_note,
    room_response,
    shape_spectrum,
    snare_drum,
    woodblock,
)


def _harmonics(rolloff: float, even: float = 1.0, n_partials: int = 40) -> tuple[float, ...]:
    """Return amplitudes that fall as a power of the harmonic's number, the even ones scaled."""
    return tuple((1.0 if n % 2 else even) * n**-rolloff for n in range(1, n_partials + 1))


TIMBRES = {
    "accordion": Timbre(_harmonics(0.9, 0.5), 0.04, 1.0, 0.9, 0.06, vibrato_cents=6, n_voices=2),
    "bell": Timbre((1.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.25), 0.003, 0.7, 0.0, 0.5),
    "brass": Timbre(_harmonics(0.8), 0.05, 0.3, 0.75, 0.08, vibrato_cents=8),
    "flute": Timbre((1.0, 0.35, 0.12, 0.05, 0.02), 0.06, 1.0, 0.9, 0.08, vibrato_cents=15),
    "fuzz": Timbre(_harmonics(0.55), 0.004, 0.8, 0.7, 0.04, n_voices=2),
    "nylon": Timbre(_harmonics(1.6, 0.8), 0.004, 0.35, 0.0, 0.08),
    "organ": Timbre((1.0, 0.9, 0.5, 0.7, 0.0, 0.3, 0.0, 0.4), 0.01, 1.0, 1.0, 0.03, vibrato_cents=4),
    "pad": Timbre(_harmonics(1.5), 0.25, 1.0, 0.9, 0.4, n_voices=2),
    "piano": Timbre(_harmonics(1.4), 0.003, 0.6, 0.1, 0.12),
    "reed": Timbre(_harmonics(1.0, 0.1), 0.03, 0.5, 0.85, 0.05, vibrato_cents=10),
    "round_bass": Timbre((1.0, 0.4, 0.15, 0.05), 0.008, 0.5, 0.4, 0.05),
    "saw": Timbre(_harmonics(1.0), 0.005, 0.25, 0.5, 0.05, n_voices=2),
    "square_bass": Timbre(_harmonics(1.1, 0.05), 0.005, 0.3, 0.6, 0.03),
    "strings": Timbre(_harmonics(1.1), 0.12, 1.0, 0.9, 0.15, vibrato_cents=12, n_voices=2),
}

# Both ends of a clip fade over 5 ms [?], so that nothing clicks and the spectrum may be taken as periodic.
_FADE_S = 0.005


@dataclass(frozen=True)
class TrackNumber:
    """A track of the demo's world, which these five numbers determine completely.

    Attributes:
        seed: The world.
        genre: Index into the genre templates.
        artist: Counted from zero within the genre.
        album: Counted from zero within the artist.
        track: Counted from zero within the artist.
    """

    seed: int
    genre: int
    artist: int
    album: int
    track: int

    def generator(self, *levels: str) -> np.random.Generator:
        """Return the random generator of a level of the hierarchy.

        Args:
            *levels: The numbers to use: two tracks that agree in them draw the same.
        """
        numbers = tuple(getattr(self, level) for level in levels)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=numbers))


def render(number: TrackNumber, *, duration_s: float, sample_rate: int) -> Waveform:
    """Compose, play, mix and master one track.

    Args:
        number: The track.
        duration_s: Length.
        sample_rate: Samples per second.

    Returns:
        Shape (2, n_samples), left and right, within (-1, 1), beginning and ending at zero.

    Example:
        >>> number = TrackNumber(seed=0, genre=2, artist=0, album=0, track=0)
        >>> render(number, duration_s=1.0, sample_rate=8000).shape
        (2, 8000)
    """
    artist_rng = number.generator("genre", "artist")
    track_rng = number.generator("genre", "artist", "album", "track")
    genre = GENRES[number.genre]
    artist = draw_artist(genre, artist_rng)
    album = draw_album(number.generator("genre", "artist", "album"))
    # The rest of the artist's random numbers makes the drum samples and the room, the same for every track.
    kit = _kit(artist, artist_rng, sample_rate)
    room = room_response(artist_rng, sample_rate, artist.room_decay_s)

    piece = compose(genre, artist, track_rng, duration_s)
    dry = _mix(_play(piece, artist, kit, duration_s, sample_rate), genre, artist, track_rng)
    wet = dry + 10 ** (artist.room_level_db / 20) * convolve(dry, room)
    return _master(wet, artist, album, track_rng, sample_rate)


def _kit(artist: Artist, rng: np.random.Generator, sample_rate: int) -> dict[str, Waveform]:
    """Make one stroke of each of the artist's drums, at the level it has in the kit."""
    tuning, decay = artist.kit_tuning, artist.kit_decay
    strokes = (
        kick_drum(sample_rate, 52 * tuning, 0.11 * decay),
        snare_drum(rng, sample_rate, 190 * tuning, 0.07 * decay),
        cymbal(rng, sample_rate, 6000 * tuning, 0.03 * decay),
        woodblock(sample_rate, 1100 * tuning, 0.03 * decay),
    )
    levels_db = zip(DRUMS, artist.kit_levels_db, strokes, strict=True)
    return {drum: 10 ** (level_db / 20) * stroke for drum, level_db, stroke in levels_db}


def _play(
    piece: Piece, artist: Artist, kit: dict[str, Waveform], duration_s: float, sample_rate: int
) -> dict[str, Waveform]:
    """Play the notes into one bus per part."""
    buses = {part: np.zeros(round(duration_s * sample_rate)) for part in PARTS}
    timbres = dict(zip(PARTS[1:], (TIMBRES[name] for name in piece.instruments), strict=True))
    played: dict[tuple[str, int, float], Waveform] = {}
    for note in piece.notes:
        start = round(note.start_s * sample_rate)
        if note.part in kit:
            mix_in(buses["drums"], kit[note.part], start, note.level)
            continue
        # Patterns repeat: the same pitch at the same length is played once and copied.
        key = (note.part, note.pitch, round(note.duration_s, 4))
        if key not in played:
            octave = 0 if note.part == "bass" else artist.octave_shift
            # C4 lies nine semitones below A4, which is 440 Hz.
            pitch_hz = 440 * 2 ** ((note.pitch - 9) / 12 + octave)
            played[key] = play_note(
                timbres[note.part], pitch_hz, note.duration_s, sample_rate, detune_cents=artist.detune_cents
            )
        mix_in(buses[note.part], played[key], start, note.level)
    return buses


def _mix(buses: dict[str, Waveform], genre: Genre, artist: Artist, rng: np.random.Generator) -> Waveform:
    """Balance the parts and place chords and lead to either side of the middle."""
    side = rng.choice([-1.0, 1.0])
    angles = np.pi / 4 * (1 + side * np.array([0.0, 0.0, 0.4, -0.3]))
    levels_db = np.add(genre.levels_db, artist.levels_db) + rng.normal(0, 2.0, size=len(PARTS))
    mix = np.zeros((2, len(buses["drums"])))
    for part, angle, level_db in zip(PARTS, angles, levels_db, strict=True):
        mix += 10 ** (level_db / 20) * np.outer([np.cos(angle), np.sin(angle)], normalised(buses[part]))
    return mix


def _master(mix: Waveform, artist: Artist, album: Album, rng: np.random.Generator, sample_rate: int) -> Waveform:
    """Equalise, saturate, add the background noise, set the loudness and fade the ends."""
    resonances = (*artist.resonances, draw_resonance(rng, 4))
    tone = equaliser(artist.tilt_db + album.tilt_db, resonances, album.lowpass_hz)
    driven = np.tanh(album.drive * normalised(shape_spectrum(mix, sample_rate, tone)))
    noisy = normalised(driven) + 10 ** (album.noise_db / 20) * rng.standard_normal(mix.shape)
    # tanh again, as a limiter: all samples stay within (-1, 1), and those below half of full scale hardly change.
    limited = np.tanh(10 ** (album.loudness_db / 20) * noisy)
    n_samples = mix.shape[-1]
    from_edge = np.minimum(np.arange(n_samples), np.arange(n_samples)[::-1])
    return np.asarray(limited * np.minimum(from_edge / (_FADE_S * sample_rate), 1.0))
