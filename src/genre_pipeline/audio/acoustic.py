"""Acoustic fingerprints: compact descriptions of sound that find copies among 100,000 recordings.

Two files of one recording have nearly the same fingerprint, also if one was re-encoded, resampled, made quieter or cut
elsewhere. Two performances of one piece do not. The idea, signs of differences across pitch and time as a binary code
for each frame, is Haitsma and Kalker's ("A highly robust audio fingerprinting system", ISMIR 2002), here [P]; taking
them from chroma is Chromaprint's (Lalinsky, "How does Chromaprint work?", 2011), here [C].

Format, version 1: one byte with the version, then three bytes (little-endian) for each code, 10.8 codes a second: 32
bytes a second, 0.9 kB for 30 s. A code is made as follows.

1. Resample to 5512.5 Hz; frames of 2048 samples (0.37 s) every 512 (0.09 s), with a Hann window; power spectrum.
2. Sum the power around each semitone from C3 to B6, and fold each two octaves into one: 24 numbers, the chroma of a
   low and of a high register. Take logarithms, over a floor 30 dB below the frame's whole power; smooth over five
   frames.
3. Bit *b* is set if the step from pitch class *b* to the next one (after B comes C) is greater than it was five frames
   before. Bits 0 to 11 are the low register, from C on, bits 12 to 23 the high one.

A gain cancels out. Where a register is empty or does not change, as in silence or a steady tone, no bit is set.
"""

from __future__ import annotations

import numpy as np
import scipy  # Not scipy.fft, which takes a third of a second: scipy imports it when a fingerprint is made.
import soxr
from numpy.typing import NDArray

from genre_pipeline.errors import AudioError

ACOUSTIC_VERSION = 1
"""First byte of a fingerprint. Raise it, with INSPECTION_VERSION, when the same audio gives another fingerprint."""

CODE_BITS = 24
_CODE_BYTES = CODE_BITS // 8

# [?] A quarter of 22,050 Hz, which soxr reaches in few steps from the usual rates; [P] is 5 kHz, [C] 11,025 Hz.
_SAMPLE_RATE = 5512.5
_FRAME_SAMPLES = 2048  # [P] and [C]: 0.37 s
# [?] With [C]'s third of a frame, 94.6 % of a copy's bits agree if it begins elsewhere; with a quarter, 96 %.
_HOP_SAMPLES = 512
CODES_PER_S = _SAMPLE_RATE / _HOP_SAMPLES

_LOWEST_MIDI = 48  # [?] C3, 131 Hz: a semitone is three bins wide there, and a shift of the mean has no effect.
_N_OCTAVES = 4  # [?] Up to B6, 1976 Hz, which every codec keeps; [P] ends at 2 kHz.
_N_REGISTERS = 2

# [?] A frame's weakest notes are what codecs and 8-bit samples change first.
_RELATIVE_FLOOR = 1e-3
# [?] 100 dB below a full-scale sine, where 16-bit samples end.
_ABSOLUTE_FLOOR = 1e-10

_SMOOTHING = np.array([0.25, 0.75, 1.0, 0.75, 0.25], dtype=np.float32) / 3  # [C]
_LAG = 5  # [?] The length of the smoothing: half a second.
# [?] In nepers of power, 0.2 dB: the effect of rounding on a steady tone; music changes by several dB.
_LEAST_STEP = 0.05

# The same frames are always transformed together, so that a fingerprint does not depend on the blocks of audio.
_GROUP_FRAMES = 64
_GROUP_HOP = _GROUP_FRAMES * _HOP_SAMPLES
_GROUP_SAMPLES = _GROUP_HOP - _HOP_SAMPLES + _FRAME_SAMPLES

# [D] Lower rates lack the highest note. [?] No audio has higher rates, and soxr's filters grow with the ratio of rates.
SAMPLE_RATES = (4000, 768_000)
"""The lowest and the highest accepted sample rate, in Hz."""

# [?] +40 dB: float samples may be above full scale, but not so far that their square overflows.
_MAX_SAMPLE = 100.0

# A full-scale sine has a power of 1.
_WINDOW = np.hanning(_FRAME_SAMPLES + 1)[:-1].astype(np.float32) * np.float32(4 / _FRAME_SAMPLES)


def _band_starts() -> NDArray[np.intp]:
    """Return the first bin of each semitone's band, and the bin after the last band."""
    semitones = np.arange(12 * _N_OCTAVES + 1) + _LOWEST_MIDI - 0.5
    edges_hz = 440 * 2 ** ((semitones - 69) / 12)
    return np.ceil(edges_hz * _FRAME_SAMPLES / _SAMPLE_RATE).astype(np.intp)


_BAND_STARTS = _band_starts()


class AcousticMeter:
    """Makes the fingerprint of a recording from successive blocks; only the codes stay in memory.

    Args:
        sample_rate: Of the recording, in Hz.

    Example:
        >>> meter = AcousticMeter(22_050)
        >>> meter.add(np.random.default_rng(0).uniform(-0.5, 0.5, 44_100).astype(np.float32))
        >>> len(meter.finish())
        28
    """

    def __init__(self, sample_rate: int) -> None:
        lowest, highest = SAMPLE_RATES
        self._stream = (
            soxr.ResampleStream(sample_rate, _SAMPLE_RATE, num_channels=1, dtype="float32", quality="LQ")
            if lowest <= sample_rate <= highest
            else None
        )
        self._samples = np.zeros(0, dtype=np.float32)
        self._chroma = np.zeros((0, CODE_BITS), dtype=np.float32)
        self._codes = bytearray()

    def add(self, block: NDArray[np.float32]) -> None:
        """Add the next samples.

        Args:
            block: Shape ``(n_samples,)``, finite.
        """
        self._resample(block)

    def finish(self) -> bytes:
        """Return the fingerprint of the added samples; no more samples can be added.

        Returns:
            The fingerprint. Empty if the recording has no features: it is silent, steady or shorter than 1.2 s, or its
            sample rate is not within 4 to 768 kHz.
        """
        self._resample(np.zeros(0, dtype=np.float32), last=True)
        n_frames = (len(self._samples) - _FRAME_SAMPLES) // _HOP_SAMPLES + 1
        if n_frames > 0:
            self._encode(_chroma(self._samples, n_frames))
        return bytes([ACOUSTIC_VERSION]) + bytes(self._codes) if any(self._codes) else b""

    def _resample(self, block: NDArray[np.float32], *, last: bool = False) -> None:
        if self._stream is None:
            return
        resampled = self._stream.resample_chunk(np.clip(block, -_MAX_SAMPLE, _MAX_SAMPLE), last=last)
        self._samples = np.concatenate([self._samples, resampled])
        while len(self._samples) >= _GROUP_SAMPLES:
            self._encode(_chroma(self._samples, _GROUP_FRAMES))
            self._samples = self._samples[_GROUP_HOP:]

    def _encode(self, chroma: NDArray[np.float32]) -> None:
        """Add the codes that new frames complete."""
        chroma = np.concatenate([self._chroma, chroma])
        self._chroma = chroma[max(len(chroma) - (len(_SMOOTHING) - 1 + _LAG), 0) :]
        n_smooth = len(chroma) - len(_SMOOTHING) + 1
        if n_smooth <= _LAG:
            return
        smooth = sum(weight * chroma[shift : shift + n_smooth] for shift, weight in enumerate(_SMOOTHING))
        classes = np.reshape(smooth, (n_smooth, _N_REGISTERS, 12))
        steps = np.roll(classes, -1, axis=2) - classes
        bits = steps[_LAG:] - steps[:-_LAG] > _LEAST_STEP
        self._codes += np.packbits(bits.reshape(-1, CODE_BITS), axis=1, bitorder="little").tobytes()


def count_codes(fingerprint: bytes) -> int:
    """Return how many codes a fingerprint has.

    Raises:
        AudioError: If it is no fingerprint of this version.
    """
    if not fingerprint:
        return 0
    if fingerprint[0] != ACOUSTIC_VERSION or len(fingerprint) % _CODE_BYTES != 1:
        raise AudioError(
            f"expected an acoustic fingerprint of version {ACOUSTIC_VERSION}, got {len(fingerprint)} bytes that begin "
            f"with {fingerprint[0]}. Inspect the audio again."
        )
    return len(fingerprint) // _CODE_BYTES


def unpack_codes(fingerprint: bytes) -> NDArray[np.uint32]:
    """Return the codes of a fingerprint.

    Args:
        fingerprint: What :meth:`AcousticMeter.finish` returned.

    Returns:
        Shape ``(n_codes,)``: ``CODE_BITS`` bits each, ``CODES_PER_S`` a second.

    Raises:
        AudioError: If it is no fingerprint of this version.

    Example:
        >>> unpack_codes(bytes([1, 255, 0, 0, 0, 1, 0])).tolist()
        [255, 256]
    """
    n_codes = count_codes(fingerprint)
    parts = np.zeros((n_codes, 4), dtype=np.uint8)
    parts[:, :_CODE_BYTES] = np.frombuffer(fingerprint, dtype=np.uint8)[1:].reshape(n_codes, _CODE_BYTES)
    return parts.view("<u4")[:, 0].astype(np.uint32)


def _chroma(samples: NDArray[np.float32], n_frames: int) -> NDArray[np.float32]:
    """Return the logarithmic chroma of both registers, of shape ``(n_frames, CODE_BITS)``."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME_SAMPLES)[::_HOP_SAMPLES][:n_frames]
    spectrum = scipy.fft.rfft(frames * _WINDOW)[:, : _BAND_STARTS[-1]]
    power = spectrum.real**2 + spectrum.imag**2
    semitones = np.add.reduceat(power, _BAND_STARTS[:-1], axis=1)
    folded = semitones.reshape(n_frames, _N_REGISTERS, -1, 12).sum(axis=2).reshape(n_frames, CODE_BITS)
    floor = _RELATIVE_FLOOR * folded.sum(axis=1, keepdims=True) + np.float32(_ABSOLUTE_FLOOR)
    logarithms: NDArray[np.float32] = np.log(folded + floor)
    return logarithms
