"""Layers of musicnn, networks that were trained to tag music: one frame per patch of 3 s.

The front-end is musicnn's own: 16 kHz, 96 mel bands of 512-sample frames, ``log10(1 + 10000 * energy)``, patches of 187
frames. It differs from the code in its wheel in two ways: energies stay in single precision (there, half precision
overflows in loud music), and the ends of a clip are padded with zeros as in librosa since version 0.10.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field, model_validator
from typing_extensions import override

from genre_pipeline.features.analysis import Frames, Samples, Signal, Spectra, Spectrum
from genre_pipeline.features.base import (
    FEATURES,
    Bins,
    FeatureBlock,
    Features,
    FeatureSpec,
    Finish,
    SegmentBlock,
)
from genre_pipeline.features.log_mel import MelBands
from genre_pipeline.features.pretrained.encoders import single_precision
from genre_pipeline.features.pretrained.tensor_bundle import read_bundle
from genre_pipeline.features.pretrained.weights import WeightsName, checksum, find_weights, pretraining, tags
from genre_pipeline.registry import Pretraining

if TYPE_CHECKING:
    from torch import Tensor

    from genre_pipeline.features.pretrained.networks import Musicnn, Vgg

_SAMPLE_RATE = 16_000  # [C]
_N_FFT = 512  # [C]
_FRAME_HOP = 256  # [C]
_PATCH_FRAMES = 187  # [C]
_PATCH_SAMPLES = _PATCH_FRAMES * _FRAME_HOP
_SPECTRUM = Spectrum(_N_FFT, _N_FFT, "hann", _FRAME_HOP)
_BANDS = MelBands(
    sample_rate=_SAMPLE_RATE, n_fft=_N_FFT, n_mels=96, f_min_hz=0.0, f_max_hz=8000.0, scale="slaney", power=2.0
)
_GAIN = 10_000.0  # [C]
_N_DIMS = {
    "musicnn": {"penultimate": 200, "taggram": 50, "mean_pool": 753, "max_pool": 753},
    "vgg": {"pool5": 256, "taggram": 50},
}


class Patches(NamedTuple):
    """How the networks' patches are computed, for an export.

    Attributes:
        spectrum: The spectra.
        bands: Their mel bands.
        gain: Levels are ``log10(1 + gain * energy)``.
        n_frames: Frames of a patch.
    """

    spectrum: Spectrum
    bands: MelBands
    gain: float
    n_frames: int


PATCHES = Patches(_SPECTRUM, _BANDS, _GAIN, _PATCH_FRAMES)

# Each process loads weights once, whichever of its threads is first.
_LOADING = threading.Lock()


class MusicnnBlock(FeatureBlock):
    """Parameters of a layer of musicnn.

    Attributes:
        weights: The network and what it was trained on: ``MSD`` (the Million Song Dataset) or ``MTT`` (MagnaTagATune).
        layer: What of the network: ``penultimate`` (200 numbers), ``taggram`` (probabilities of 50 tags), ``mean_pool``
            or ``max_pool`` (753; mean and greatest of each map); of a ``vgg``: ``pool5`` (256) or ``taggram``.
        weights_path: A wheel of musicnn 0.1.0, or a folder of its files, where the weights are looked for before the
            installed package. They are the same wherever they are found: their checksum is compared.
        sample_rate: 16 kHz: what the networks were trained on.
        hop_length: Distance between the starts of successive patches, in samples; a multiple of 256. By default patches
            are neighbours. A tail shorter than a patch is dropped.
        segment: How a clip's patches are cut; by default, a segment is a patch.
        dtype: Type of the stored numbers.
    """

    weights: WeightsName
    layer: Literal["penultimate", "taggram", "mean_pool", "max_pool", "pool5"]
    weights_path: Path | None = None
    sample_rate: int = Field(default=_SAMPLE_RATE, ge=_SAMPLE_RATE, le=_SAMPLE_RATE)
    hop_length: int = Field(default=_PATCH_SAMPLES, ge=_FRAME_HOP, le=2**20, multiple_of=_FRAME_HOP)
    segment: SegmentBlock = SegmentBlock(n_frames=1, hop_frames=1)
    dtype: Literal["float16", "float32"] = "float32"

    @model_validator(mode="after")
    def _network_has_layer(self) -> MusicnnBlock:
        if self.layer not in self._layers:
            raise ValueError(f"{self.weights} has no layer '{self.layer}'; its layers are {', '.join(self._layers)}")
        return self

    @property
    def _layers(self) -> dict[str, int]:
        return _N_DIMS[self.weights.partition("_")[2]]

    @property
    def n_dims(self) -> int:
        """Length of the layer."""
        return self._layers[self.layer]

    @override
    def deciding(self) -> dict[str, Any]:
        """Return the parameters without the place of the weights, but with their checksum, and the resampler."""
        parameters = {key: value for key, value in self.dump().items() if key != "weights_path"}
        return {**parameters, "checksum": checksum(self.weights), "resampler": "soxr HQ"}

    @override
    def frames_of(self, n_samples: int) -> int:
        """Return the number of whole patches."""
        return max(0, 1 + (n_samples - self.samples_of(1)) // self.hop_length)

    @override
    def samples_of(self, n_frames: int) -> int:
        """Return the fewest samples that give so many patches."""
        return super().samples_of(n_frames) + (_PATCH_FRAMES - 1) * _FRAME_HOP


def begin_musicnn(signal: Signal, block: MusicnnBlock) -> Finish:
    """Begin a layer of musicnn, shape ``(n_dims, n_patches)``.

    Within 1e-4 of what TensorFlow computes from the same patches. They are computed as their frames arrive, so
    memory does not grow with the clip. On a processor they are computed one by one: ten at once take twice as long per
    patch, because their maps no longer fit its caches. So no patch depends on another.

    Args:
        signal: The signal, before its samples.
        block: The parameters.

    Returns:
        The function that finishes the feature; it raises an error if the waveform is shorter than a patch.

    Raises:
        ConfigError: If the weights are missing or altered.
    """
    patches = _Patches(block)
    signal.on_spectra(_SPECTRUM, patches.receive)

    def finish() -> Iterator[Features]:
        signal.require(block.samples_of(1))
        for layers in patches.blocks():
            yield layers.T

    return finish


class _Patches:
    """Cuts frames into patches, and collects a layer of them."""

    def __init__(self, block: MusicnnBlock) -> None:
        self._block = block
        self._hop_frames = block.hop_length // _FRAME_HOP
        self._waiting: Tensor | None = None
        self._to_skip = 0
        self._layers = Frames()

    def receive(self, spectra: Spectra) -> None:
        import torch

        levels = _BANDS.energies(spectra).mul(_GAIN).add_(1.0).log10_()
        if self._waiting is not None:
            levels = torch.cat([self._waiting, levels])
        n_skipped = min(self._to_skip, len(levels))
        levels, self._to_skip = levels[n_skipped:], self._to_skip - n_skipped
        n_patches = max(0, 1 + (len(levels) - _PATCH_FRAMES) // self._hop_frames)
        if n_patches:
            self._compute(levels.unfold(0, _PATCH_FRAMES, self._hop_frames))
        n_used = n_patches * self._hop_frames
        self._waiting, self._to_skip = levels[n_used:], self._to_skip + max(0, n_used - len(levels))

    def _compute(self, patches: Tensor) -> None:
        import torch

        network = _network(self._block.weights, self._block.weights_path, patches.device.type)
        n_at_once = 1 if patches.is_cpu else len(patches)
        with torch.inference_mode(), single_precision(patches.device.type):
            for batch in torch.split(patches, n_at_once):
                self._layers.append(network(batch)[self._block.layer].cpu().numpy())

    def blocks(self) -> Iterator[Samples]:
        yield from self._layers.blocks()


def load_musicnn(block: MusicnnBlock) -> Musicnn | Vgg:
    """Load the network of a feature, on the processor.

    Args:
        block: The feature's parameters.

    Raises:
        ConfigError: If the weights are missing or altered.
    """
    return _network(block.weights, block.weights_path, "cpu")


def _network(weights: WeightsName, path: Path | None, device: str) -> Musicnn | Vgg:
    with _LOADING:
        return _load(weights, path, device)


@cache
def _load(weights: WeightsName, path: Path | None, device: str) -> Musicnn | Vgg:
    from genre_pipeline.features.pretrained.networks import load_network

    return load_network(weights, read_bundle(*find_weights(weights, path), name=weights)).to(device)


def _require(block: MusicnnBlock) -> None:
    find_weights(block.weights, block.weights_path)


def _pretraining(block: MusicnnBlock) -> Pretraining:
    return pretraining(block.weights)


def _n_dims(block: MusicnnBlock) -> int:
    return block.n_dims


def _bins(block: MusicnnBlock) -> Bins:
    return Bins("tag", names=tags(block.weights)) if block.layer == "taggram" else Bins("dimension")


FEATURES.register(
    FeatureSpec(
        name="musicnn",
        block=MusicnnBlock,
        n_bins=_n_dims,
        begin=begin_musicnn,
        version=1,
        bins=_bins,
        require=_require,
        pretraining=_pretraining,
    )
)
