"""Features as PyTorch modules: from a waveform to segments, of operations that ONNX has.

They compute what :mod:`genre_pipeline.features` computes, for a whole waveform at once. A Fourier transform becomes two
small matrix products (Cooley and Tukey's factors), of operators that every runtime has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.fft import dct
from scipy.signal import get_window
from torch import Tensor, nn
from torch.nn import functional

from genre_pipeline.errors import ConfigError
from genre_pipeline.features import FeatureBlock
from genre_pipeline.features.analysis import Spectrum
from genre_pipeline.features.log_mel import LogMelBlock, MelBands, mel_bank
from genre_pipeline.features.mfcc import MfccBlock, slope_fits
from genre_pipeline.features.pretrained.musicnn import PATCHES, MusicnnBlock, load_musicnn
from genre_pipeline.features.spectrum import LevelBlock
from genre_pipeline.features.stft import StftBlock

_DB_PER_NEPER = 10.0 / math.log(10.0)


def sliding(rows: Tensor, size: int, hop: int, n_windows: int) -> Tensor:
    """Cut successive rows into windows, by reshaping and slicing alone, for numbers of rows that are not known yet.

    Args:
        rows: Shape ``(batch, n_rows, n_columns)``.
        size: Rows of a window.
        hop: Distance between the starts of neighbouring windows.
        n_windows: How many; zeros follow the last row.

    Returns:
        Shape ``(batch, n_windows, size * n_columns)``.

    Example:
        >>> sliding(torch.arange(5.0).reshape(1, 5, 1), 3, 2, 2).tolist()
        [[[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]]
    """
    batch, n_rows, n_columns = rows.shape
    n_hops = -(-size // hop)
    padded = functional.pad(rows, (0, 0, 0, n_hops * hop))
    n_blocks = (n_rows + n_hops * hop) // hop
    blocks = padded[:, : n_blocks * hop].reshape(batch, n_blocks, hop * n_columns)
    windows = torch.cat([blocks[:, each : each + n_windows] for each in range(n_hops)], dim=2)
    return windows[..., : size * n_columns]


class Energies(nn.Module):
    """Energies of short-time spectra, optionally in bands.

    With ``n_fft`` = A B, sample ``B a + b`` and bin ``c + A d``, the transform is a product over ``a`` and, for each
    ``c``, one over ``b``: about 2 (A + 2 B) operations per sample instead of 2 A B.

    Args:
        spectrum: Parameters of the spectra.
        bands: Mel bands of the magnitudes; ``None`` means the bins themselves.
    """

    # Buffers.
    window: Tensor
    first: Tensor
    second: Tensor
    slots: Tensor
    bank: Tensor

    def __init__(self, spectrum: Spectrum, bands: MelBands | None = None) -> None:
        super().__init__()
        n_fft = spectrum.n_fft
        factors = [each for each in range(1, n_fft + 1) if n_fft % each == 0]
        self._outer = min(factors, key=lambda outer: outer + 2 * n_fft // outer)
        self._inner = n_fft // self._outer
        self._n_half = self._outer // 2 + 1
        self._spectrum = spectrum
        self._power = 2.0 if bands is None else bands.power
        dtype = torch.float64 if spectrum.precision == "double" else torch.float32
        window = get_window(spectrum.window, spectrum.win_length)
        before = (n_fft - spectrum.win_length) // 2
        window = np.pad(window, (before, n_fft - spectrum.win_length - before))
        self.register_buffer("window", torch.from_numpy(window).to(dtype))
        first, second = self._factors()
        self.register_buffer("first", torch.from_numpy(first).to(dtype))
        self.register_buffer("second", torch.from_numpy(second).to(dtype))
        slots = self._slots()
        self._has_bank = bands is not None
        if bands is None:
            self.register_buffer("slots", torch.from_numpy(slots))
        else:
            parameters = {key: value for key, value in bands._asdict().items() if key != "power"}
            # Of the order in which the bins come out, so that nothing need be sorted.
            bank = np.zeros((self._n_half * self._inner, bands.n_mels), dtype=np.float32)
            bank[slots] = mel_bank(**parameters).T
            self.register_buffer("bank", torch.from_numpy(bank))

    def _factors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the matrices of both products: shapes ``(2 C, A)`` and ``(C, 2 B, 2 B)`` with C = A // 2 + 1."""
        outer, inner, n_half = self._outer, self._inner, self._n_half
        turns = np.outer(np.arange(n_half), np.arange(outer)) / outer
        first = np.exp(-2j * np.pi * turns)
        b, c, d = np.arange(inner)[:, None], np.arange(n_half)[:, None, None], np.arange(inner)
        second = np.exp(-2j * np.pi * (b * c / (outer * inner) + b * d / inner))
        real, imaginary = second.real, second.imag
        return (
            np.stack([first.real, first.imag], axis=1).reshape(2 * n_half, outer),
            np.concatenate(
                [np.concatenate([real, imaginary], axis=2), np.concatenate([-imaginary, real], axis=2)], axis=1
            ),
        )

    def _slots(self) -> np.ndarray:
        """Return where each bin, or its mirror image of the same energy, comes out: shape ``(1 + n_fft // 2,)``."""
        d, c = np.divmod(np.arange(1 + self._spectrum.n_fft // 2), self._outer)
        mirrored = c >= self._n_half
        c, d = np.where(mirrored, self._outer - c, c), np.where(mirrored, self._inner - 1 - d, d)
        return np.asarray(c * self._inner + d)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Return shape ``(batch, 1 + n_samples // hop_length, n_bands)`` for shape ``(batch, n_samples)``."""
        n_fft, hop = self._spectrum.n_fft, self._spectrum.hop_length
        batch, n_samples = waveforms.shape
        n_frames = 1 + n_samples // hop
        padded = functional.pad(waveforms, (n_fft // 2, n_fft // 2)).unsqueeze(2)
        frames = sliding(padded, n_fft, hop, n_frames).to(self.window.dtype) * self.window
        outer, inner, n_half = self._outer, self._inner, self._n_half
        products = self.first @ frames.reshape(batch * n_frames, outer, inner)
        # Whole rows change places: onnxruntime took as long to move single numbers as for all else.
        rows = products.reshape(batch * n_frames, n_half, 2 * inner).transpose(0, 1)
        spectra = rows @ self.second
        squares = spectra.square()
        energies = (squares[..., :inner] + squares[..., inner:]).to(torch.float32)
        energies = energies.permute(1, 0, 2).reshape(batch, n_frames, n_half * inner)
        if self._has_bank:
            return (energies if self._power == 2.0 else energies ** (0.5 * self._power)) @ self.bank
        return energies[..., self.slots]


class Levels(nn.Module):
    """Levels of energies: see :class:`~genre_pipeline.features.spectrum.LevelBlock`."""

    def __init__(self, block: LevelBlock) -> None:
        super().__init__()
        self._block = block

    def forward(self, energies: Tensor) -> Tensor:
        """Return the same shape, ``(n_pieces, n_frames, n_bins)``; levels refer to the greatest energy of a piece."""
        block = self._block
        if block.gain is not None:
            return (energies * block.gain).log1p() / math.log(10.0)
        least_db = 10.0 * math.log10(block.amin)
        levels_db = energies.clamp_min(0.5 * block.amin).log() * _DB_PER_NEPER
        loudest_db = energies.amax(dim=(1, 2), keepdim=True).clamp_min(block.amin).log() * _DB_PER_NEPER
        levels_db = levels_db.clamp_min(least_db)
        if block.top_db is not None:
            levels_db = torch.maximum(levels_db, loudest_db - block.top_db)
        return levels_db - (loudest_db if block.ref == "max" else max(least_db, 0.0))


class Cepstra(nn.Module):
    """Mel-frequency cepstral coefficients of levels, with their slopes and curvatures."""

    # A buffer.
    cosines: Tensor

    def __init__(self, block: MfccBlock) -> None:
        super().__init__()
        cosines = dct(np.eye(block.n_mels), norm="ortho", axis=1)[:, : block.n_mfcc]
        self.register_buffer("cosines", torch.from_numpy(cosines.astype(np.float32)))
        # None at all instead of an empty one, which archives of torch.export cannot hold.
        self.fits = nn.ParameterList(
            nn.Parameter(torch.from_numpy(fit), requires_grad=False) for fit in slope_fits(block)
        )

    def forward(self, levels: Tensor) -> Tensor:
        """Return shape ``(n_pieces, n_frames, n_mfcc * (1 + delta_order))``."""
        coefficients = levels @ self.cosines
        return torch.cat([coefficients, *(self._slopes(coefficients, fit) for fit in self.fits)], dim=2)

    @staticmethod
    def _slopes(coefficients: Tensor, fit: Tensor) -> Tensor:
        """Return the derivative of the polynomial around each frame, at the ends that of the first or last window."""
        width = len(fit)
        half = width // 2
        n_whole = coefficients.shape[1] - 2 * half
        middle = torch.stack([fit[half, each] * coefficients[:, each : each + n_whole] for each in range(width)]).sum(0)
        first = fit[:half] @ coefficients[:, :width]
        last = fit[half + 1 :] @ coefficients[:, n_whole - 1 :]
        return torch.cat([first, middle, last], dim=1)


class SpectralFrontEnd(nn.Module):
    """A feature of short-time spectra, cut into segments.

    Args:
        block: Its parameters.
        layers: From waveforms, shape ``(n_pieces, n_samples)``, to frames, shape ``(n_pieces, n_frames, n_bins)``.
    """

    def __init__(self, block: FeatureBlock, *layers: nn.Module) -> None:
        super().__init__()
        self._block = block
        self.layers = nn.Sequential(*layers)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return segments, shape ``(n_segments, n_bins, n_frames)``, of a waveform of shape ``(n_samples,)``."""
        block = self._block
        if block.own_samples is not None:
            n_pieces = waveform.shape[0] // block.own_samples
            pieces = waveform[: n_pieces * block.own_samples].reshape(n_pieces, block.own_samples)
            return rounded(self.layers(pieces), block).transpose(1, 2)
        if block.padding is not None:
            full = block.padding.full
            length = torch.sym_max(waveform.shape[0], full)  # type: ignore[no-untyped-call]
            waveform = functional.pad(waveform, (0, full))[:length]
        return cut(rounded(self.layers(waveform[None]), block), block)


class MusicnnFrontEnd(nn.Module):
    """A layer of musicnn, cut into segments."""

    def __init__(self, block: MusicnnBlock) -> None:
        super().__init__()
        self._block = block
        self.energies = Energies(PATCHES.spectrum, PATCHES.bands)
        self.network = load_musicnn(block)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return segments, shape ``(n_segments, n_dims, n_frames)``, of a waveform of shape ``(n_samples,)``."""
        block = self._block
        levels = (self.energies(waveform[None]) * PATCHES.gain + 1.0).log10()
        # Not len, nor the max of frames_of: both would fix the length.
        n_patches = 1 + (waveform.shape[0] - block.samples_of(1)) // block.hop_length
        hop_frames = block.hop_length // PATCHES.spectrum.hop_length
        patches = sliding(levels, PATCHES.n_frames, hop_frames, n_patches)
        patches = patches.reshape(n_patches, PATCHES.n_frames, PATCHES.bands.n_mels).transpose(1, 2)
        return cut(rounded(self.network(patches)[block.layer][None], block), block)


def rounded(frames: Tensor, block: FeatureBlock) -> Tensor:
    """Round as the store does: models were trained on stored features."""
    return frames.to(torch.float16).to(torch.float32) if block.dtype == "float16" else frames


def cut(frames: Tensor, block: FeatureBlock) -> Tensor:
    """Cut frames, shape ``(1, n_frames, n_bins)``, into segments, shape ``(n_segments, n_bins, n_frames)``."""
    segment = block.segment
    _, n_frames, n_bins = frames.shape
    n_segments = 1 + (n_frames - segment.n_frames) // segment.hop_frames
    segments = sliding(frames, segment.n_frames, segment.hop_frames, n_segments)
    return segments.reshape(n_segments, segment.n_frames, n_bins).transpose(1, 2)


def _log_mel(block: LogMelBlock) -> nn.Module:
    return SpectralFrontEnd(block, Energies(block.spectrum, block.bands), Levels(block))


def _mfcc(block: MfccBlock) -> nn.Module:
    return SpectralFrontEnd(block, Energies(block.spectrum, block.bands), Levels(block), Cepstra(block))


class _Magnitudes(nn.Module):
    def forward(self, energies: Tensor) -> Tensor:
        return energies.sqrt()


def _stft(block: StftBlock) -> nn.Module:
    scale = Levels(block) if block.scale == "db" else _Magnitudes()
    return SpectralFrontEnd(block, Energies(block.spectrum), scale)


_FRONT_ENDS: dict[str, Callable[[Any], nn.Module]] = {
    "log_mel": _log_mel,
    "mfcc": _mfcc,
    "musicnn": MusicnnFrontEnd,
    "stft": _stft,
}


def front_end(block: FeatureBlock) -> nn.Module:
    """Make the module of a feature, from a waveform to segments.

    Args:
        block: The feature's parameters.

    Raises:
        ConfigError: If the feature cannot be exported.

    Example:
        >>> from genre_pipeline.features import SegmentBlock
        >>> block = LogMelBlock(kind="log_mel", sample_rate=22050, hop_length=512, n_fft=1024, n_mels=40,
        ...                     segment=SegmentBlock(n_frames=20, hop_frames=10))
        >>> front_end(block)(torch.zeros(22050)).shape
        torch.Size([3, 40, 20])
    """
    if block.kind not in _FRONT_ENDS:
        raise ConfigError(
            f"Features of the kind '{block.kind}' cannot be exported; expected {', '.join(_FRONT_ENDS)}. Choose a cell "
            "of another feature: --params predict.cell=NAME"
        )
    return _FRONT_ENDS[block.kind](block).eval()
