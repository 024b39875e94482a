"""Shared by the spectral features: the parameters of their spectra, and levels in decibels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from typing_extensions import override

from genre_pipeline.features.analysis import CompiledSpectra, Frames, Precision, Spectra, Spectrum, energies
from genre_pipeline.features.base import FeatureBlock, Features

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from genre_pipeline.audio.compiled_spectra import Filters


# [?] Three seconds at 44.1 kHz: a finer resolution in frequency is of no use for music.
MAX_FFT = 2**17
# [?] With such an overlap a clip takes minutes to transform.
_MAX_OVERLAP = 1024
# [?] Numbers of a filter bank, which takes some 700 MB while it is computed.
_MAX_BANK = 2**24
# What only levels in decibels have.
_DECIBELS = ("amin", "ref", "top_db")
_LN_10 = math.log(10.0)
# [D] Decibels of an energy that is e times as great.
_DB_PER_NEPER = np.float32(10.0 / _LN_10)


class SpectralBlock(FeatureBlock):
    """Parameters of a feature of short-time spectra.

    Attributes:
        n_fft: Length of a frame, in samples; even, so that frames are centred on multiples of ``hop_length``.
        win_length: Length of the window, in samples, centred in the frame; ``None`` means the whole frame.
        window: Shape of the window, periodic.
        precision: Precision of the transform. ``double`` takes twice as long. It matters for bins far below the loudest
            of their frame: 80 dB lower, single precision changes them by up to 0.005 dB.
    """

    n_fft: int = Field(ge=2, le=MAX_FFT, multiple_of=2)
    win_length: int | None = Field(default=None, ge=1, le=MAX_FFT)
    window: Literal["hann", "hamming", "blackman"] = "hann"
    precision: Precision = "single"

    @model_validator(mode="after")
    def _window_fits(self) -> SpectralBlock:
        if self.win_length is not None and self.win_length > self.n_fft:
            raise ValueError(f"win_length={self.win_length} is greater than n_fft={self.n_fft}")
        return self

    @model_validator(mode="after")
    def _frames_overlap_within_reason(self) -> SpectralBlock:
        if self.n_fft > _MAX_OVERLAP * self.hop_length:
            raise ValueError(
                f"n_fft={self.n_fft} with hop_length={self.hop_length} transforms each sample "
                f"{self.n_fft / self.hop_length:,.0f} times; expected at most {_MAX_OVERLAP} times"
            )
        return self

    @property
    def spectrum(self) -> Spectrum:
        """The spectra from which the feature is computed."""
        return Spectrum(self.n_fft, self.win_length or self.n_fft, self.window, self.hop_length, self.precision)


def check_bank(n_filters: int, n_columns: int, text: str) -> None:
    """Check that a bank of filters fits in memory.

    Args:
        n_filters: How many filters there are.
        n_columns: How many bins each has.
        text: The parameters that determine it, for the message.

    Raises:
        ValueError: If it is too large.
    """
    if n_filters * n_columns > _MAX_BANK:
        raise ValueError(
            f"{text}: a bank of {n_filters:,} filters of {n_columns:,} bins takes "
            f"{40 * n_filters * n_columns / 1e9:,.1f} GB while it is computed; expected at most {_MAX_BANK:,} numbers"
        )


class FilterBank:
    """Filters of spectra: a matrix product that leaves out most of the zeros.

    Args:
        filters: Shape ``(n_filters, n_columns)``, float32 or complex64; neighbours use neighbouring columns.
        n_group: Number of neighbouring filters applied at once. Fewer need more matrix products; more multiply more
            zeros.
    """

    def __init__(self, filters: NDArray[np.float32] | NDArray[np.complex64], n_group: int) -> None:
        self._filters = filters
        self._groups: list[tuple[slice, slice, NDArray[Any]]] = []
        for first in range(0, len(filters), n_group):
            rows = slice(first, min(first + n_group, len(filters)))
            used = np.flatnonzero(filters[rows].any(axis=0))
            # One column of zeros for a group of filters that hold no bin.
            columns = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
            self._groups.append((rows, columns, np.ascontiguousarray(filters[rows, columns].T)))
        self._on_device: dict[torch.device, list[Tensor]] = {}

    def __call__(self, values: Tensor, *, is_compiled: bool = False) -> Tensor:
        """Return the filters' responses, shape ``(n_frames, n_filters)``, to a shape ``(n_frames, n_columns)``.

        On a processor numpy multiplies, which takes less than half of torch's time for such small matrices.

        Args:
            values: What the filters are applied to.
            is_compiled: Whether compiled code multiplies.
        """
        import torch

        if is_compiled:
            return torch.from_numpy(self._compiled(values.numpy()))
        if values.is_cpu:
            numbers = values.numpy()
            products = np.empty((len(numbers), len(self._filters)), dtype=numbers.dtype)
            for rows, columns, weights in self._groups:
                np.matmul(numbers[:, columns], weights, out=products[:, rows])
            return torch.from_numpy(products)
        if values.device not in self._on_device:
            self._on_device[values.device] = [torch.from_numpy(each).to(values.device) for _, _, each in self._groups]
        responses = values.new_empty(len(values), len(self._filters))
        for (rows, columns, _), moved in zip(self._groups, self._on_device[values.device], strict=True):
            torch.mm(values[:, columns], moved, out=responses[:, rows])
        return responses

    def of_energies(self, spectra: Spectra) -> Tensor:
        """Return real filters' responses to the energies of spectra, shape ``(n_frames, n_filters)``."""
        if isinstance(spectra, CompiledSpectra) and spectra.is_filtered:
            return spectra.band_energies(self._compiled)
        return self(spectra.energies, is_compiled=spectra.is_compiled)

    def energies(self, spectra: Spectra, gains: Tensor) -> Tensor:
        """Return the energies of complex filters' responses to spectra, times gains: ``(n_frames, n_filters)``."""
        if isinstance(spectra, CompiledSpectra):
            return spectra.response_energies(self._compiled, gains)
        responses = self(spectra.values)
        return energies(responses).mul_(gains.to(responses.device))

    @cached_property
    def _compiled(self) -> Filters:
        from genre_pipeline.audio.compiled_spectra import Filters

        return Filters(self._filters)


class LevelBlock(FeatureBlock):
    """Parameters of a feature in decibels, or on another logarithmic scale. The defaults are librosa's [C].

    Attributes:
        gain: Levels are ``log10(1 + gain * energy)`` instead of decibels; ``None`` means decibels. Then the other three
            do not apply.
        amin: Least energy that differs from silence: the floor of the logarithm.
        ref: The energy of 0 dB: ``one``, or the clip's greatest (``max``).
        top_db: Range kept below the clip's greatest value; ``None`` means all of it.
    """

    # The lower bound [D] is a number that single precision can distinguish from zero; full scale has an energy of about
    # 1.
    amin: float = Field(default=1e-10, ge=1e-37, le=1e6)
    ref: Literal["one", "max"] = "one"
    top_db: float | None = Field(default=80.0, ge=0.0, le=1000.0)
    # [?] Beyond the dynamic range of single precision.
    gain: float | None = Field(default=None, gt=0.0, le=1e12)

    @model_validator(mode="after")
    def _one_scale(self) -> LevelBlock:
        changed = [name for name in _DECIBELS if getattr(self, name) != LevelBlock.model_fields[name].default]
        if self.gain is not None and changed:
            raise ValueError(f"{changed[0]} belongs to decibels, which gain={self.gain:g} replaces: leave one out")
        return self

    @override
    def deciding(self) -> dict[str, Any]:
        """Return the parameters; without a gain in the form of earlier releases, whose stores stay valid."""
        return {key: value for key, value in super().deciding().items() if (key, value) != ("gain", None)}


class Levels:
    """Converts energies of frames to levels: ``librosa.power_to_db`` for blocks of frames, or another logarithm.

    Args:
        block: Floor, reference and range, or the gain.
        n_sharing: Number of such collections of the feature.
    """

    def __init__(self, block: LevelBlock, n_sharing: int = 1) -> None:
        self._block = block
        self._frames = Frames(n_sharing)
        self.greatest = 0.0

    def append(self, energies: Tensor, *, is_compiled: bool = False) -> None:
        """Add the energies of the next frames, shape ``(n, n_bins)``, float32.

        Args:
            energies: The energies.
            is_compiled: Whether compiled code converts them.
        """
        if is_compiled and self._block.gain is None:
            self._frames.append(energies.numpy(), self._write_compiled)
            return
        self.greatest = max(self.greatest, float(energies.max()))
        if energies.is_cpu:
            # Converted to levels while they are in the cache.
            self._frames.append(energies.numpy(), self._write_levels)
        else:
            self._frames.append(self._levels_on_device(energies).cpu().numpy())

    def _write_compiled(self, energies: Features, levels_db: Features) -> None:
        from genre_pipeline.audio.compiled_spectra import write_decibels

        greatest = write_decibels(energies, 0.5 * self._block.amin, levels_db)
        if math.isfinite(greatest):
            self.greatest = max(self.greatest, greatest)
        else:
            self.greatest = max(self.greatest, float(energies.max()))
            self._write_levels(energies, levels_db)

    def _levels_on_device(self, energies: Tensor) -> Tensor:
        """Compute the levels that :meth:`_write_levels` writes, on the energies' device."""
        if self._block.gain is not None:
            return energies.mul(self._block.gain).log1p_().div_(_LN_10)
        return energies.clamp_min(0.5 * self._block.amin).log_().mul_(float(_DB_PER_NEPER))

    def _write_levels(self, energies: Features, levels_db: Features) -> None:
        if self._block.gain is not None:
            np.multiply(energies, np.float32(self._block.gain), out=levels_db)
            np.log1p(levels_db, out=levels_db)
            np.divide(levels_db, np.float32(_LN_10), out=levels_db)
            return
        # Half the floor keeps silence finite, and below the floor for any rounding of the logarithm.
        np.maximum(energies, 0.5 * self._block.amin, out=levels_db)
        # The natural logarithm: without AVX-512, numpy has no wide instructions for the decadic one, which takes four
        # times as long.
        np.log(levels_db, out=levels_db)
        np.multiply(levels_db, _DB_PER_NEPER, out=levels_db)

    def blocks(self, greatest: float | None = None) -> Iterator[Features]:
        """Read the levels, relative to the reference, limited to the range.

        Args:
            greatest: The clip's greatest energy; ``None`` means that of the frames added here.

        Yields:
            Shape ``(n, n_bins)``, float32; the caller's own.
        """
        if self._block.gain is not None:
            yield from self._frames.blocks()
            return
        # Neither the loudest nor the reference is lower than the floor, as in librosa.
        loudest = max(self._block.amin, self.greatest if greatest is None else greatest)
        zero_db = 10.0 * math.log10(loudest if self._block.ref == "max" else max(self._block.amin, 1.0))
        top_db = math.inf if self._block.top_db is None else self._block.top_db
        floor_db = max(10.0 * math.log10(self._block.amin), 10.0 * math.log10(loudest) - top_db)
        for levels_db in self._frames.blocks():
            np.maximum(levels_db, floor_db, out=levels_db)
            if zero_db:
                np.subtract(levels_db, zero_db, out=levels_db)
            yield levels_db
