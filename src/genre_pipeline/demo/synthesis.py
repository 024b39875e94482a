"""Sound for the demo dataset: instruments, drums, rooms and equalisers, by additive synthesis and shaped noise.

Everything is mono, float64 and made with numpy's FFT alone, so that the same numbers give the same samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float64]

# One cycle of a wave; linear interpolation between 2048 points is 16-bit clean for the lower partials [?].
_TABLE_SIZE = 2048
# Partials stop below the Nyquist frequency, so that vibrato and detuning cannot alias [?].
_HIGHEST_PARTIAL = 0.45


@dataclass(frozen=True)
class Timbre:
    """The sound of a pitched instrument.

    Attributes:
        partials: Relative amplitudes of the harmonics, the fundamental first.
        attack_s: Time to full level.
        decay_s: Time constant of the fall from full level to the sustained one.
        sustain: Sustained level, between 0 (plucked) and 1 (blown or bowed).
        release_s: Time to silence after the note's end.
        vibrato_cents: Depth of the vibrato.
        n_voices: Number of slightly detuned voices of each note.
    """

    partials: tuple[float, ...]
    attack_s: float
    decay_s: float
    sustain: float
    release_s: float
    vibrato_cents: float = 0.0
    n_voices: int = 1


@dataclass(frozen=True)
class Resonance:
    """A peak or dip in a frequency response, bell-shaped over octaves.

    Attributes:
        centre_hz: Its frequency.
        gain_db: Its height, negative for a dip.
        width_octaves: Standard deviation of the bell.
    """

    centre_hz: float
    gain_db: float
    width_octaves: float


def seconds(duration_s: float, sample_rate: int) -> Waveform:
    """Return the time of each sample, in seconds, from zero.

    Example:
        >>> seconds(0.5, 8).tolist()
        [0.0, 0.125, 0.25, 0.375]
    """
    return np.arange(round(duration_s * sample_rate)) / sample_rate


def single_cycle(partials: tuple[float, ...], n_partials: int) -> Waveform:
    """Return one cycle of a harmonic wave, peak 1.

    Args:
        partials: Relative amplitudes, the fundamental first.
        n_partials: Number of partials to use, at least one.

    Returns:
        Shape (2048,).
    """
    used = np.asarray(partials[: max(n_partials, 1)])
    spectrum = np.zeros(_TABLE_SIZE // 2 + 1, dtype=np.complex128)
    spectrum[1 : len(used) + 1] = -1j * used
    cycle = np.fft.irfft(spectrum, _TABLE_SIZE)
    return np.asarray(cycle / np.abs(cycle).max())


def envelope(timbre: Timbre, duration_s: float, sample_rate: int) -> Waveform:
    """Return a note's level over time: attack, exponential decay to the sustained level, release.

    Args:
        timbre: The instrument.
        duration_s: Length of the note before its release.
        sample_rate: Samples per second.

    Returns:
        Values in [0, 1], ``duration_s + timbre.release_s`` long.
    """
    time_s = seconds(duration_s + timbre.release_s, sample_rate)
    attack = np.minimum(time_s / timbre.attack_s, 1.0)
    decay = timbre.sustain + (1.0 - timbre.sustain) * np.exp(-np.maximum(time_s - timbre.attack_s, 0) / timbre.decay_s)
    release = np.clip((duration_s + timbre.release_s - time_s) / timbre.release_s, 0.0, 1.0)
    return np.asarray(attack * decay * release)


def play_note(
    timbre: Timbre, pitch_hz: float, duration_s: float, sample_rate: int, detune_cents: float = 0.0
) -> Waveform:
    """Play one note.

    Args:
        timbre: The instrument.
        pitch_hz: Fundamental frequency.
        duration_s: Length before the release.
        sample_rate: Samples per second.
        detune_cents: Distance between neighbouring voices of an instrument that has several.

    Returns:
        The waveform, within [-1, 1].
    """
    level = envelope(timbre, duration_s, sample_rate)
    time_s = np.arange(len(level)) / sample_rate
    cycle = single_cycle(timbre.partials, int(_HIGHEST_PARTIAL * sample_rate / pitch_hz))
    table = np.append(cycle, cycle[0])
    waveform = np.zeros_like(level)
    for voice in range(timbre.n_voices):
        cents = detune_cents * (voice - (timbre.n_voices - 1) / 2)
        voice_hz = pitch_hz * 2 ** (cents / 1200)
        # Integral of a sinusoidal vibrato at 5.5 Hz, the middle of the 5 to 6 Hz that singers use [I].
        sway = timbre.vibrato_cents * np.log(2) / 1200 / (2 * np.pi * 5.5) * np.sin(2 * np.pi * 5.5 * time_s)
        # Voices start a third of a cycle apart, so that they do not cancel or add up to a click.
        position = (voice_hz * (time_s + sway) + voice / 3) % 1.0 * _TABLE_SIZE
        index = position.astype(np.int64)
        waveform += table[index] + (position - index) * (table[index + 1] - table[index])
    return np.asarray(waveform * level / timbre.n_voices)


def shape_spectrum(waveform: Waveform, sample_rate: int, gain: Callable[[Waveform], Waveform]) -> Waveform:
    """Filter by multiplying the spectrum with a gain curve (zero phase).

    Args:
        waveform: Shape (..., n_samples).
        sample_rate: Samples per second.
        gain: Function from frequencies in Hz to linear gains.

    Returns:
        The same shape.
    """
    n_samples = waveform.shape[-1]
    frequencies_hz: Waveform = np.fft.rfftfreq(n_samples, 1 / sample_rate).astype(np.float64)
    return np.asarray(np.fft.irfft(np.fft.rfft(waveform) * gain(frequencies_hz), n_samples))


def equaliser(tilt_db: float, resonances: tuple[Resonance, ...], lowpass_hz: float) -> Callable[[Waveform], Waveform]:
    """Return the gain curve of a tone control.

    Args:
        tilt_db: Slope in dB per octave, pivoting at 1 kHz.
        resonances: Peaks and dips.
        lowpass_hz: Frequency at which the response has fallen by 3 dB; 12 dB per octave above.

    Returns:
        Function from frequencies in Hz to linear gains, zero at 0 Hz.

    Example:
        >>> equaliser(6.0, (), 1e9)(np.array([0.0, 1000.0, 2000.0])).round(2).tolist()
        [0.0, 1.0, 2.0]
    """

    def gain(frequencies_hz: Waveform) -> Waveform:
        octaves = np.log2(np.maximum(frequencies_hz, 20.0) / 1000.0)
        level_db = tilt_db * octaves
        for peak in resonances:
            distance = (octaves - np.log2(peak.centre_hz / 1000.0)) / peak.width_octaves
            level_db = level_db + peak.gain_db * np.exp(-0.5 * distance**2)
        lowpass = 1.0 / np.sqrt(1.0 + (frequencies_hz / lowpass_hz) ** 4)
        return np.asarray(10 ** (level_db / 20) * lowpass * (frequencies_hz > 0))

    return gain


def highpass_noise(rng: np.random.Generator, duration_s: float, sample_rate: int, cutoff_hz: float) -> Waveform:
    """Return white noise, high-passed at a frequency (12 dB per octave), at unit RMS."""
    noise = rng.standard_normal(round(duration_s * sample_rate))
    filtered = shape_spectrum(
        noise, sample_rate, lambda hz: 1.0 / np.sqrt(1.0 + (cutoff_hz / np.maximum(hz, 1.0)) ** 4)
    )
    return normalised(filtered)


def normalised(waveform: Waveform) -> Waveform:
    """Scale to unit RMS; silence stays silent.

    Example:
        >>> normalised(np.array([2.0, -2.0])).tolist(), normalised(np.zeros(2)).tolist()
        ([1.0, -1.0], [0.0, 0.0])
    """
    rms = float(np.sqrt(np.mean(waveform**2)))
    return waveform / rms if rms > 0 else waveform


def kick_drum(sample_rate: int, pitch_hz: float, decay_s: float) -> Waveform:
    """A bass drum: a decaying sine whose pitch falls from five times its final value within a few hundredths."""
    time_s = seconds(5 * decay_s, sample_rate)
    sweep_s = 0.018
    phase = pitch_hz * (time_s + 4 * sweep_s * (1 - np.exp(-time_s / sweep_s)))
    return np.asarray(np.sin(2 * np.pi * phase) * np.exp(-time_s / decay_s))


def snare_drum(rng: np.random.Generator, sample_rate: int, pitch_hz: float, decay_s: float) -> Waveform:
    """A snare: two decaying sines for the skin, decaying noise for the wires."""
    time_s = seconds(5 * decay_s, sample_rate)
    skin = np.sin(2 * np.pi * pitch_hz * time_s) + 0.6 * np.sin(2 * np.pi * 1.6 * pitch_hz * time_s)
    wires = highpass_noise(rng, 5 * decay_s, sample_rate, 6 * pitch_hz)
    return np.asarray(0.4 * skin * np.exp(-2 * time_s / decay_s) + 0.5 * wires * np.exp(-time_s / decay_s))


def cymbal(rng: np.random.Generator, sample_rate: int, cutoff_hz: float, decay_s: float) -> Waveform:
    """A hi-hat, shaker or ride: decaying noise above a frequency."""
    time_s = seconds(5 * decay_s, sample_rate)
    return np.asarray(0.5 * highpass_noise(rng, 5 * decay_s, sample_rate, cutoff_hz) * np.exp(-time_s / decay_s))


def woodblock(sample_rate: int, pitch_hz: float, decay_s: float) -> Waveform:
    """A wood block, clave or rim: a short sine with an inharmonic second mode."""
    time_s = seconds(5 * decay_s, sample_rate)
    modes = np.sin(2 * np.pi * pitch_hz * time_s) + 0.5 * np.sin(2 * np.pi * 2.76 * pitch_hz * time_s)
    return np.asarray(0.6 * modes * np.exp(-time_s / decay_s))


def room_response(rng: np.random.Generator, sample_rate: int, decay_s: float) -> Waveform:
    """Return a stereo impulse response of exponentially decaying noise, at unit energy per channel.

    Args:
        rng: Source of the reflections.
        sample_rate: Samples per second.
        decay_s: Time constant; the response is four of them long.

    Returns:
        Shape (2, n_samples).
    """
    time_s = seconds(4 * decay_s, sample_rate)
    response = rng.standard_normal((2, len(time_s))) * np.exp(-time_s / decay_s)
    return np.asarray(response / np.sqrt(np.sum(response**2, axis=1, keepdims=True)))


def convolve(waveform: Waveform, response: Waveform) -> Waveform:
    """Convolve along the last axis and keep the length of the first argument.

    Example:
        >>> convolve(np.array([1.0, 0.0, 2.0]), np.array([0.0, 1.0])).round(6).tolist()
        [0.0, 1.0, 0.0]
    """
    n_samples = waveform.shape[-1]
    # A power of two beyond the sum of the lengths keeps the convolution linear and the transform fast.
    n_fft = 1 << (n_samples + response.shape[-1] - 1).bit_length()
    spectrum = np.fft.rfft(waveform, n_fft) * np.fft.rfft(response, n_fft)
    return np.asarray(np.fft.irfft(spectrum, n_fft)[..., :n_samples])


def mix_in(bus: Waveform, waveform: Waveform, start: int, gain: float) -> None:
    """Add a waveform to a bus at a sample, in place; the part beyond its end is cut off."""
    room = bus[start : start + len(waveform)]
    room += gain * waveform[: len(room)]


def double_rate(waveform: Waveform) -> Waveform:
    """Resample to twice the rate, exactly band-limited, by padding the spectrum with zeros.

    Args:
        waveform: Shape (..., n_samples), beginning and ending in silence (the transform is periodic).

    Returns:
        Shape (..., 2 * n_samples).
    """
    n_samples = waveform.shape[-1]
    return np.asarray(2 * np.fft.irfft(np.fft.rfft(waveform), 2 * n_samples))
