from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.features import analysis
from genre_pipeline.features.analysis import Frames, Signal, Spectra, Spectrum, in_chunks


def pushed(signal, waveform, n_samples=10_000):
    for chunk in in_chunks([waveform], n_samples):
        signal.push(chunk)
    signal.close()


@settings(derandomize=True, deadline=None, max_examples=60)
@given(lengths=st.lists(st.integers(0, 40), max_size=8), n_samples=st.integers(1, 50))
def test_chunks_are_the_waveform_cut_anew(lengths, n_samples):
    waveform = np.arange(sum(lengths), dtype=np.float32)
    chunks = list(in_chunks(np.split(waveform, np.cumsum(lengths)[:-1]) if lengths else [], n_samples))
    assert all(len(chunk) == n_samples for chunk in chunks[:-1])
    assert all(0 < len(chunk) <= n_samples for chunk in chunks[-1:])
    np.testing.assert_array_equal(np.concatenate([waveform[:0], *chunks]), waveform)


@pytest.mark.parametrize(
    "spectrum",
    [
        Spectrum(1024, 1000, "hann", 100),
        Spectrum(1024, 661, "hann", 331, "double"),
        Spectrum(662, 662, "hamming", 331),
        Spectrum(64, 64, "hann", 3000),
        Spectrum(32_768, 32_768, "boxcar", 512),
    ],
    ids=["usual", "double", "even_not_a_power_of_two", "hop_beyond_the_frame", "frame_beyond_the_chunk"],
)
def test_spectra_equal_librosa_stft(signals, spectrum):
    blocks: list[Spectra] = []
    signal = Signal()
    signal.on_spectra(spectrum, blocks.append)
    pushed(signal, signals["chirp"])
    spectra = torch.cat([block.values for block in blocks]).numpy().T
    n_fft, win_length, window, hop_length, _ = spectrum
    window = "ones" if window == "boxcar" else window
    expected = librosa.stft(signals["chirp"], n_fft=n_fft, win_length=win_length, window=window, hop_length=hop_length)
    assert spectra.dtype == np.complex64
    np.testing.assert_allclose(spectra, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    energies = torch.cat([block.energies for block in blocks]).numpy().T
    np.testing.assert_allclose(energies, np.abs(expected) ** 2, rtol=0, atol=1e-5 * np.abs(expected).max() ** 2)


def test_double_precision_reaches_bins_far_below_the_loudest():
    # A loud tone of a whole number of periods, and one 120 dB below it.
    time = np.arange(4096)
    waveform = (np.sin(2 * np.pi * time / 128) + 1e-6 * np.sin(2 * np.pi * time / 8)).astype(np.float32)
    errors = []
    for precision in ("single", "double"):
        blocks: list[Spectra] = []
        signal = Signal()
        signal.on_spectra(Spectrum(1024, 1024, "hann", 512, precision), blocks.append)
        pushed(signal, waveform)
        spectra = torch.cat([block.values for block in blocks]).numpy().T
        errors.append(np.abs(spectra - librosa.stft(waveform, n_fft=1024, hop_length=512)).max())
    assert errors[1] < 0.1 * errors[0]


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("n_samples", [20_000, 20_001, 20_003])
def test_decimation_equals_librosa_resample(signals, factor, n_samples):
    waveform = signals["noise"][:n_samples]
    received: list[np.ndarray] = []
    signal = Signal()
    signal.decimated(factor).on_samples(received.append)
    pushed(signal, waveform)
    expected = librosa.resample(waveform, orig_sr=factor, target_sr=1, res_type="soxr_hq", scale=True)
    resampled = np.concatenate(received)
    assert resampled.shape == expected.shape
    np.testing.assert_allclose(resampled, expected, rtol=0, atol=1e-6)


def test_what_is_shared_is_made_once(signals):
    signal, spectrum = Signal(), Spectrum(1024, 1024, "hann", 512)
    first: list[Spectra] = []
    second: list[Spectra] = []
    signal.on_spectra(spectrum, first.append)
    signal.on_spectra(spectrum, second.append)
    assert signal.decimated(2) is signal.decimated(2)
    pushed(signal, signals["noise"])
    assert all(one is other for one, other in zip(first, second, strict=True))
    assert first[0].energies is first[0].energies


def test_frames_beyond_the_limit_are_read_in_bounded_blocks(monkeypatch):
    monkeypatch.setattr(analysis, "MEMORY_BYTES", 100 * 4 * 5)
    rows = np.random.default_rng(0).standard_normal((333, 5)).astype(np.float32)
    frames = Frames()
    for first in range(0, len(rows), 37):
        frames.append(rows[first : first + 37])
    blocks = list(frames.blocks())
    assert [len(block) for block in blocks] == [100, 100, 100, 33]
    np.testing.assert_array_equal(np.concatenate(blocks), rows)


def test_a_frame_greater_than_the_limit_is_kept(monkeypatch):
    monkeypatch.setattr(analysis, "MEMORY_BYTES", 4)
    frames = Frames()
    frames.append(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert [block.tolist() for block in frames.blocks()] == [[[0.0, 1.0, 2.0]], [[3.0, 4.0, 5.0]]]


def test_frames_are_copied():
    row = np.ones((1, 3), np.float32)
    frames = Frames()
    frames.append(row)
    row[:] = 0
    (block,) = frames.blocks()
    assert (block == 1).all()


def test_no_frames_give_no_block():
    assert list(Frames().blocks()) == []
