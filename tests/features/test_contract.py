"""What every registered feature promises, whatever it computes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from genre_pipeline.features import FEATURES, FeatureBlock
from genre_pipeline.features.store import FeatureStore


@pytest.fixture(params=FEATURES.names())
def spec(request):
    return FEATURES[request.param]


@pytest.fixture
def block(spec, make_log_mel):
    common = {name: value for name, value in make_log_mel().model_dump().items() if name in spec.block.model_fields}
    return spec.block.model_validate({**common, "kind": spec.name})


NAMES = ["sine", "chirp", "impulse", "noise", "silence"]


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
        first, *others = pool.map(lambda _: spec.extract(signals["chirp"], block).tobytes(), range(6))
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


def test_version_is_a_positive_number(spec):
    assert spec.version >= 1
