"""One pass over a waveform, in chunks: steps that several features share are done once, in constant memory.

A feature subscribes to its inputs (spectra, halved rates, the samples themselves) before the first samples are added.
The chunks have a fixed length, whatever the blocks of samples. So the numbers depend neither on the blocks nor on other
features computed at the same time.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from genre_pipeline.audio.io import all_finite
from genre_pipeline.errors import FeatureError
from genre_pipeline.storage import storage_errors
from genre_pipeline.work.backends import Device

if TYPE_CHECKING:
    from typing import IO

    from torch import Tensor

    from genre_pipeline.audio.compiled_spectra import Filters, Transform

Samples = NDArray[np.float32]
Precision = Literal["single", "double"]
Window = Literal["hann", "hamming", "blackman", "boxcar"]

_WINDOWS: dict[Window, Callable[[int], NDArray[np.float64]]] = {
    "hann": np.hanning,
    "hamming": np.hamming,
    "blackman": np.blackman,
    "boxcar": np.ones,
}

# Measured [?]: fewer samples need more calls (a constant-Q transform cuts them into seven octaves), more need memory.
CHUNK_SAMPLES = 2**18
# Frames of this many bytes are transformed at once. Measured [?] on processors: twice as many no longer fit the cache
# and take up to five times as long. A GPU gets a whole chunk of samples, however much its frames overlap [?].
_BLOCK_BYTES: dict[Device, int] = {"cpu": 2**20, "cuda": 2**28}
# Compiled code computes energies of this many bytes at once. Measured [?]: half as many or twice as many take longer.
_COMPILED_BLOCK_BYTES = 2**18
# [D] Frames that it transforms at once, and the shortest ones that it can.
_COMPILED_FRAMES = 8
MIN_COMPILED_FFT = 64
# [?] One and a half times the spectra of a 30-s clip (1025 x 1292 numbers of 4 bytes): beyond that, frames wait on
# disk.
MEMORY_BYTES = 2**23


def in_chunks(blocks: Iterable[Samples], n_samples: int) -> Iterator[Samples]:
    """Divide a waveform into chunks of one length; the last may be shorter.

    Args:
        blocks: The waveform in pieces of any length, each of shape ``(n,)``, float32.
        n_samples: Length of a chunk.

    Yields:
        The chunks. Not copied if a block holds whole ones.

    Raises:
        FeatureError: If a block is not mono, or holds NaN or infinite samples.

    Example:
        >>> blocks = [np.zeros(3, np.float32), np.zeros(4, np.float32)]
        >>> [len(chunk) for chunk in in_chunks(blocks, 5)]
        [5, 2]
    """
    waiting: list[Samples] = []
    n_waiting = 0
    for block in blocks:
        _check(block)
        waiting.append(block)
        n_waiting += len(block)
        if n_waiting >= n_samples:
            samples = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            whole = n_waiting - n_waiting % n_samples
            yield from (samples[start : start + n_samples] for start in range(0, whole, n_samples))
            waiting, n_waiting = [samples[whole:]], n_waiting - whole
    if n_waiting:
        yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)


def _check(samples: Samples) -> None:
    if samples.ndim != 1:
        raise FeatureError(
            f"The waveform has the wrong shape: expected mono, (n_samples,), got {samples.shape}. Downmix it first."
        )
    if len(samples) and not all_finite(samples):
        raise FeatureError(
            f"The waveform holds {np.count_nonzero(~np.isfinite(samples))} samples that are NaN or infinite. "
            "Repair the file, or leave the clip out (quarantine 'non_finite')."
        )


class Spectrum(NamedTuple):
    """Parameters of short-time spectra.

    Attributes:
        n_fft: Length of a frame, in samples; even.
        win_length: Length of the window, in samples, centred in the frame.
        window: Shape of the window, periodic.
        hop_length: Distance between successive frames, in samples.
        precision: Precision of windowing and transform; the result is always single.
    """

    n_fft: int
    win_length: int
    window: Window
    hop_length: int
    precision: Precision = "single"


class Spectra:
    """The spectra of some successive frames, and values derived from them, each computed once.

    Args:
        values: Shape ``(n_frames, 1 + n_fft // 2)``, complex64.

    Attributes:
        is_compiled: Whether compiled code computes them, and should compute what is derived from them.
    """

    is_compiled = False

    def __init__(self, values: Tensor | None = None) -> None:
        self._derived: dict[Hashable, Tensor] = {} if values is None else {"values": values}

    def derived(self, key: Hashable, compute: Callable[[Spectra], Tensor]) -> Tensor:
        """Return the value of a key, computed at the first call. Do not change it."""
        if key not in self._derived:
            self._derived[key] = compute(self)
        return self._derived[key]

    @property
    def values(self) -> Tensor:
        """The spectra, shape ``(n_frames, 1 + n_fft // 2)``, complex64. Do not change: others read them too."""
        return self._derived["values"]

    @property
    def magnitudes(self) -> Tensor:
        """Magnitudes, shape ``(n_frames, 1 + n_fft // 2)``, float32. Do not change."""
        return self.derived("magnitudes", lambda spectra: magnitudes(spectra.values))

    @property
    def energies(self) -> Tensor:
        """Squared magnitudes, shape ``(n_frames, 1 + n_fft // 2)``, float32. Do not change."""
        return self.derived("energies", lambda spectra: energies(spectra.values))


class CompiledSpectra(Spectra):
    """Spectra that compiled code computes when they are asked for, or their energies without them.

    Args:
        transform: Transforms the frames.
        samples: Those of the frames, from the first one's start.
        hop_length: Distance between successive frames, in samples.
        n_frames: How many.

    Attributes:
        is_filtered: Whether nothing but responses of filters is asked for.
    """

    is_compiled = True

    def __init__(
        self, transform: Transform, samples: Samples, hop_length: int, n_frames: int, *, is_filtered: bool
    ) -> None:
        super().__init__()
        self.is_filtered = is_filtered
        self._transform = transform
        self._frames = (samples, hop_length, n_frames)

    @property
    @override
    def values(self) -> Tensor:
        import torch

        return self.derived("values", lambda _: torch.from_numpy(self._transform.values(*self._frames)))

    @property
    @override
    def magnitudes(self) -> Tensor:
        return self.derived("magnitudes", lambda spectra: spectra.energies.sqrt())

    @property
    @override
    def energies(self) -> Tensor:
        import torch

        return self.derived("energies", lambda _: torch.from_numpy(self._transform.energies(*self._frames)))

    def band_energies(self, filters: Filters) -> Tensor:
        """Return real filters' responses to energies, shape ``(n_frames, n_filters)``, without storing the energies."""
        import torch

        return torch.from_numpy(self._transform.band_energies(*self._frames, filters=filters))

    def response_energies(self, filters: Filters, gains: Tensor) -> Tensor:
        """Return the energies of complex filters' responses, times gains, shape ``(n_frames, n_filters)``."""
        import torch

        energies = self._transform.response_energies(*self._frames, filters=filters, gains=gains.numpy())
        return torch.from_numpy(energies)


def magnitudes(values: Tensor) -> Tensor:
    """Return the magnitudes of complex64 numbers; on a processor numpy is three times as fast as torch."""
    import torch

    return torch.from_numpy(np.abs(values.numpy())) if values.is_cpu else values.abs()


def energies(values: Tensor) -> Tensor:
    """Return the squared magnitudes of complex64 numbers, on a processor without square roots."""
    import torch

    if not values.is_cpu:
        return values.abs().square_()
    numbers = values.numpy()
    squares = np.square(numbers.real)
    squares += np.square(numbers.imag)
    return torch.from_numpy(squares)


class Signal:
    """A stream of samples in chunks, and everything derived from it.

    Args:
        device: Where spectra and derived values are computed and stored.
        is_compiled: Whether code compiled for the processor computes them, of frames whose length is a power of two.

    Attributes:
        n_samples: Number of samples so far.
        device: Where spectra and derived values are computed and stored.
    """

    def __init__(self, device: Device = "cpu", *, is_compiled: bool = False) -> None:
        self.n_samples = 0
        self.device: Device = device
        self._is_compiled = is_compiled
        self._receivers: list[Callable[[Samples], None]] = []
        self._framers: dict[Spectrum, _Framer] = {}
        self._decimators: dict[int, _Decimator] = {}

    def on_samples(self, receive: Callable[[Samples], None]) -> None:
        """Register a function to call with each chunk of samples, which it may keep but not change."""
        self._receivers.append(receive)

    def on_spectra(self, spectrum: Spectrum, receive: Callable[[Spectra], None], *, is_filtered: bool = False) -> None:
        """Register a function to call with the spectra of successive frames.

        Frames are centred on the multiples of the hop length, with zeros around the samples: the transpose of
        ``librosa.stft(samples, n_fft=..., hop_length=..., win_length=..., window=...)``, which transforms in double
        precision and takes several times as long.

        Args:
            spectrum: The parameters of the spectra.
            receive: The function.
            is_filtered: Whether it asks for nothing but responses of filters. If nobody else asks for the spectra,
                they are then computed while those are in the cache.
        """
        framer = _Framer(spectrum, self.device, is_compiled=self._is_compiled)
        framer = self._framers.setdefault(spectrum, framer)
        framer.is_filtered = is_filtered and not framer.receivers
        framer.receivers.append(receive)

    def decimated(self, factor: int) -> Signal:
        """Return the signal at a lower rate, its energy kept.

        Equal to ``librosa.resample(samples, orig_sr=factor, target_sr=1, res_type="soxr_hq", scale=True)``.
        """
        if factor not in self._decimators:
            signal = Signal(self.device, is_compiled=self._is_compiled)
            self._decimators[factor] = _Decimator(factor, signal)
        return self._decimators[factor].signal

    def require(self, n_samples: int) -> None:
        """Check that the waveform was long enough.

        Raises:
            FeatureError: If there were fewer samples.
        """
        if self.n_samples < n_samples:
            raise FeatureError(
                f"The waveform is too short: expected at least {n_samples} samples, got {self.n_samples}. "
                "Leave the clip out (quarantine 'too_short'), or use shorter frames."
            )

    def push(self, samples: Samples) -> None:
        """Process the next chunk of samples."""
        self.n_samples += len(samples)
        for receive in self._receivers:
            receive(samples)
        for framer in self._framers.values():
            framer.push(samples)
        for decimator in self._decimators.values():
            decimator.push(samples)

    def close(self) -> None:
        """Finish the last frames."""
        for framer in self._framers.values():
            framer.close()
        for decimator in self._decimators.values():
            decimator.close()


class _Framer:
    """Cuts samples into overlapping frames and transforms them."""

    def __init__(self, spectrum: Spectrum, device: Device, *, is_compiled: bool) -> None:
        self.receivers: list[Callable[[Spectra], None]] = []
        self.is_filtered = False
        self._spectrum = spectrum
        self._half = np.zeros(spectrum.n_fft // 2, dtype=np.float32)
        self._waiting = self._half
        self._to_skip = 0
        n_fft = spectrum.n_fft
        is_compiled = is_compiled and device == "cpu" and n_fft >= MIN_COMPILED_FFT and n_fft & (n_fft - 1) == 0
        self._transform = _CompiledTransform(spectrum) if is_compiled else _PlainTransform(spectrum, device)

    def push(self, samples: Samples) -> None:
        n_fft, hop_length = self._spectrum.n_fft, self._spectrum.hop_length
        samples = np.concatenate([self._waiting, samples])[self._to_skip :]
        n_frames = max(0, 1 + (len(samples) - n_fft) // hop_length)
        used = n_frames * hop_length
        self._waiting, self._to_skip = samples[used:], max(0, used - len(samples))
        if n_frames:
            for spectra in self._transform(samples, n_frames, is_filtered=self.is_filtered):
                for receive in self.receivers:
                    receive(spectra)

    def close(self) -> None:
        self.push(self._half)


class _PlainTransform:
    """Transforms frames by torch, on any device and of any length."""

    def __init__(self, spectrum: Spectrum, device: Device) -> None:
        self._spectrum = spectrum
        self._device: Device = device
        # With a boxcar window, a frame is transformed in place.
        self._has_window = spectrum.window != "boxcar" or spectrum.win_length < spectrum.n_fft
        # One for all blocks: releasing and requesting memory again costs as much as the transform.
        self._windowed: Tensor | None = None

    def __call__(self, samples: Samples, n_frames: int, *, is_filtered: bool) -> Iterator[Spectra]:  # noqa: ARG002
        import torch

        n_fft = self._spectrum.n_fft
        window = torch.from_numpy(_padded_window(self._spectrum)).to(self._device)
        # Moved and cast before framing: each sample once, not once per frame.
        frames = torch.from_numpy(samples).to(window).unfold(0, n_fft, self._spectrum.hop_length)
        n_block = max(1, _BLOCK_BYTES[self._device] // (n_fft * window.itemsize))
        n_room = min(n_block, n_frames)
        if self._has_window and (self._windowed is None or len(self._windowed) < n_room):
            self._windowed = window.new_empty(n_room, n_fft)
        for start in range(0, n_frames, n_block):
            block = frames[start : start + n_block]
            if self._windowed is not None:
                block = torch.mul(block, window, out=self._windowed[: len(block)])
            yield Spectra(torch.fft.rfft(block).to(torch.complex64))


class _CompiledTransform:
    """Transforms frames by compiled code."""

    def __init__(self, spectrum: Spectrum) -> None:
        self._hop_length = spectrum.hop_length
        self._transform = _compiled_transform(spectrum)
        self._n_block = max(_COMPILED_FRAMES, _COMPILED_BLOCK_BYTES // (2 * spectrum.n_fft))
        # In double precision, bands would be another rounding than those of stored energies.
        self._can_fuse = spectrum.precision == "single"

    def __call__(self, samples: Samples, n_frames: int, *, is_filtered: bool) -> Iterator[Spectra]:
        is_filtered = is_filtered and self._can_fuse
        # Responses are few numbers, so that all frames of a chunk may be one block.
        size = n_frames if is_filtered else self._n_block
        for start in range(0, n_frames, size):
            n_block = min(size, n_frames - start)
            first = samples[start * self._hop_length :]
            yield CompiledSpectra(self._transform, first, self._hop_length, n_block, is_filtered=is_filtered)


@lru_cache(maxsize=64)
def _compiled_transform(spectrum: Spectrum) -> Transform:
    from genre_pipeline.audio.compiled_spectra import Transform

    return Transform(_padded_window(spectrum))


@lru_cache(maxsize=64)
def _padded_window(spectrum: Spectrum) -> NDArray[np.float32] | NDArray[np.float64]:
    """Return a periodic window, shape ``(n_fft,)``, with zeros around it if it is shorter than a frame."""
    padded = np.zeros(spectrum.n_fft)
    start = (spectrum.n_fft - spectrum.win_length) // 2
    # numpy's windows are symmetric: one sample more makes them periodic.
    padded[start : start + spectrum.win_length] = _WINDOWS[spectrum.window](spectrum.win_length + 1)[:-1]
    return padded.astype(spectrum.precision)


class _Decimator:
    """Lowers the rate by a whole factor, keeping the energy."""

    def __init__(self, factor: int, signal: Signal) -> None:
        import soxr

        self.signal = signal
        self._factor = factor
        self._stream = soxr.ResampleStream(factor, 1, 1, dtype="float32", quality="HQ")
        self._n_taken = 0

    def push(self, samples: Samples) -> None:
        self._n_taken += len(samples)
        self.signal.push(self._resampled(samples))

    def close(self) -> None:
        rest = self._resampled(np.empty(0, dtype=np.float32), last=True)
        # The length that librosa rounds to: up. soxr rounds to the nearest.
        n_missing = -(-self._n_taken // self._factor) - self.signal.n_samples
        self.signal.push(np.pad(rest[:n_missing], (0, max(0, n_missing - len(rest)))))
        self.signal.close()

    def _resampled(self, samples: Samples, *, last: bool = False) -> Samples:
        # In double precision, like librosa: in single precision, quiet bins of a CQT change by 0.005 dB, because the
        # error accumulates octave by octave.
        resampled = self._stream.resample_chunk(samples, last=last)
        scaled: Samples = np.divide(resampled, np.sqrt(1.0 / self._factor), dtype=np.float64).astype(np.float32)
        return scaled


def _copy(frames: Samples, room: Samples) -> None:
    room[:] = frames


class Frames:
    """Collects the frames of a feature in order of time: in memory, or on disk once there are many.

    They are copied into one block of memory. Otherwise they would be scattered between freed memory, which could not be
    used again: hours of music would take gigabytes.

    Args:
        n_sharing: Number of collections that share the memory limit.
    """

    def __init__(self, n_sharing: int = 1) -> None:
        self._max_bytes = MEMORY_BYTES // n_sharing
        self._rows: NDArray[np.float32] | None = None
        self._n_rows = 0
        self._file: IO[bytes] | None = None

    def append(self, block: NDArray[np.float32], write: Callable[[Samples, Samples], object] = _copy) -> None:
        """Add frames, optionally transformed by a function.

        Args:
            block: Shape ``(n, n_bins)``, float32.
            write: Writes the transformed frames of its first argument to its second; both have one shape.

        Raises:
            StorageError: If the disk of temporary files is full.
        """
        if self._rows is None:
            n_bins = block.shape[1]
            # Only pages that are written take memory.
            self._rows = np.empty((max(1, self._max_bytes // (4 * n_bins)), n_bins), dtype=np.float32)
        while len(block):
            room = self._rows[self._n_rows : self._n_rows + len(block)]
            write(block[: len(room)], room)
            block = block[len(room) :]
            self._n_rows += len(room)
            if self._n_rows == len(self._rows):
                self._write(self._rows)

    def _write(self, rows: NDArray[np.float32]) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the frames
            weakref.finalize(self, self._file.close)
        with storage_errors(Path(tempfile.gettempdir())):
            self._file.write(rows.data)
        self._n_rows = 0

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Read the frames once: all together if they are in memory, else in blocks that fit into memory.

        Yields:
            Shape ``(n, n_bins)``, float32; the caller's own.

        Raises:
            StorageError: If the disk of temporary files is full.
        """
        if self._rows is None:
            return
        n_bins = self._rows.shape[1]
        if self._file is None:
            # Releases unused memory without copying.
            self._rows.resize((self._n_rows, n_bins), refcheck=False)
            yield self._rows
            return
        self._write(self._rows[: self._n_rows])
        self._file.seek(0)
        while n_bytes := self._file.readinto(self._rows.data.cast("B")):  # type: ignore[attr-defined]
            yield self._rows[: n_bytes // (4 * n_bins)].copy()
