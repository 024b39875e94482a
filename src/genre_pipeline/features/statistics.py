"""Hand-made statistics: timbre, harmony and tempo of a clip in 57 numbers, for classical models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genre_pipeline.errors import FeatureError
from genre_pipeline.features.analysis import Samples, Signal
from genre_pipeline.features.base import FEATURES, Bins, FeatureBlock, Features, FeatureSpec, Finish
from genre_pipeline.features.chroma import estimate_tuning
from genre_pipeline.features.spectrum import MAX_FFT

# [?] Separating harmony and percussion needs some ten copies of the spectra: 400 MB for this many samples, at a hop of
# a quarter of a frame.
MAX_SAMPLES = 2**21

_DESCRIPTORS = (
    "chroma_stft",
    "rms",
    "spectral_centroid",
    "spectral_bandwidth",
    "rolloff",
    "zero_crossing_rate",
    "harmony",
    "perceptr",
)


class StatisticsBlock(FeatureBlock):
    """Parameters of hand-made statistics. The clip, or each piece of ``segment.own_s``, gives a single frame.

    Attributes:
        hop_length: Distance between the frames of the statistics, in samples.
        n_fft: Length of those frames, in samples; even.
        n_mfcc: Number of MFCCs, of 128 mel bands.
        dtype: Type of the stored numbers. Variances of frequencies reach millions, which float16 cannot hold.
    """

    n_fft: int = Field(ge=2, le=MAX_FFT, multiple_of=2)
    n_mfcc: int = Field(default=20, ge=1, le=128)
    dtype: Literal["float16", "float32"] = "float32"

    @model_validator(mode="after")
    def _segments_are_frames(self) -> StatisticsBlock:
        if self.segment.n_frames != 1:
            raise ValueError(
                f"segment.n_frames={self.segment.n_frames} must be 1: statistics have one frame for the clip, or for "
                "each piece of segment.own_s"
            )
        return self

    @property
    def max_samples(self) -> int:
        """Greatest length that can be described at once: less if frames overlap more than four times."""
        return MAX_SAMPLES * min(self.n_fft, 4 * self.hop_length) // self.n_fft

    def frames_of(self, n_samples: int) -> int:  # noqa: ARG002  # whatever the length
        """Return 1: samples that are transformed at once give one frame."""
        return 1

    @property
    def frame_s(self) -> float | None:
        """Length of a piece, in seconds; ``None`` if the clip is not cut."""
        return self.segment.own_s

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the statistics, in their order: those of the common GTZAN feature table."""
        described = [*_DESCRIPTORS, "tempo", *(f"mfcc{number}" for number in range(1, self.n_mfcc + 1))]
        return tuple(
            name for each in described for name in ([each] if each == "tempo" else [f"{each}_mean", f"{each}_var"])
        )


def begin_statistics(signal: Signal, block: StatisticsBlock) -> Finish:
    """Begin the statistics of a clip, shape ``(17 + 2 * n_mfcc, 1)``; :attr:`StatisticsBlock.columns` names them.

    Mean and variance over frames of ``librosa.feature.chroma_stft``, ``rms``, ``spectral_centroid``,
    ``spectral_bandwidth``, ``spectral_rolloff``, ``zero_crossing_rate`` and ``mfcc``; mean and variance over samples of
    the two outputs of ``librosa.effects.hpss``; and the tempo of ``librosa.beat.beat_track``, 0 without onsets. With
    2048-sample frames, a hop of 512 and 20 MFCCs these are the 57 columns of the feature table that is commonly used
    with GTZAN (Kaggle, "GTZAN Dataset - Music Genre Classification", ``features_30_sec.csv``), to six digits or more.
    For that, the ends of a clip are treated as in librosa before version 0.10, which made the table: frames there
    include the waveform's mirror image instead of silence, and the outputs of ``hpss`` end with the last whole hop.

    Args:
        signal: The signal, before its samples.
        block: The parameters.

    Returns:
        The function that finishes the feature; it raises an error if the waveform is shorter than a frame, or too long
        to process as a whole.

    Example:
        >>> from genre_pipeline.features import SegmentBlock
        >>> block = StatisticsBlock(kind="statistics", sample_rate=22050, hop_length=512, n_fft=2048,
        ...                         segment=SegmentBlock(n_frames=1, hop_frames=1))
        >>> block.columns[:3], len(block.columns)
        (('chroma_stft_mean', 'chroma_stft_var', 'rms_mean'), 57)
    """
    chunks: list[Samples] = []
    greatest = block.max_samples
    signal.on_samples(lambda samples: chunks.append(samples) if signal.n_samples <= greatest else chunks.clear())

    def finish() -> Iterator[Features]:
        signal.require(block.n_fft)
        if signal.n_samples > greatest:
            raise FeatureError(
                f"The waveform is too long for statistics of all of it: expected at most {greatest} samples "
                f"({greatest / block.sample_rate:.0f} s), got {signal.n_samples}. Set segment.own_s to describe it "
                "piece by piece, or use an excerpt."
            )
        yield _statistics(np.concatenate(chunks), block)[:, None]

    return finish


def _statistics(waveform: Samples, block: StatisticsBlock) -> NDArray[np.float32]:
    import librosa

    rate = block.sample_rate
    hop_length = block.hop_length
    spectra = librosa.stft(waveform, n_fft=block.n_fft, pad_mode="reflect", hop_length=hop_length)
    magnitudes = np.abs(spectra)
    energies = magnitudes**2
    tuning = estimate_tuning(energies, sample_rate=rate, n_chroma=12)
    mel = librosa.feature.melspectrogram(S=energies, sr=rate, n_mels=128)
    described = [
        librosa.feature.chroma_stft(S=energies, sr=rate, tuning=tuning),
        librosa.feature.rms(y=waveform, frame_length=block.n_fft, pad_mode="reflect", hop_length=hop_length),
        librosa.feature.spectral_centroid(S=magnitudes, sr=rate),
        librosa.feature.spectral_bandwidth(S=magnitudes, sr=rate),
        librosa.feature.spectral_rolloff(S=magnitudes, sr=rate),
        librosa.feature.zero_crossing_rate(waveform, frame_length=block.n_fft, hop_length=hop_length),
        *(
            librosa.util.fix_length(librosa.istft(part, n_fft=block.n_fft, hop_length=hop_length), size=len(waveform))
            for part in librosa.decompose.hpss(spectra)
        ),
    ]
    coefficients = librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=block.n_mfcc)
    return np.array(
        [*_moments(described), _tempo(waveform, block), *_moments(coefficients)],
        dtype=np.float32,
    )


def _moments(rows: Iterable[NDArray[np.floating]]) -> list[float]:
    return [moment for row in rows for moment in (float(np.mean(row)), float(np.var(row)))]


def _tempo(waveform: Samples, block: StatisticsBlock) -> float:
    """Return the beats per minute, as estimated by ``librosa.beat.beat_track`` before it finds the beats."""
    import librosa

    onsets = librosa.onset.onset_strength(
        y=waveform, sr=block.sample_rate, hop_length=block.hop_length, aggregate=np.median
    )
    if not onsets.any():
        return 0.0
    return float(librosa.feature.tempo(onset_envelope=onsets, sr=block.sample_rate, hop_length=block.hop_length)[0])


def _n_columns(block: StatisticsBlock) -> int:
    return len(block.columns)


def _bins(block: StatisticsBlock) -> Bins:
    return Bins("statistic", names=block.columns)


FEATURES.register(
    FeatureSpec(
        name="statistics",
        block=StatisticsBlock,
        n_bins=_n_columns,
        begin=begin_statistics,
        version=1,
        bins=_bins,
    )
)
