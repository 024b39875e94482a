"""Small encoders to test with: an ONNX file, written field by field, and a safetensors file."""

from __future__ import annotations

from hashlib import sha256
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from safetensors.torch import save

from genre_pipeline.features.pretrained.waveform_cnn import make_network

HAS_ONNX = find_spec("onnxruntime") is not None
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="onnxruntime is not installed: pip install 'genre-pipeline[onnx]'")

N_DIMS = 4
FILTERS = np.random.default_rng(3).standard_normal((N_DIMS, 1, 16)).astype(np.float32)
STRIDE = 8
STATED = {
    "licence": "CC0 (made for a test)",
    "trained_on": "nothing (random weights)",
    "overlap": "It holds no music.",
}


def encoder_values(kind, folder, **changes):
    """Write an encoder's file, and return the parameters of a feature of it."""
    path = folder / ("small.onnx" if kind == "onnx" else "small.safetensors")
    content = onnx_bytes() if kind == "onnx" else tensors_bytes()
    path.write_bytes(content)
    own = {"input_name": "waveform", "output_name": "frames"} if kind == "onnx" else {}
    return {
        "kind": kind,
        "path": str(path),
        "sha256": sha256(content).hexdigest(),
        "sample_rate": 22_050,
        "window_s": 0.05,
        "hop_length": 441,
        "n_dims": N_DIMS,
        "segment": {"n_frames": 1, "hop_frames": 1},
        **STATED,
        **own,
        **changes,
    }


def tensors_bytes(n_dims=N_DIMS):
    """Weights of the network of ``waveform_cnn``."""
    generator = torch.Generator().manual_seed(5)
    shapes = {name: value.shape for name, value in make_network(n_dims).state_dict().items()}
    return save({name: 0.5 * torch.randn(shape, generator=generator) for name, shape in shapes.items()})


def onnx_bytes(rank=3, domain="", external=""):
    """A network in ONNX: a convolution of the waveform, its frames last but one.

    Args:
        rank: Axes of its input.
        domain: Domain of its first operator; another than ONNX's own is one that onnxruntime does not know.
        external: Name of a file beside it that holds its filters; empty if it holds them itself.
    """
    stored = _bytes(9, FILTERS.tobytes())
    if external:
        entries = {"location": external, "offset": "0", "length": str(FILTERS.nbytes)}
        stored = b"".join(_bytes(13, _text(1, key) + _text(2, value)) for key, value in entries.items()) + _number(
            14, 1
        )
    filters = b"".join(_number(1, size) for size in FILTERS.shape) + _number(2, 1) + _text(8, "filters") + stored
    shape = _numbers_tensor("shape", [1, 1, -1])
    graph = b"".join(
        [
            _bytes(1, _node("Reshape", ["waveform", "shape"], "wave")),
            _bytes(1, _node("Conv", ["wave", "filters"], "maps", _ints("strides", [STRIDE]), domain=domain)),
            _bytes(1, _node("Transpose", ["maps"], "frames", _ints("perm", [0, 2, 1]))),
            _text(2, "small"),
            _bytes(5, filters),
            _bytes(5, shape),
            _bytes(11, _value("waveform", [1] * (rank - 1) + ["n_samples"])),
            _bytes(12, _value("frames", [1, "n_frames", N_DIMS])),
        ]
    )
    versions = [("", 17)] + ([(domain, 1)] if domain else [])
    imports = b"".join(_bytes(8, _text(1, name) + _number(2, version)) for name, version in versions)
    return _number(1, 8) + imports + _bytes(7, graph)


def frames_of_window(window):
    """What the ONNX network gives for a window, by numpy."""
    windows = np.lib.stride_tricks.sliding_window_view(window.astype(np.float64), FILTERS.shape[2])[::STRIDE]
    return windows @ FILTERS[:, 0].T.astype(np.float64)


def _varint(number):
    number &= 2**64 - 1
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _number(field, number):
    return _varint(field << 3) + _varint(number)


def _bytes(field, content):
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field, text):
    return _bytes(field, text.encode())


def _node(operator, inputs, output, attribute=b"", domain=""):
    return (
        b"".join(_text(1, each) for each in inputs)
        + _text(2, output)
        + _text(4, operator)
        + (_bytes(5, attribute) if attribute else b"")
        + _text(7, domain)
    )


def _ints(name, numbers):
    return _text(1, name) + b"".join(_number(8, each) for each in numbers) + _number(20, 7)


def _numbers_tensor(name, numbers):
    return _number(1, len(numbers)) + _number(2, 7) + _text(8, name) + _bytes(9, np.array(numbers, "<i8").tobytes())


def _value(name, shape):
    sizes = b"".join(_bytes(1, _number(1, each) if isinstance(each, int) else _text(2, each)) for each in shape)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, sizes)))
