"""Features as modules: the numbers of the features that models were trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.errors import ConfigError
from genre_pipeline.exports.files import least_samples
from genre_pipeline.exports.front_ends import Energies, front_end, sliding
from genre_pipeline.features import FEATURES
from genre_pipeline.features.analysis import Spectrum
from genre_pipeline.features.base import FeatureBlock
from genre_pipeline.project import PROJECT_ROOT
from pretrained_weights import needs_weights

PRESETS = {
    name: values
    for path in sorted(Path(PROJECT_ROOT, "conf/base/parameters/features").glob("*.yml"))
    for name, values in yaml.safe_load(path.read_text())["features"].items()
}
SPECTRAL = [name for name, values in PRESETS.items() if values["kind"] in {"log_mel", "mfcc", "stft"}]
CHANGED = {
    "magnitudes": {"power": 1.0},
    "all_levels": {"top_db": None},
    "a_gain": {"gain": 10_000.0, "top_db": 80.0},
    "another_window": {"window": "blackman", "win_length": 800},
}


def block_of(name, **changes):
    return FeatureBlock.parse({**PRESETS[name], **changes}, key=name)


def music(n_samples, sample_rate):
    """Decaying tones over noise, with a silent beginning."""
    times = np.arange(n_samples) / sample_rate
    noise = 0.05 * np.random.default_rng(0).standard_normal(n_samples)
    sound = 0.3 * np.sin(2 * np.pi * 220.0 * times) * np.exp(-5.0 * (times % 0.5)) + noise
    return (sound * (times > 0.2)).astype(np.float32)


def segments_of(waveform, block):
    frames = FEATURES[block.kind].extract(waveform, block).astype(block.dtype).astype(np.float32)
    segment = block.segment
    starts = range(0, frames.shape[1] - segment.n_frames + 1, segment.hop_frames)
    return np.stack([frames[:, start : start + segment.n_frames] for start in starts])


def assert_close(block, waveform):
    expected = segments_of(waveform, block)
    found = front_end(block)(torch.from_numpy(waveform)).numpy()
    assert found.shape == expected.shape
    # Rounding of float32 can turn a number of half precision into its neighbour.
    step = np.spacing(np.abs(expected).astype(block.dtype)).astype(np.float32)
    tolerance = np.maximum(step, 2e-3)
    assert (np.abs(found - expected) <= tolerance).all()
    assert np.abs(found - expected).mean() < 2e-5


@pytest.mark.parametrize("name", SPECTRAL)
def test_every_spectral_preset_gives_the_same_segments(name):
    block = block_of(name)
    assert_close(block, music(round(31.3 * block.sample_rate), block.sample_rate))


@pytest.mark.parametrize("name", CHANGED)
def test_other_levels_and_windows_give_the_same_segments(name):
    block = block_of("log_mel_256", **CHANGED[name])
    assert_close(block, music(90_000, block.sample_rate))


def test_the_shortest_waveform_gives_one_segment():
    for name in SPECTRAL:
        block = block_of(name)
        waveform = music(least_samples(block), block.sample_rate)
        assert len(front_end(block)(torch.from_numpy(waveform))) == 1, name


@pytest.mark.parametrize("name", ["log_mel_100_own", "log_mel_128", pytest.param("musicnn", marks=needs_weights)])
def test_a_graph_takes_waveforms_of_any_length(name):
    block = block_of(name)
    module, least = front_end(block).eval(), least_samples(block)
    short, long = (torch.from_numpy(music(n * least + 1, block.sample_rate)) for n in (3, 4))
    # As files.py exports a whole classifier.
    with torch.fx.experimental._config.patch(backed_size_oblivious=True), torch.no_grad():
        graph = torch.export.export(module, (short,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        torch.testing.assert_close(graph.module()(long), module(long))


def test_silence_is_finite():
    block = block_of("log_mel_100")
    assert torch.isfinite(front_end(block)(torch.zeros(90_000))).all()


@settings(max_examples=25)
@given(n_fft=st.integers(1, 40).map(lambda half: 2 * half), n_samples=st.integers(0, 50), hop=st.integers(1, 50))
def test_two_matrix_products_are_a_fourier_transform(n_fft, n_samples, hop):
    waveform = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    energies = Energies(Spectrum(n_fft, n_fft, "boxcar", hop, "double"))
    padded = np.pad(waveform, n_fft)[n_fft // 2 :]
    frames = [padded[start : start + n_fft] for start in range(0, n_samples + 1, hop)]
    expected = np.abs(np.fft.rfft(frames)) ** 2
    np.testing.assert_allclose(energies(torch.from_numpy(waveform[None]))[0], expected, atol=1e-3, rtol=1e-5)


@given(n_rows=st.integers(1, 30), size=st.integers(1, 12), hop=st.integers(1, 12))
def test_windows_are_slices(n_rows, size, hop):
    rows = torch.arange(1.0, 1.0 + 2 * n_rows).reshape(1, n_rows, 2)
    n_windows = 1 + max(0, n_rows - size) // hop
    padded = np.pad(rows[0].numpy(), ((0, size), (0, 0)))
    expected = [padded[start : start + size].ravel() for start in range(0, n_windows * hop, hop)]
    assert sliding(rows, size, hop, n_windows)[0].tolist() == np.array(expected).tolist()


@pytest.mark.parametrize("name", ["cqt_36", "chroma_12", "statistics_57"])
def test_what_cannot_be_exported_is_named_in_one_line(name):
    with pytest.raises(ConfigError, match=r"^Features of the kind '\w+' cannot be exported; expected .*NAME$"):
        front_end(block_of(name))
