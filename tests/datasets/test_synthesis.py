import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.demo.synthesis import (
    Resonance,
    Timbre,
    convolve,
    cymbal,
    double_rate,
    envelope,
    equaliser,
    kick_drum,
    mix_in,
    normalised,
    play_note,
    room_response,
    shape_spectrum,
    single_cycle,
    snare_drum,
    woodblock,
)

SAMPLE_RATE = 22050
SINE = Timbre((1.0,), attack_s=0.001, decay_s=1.0, sustain=1.0, release_s=0.01)
SAW = Timbre(tuple(1 / n for n in range(1, 41)), attack_s=0.001, decay_s=1.0, sustain=1.0, release_s=0.01)


def spectrum_peak_hz(waveform, sample_rate=SAMPLE_RATE):
    return np.argmax(np.abs(np.fft.rfft(waveform))) * sample_rate / len(waveform)


def test_single_cycle_of_one_partial_is_a_sine():
    expected = np.sin(2 * np.pi * np.arange(2048) / 2048)
    np.testing.assert_allclose(single_cycle((1.0,), 1), expected, atol=1e-5)


def test_single_cycle_never_drops_the_fundamental():
    np.testing.assert_array_equal(single_cycle((1.0, 0.5), 0), single_cycle((1.0,), 1))


@pytest.mark.parametrize("pitch_hz", [110.0, 440.0, 1760.0])
def test_note_has_the_pitch_that_was_asked_for(pitch_hz):
    note = play_note(SINE, pitch_hz, 1.0, SAMPLE_RATE)
    assert spectrum_peak_hz(note) == pytest.approx(pitch_hz, abs=1.0)


def test_partials_beyond_the_nyquist_frequency_are_left_out():
    # Of a 3 kHz saw only the partials at 3, 6 and 9 kHz fit: an aliased fourth would lie at 10.05 kHz.
    note = play_note(SAW, 3000.0, 1.0, SAMPLE_RATE)
    power = np.abs(np.fft.rfft(note * np.hanning(len(note)))) ** 2
    frequencies_hz = np.fft.rfftfreq(len(note), 1 / SAMPLE_RATE)
    harmonic = np.min(np.abs(frequencies_hz[:, None] - [3000, 6000, 9000]), axis=1) < 100
    assert power[~harmonic].sum() < 1e-4 * power.sum()


def test_detuned_voices_beat():
    two = Timbre((1.0,), attack_s=0.001, decay_s=1.0, sustain=1.0, release_s=0.01, n_voices=2)
    note = play_note(two, 440.0, 2.0, SAMPLE_RATE, detune_cents=20.0)
    # 20 cents at 440 Hz are 5.08 Hz, so the level falls to nothing five times a second.
    loudness = np.abs(note[: SAMPLE_RATE * 2]).reshape(-1, 147).max(axis=1)
    assert loudness.min() < 0.1 * loudness.max()


def test_envelope_of_a_plucked_note():
    plucked = Timbre((1.0,), attack_s=0.01, decay_s=0.1, sustain=0.0, release_s=0.05)
    level = envelope(plucked, 0.5, 1000)
    assert len(level) == 550
    assert level[0] == 0
    assert level[10] == pytest.approx(1.0)
    assert level[110] == pytest.approx(np.exp(-1))
    assert level[-1] < 1e-3


@settings(derandomize=True, deadline=None, max_examples=30)
@given(
    pitch_hz=st.floats(30, 5000),
    duration_s=st.floats(0.01, 0.3),
    n_voices=st.integers(1, 3),
    detune_cents=st.floats(0, 50),
)
def test_notes_stay_within_full_scale(pitch_hz, duration_s, n_voices, detune_cents):
    timbre = Timbre((1.0, 0.5, 0.3), 0.005, 0.1, 0.5, 0.05, vibrato_cents=10, n_voices=n_voices)
    note = play_note(timbre, pitch_hz, duration_s, SAMPLE_RATE, detune_cents)
    assert np.isfinite(note).all()
    assert np.abs(note).max() <= 1 + 1e-12


def test_kick_settles_at_its_pitch():
    kick = kick_drum(SAMPLE_RATE, 60.0, 0.4)
    settled = kick[SAMPLE_RATE // 4 : SAMPLE_RATE]
    assert spectrum_peak_hz(settled) == pytest.approx(60.0, abs=2.0)


def test_woodblock_rings_at_its_pitch():
    assert spectrum_peak_hz(woodblock(SAMPLE_RATE, 1000.0, 0.1)) == pytest.approx(1000.0, abs=5.0)


def test_cymbal_lies_above_its_cutoff_and_the_snare_has_a_skin():
    rng = np.random.default_rng(0)
    assert spectrum_peak_hz(cymbal(rng, SAMPLE_RATE, 6000.0, 0.1)) > 4000
    snare = snare_drum(rng, SAMPLE_RATE, 200.0, 0.1)
    low = np.abs(np.fft.rfft(snare))[: int(600 * len(snare) / SAMPLE_RATE)]
    assert np.argmax(low) * SAMPLE_RATE / len(snare) == pytest.approx(200.0, abs=10.0)


def test_equaliser_has_the_heights_that_were_asked_for():
    gain = equaliser(0.0, (Resonance(500.0, 6.0, 0.5), Resonance(4000.0, -12.0, 0.2)), lowpass_hz=1e9)
    levels_db = 20 * np.log10(gain(np.array([500.0, 4000.0])))
    np.testing.assert_allclose(levels_db, [6.0, -12.0], atol=0.1)


def test_equaliser_falls_by_three_decibels_at_the_lowpass():
    gain = equaliser(0.0, (), lowpass_hz=5000.0)
    assert 20 * np.log10(gain(np.array([5000.0]))[0]) == pytest.approx(-3.01, abs=0.01)


def test_shape_spectrum_with_unit_gain_changes_nothing():
    waveform = np.random.default_rng(0).standard_normal((2, 101))
    np.testing.assert_allclose(shape_spectrum(waveform, SAMPLE_RATE, np.ones_like), waveform, atol=1e-12)


def test_convolution_is_numpys():
    rng = np.random.default_rng(0)
    waveform, response = rng.standard_normal(50), rng.standard_normal(20)
    np.testing.assert_allclose(convolve(waveform, response), np.convolve(waveform, response)[:50], atol=1e-12)


def test_room_has_unit_energy_and_differs_between_the_ears():
    response = room_response(np.random.default_rng(0), SAMPLE_RATE, 0.1)
    np.testing.assert_allclose(np.sum(response**2, axis=1), [1.0, 1.0])
    assert abs(np.corrcoef(response)[0, 1]) < 0.1


def test_mix_in_cuts_off_what_hangs_over():
    bus = np.zeros(4)
    mix_in(bus, np.ones(3), 2, 0.5)
    assert bus.tolist() == [0.0, 0.0, 0.5, 0.5]


def test_double_rate_keeps_the_samples_and_the_pitch():
    sine = np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    doubled = double_rate(np.stack([sine, -sine]))
    assert doubled.shape == (2, 2 * SAMPLE_RATE)
    np.testing.assert_allclose(doubled[0, ::2], sine, atol=1e-9)
    assert spectrum_peak_hz(doubled[1], 2 * SAMPLE_RATE) == pytest.approx(440.0, abs=0.5)


def test_normalised_has_unit_rms():
    waveform = normalised(np.random.default_rng(0).standard_normal(1000) * 7)
    assert np.mean(waveform**2) == pytest.approx(1.0)
