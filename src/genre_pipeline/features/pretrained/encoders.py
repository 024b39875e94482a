"""Encoders from a local file: what they share, whatever their network.

An encoder is a pretrained network that turns a waveform into numbers, and is one Python file: a subclass of
:class:`EncoderBlock` with its parameters and a method that loads its network, registered with :func:`encoder_spec`.
``waveform_cnn.py`` is an example to copy; ``onnx.py`` runs any network that was exported to ONNX. Both are described in
``docs/encoders.md``.

A clip is cut into windows of one length. Each window is encoded alone, and the mean of its frames is a frame of the
feature. So numbers depend neither on the clip's other windows nor on workers, and memory does not grow with the clip.
"""

from __future__ import annotations

import hashlib
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field
from typing_extensions import override

from genre_pipeline.errors import ConfigError, FeatureError, GenrePipelineError
from genre_pipeline.features.analysis import Frames, Samples, Signal
from genre_pipeline.features.base import Bins, FeatureBlock, FeatureSpec, Finish, SegmentBlock
from genre_pipeline.registry import Pretraining
from genre_pipeline.work.backends import Device

if TYPE_CHECKING:
    from torch import nn

# From the waveform of a window, shape ``(n_samples,)``, to its frames, shape ``(n_frames, n_dims)``; both float32.
# Called from several threads at once.
Encoder = Callable[[Samples], Samples]

# The file's place, and what the report states: no number depends on them.
_NOT_DECIDING = frozenset({"path", "licence", "trained_on", "overlap"})

# Each process loads a network once, whichever of its threads is first.
_LOADING = threading.Lock()


def _lowered(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class EncoderBlock(FeatureBlock):
    """Parameters of every encoder from a local file.

    Attributes:
        path: The file of its weights.
        sha256: Checksum of the file, 64 hexadecimal digits: another file is refused.
        sample_rate: Rate that the network was trained on, in Hz.
        window_s: Length of the windows that are encoded, in seconds. A tail shorter than a window is dropped.
        hop_length: Distance between the starts of successive windows, in samples.
        n_dims: Length of the encoder's frames.
        licence: Of the weights, for the model's card.
        trained_on: The data that the network was trained on, for the report.
        overlap: Whether that data may hold test tracks or their artists, in a sentence, for the report.
        segment: How a clip's windows are cut; by default, a segment is a window.
        dtype: Type of the stored numbers, whose range is unknown.
    """

    path: Path
    sha256: Annotated[str, BeforeValidator(_lowered), Field(pattern="^[0-9a-f]{64}$")]
    # [?] Half an hour, at the highest rate: beyond what any encoder takes at once.
    hop_length: int = Field(ge=1, le=1800 * 768_000)
    window_s: float = Field(gt=0.0, le=1800.0)
    n_dims: int = Field(ge=1, le=2**17)
    licence: str = Field(min_length=1)
    trained_on: str = Field(min_length=1)
    overlap: str = Field(min_length=1)
    segment: SegmentBlock = SegmentBlock(n_frames=1, hop_frames=1)
    dtype: Literal["float16", "float32"] = "float32"

    @abstractmethod
    def load(self, content: bytes, device: Device) -> Encoder:
        """Make the encoder, without running anything that the file may hold.

        Args:
            content: The file, whose checksum is right.
            device: Where the network computes, if it can.

        Raises:
            ConfigError: If a package is missing. Any other exception means that the file does not fit.
        """

    @property
    def window_samples(self) -> int:
        """Length of a window in samples."""
        return max(1, round(self.window_s * self.sample_rate))

    @override
    def deciding(self) -> dict[str, Any]:
        """Return the parameters that decide numbers, among them the checksum of the file, and the resampler."""
        parameters = {key: value for key, value in self.dump().items() if key not in _NOT_DECIDING}
        return {**parameters, "resampler": "soxr HQ"}

    @override
    def frames_of(self, n_samples: int) -> int:
        """Return the number of whole windows."""
        return max(0, 1 + (n_samples - self.window_samples) // self.hop_length)

    @override
    def samples_of(self, n_frames: int) -> int:
        """Return the fewest samples that give so many windows."""
        return super().samples_of(n_frames) + self.window_samples


def encoder_spec(name: str, block: type[EncoderBlock], version: int) -> FeatureSpec:
    """Describe an encoder as a kind of feature, to register.

    Args:
        name: Name of the kind.
        block: Its parameters and how it is loaded.
        version: Starts at 1, raised when the encoder's numbers change.
    """
    return FeatureSpec(
        name=name,
        block=block,
        n_bins=_n_dims,
        begin=begin_encoder,
        version=version,
        bins=_dimensions,
        require=require_encoder,
        pretraining=_pretraining,
    )


def begin_encoder(signal: Signal, block: EncoderBlock) -> Finish:
    """Begin an encoder's feature, shape ``(n_dims, n_windows)``.

    Args:
        signal: The signal, before its samples.
        block: The parameters.

    Returns:
        The function that finishes the feature; it raises an error if the waveform is shorter than a window.

    Raises:
        ConfigError: If the file is missing, altered, or does not fit.
        FeatureError: If the network fails, or gives numbers that are not finite.
    """
    windows = _Windows(block, signal.device)
    signal.on_samples(windows.receive)

    def finish() -> Iterator[Samples]:
        signal.require(block.samples_of(1))
        for frames in windows.frames.blocks():
            yield frames.T

    return finish


def require_encoder(block: EncoderBlock) -> None:
    """Check the file, and that the encoder gives frames of ``n_dims`` numbers for a window of noise.

    Raises:
        ConfigError: If the file is missing, altered, or does not fit.
    """
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, block.window_samples).astype(np.float32)
    try:
        # Not kept: an experiment of several encoders checks each before any work.
        _encode(_load(block, "cpu"), noise, block)
    except FeatureError as error:
        raise ConfigError(str(error)) from None


def torch_encoder(network: nn.Module, content: bytes, device: Device) -> Encoder:
    """Make an encoder of a PyTorch network whose weights are in a safetensors file.

    Args:
        network: Maps shape ``(1, n_samples)`` to ``(1, n_frames, n_dims)``. Its weights are replaced: the file must
            hold each of them, and no other.
        content: The file.
        device: Where the network computes.
    """
    import torch
    from safetensors.torch import load

    network.load_state_dict(load(content))
    network.eval().requires_grad_(requires_grad=False).to(device)

    def encode(window: Samples) -> Samples:
        with torch.inference_mode(), single_precision(device):
            frames: Samples = network(torch.from_numpy(window[None]).to(device))[0].float().cpu().numpy()
        return frames

    return encode


def single_precision(device: str) -> AbstractContextManager[object]:
    """Keep a GPU from rounding the factors of convolutions to ten bits."""
    import torch

    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if device == "cuda" else nullcontext()


class _Windows:
    """Cuts samples into windows, and collects their frames."""

    def __init__(self, block: EncoderBlock, device: Device) -> None:
        self.frames = Frames()
        self._block = block
        self._device: Device = device
        self._waiting = np.empty(0, dtype=np.float32)
        self._to_skip = 0

    def receive(self, samples: Samples) -> None:
        n_window, hop_length = self._block.window_samples, self._block.hop_length
        n_skipped = min(self._to_skip, len(samples))
        self._to_skip -= n_skipped
        waiting = np.concatenate([self._waiting, samples[n_skipped:]])
        n_windows = self._block.frames_of(len(waiting))
        for start in range(0, n_windows * hop_length, hop_length):
            self.frames.append(_encode(self._encoder(), waiting[start : start + n_window], self._block)[None])
        used = n_windows * hop_length
        self._waiting, self._to_skip = waiting[used:], self._to_skip + max(0, used - len(waiting))

    def _encoder(self) -> Encoder:
        with _LOADING:
            return _loaded(self._block, self._device)


def _encode(encoder: Encoder, window: Samples, block: EncoderBlock) -> Samples:
    """Return the mean of a window's frames."""
    try:
        frames = np.asarray(encoder(window.copy()), dtype=np.float32)
    except Exception as error:  # whatever another library raises
        raise FeatureError(
            f"The encoder {block.path} failed on a window of {len(window)} samples ({_in_a_line(error)}). Set window_s "
            "and sample_rate to what it takes, or export it so that it takes such a waveform: see docs/encoders.md."
        ) from error
    if frames.ndim != 2 or frames.shape[1] != block.n_dims or not len(frames):
        raise FeatureError(
            f"The encoder {block.path} gives the shape {frames.shape} for a window of {len(window)} samples; expected "
            f"(n_frames, n_dims={block.n_dims}). Correct n_dims, choose another output, or put frames before "
            "dimensions."
        )
    mean: Samples = frames.mean(axis=0, dtype=np.float64).astype(np.float32)
    if not np.isfinite(mean).all():
        raise FeatureError(
            f"The encoder {block.path} gives numbers that are not finite for a window of {len(window)} samples. "
            "Correct the encoder, or leave out clips that it cannot encode."
        )
    return mean


@cache
def _loaded(block: EncoderBlock, device: Device) -> Encoder:
    return _load(block, device)


def _load(block: EncoderBlock, device: Device) -> Encoder:
    content = _read(block)
    try:
        return block.load(content, device)
    except GenrePipelineError:
        raise
    except Exception as error:  # whatever another library raises
        raise ConfigError(
            f"The file {block.path} is no encoder of the kind '{block.kind}' with these parameters "
            f"({_in_a_line(error)}). Correct path, or the parameters beside it."
        ) from error


def _read(block: EncoderBlock) -> bytes:
    try:
        content = block.path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"The weights {block.path.absolute()} cannot be read ({error.strerror}). Put the file there, or correct "
            "the feature's path. docs/encoders.md lists where weights are published."
        ) from None
    actual = hashlib.sha256(content).hexdigest()
    if actual != block.sha256:
        raise ConfigError(
            f"The weights {block.path} are not those that the feature names: expected SHA-256 {block.sha256}, got "
            f"{actual}. Get the original file again, or correct sha256."
        )
    return content


def _in_a_line(error: Exception, limit: int = 300) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    # What went wrong stands at the end, after the names of functions.
    return text if len(text) <= limit else f"...{text[3 - limit :]}"


def _n_dims(block: EncoderBlock) -> int:
    return block.n_dims


def _dimensions(_block: EncoderBlock) -> Bins:
    return Bins("dimension")


def _pretraining(block: EncoderBlock) -> Pretraining:
    return Pretraining(licence=block.licence, trained_on=block.trained_on, overlap=block.overlap)
