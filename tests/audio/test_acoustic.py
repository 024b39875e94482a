"""Acoustic fingerprints: what they survive, what they tell apart, and their format."""

import io

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.audio.acoustic import ACOUSTIC_VERSION, CODE_BITS, CODES_PER_S, AcousticMeter, unpack_codes
from genre_pipeline.errors import AudioError
from invented_music import SAMPLE_RATE, play


def fingerprint(waveform, sample_rate=SAMPLE_RATE, block_samples=16_384):
    meter = AcousticMeter(sample_rate)
    waveform = np.asarray(waveform, dtype=np.float32)
    for start in range(0, len(waveform), block_samples):
        meter.add(waveform[start : start + block_samples])
    return meter.finish()


def agreement(one, other, offset_s=0.0):
    """Share of equal bits, the other recording beginning at an offset within the first one."""
    first, second = unpack_codes(one), unpack_codes(other)
    places = round(offset_s * CODES_PER_S) + np.array([-1, 0, 1])
    shares = []
    for place in places:
        begin, end = max(place, 0), min(len(first), len(second) + place)
        wrong = np.bitwise_count(first[begin:end] ^ second[begin - place : end - place])
        shares.append(1 - wrong.mean() / CODE_BITS)
    return max(shares)


def encoded(waveform, sample_rate=SAMPLE_RATE, **options):
    """Return what a codec makes of a waveform."""
    file = io.BytesIO()
    soundfile.write(file, waveform, sample_rate, **options)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def mp3(compression_level):
    return {
        "format": "MP3",
        "subtype": "MPEG_LAYER_III",
        "bitrate_mode": "CONSTANT",
        "compression_level": compression_level,
    }


@pytest.fixture(scope="module", params=[0, 1])
def music(request):
    return play(request.param)


@pytest.fixture(scope="module")
def original(music):
    return fingerprint(music)


def test_format(original, music):
    assert original[0] == ACOUSTIC_VERSION
    assert len(original) == 1 + 3 * len(unpack_codes(original))
    # The first code takes a frame and nine hops.
    expected = (len(music) / SAMPLE_RATE - 2048 / 5512.5) * CODES_PER_S - 8
    assert len(unpack_codes(original)) == pytest.approx(expected, abs=1)
    assert unpack_codes(original).max() < 1 << CODE_BITS


def test_size_of_a_clip_of_30_s():
    n_bytes = len(fingerprint(np.random.default_rng(0).uniform(-0.5, 0.5, 30 * SAMPLE_RATE)))
    assert 900 < n_bytes < 1000


def test_half_of_the_bits_are_set(original):
    assert np.bitwise_count(unpack_codes(original)).mean() / CODE_BITS == pytest.approx(0.45, abs=0.1)


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda music: music * np.float32(0.1), 0.99),
        (lambda music: np.rint(music * 3276.8) / 32_768, 0.97),
        (lambda music: np.rint(music * 128) / 128, 0.92),
        (lambda music: np.clip(2 * music / np.abs(music).max(), -1, 1), 0.92),
        (lambda music: music + 0.02, 0.99),
        (lambda music: 30 * music, 0.99),
        (lambda music: encoded(music, **mp3(0.99)), 0.8),
        (lambda music: encoded(music, **mp3(0.0)), 0.97),
        (lambda music: encoded(music, format="OGG", subtype="VORBIS", compression_level=1.0), 0.85),
        (lambda music: encoded(music * 0.1, format="OGG", subtype="VORBIS", compression_level=0.5), 0.9),
    ],
    ids=["-20 dB", "-20 dB, 16 bits", "8 bits", "clipped", "offset", "+30 dB", "MP3 low", "MP3 high", "Ogg low", "Ogg"],
)
def test_survives(music, original, change, least):
    assert agreement(original, fingerprint(change(music))) > least


@pytest.mark.parametrize("sample_rate", [8000, 16_000, 44_100, 48_000, 96_000])
def test_survives_resampling(music, original, sample_rate):
    resampled = soxr.resample(music, SAMPLE_RATE, sample_rate)
    assert agreement(original, fingerprint(resampled, sample_rate)) > 0.97


@pytest.mark.parametrize("offset_s", [0.021, 0.046, 1.07, 3.33])
def test_survives_a_cut(music, original, offset_s):
    cut = music[round(offset_s * SAMPLE_RATE) :]
    assert agreement(original, fingerprint(cut), offset_s) > 0.85


def test_survives_all_at_once(music, original):
    cut = soxr.resample(0.1 * music[round(2.71 * SAMPLE_RATE) :], SAMPLE_RATE, 44_100)
    assert agreement(original, fingerprint(encoded(cut, 44_100, **mp3(0.9)), 44_100), 2.71) > 0.8


def test_tells_pieces_apart():
    codes = [fingerprint(play(seed)) for seed in range(4)]
    shares = [agreement(one, other, 0.0) for place, one in enumerate(codes) for other in codes[:place]]
    assert max(shares) < 0.65


def test_tells_performances_apart():
    # The same notes, a twentieth slower.
    assert agreement(fingerprint(play(0)), fingerprint(play(0, tempo=0.95))) < 0.7


@pytest.mark.parametrize("offset", [0, 0.3])
def test_silence_has_none(offset):
    assert fingerprint(np.full(10 * SAMPLE_RATE, offset)) == b""


def test_steady_tones_have_none():
    times = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    steady = sum(0.2 * np.sin(2 * np.pi * hertz * times) for hertz in (220, 277.2, 329.6))
    # Where it starts and stops, something does change.
    codes = unpack_codes(fingerprint(steady))
    assert not codes[10:-10].any()


@pytest.mark.parametrize("n_samples", [0, 1, 3000])
def test_too_short(n_samples):
    assert fingerprint(play(0)[:n_samples]) == b""


@pytest.mark.parametrize("sample_rate", [1, 3999, 768_001, 2**31 - 1])
def test_no_rate_of_music(sample_rate):
    assert fingerprint(play(0), sample_rate) == b""


def test_huge_samples():
    # As in a float file that was misread; no overflow.
    assert len(fingerprint(np.random.default_rng(0).choice([-3e38, 3e38], 2 * SAMPLE_RATE))) > 1


@settings(derandomize=True, deadline=None, max_examples=10)
@given(block_samples=st.integers(200, 200_000))
def test_does_not_depend_on_the_block_length(block_samples):
    music = play(0)
    assert fingerprint(music, block_samples=block_samples) == fingerprint(music)


def test_memory_does_not_grow():
    meter = AcousticMeter(SAMPLE_RATE)
    block = np.random.default_rng(0).uniform(-0.5, 0.5, 5 * SAMPLE_RATE).astype(np.float32)
    held = []
    for _ in range(20):
        meter.add(block)
        held.append(meter._samples.nbytes + meter._chroma.nbytes)
    assert max(held) < 200_000


@pytest.mark.parametrize("broken", [b"\x00", b"\x02abc", b"\x01ab", bytes([ACOUSTIC_VERSION + 1])])
def test_other_bytes_are_refused(broken):
    with pytest.raises(AudioError, match="Inspect the audio again"):
        unpack_codes(broken)


def test_no_fingerprint_has_no_codes():
    assert len(unpack_codes(b"")) == 0
