"""What every registered feature promises, whatever it computes."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoder_files import HAS_ONNX, encoder_values, needs_onnx
from genre_pipeline.errors import FeatureError
from genre_pipeline.features import FEATURES, FeatureBlock, extract_features, stream_features
from genre_pipeline.features import analysis as analysis_module
from genre_pipeline.features.pretrained.encoders import EncoderBlock
from genre_pipeline.stores.store import FeatureStore
from pretrained_weights import HAS_WEIGHTS, needs_weights

NAMES = ["sine", "chirp", "impulse", "noise", "silence"]

# What a kind needs beside the parameters of a log-mel spectrogram.
OWN_PARAMETERS = {
    "cqt": {"n_octaves": 7, "bins_per_octave": 12, "f_min_hz": 32.7},
    "musicnn": {
        "weights": "MSD_musicnn",
        "layer": "penultimate",
        "sample_rate": 16_000,
        "hop_length": 256,
        "segment": {"n_frames": 1, "hop_frames": 1},
    },
    "statistics": {"segment": {"n_frames": 1, "hop_frames": 1}},
}


# Embeddings are supplied, not computed.
EVERY = [spec for spec in FEATURES if spec.load is None]
# What is not everywhere: whether it is here, and what skips a test that needs it.
OPTIONAL = {"musicnn": (HAS_WEIGHTS, needs_weights), "onnx": (HAS_ONNX, needs_onnx)}
COMPUTED = [spec for spec in EVERY if OPTIONAL.get(spec.name, (True,))[0]]


@pytest.fixture(
    params=[
        pytest.param(spec, marks=OPTIONAL[spec.name][1] if spec.name in OPTIONAL else (), id=spec.name)
        for spec in EVERY
    ]
)
def spec(request):
    return request.param


@pytest.fixture(scope="session")
def signals(signals):
    """The signals, a tenth longer: a patch of musicnn takes 47,616 samples."""
    return {name: np.concatenate([samples, samples[:4410]]) for name, samples in signals.items()}


@pytest.fixture
def make_block(make_log_mel, tmp_path):
    """A function that makes the small block of a kind."""

    def make(spec, **changes):
        if issubclass(spec.block, EncoderBlock):
            return spec.block.model_validate(encoder_values(spec.name, tmp_path, **changes))
        common = {name: value for name, value in make_log_mel().model_dump().items() if name in spec.block.model_fields}
        common.pop("dtype")
        own = OWN_PARAMETERS.get(spec.name, {})
        return spec.block.model_validate({**common, **own, "kind": spec.name, **changes})

    return make


@pytest.fixture
def block(spec, make_block):
    return make_block(spec)


def in_blocks(waveform, lengths):
    return np.split(waveform, np.cumsum(lengths)[np.cumsum(lengths) < len(waveform)])


@pytest.mark.parametrize("name", NAMES)
def test_shape_type_and_finiteness(spec, block, signals, name):
    features = spec.extract(signals[name], block)
    assert features.shape == (spec.n_bins(block), block.n_frames(len(signals[name])))
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_the_waveform_is_not_changed(spec, block, signals):
    waveform = signals["noise"].copy()
    waveform.setflags(write=False)
    spec.extract(waveform, block)
    np.testing.assert_array_equal(waveform, signals["noise"])


def test_the_same_waveform_gives_the_same_bits_in_any_thread(spec, block, signals):
    with ThreadPoolExecutor(3) as pool:
        first, *others = pool.map(lambda _: spec.extract(signals["chirp"], block).tobytes(), range(4))
    assert set(others) == {first}


def test_a_result_is_not_overwritten_by_the_next(spec, block, signals):
    first = spec.extract(signals["noise"], block)
    kept = first.copy()
    spec.extract(signals["chirp"], block)
    np.testing.assert_array_equal(first, kept)


def test_the_stored_type_holds_every_signal(spec, block, signals, tmp_path):
    store = FeatureStore.create(tmp_path / "store", spec, block)
    for waveform in signals.values():
        features = spec.extract(waveform, block)
        stored = store.pack(features).astype(np.float32).T
        np.testing.assert_allclose(stored, features, rtol=2**-11, atol=1e-6)


def test_block_is_frozen_hashable_and_plain(spec, block):
    assert issubclass(spec.block, FeatureBlock)
    assert hash(block) == hash(block.model_copy())
    json.dumps(block.dump())
    with pytest.raises(ValueError, match="frozen"):
        block.hop_length = 1


def test_worker_processes_get_it(spec):
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_version_is_a_positive_number(spec):
    assert spec.version >= 1


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros((2, 4096), np.float32), r"wrong shape: expected mono, \(n_samples,\), got \(2, 4096\)"),
        (np.zeros(255, np.float32), r"too short: expected at least \d+ samples, got 255"),
        (np.zeros(0, np.float32), r"too short: expected at least \d+ samples, got 0"),
        (np.full(4096, np.nan, np.float32), "4096 samples that are NaN or infinite"),
        (np.where(np.arange(4096) == 9, np.inf, 0).astype(np.float32), "1 samples that are NaN or infinite"),
    ],
    ids=["stereo", "short", "empty", "nan", "infinite"],
)
def test_unusable_waveforms_are_refused(spec, block, waveform, message):
    with pytest.raises(FeatureError, match=message):
        spec.extract(waveform, block)


def test_features_computed_together_are_those_computed_alone(make_block, signals):
    requests = [(spec, make_block(spec)) for spec in COMPUTED]
    pieces = {"segment": {"n_frames": 44, "hop_frames": 44, "own_s": 1.0}}
    padded = {"segment": {"n_frames": 90, "hop_frames": 90, "pad_frames": 4}}
    for name, changes in [("log_mel", pieces), ("mfcc", pieces), ("log_mel", padded), ("stft", {"hop_length": 331})]:
        requests.append((FEATURES[name], make_block(FEATURES[name], **changes)))
    together = extract_features(signals["noise"], requests)
    for (spec, block), features in zip(requests, together, strict=True):
        np.testing.assert_array_equal(features, spec.extract(signals["noise"], block))


@settings(derandomize=True, deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(0, 30_000), max_size=6))
def test_blocks_of_any_length_give_the_same_bits(make_block, signals, lengths):
    requests = [(spec, make_block(spec)) for spec in COMPUTED if spec.name != "statistics"]
    whole = extract_features(signals["chirp"], requests)
    streams = stream_features(in_blocks(signals["chirp"], lengths), requests)
    for blocks, expected in zip(streams, whole, strict=True):
        np.testing.assert_array_equal(np.concatenate(list(blocks), axis=1), expected)


def test_frames_that_wait_on_the_disk_are_the_same(monkeypatch, spec, block, signals):
    expected = spec.extract(signals["noise"], block)
    monkeypatch.setattr(analysis_module, "MEMORY_BYTES", 4000)
    (blocks,) = stream_features([signals["noise"]], [(spec, block)])
    np.testing.assert_allclose(np.concatenate(list(blocks), axis=1), expected, rtol=1e-6, atol=1e-5)


def test_one_feature_may_fail_beside_another(make_block, signals):
    # Of 2.2 s, only pieces of 3 s cannot be had.
    spec = FEATURES["log_mel"]
    long_pieces = make_block(spec, segment={"n_frames": 130, "hop_frames": 130, "own_s": 3.0})
    whole, pieces = stream_features([signals["noise"]], [(spec, make_block(spec)), (spec, long_pieces)])
    assert next(whole).shape == (128, 95)
    with pytest.raises(FeatureError, match=r"too short: expected at least one piece of 66150 samples.*segment\.own_s"):
        next(pieces)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_gives_the_same_numbers_but_for_their_rounding(spec, block, signals, name):
    (blocks,) = stream_features([signals[name]], [(spec, block)], "cuda")
    found = np.concatenate(list(blocks), axis=1)
    np.testing.assert_allclose(found, spec.extract(signals[name], block), rtol=1e-4, atol=2e-3)
