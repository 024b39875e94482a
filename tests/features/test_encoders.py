"""Encoders from a local file: windows, numbers, and what is refused before any work."""

from __future__ import annotations

import io
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from encoder_files import FILTERS, N_DIMS, encoder_values, frames_of_window, needs_onnx, onnx_bytes, tensors_bytes
from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError, FeatureError
from genre_pipeline.features import FEATURES
from genre_pipeline.features.pretrained import encoders as module
from genre_pipeline.features.pretrained.waveform_cnn import WaveformCnnBlock, make_network
from genre_pipeline.stores.extraction import extract
from genre_pipeline.stores.store import spec_hash
from genre_pipeline.work.backends import Workers

BOTH = [pytest.param("onnx", marks=needs_onnx), "waveform_cnn"]
WINDOW = 1102  # 0.05 s at 22,050 Hz


@pytest.fixture
def make_block(tmp_path):
    """A function that writes an encoder's file and makes its block."""

    def make(kind="waveform_cnn", **changes):
        return parse_block(FEATURES[kind].block, encoder_values(kind, tmp_path, **changes), key="features.mine")

    return make


@pytest.fixture
def make_other(tmp_path):
    """A function that makes the block of other content than the small encoder's."""

    def make(kind, content, **changes):
        values = encoder_values(kind, tmp_path)
        path = tmp_path / "other"
        path.write_bytes(content)
        values.update(path=str(path), sha256=sha256(content).hexdigest(), **changes)
        return parse_block(FEATURES[kind].block, values, key="features.mine")

    return make


def noise(n_samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


def require(block):
    FEATURES[block.kind].require(block)


def refused(block):
    """The message with which a block is refused before any work: one line."""
    with pytest.raises(ConfigError) as error:
        require(block)
    message = str(error.value)
    assert "\n" not in message
    return message


class TestNumbers:
    @needs_onnx
    def test_a_frame_is_the_mean_of_what_the_onnx_network_gives_for_its_window(self, make_block):
        waveform = noise(22_050)
        found = FEATURES["onnx"].extract(waveform, make_block("onnx"))
        windows = [waveform[start : start + WINDOW] for start in range(0, 22_050 - WINDOW + 1, 441)]
        expected = np.stack([frames_of_window(window).mean(axis=0) for window in windows], axis=1)
        assert found.shape == expected.shape == (N_DIMS, 48)
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_a_frame_is_the_mean_of_what_the_network_with_the_files_tensors_gives(self, make_block):
        waveform = noise(3 * 441 + WINDOW)
        network = make_network(N_DIMS)
        network.load_state_dict(load(tensors_bytes()))
        with torch.inference_mode():
            expected = network(torch.from_numpy(waveform[None, 882 : 882 + WINDOW]))[0].mean(dim=0).numpy()
        found = FEATURES["waveform_cnn"].extract(waveform, make_block())
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(found[:, 2], expected, atol=1e-6)

    @needs_onnx
    @pytest.mark.parametrize("rank", [1, 2, 3])
    def test_a_waveform_of_any_number_of_axes_is_the_same(self, make_block, make_other, rank):
        expected = FEATURES["onnx"].extract(noise(5000), make_block("onnx"))
        other = make_other("onnx", onnx_bytes(rank))
        require(other)
        np.testing.assert_array_equal(FEATURES["onnx"].extract(noise(5000), other), expected)

    @pytest.mark.parametrize("hop_length", [100, WINDOW, 3000])
    @pytest.mark.parametrize("n_samples", [WINDOW, 2 * WINDOW - 1, 2 * WINDOW, 20_000])
    def test_the_number_of_windows_is_known_from_the_length(self, make_block, hop_length, n_samples):
        block = make_block(hop_length=hop_length)
        found = FEATURES["waveform_cnn"].extract(noise(n_samples), block).shape[1]
        assert found == block.n_frames(n_samples) == 1 + (n_samples - WINDOW) // hop_length

    def test_windows_across_chunks_are_those_of_the_whole_waveform(self, make_block, monkeypatch):
        waveform = noise(30_000)
        for hop_length in (441, 5000):
            block = make_block(hop_length=hop_length)
            expected = FEATURES["waveform_cnn"].extract(waveform, block)
            with monkeypatch.context() as patch:
                patch.setattr("genre_pipeline.features.base.CHUNK_SAMPLES", 700)
                found = FEATURES["waveform_cnn"].extract(waveform, block)
            np.testing.assert_array_equal(found, expected)

    def test_a_clip_shorter_than_a_window_is_refused(self, make_block):
        block = make_block()
        assert block.n_frames(WINDOW - 1) == 0
        with pytest.raises(FeatureError, match="too short: expected at least 1102 samples, got 1101"):
            FEATURES["waveform_cnn"].extract(noise(WINDOW - 1), block)

    def test_a_clip_that_lacks_a_part_of_a_window_may_be_padded(self, make_block):
        block = make_block(segment={"n_frames": 1, "hop_frames": 1, "pad_frames": 1})
        assert [block.n_frames(n) for n in (WINDOW - 442, WINDOW - 441, WINDOW)] == [0, 1, 1]

    def test_numbers_that_are_not_finite_leave_the_clip_out(self, make_block, monkeypatch):
        monkeypatch.setattr(module, "_load", lambda *_: lambda window: np.full((1, N_DIMS), np.nan, np.float32))
        module._loaded.cache_clear()
        with pytest.raises(FeatureError, match="gives numbers that are not finite"):
            FEATURES["waveform_cnn"].extract(noise(WINDOW), make_block())
        module._loaded.cache_clear()

    def test_a_process_loads_a_network_once(self, make_block, monkeypatch):
        loaded = []
        network = WaveformCnnBlock.load
        monkeypatch.setattr(WaveformCnnBlock, "load", lambda *args: loaded.append(1) or network(*args))
        module._loaded.cache_clear()
        block = make_block()
        with ThreadPoolExecutor(4) as pool:
            found = pool.map(lambda _: FEATURES["waveform_cnn"].extract(noise(5000), block).tobytes(), range(4))
            assert len(set(found)) == 1
        assert loaded == [1]

    @pytest.mark.parametrize("kind", BOTH)
    def test_processes_and_threads_store_the_same_bytes(self, kind, make_block, tmp_path, make_tracks, write_track):
        tracks = make_tracks([{**write_track(f"t{n}", seed=n, n_samples=4000)} for n in range(3)])
        digests = {
            tuple(
                extract(
                    tracks,
                    root=tmp_path / "audio",
                    spec=FEATURES[kind],
                    block=make_block(kind),
                    folder=tmp_path / backend,
                    workers=Workers(backend, 2),
                    shard_size=1,
                ).store.index["crc32"]
            )
            for backend in ("serial", "threads", "processes")
        }
        (digest,) = digests
        assert len(digest) == 3


class TestParameters:
    @pytest.mark.parametrize("kind", BOTH)
    def test_what_was_stated_is_there_for_the_report(self, kind, make_block):
        facts = FEATURES[kind].pretraining(make_block(kind))
        assert facts == ("CC0 (made for a test)", "nothing (random weights)", "It holds no music.", "feature")

    @pytest.mark.parametrize("name", ["path", "sha256", "n_dims", "window_s", "licence", "trained_on", "overlap"])
    def test_what_must_be_stated_is_asked_for(self, make_block, tmp_path, name):
        values = encoder_values("waveform_cnn", tmp_path)
        del values[name]
        with pytest.raises(ConfigError, match=rf"features\.mine\.{name}: is missing"):
            parse_block(WaveformCnnBlock, values, key="features.mine")

    @pytest.mark.parametrize("changes", [{"sha256": "abc"}, {"licence": ""}, {"n_dims": 0}, {"window_s": 0.0}])
    def test_what_cannot_be_is_named(self, make_block, changes):
        (name,) = changes
        with pytest.raises(ConfigError, match=rf"features\.mine\.{name}: got"):
            make_block(**changes)

    def test_a_checksum_in_capitals_is_the_same(self, make_block):
        block = make_block()
        assert make_block(sha256=block.sha256.upper()) == block

    def test_windows_of_any_length_can_be_neighbours(self, make_block):
        assert make_block(window_s=1800.0, hop_length=1800 * 22_050).frames_of(3600 * 22_050) == 2

    def test_numbers_depend_on_the_checksum_and_not_on_the_files_place_or_what_the_report_states(self, make_block):
        spec = FEATURES["waveform_cnn"]
        first = spec_hash(spec, make_block())
        same = {"path": "elsewhere", "licence": "MIT", "trained_on": "much", "overlap": "None."}
        assert spec_hash(spec, make_block(**same)) == first
        others = [{"sha256": 64 * "0"}, {"window_s": 0.06}, {"hop_length": 442}, {"sample_rate": 16_000}]
        assert len({first, *(spec_hash(spec, make_block(**each)) for each in others)}) == 5

    @needs_onnx
    def test_numbers_depend_on_the_output_that_is_read(self, make_block):
        spec = FEATURES["onnx"]
        assert spec_hash(spec, make_block("onnx")) != spec_hash(spec, make_block("onnx", output_name="maps"))


class TestWhatIsRefusedBeforeAnyWork:
    @pytest.mark.parametrize("kind", BOTH)
    def test_a_good_file_is_not(self, kind, make_block):
        require(make_block(kind))

    @pytest.mark.parametrize("kind", BOTH)
    def test_a_missing_file(self, kind, make_block, tmp_path):
        message = refused(make_block(kind, path=str(tmp_path / "nowhere.bin")))
        assert message.startswith(f"The weights {tmp_path}/nowhere.bin cannot be read (No such file or directory)")
        assert "docs/encoders.md" in message

    def test_a_folder(self, make_block, tmp_path):
        assert "cannot be read (Is a directory)" in refused(make_block(path=str(tmp_path)))

    @pytest.mark.parametrize("kind", BOTH)
    def test_an_altered_file_even_if_it_would_load(self, kind, make_block, tmp_path):
        block = make_block(kind)
        other = tensors_bytes(N_DIMS + 1) if kind == "waveform_cnn" else onnx_bytes(1)
        block.path.write_bytes(other)
        message = refused(block)
        assert f"expected SHA-256 {block.sha256}, got {sha256(other).hexdigest()}" in message

    @pytest.mark.parametrize("kind", BOTH)
    @pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04N."])
    def test_a_file_of_another_format(self, kind, make_other, content):
        assert f"is no encoder of the kind '{kind}' with these parameters (" in refused(make_other(kind, content))

    def test_a_pickle_is_not_run(self, make_other, tmp_path):
        class Harmful:
            def __reduce__(self):
                return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

        checkpoint = io.BytesIO()
        torch.save({"weight": Harmful()}, checkpoint)
        for content in (pickle.dumps(Harmful()), checkpoint.getvalue()):
            assert "is no encoder of the kind 'waveform_cnn'" in refused(make_other("waveform_cnn", content))
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        "change",
        [
            lambda tensors: {name: value for name, value in tensors.items() if name != "layers.0.bias"},
            lambda tensors: {**tensors, "more": torch.zeros(1)},
            lambda tensors: {**tensors, "layers.0.bias": torch.zeros(3)},
        ],
        ids=["missing", "unknown", "shape"],
    )
    def test_tensors_of_another_network(self, make_other, change):
        message = refused(make_other("waveform_cnn", save(change(load(tensors_bytes())))))
        assert "layers.0.bias" in message or '"more"' in message

    @needs_onnx
    def test_frames_of_another_length(self, make_block):
        message = refused(make_block("onnx", n_dims=5))
        assert "gives the shape (136, 4) for a window of 1102 samples; expected (n_frames, n_dims=5)" in message

    @needs_onnx
    def test_a_window_that_the_network_cannot_take(self, make_block):
        message = refused(make_block("onnx", window_s=0.0005))
        assert "failed on a window of 11 samples" in message
        assert "Set window_s and sample_rate to what it takes" in message

    @needs_onnx
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"input_name": "audio"}, "input_name is audio; the network's inputs are waveform"),
            ({"output_name": "logits"}, "output_name is logits; the network's outputs are frames"),
        ],
    )
    def test_names_that_the_network_does_not_have(self, make_block, changes, message):
        assert message in refused(make_block("onnx", **changes))

    @needs_onnx
    def test_operators_that_are_not_onnxruntimes_own(self, make_other):
        assert "mine:Conv(-1) is not a registered function/op" in refused(make_other("onnx", onnx_bytes(domain="mine")))

    @needs_onnx
    @pytest.mark.parametrize("place", ["beside", "working directory", "memory"])
    def test_tensors_outside_the_file_that_its_checksum_does_not_cover(self, make_other, tmp_path, monkeypatch, place):
        folder = tmp_path / "other_folder" if place == "working directory" else tmp_path
        folder.mkdir(exist_ok=True)
        (folder / "filters.bin").write_bytes(FILTERS.tobytes())
        monkeypatch.chdir(folder)
        # onnxruntime's own mark for an address in memory.
        name = "*/_ORT_MEM_ADDR_/*" if place == "memory" else "filters.bin"
        assert "is no encoder of the kind 'onnx'" in refused(make_other("onnx", onnx_bytes(external=name)))

    def test_a_missing_onnxruntime(self, make_block, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        assert refused(make_block("onnx")) == (
            "Features of the kind 'onnx' need the package onnxruntime. Install it: pip install 'genre-pipeline[onnx]'"
        )

    def test_extraction_begins_with_the_check(self, make_block, make_tracks, tmp_path):
        # The track has no file: it would be an error of its own.
        with pytest.raises(ConfigError, match="cannot be read"):
            extract(
                make_tracks([{"track_id": "a", "audio_hash": "a"}]),
                root=tmp_path,
                spec=FEATURES["waveform_cnn"],
                block=make_block(path=str(tmp_path / "nowhere")),
                folder=tmp_path / "store",
                workers=Workers("serial", 1),
            )
        assert not (tmp_path / "store").exists()
