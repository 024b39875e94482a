"""Features: frozen specifications, and how they are computed from a stream of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from typing_extensions import override

from genre_pipeline.blocks import Block, parse_block, registered
from genre_pipeline.errors import FeatureError
from genre_pipeline.features.analysis import CHUNK_SAMPLES, Frames, Samples, Signal, in_chunks
from genre_pipeline.registry import Pretraining, Registry
from genre_pipeline.work.backends import Device

# [?] The silence that pads a clip is in memory as a whole: 460 MB at 192 kHz.
_MAX_PADDING_S = 600.0


class SegmentBlock(Block):
    """How a clip's feature is cut into segments of one length.

    Usually segments are slices of the clip's feature. With ``own_s``, the waveform is cut first, and each piece is
    transformed separately, as in some papers. That differs in two ways: the outermost frames of a segment include
    silence instead of the neighbouring music, and the greatest level (``ref: max``, ``top_db``) is the segment's
    instead of the clip's. Measured on 12 clips of GTZAN, 3-s pieces, log-mel 2048/512/128: levels change by 0.2 dB on
    average, and by 2.7 dB with ``ref: max``.

    Attributes:
        n_frames: Frames in a segment.
        hop_frames: Distance between the starts of neighbouring segments; less than ``n_frames`` makes them overlap.
        own_s: Length of the pieces that are transformed separately, in seconds; ``None`` means slices. ``n_frames``
            must then be the number of frames of a piece, and ``hop_frames`` the same. The rest of the clip is dropped.
        pad_frames: A clip that lacks at most this many frames of one segment is padded with silence to one segment: so
            a whole clip can be one segment although clips differ by a few frames.
    """

    # Ten million frames are a day at the shortest hops that anybody uses [?].
    n_frames: int = Field(ge=1, le=10_000_000)
    hop_frames: int = Field(ge=1, le=10_000_000)
    # A whole piece is in memory: an hour at 192 kHz takes 2.8 GB.
    own_s: float | None = Field(default=None, gt=0.0, le=3600.0)
    pad_frames: int = Field(default=0, ge=0, le=10_000_000)

    @model_validator(mode="after")
    def _one_way_of_cutting(self) -> SegmentBlock:
        if self.hop_frames > self.n_frames:
            raise ValueError(
                f"segment.hop_frames={self.hop_frames} is greater than segment.n_frames={self.n_frames}, "
                "which would leave gaps between segments"
            )
        if self.own_s is not None and self.hop_frames != self.n_frames:
            raise ValueError(
                f"segment.hop_frames={self.hop_frames} must equal segment.n_frames={self.n_frames} where own_s is "
                "given: pieces that are transformed on their own do not overlap"
            )
        if self.own_s is not None and self.pad_frames:
            raise ValueError(
                "segment.own_s and segment.pad_frames exclude each other: what is left of a clip is dropped"
            )
        return self


class FeatureBlock(Block):
    """Parameters that every feature has.

    Attributes:
        kind: Registered name of the extractor.
        sample_rate: Rate that the waveform is resampled to, in Hz.
        hop_length: Distance between successive frames, in samples.
        segment: How clips are cut.
        normalisation: Scaling of the segments for a model: ``none``; ``per_segment`` (zero mean and unit variance over
            the segment); ``training`` (mean and standard deviation of each bin over the training split only).
        dtype: Type of the stored numbers.
    """

    kind: str
    sample_rate: int = Field(ge=1000, le=192_000)
    # [?] Five seconds at 192 kHz.
    hop_length: int = Field(ge=1, le=2**20)
    segment: SegmentBlock
    normalisation: Literal["none", "per_segment", "training"] = "none"
    dtype: Literal["float16", "float32"] = "float16"

    @model_validator(mode="after")
    def _padding_is_short(self) -> FeatureBlock:
        padding_s = self.segment.pad_frames * self.hop_length / self.sample_rate
        if padding_s > _MAX_PADDING_S:
            raise ValueError(
                f"segment.pad_frames={self.segment.pad_frames} frames of hop_length={self.hop_length} continue a clip "
                f"by up to {padding_s:,.0f} s of silence; expected at most {_MAX_PADDING_S:g} s"
            )
        return self

    @model_validator(mode="after")
    def _pieces_give_segments(self) -> FeatureBlock:
        if self.own_samples is not None and self.frames_of(self.own_samples) != self.segment.n_frames:
            raise ValueError(
                f"segment.n_frames={self.segment.n_frames} is not what a piece of segment.own_s="
                f"{self.segment.own_s:g} s gives: {self.frames_of(self.own_samples)}"
            )
        return self

    @classmethod
    @override
    def parse(cls, values: object, *, key: str) -> FeatureBlock:
        """Check the values as the block of their kind."""
        return parse_block(registered(FEATURES, values, key=key).block, values, key=key)

    @property
    @override
    def code(self) -> dict[str, int | str]:
        """The version of the extractor."""
        return {f"features.{self.kind}": FEATURES[self.kind].version}

    @property
    def own_samples(self) -> int | None:
        """Length in samples of the pieces that are transformed separately; ``None`` if the clip is not cut."""
        return None if self.segment.own_s is None else round(self.segment.own_s * self.sample_rate)

    @property
    def padding(self) -> Padding | None:
        """The rule by which short clips are padded; ``None`` if they are not."""
        if not self.segment.pad_frames:
            return None
        full = self.samples_of(self.segment.n_frames)
        return Padding(least=full - self.segment.pad_frames * self.hop_length, full=full)

    def frames_of(self, n_samples: int) -> int:
        """Return the number of frames of samples that are transformed at once, centred on multiples of the hop."""
        return 1 + n_samples // self.hop_length

    def samples_of(self, n_frames: int) -> int:
        """Return the fewest samples, transformed at once, that give a number of frames."""
        return (n_frames - 1) * self.hop_length

    def n_frames(self, n_samples: int) -> int:
        """Return the number of frames of a waveform, 0 for an empty one."""
        if n_samples == 0:
            return 0
        if self.own_samples is not None:
            return n_samples // self.own_samples * self.segment.n_frames
        return self.frames_of(n_samples if self.padding is None else self.padding(n_samples))

    @property
    def frame_s(self) -> float | None:
        """Distance between the starts of successive frames, in seconds; ``None`` if a frame is the whole clip."""
        if self.segment.own_s is not None:
            return self.segment.own_s / self.segment.n_frames
        return self.hop_length / self.sample_rate


@dataclass(frozen=True)
class Padding:
    """When a waveform is padded with silence, and to which length.

    Attributes:
        least: The fewest samples of a waveform that is padded; shorter ones are not changed.
        full: The length after padding.
    """

    least: int
    full: int

    def __call__(self, n_samples: int) -> int:
        """Return the length of a waveform after padding."""
        return self.full if self.least <= n_samples < self.full else n_samples


Features = NDArray[np.float32]
Finish = Callable[[], Iterator[Features]]


class Bins(NamedTuple):
    """What the bins of a feature are, from the lowest.

    Attributes:
        meaning: In a word or two.
        centres_hz: Their centre frequencies, if they are frequencies.
        names: Their names, if they have some.
    """

    meaning: str
    centres_hz: NDArray[np.float64] | None = None
    names: tuple[str, ...] = ()


# Functions with names: a worker process unpickles a kind by those of its functions.
def _unnamed_bins(_block: FeatureBlock) -> Bins:
    return Bins("bin")


def _nothing(_block: FeatureBlock) -> None:
    """Need nothing, or be made of nothing pretrained."""


@dataclass(frozen=True)
class FeatureSpec:
    """A kind of feature. Worker processes unpickle it: its functions are defined in modules, with names.

    Attributes:
        name: Registered name, used as ``kind`` in YAML.
        block: Class of its parameters.
        n_bins: Height of the feature, from its parameters.
        begin: Subscribes to the inputs it needs of a signal, before its samples, and returns a function that finishes
            the feature after all samples. That function yields float32 blocks of shape ``(n_bins, n)``, successive in
            time (usually one), or raises :class:`~genre_pipeline.errors.FeatureError` if the feature cannot be computed
            from the waveform. Called from several threads at once.
        version: Raise it when the extractor's numbers change, so that stored features are computed again.
        load: For features that are not computed from audio: opens the source that the parameters name, and returns a
            function from a track's id to its feature, shape ``(n_bins, n_frames)``, float32, which raises
            :class:`~genre_pipeline.errors.FeatureError` if there is none. ``begin`` then raises an error.
        bins: What the bins are, from the parameters: for people, no number depends on it.
        require: Checks that what the parameters need beside the audio, such as weights, is there; raises
            :class:`~genre_pipeline.errors.ConfigError` before any work if not.
        pretraining: What is to know of the pretrained network that the parameters choose; ``None`` if there is none.
    """

    name: str
    block: type[FeatureBlock]
    n_bins: Callable[[Any], int]
    begin: Callable[[Signal, Any], Finish]
    version: int
    load: Callable[[Any], Callable[[str], Features]] | None = None
    bins: Callable[[Any], Bins] = _unnamed_bins
    require: Callable[[Any], None] = _nothing
    pretraining: Callable[[Any], Pretraining | None] = _nothing

    def extract(self, waveform: Samples, block: FeatureBlock) -> Features:
        """Compute this feature alone: see :func:`extract_features`."""
        return extract_features(waveform, [(self, block)])[0]


Request = tuple[FeatureSpec, FeatureBlock]


def extract_features(waveform: Samples, requests: Sequence[Request]) -> list[Features]:
    """Compute several features of one waveform; shared steps are done once.

    Args:
        waveform: Mono samples, shape ``(n_samples,)``, float32. Not changed.
        requests: Kinds and parameters, all with the waveform's sample rate.

    Returns:
        For each request an array of shape ``(n_bins, n_frames)``, float32, bit for bit the same as when computed alone.

    Raises:
        FeatureError: If one of the features cannot be computed from the waveform.
    """
    return [_joined(blocks) for blocks in stream_features([waveform], requests)]


def stream_features(
    blocks: Iterable[Samples], requests: Sequence[Request], device: Device = "cpu", *, is_compiled: bool = False
) -> list[Iterator[Features]]:
    """Compute several features of a waveform that is too long for memory.

    Frames wait in a temporary file until the last sample, because levels refer to the clip's greatest one.

    Args:
        blocks: The waveform in blocks of any length, each of shape ``(n,)``, float32. Consumed before this returns.
        requests: Kinds and parameters, all with the waveform's sample rate.
        device: Where spectra are computed. Devices differ by rounding.
        is_compiled: Whether code compiled for this processor computes them: in a third of the time, after a second or
            more for the first ones of a process. It differs by rounding.

    Returns:
        For each request its blocks of frames, shape ``(n_bins, n)``, float32, successive in time, to be read once:
        joined, they are bit for bit the result of :func:`extract_features`. If a feature cannot be computed from the
        waveform, reading it raises :class:`~genre_pipeline.errors.FeatureError`.

    Raises:
        FeatureError: If the waveform is not mono, or not finite.
    """
    sinks: dict[tuple[int | None, Padding | None], _Whole | _Pieces] = {}
    finishes: list[Finish] = []
    for spec, block in requests:
        cut = (block.own_samples, block.padding)
        if cut not in sinks:
            pieces = block.own_samples
            if pieces is None:
                sinks[cut] = _Whole(block.padding, Signal(device, is_compiled=is_compiled))
            else:
                sinks[cut] = _Pieces(pieces, partial(stream_features, device=device, is_compiled=is_compiled))
        finishes.append(sinks[cut].begin(spec, block))
    for chunk in in_chunks(blocks, CHUNK_SAMPLES):
        for sink in sinks.values():
            sink.push(chunk)
    for sink in sinks.values():
        sink.close()
    return [finish() for finish in finishes]


class _Whole:
    """Features of a waveform as a whole."""

    def __init__(self, padding: Padding | None, signal: Signal) -> None:
        self._signal = signal
        self._padding = padding

    def begin(self, spec: FeatureSpec, block: FeatureBlock) -> Finish:
        return spec.begin(self._signal, block)

    def push(self, samples: Samples) -> None:
        self._signal.push(samples)

    def close(self) -> None:
        n_samples = self._signal.n_samples
        n_missing = 0 if self._padding is None else self._padding(n_samples) - n_samples
        for silence in in_chunks([np.zeros(n_missing, dtype=np.float32)], CHUNK_SAMPLES):
            self._signal.push(silence)
        self._signal.close()


class _Pieces:
    """Features of a waveform's pieces, each transformed separately."""

    def __init__(self, n_samples: int, stream: Callable[..., list[Iterator[Features]]]) -> None:
        self._n_samples = n_samples
        self._stream = stream
        self._requests: list[Request] = []
        self._frames: list[Frames] = []
        self._errors: dict[int, FeatureError] = {}
        self._waiting: Samples = np.empty(0, dtype=np.float32)
        self._n_pieces = 0

    def begin(self, spec: FeatureSpec, block: FeatureBlock) -> Finish:
        alone = block.segment.model_copy(update={"own_s": None})
        self._requests.append((spec, block.model_copy(update={"segment": alone})))
        self._frames.append(Frames())
        index = len(self._frames) - 1
        return lambda: self._finish(index)

    def push(self, samples: Samples) -> None:
        self._waiting = np.concatenate([self._waiting, samples])
        while len(self._waiting) >= self._n_samples:
            piece, self._waiting = np.split(self._waiting, [self._n_samples])
            self._n_pieces += 1
            for index, blocks in enumerate(self._stream([piece], self._requests)):
                try:
                    self._frames[index].append(_joined(blocks).T)
                except FeatureError as error:  # noqa: PERF203  # a request of its own each
                    self._errors.setdefault(index, error)

    def close(self) -> None:
        """Drop the rest, which is shorter than a piece."""

    def _finish(self, index: int) -> Iterator[Features]:
        if index in self._errors:
            raise self._errors[index]
        if not self._n_pieces:
            raise FeatureError(
                f"The waveform is too short: expected at least one piece of {self._n_samples} samples. "
                "Leave the clip out (quarantine 'too_short'), or lower segment.own_s."
            )
        for block in self._frames[index].blocks():
            yield block.T


def _joined(blocks: Iterator[Features]) -> Features:
    arrays = list(blocks)
    return arrays[0] if len(arrays) == 1 else np.concatenate([array.T for array in arrays]).T


FEATURES: Registry[FeatureSpec] = Registry("feature kind", package="genre_pipeline.features")
