"""Compiled code computes what the plain code computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genre_pipeline.audio.compiled_spectra import Filters, Transform, write_decibels
from genre_pipeline.features import FEATURES, stream_features
from genre_pipeline.features import analysis as analysis_module
from genre_pipeline.features.spectrum import Levels
from genre_pipeline.stores import extraction
from genre_pipeline.stores.extraction import extract
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.work.backends import Workers

FRAMES = {"sample_rate": 22050, "n_fft": 1024, "hop_length": 512, "segment": {"n_frames": 8, "hop_frames": 8}}
# Kind, parameters, tolerance: that of the comparison with librosa.
FEATURES_OF_SPECTRA = {
    "log_mel": ("log_mel", {**FRAMES, "n_mels": 64}, 2e-3),
    "empty_bands": ("log_mel", {**FRAMES, "n_mels": 512}, 2e-3),
    "magnitudes": ("log_mel", {**FRAMES, "n_mels": 64, "power": 1.0}, 2e-3),
    "three_bands": ("log_mel", {**FRAMES, "n_mels": 3}, 2e-3),
    "gain": ("log_mel", {**FRAMES, "n_mels": 64, "gain": 1e4}, 1e-4),
    "shorter_window": ("log_mel", {**FRAMES, "n_mels": 64, "win_length": 661, "hop_length": 331}, 2e-3),
    "not_a_power_of_two": ("log_mel", {**FRAMES, "n_fft": 662, "hop_length": 331, "n_mels": 64}, 0.0),
    "mfcc": ("mfcc", {**FRAMES, "n_mels": 64, "delta_order": 1}, 2e-3),
    "stft": ("stft", FRAMES, 2e-3),
    "stft_single": ("stft", {**FRAMES, "precision": "single"}, 5e-3),
    "stft_linear": ("stft", {**FRAMES, "scale": "linear"}, 1e-4),
    "chroma": ("chroma", FRAMES, 1e-4),
    "cqt": (
        "cqt",
        {
            "sample_rate": 22050,
            "hop_length": 512,
            "n_octaves": 7,
            "bins_per_octave": 36,
            "segment": {"n_frames": 8, "hop_frames": 8},
        },
        2e-3,
    ),
    "pieces": ("log_mel", {**FRAMES, "n_mels": 64, "segment": {"n_frames": 44, "hop_frames": 44, "own_s": 1.0}}, 2e-3),
}


def computed(waveform, kind, parameters, *, is_compiled):
    block = FEATURES[kind].block.model_validate({"kind": kind, **parameters})
    (blocks,) = stream_features([waveform], [(FEATURES[kind], block)], is_compiled=is_compiled)
    return np.concatenate(list(blocks), axis=1)


@pytest.mark.parametrize("name", FEATURES_OF_SPECTRA)
def test_features_equal_those_of_the_plain_code(name, signals):
    kind, parameters, tolerance = FEATURES_OF_SPECTRA[name]
    for signal in ("noise", "chirp", "silence"):
        plain, compiled = (
            computed(signals[signal], kind, parameters, is_compiled=is_compiled) for is_compiled in (False, True)
        )
        # Bands far below a chirp hold the rounding of the loud ones, as in the comparison of each with librosa.
        is_compared = plain > plain.max() - (30 if name == "magnitudes" else 60) if signal == "chirp" else slice(None)
        assert np.abs(compiled - plain)[is_compared].max(initial=0) <= tolerance
        assert compiled.shape == plain.shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_fft", [analysis_module.MIN_COMPILED_FFT, 128, 256, 2048])
@pytest.mark.parametrize(("n_frames", "hop_length"), [(1, 17), (7, 5000), (8, 64), (9, 331), (27, 1)])
def test_a_transform_equals_that_of_numpy(dtype, n_fft, n_frames, hop_length):
    rng = np.random.default_rng(n_fft + n_frames)
    samples = rng.standard_normal(n_fft + (n_frames - 1) * hop_length).astype(np.float32)
    window = rng.uniform(0.5, 1.0, n_fft).astype(dtype)
    frames = np.stack([samples[k * hop_length :][:n_fft] for k in range(n_frames)])
    expected = np.fft.rfft(frames * window.astype(np.float64))
    transform = Transform(window)
    greatest = np.abs(expected).max()
    values = transform.values(samples, hop_length, n_frames)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6 * greatest)
    energies = transform.energies(samples, hop_length, n_frames)
    np.testing.assert_allclose(energies, np.abs(expected) ** 2, rtol=0, atol=1e-6 * greatest**2)


@pytest.mark.parametrize(("n_filters", "n_columns", "n_rows"), [(1, 3, 1), (9, 40, 8), (36, 129, 21)])
def test_filters_equal_a_matrix_product(n_filters, n_columns, n_rows):
    rng = np.random.default_rng(n_filters)
    filters = some_filters(rng, n_filters, n_columns, np.float32)
    rows = rng.standard_normal((n_rows, n_columns)).astype(np.float32)
    np.testing.assert_allclose(Filters(filters)(rows), rows @ filters.T, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_filters", [1, 9, 36])
def test_energies_of_complex_filters_equal_a_matrix_product(dtype, n_filters):
    rng = np.random.default_rng(n_filters)
    filters = some_filters(rng, n_filters, 129, np.complex64)
    gains = rng.uniform(0.5, 2.0, n_filters).astype(np.float32)
    samples = rng.standard_normal(256 + 20 * 64).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, 256)[::64]
    expected = np.abs(np.fft.rfft(frames) @ filters.T) ** 2 * gains
    transform = Transform(np.ones(256, dtype=dtype))
    energies = transform.response_energies(samples, 64, 21, filters=Filters(filters), gains=gains)
    np.testing.assert_allclose(energies, expected, rtol=0, atol=2e-6 * expected.max())


def some_filters(rng, n_filters, n_columns, dtype):
    """Filters of six neighbouring columns at most; the first holds none."""
    filters = rng.standard_normal((n_filters, n_columns)).astype(dtype)
    if dtype == np.complex64:
        filters.imag = rng.standard_normal(filters.shape)
    starts, columns = rng.integers(0, n_columns, n_filters)[:, None], np.arange(n_columns)
    filters[(columns < starts) | (columns > starts + 5)] = 0
    filters[0] = 0
    return filters


def test_a_bank_of_zeros_answers_nothing():
    assert (Filters(np.zeros((9, 20), np.float32))(np.ones((8, 20), np.float32)) == 0).all()


def test_decibels_of_every_size_of_number():
    energies = np.float32(10.0) ** np.linspace(-37, 38, 10_001, dtype=np.float32)
    levels_db = np.empty_like(energies)
    assert write_decibels(energies, 1e-30, levels_db) == energies.max()
    np.testing.assert_allclose(levels_db, 10 * np.log10(np.maximum(energies, 1e-30, dtype=np.float64)), atol=3e-5)


@pytest.mark.parametrize("fault", [np.nan, np.inf])
@pytest.mark.parametrize("n_energies", [5, 100])
def test_energies_that_are_not_finite_give_the_levels_of_the_plain_code(small_block, n_energies, fault):
    energies = torch.ones(1, n_energies)
    energies[0, 3] = fault
    plain, compiled = Levels(small_block), Levels(small_block)
    plain.append(energies)
    compiled.append(energies, is_compiled=True)
    np.testing.assert_array_equal(np.concatenate([*compiled.blocks(1.0)]), np.concatenate([*plain.blocks(1.0)]))


def test_bits_do_not_depend_on_the_blocks(signals, monkeypatch):
    kind, parameters, _ = FEATURES_OF_SPECTRA["cqt"]
    at_once = computed(signals["noise"], kind, parameters, is_compiled=True)
    monkeypatch.setattr(analysis_module, "_COMPILED_BLOCK_BYTES", 2**14)
    np.testing.assert_array_equal(computed(signals["noise"], kind, parameters, is_compiled=True), at_once)


@pytest.mark.parametrize("n_filters", [1, 7, 64])
@pytest.mark.parametrize("n_frames", [1, 8, 27])
def test_bands_are_those_of_stored_energies_to_the_bit(n_filters, n_frames):
    rng = np.random.default_rng(n_filters)
    samples = rng.standard_normal(1024 + (n_frames - 1) * 331).astype(np.float32)
    transform = Transform(np.hanning(1025)[:-1].astype(np.float32))
    bank = np.zeros((n_filters, 513), dtype=np.float32)
    for number, row in enumerate(bank):
        row[7 * number :][:10] = rng.uniform(size=len(row[7 * number :][:10]))
    filters = Filters(bank)
    stored = filters(transform.energies(samples, 331, n_frames))
    np.testing.assert_array_equal(transform.band_energies(samples, 331, n_frames, filters=filters), stored)


@pytest.mark.parametrize("name", ["log_mel", "mfcc", "magnitudes", "shorter_window"])
def test_bits_do_not_depend_on_other_features(name, signals):
    kind, parameters, _ = FEATURES_OF_SPECTRA[name]
    block = FEATURES[kind].block.model_validate({"kind": kind, **parameters})
    frames = {key: value for key, value in parameters.items() if key in {*FRAMES, "win_length"}}
    stft = FEATURES["stft"].block.model_validate({"kind": "stft", **frames, "precision": "single"})
    requests = [(FEATURES["stft"], stft), (FEATURES[kind], block)]
    alone = computed(signals["noise"], kind, parameters, is_compiled=True)
    for order in (requests, requests[::-1]):
        both = stream_features([signals["noise"]], order, is_compiled=True)
        together = dict(
            zip([spec.name for spec, _ in order], [np.concatenate(list(each), axis=1) for each in both], strict=True)
        )
        np.testing.assert_array_equal(together[kind], alone)


def test_a_long_extraction_uses_compiled_code(write_track, make_tracks, small_block, tmp_path, monkeypatch):
    tracks = make_tracks([write_track("a", seed=1), write_track("b", seed=2)])

    def stored(folder) -> tuple[str, FeatureStore]:
        result = extract(
            tracks,
            root=tmp_path / "audio",
            spec=FEATURES["log_mel"],
            block=small_block,
            folder=tmp_path / folder,
            workers=Workers("serial"),
        )
        return result.report["transform"], result.store

    plain, short = stored("short")
    monkeypatch.setattr(extraction, "COMPILED_SAMPLES", int(tracks["n_samples"].sum()))
    compiled, long = stored("long")
    assert (plain, compiled) == ("torch", "compiled")
    for track_id in tracks["track_id"]:
        # Half a step of float16 at 100 dB, and the tolerance.
        np.testing.assert_allclose(long.read(track_id), short.read(track_id), rtol=0, atol=0.0625 + 2e-3)
    # What compiled code made serves a short extraction, and the other way round.
    assert (
        extract(
            tracks,
            root=tmp_path / "audio",
            spec=FEATURES["log_mel"],
            block=small_block,
            folder=tmp_path / "short",
            workers=Workers("serial"),
        ).report["n_reused"]
        == 2
    )
