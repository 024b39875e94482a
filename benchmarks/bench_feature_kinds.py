"""Measure each kind of feature against the librosa calls that it equals, on one core, from waveform to array.

Run ``OMP_NUM_THREADS=1 python benchmarks/bench_feature_kinds.py [folder with audio]``; without a folder, on synthetic
music. librosa, the plain code and the compiled code take turns, and a ratio is the median of the rounds' ratios, so
that a busy machine slows all alike. Times are processor times, not wall times. ``--profile`` prints instead where the
time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import librosa
import numpy as np
import torch

from genre_pipeline.audio.io import read_waveform
from genre_pipeline.demo.composition import GENRES
from genre_pipeline.demo.rendering import TrackNumber, render
from genre_pipeline.features import FEATURES, stream_features
from genre_pipeline.features.base import Request

SAMPLE_RATE = 22050


def request(kind: str, **parameters: object) -> Request:
    segment = {"n_frames": 1, "hop_frames": 1}
    values = {"kind": kind, "sample_rate": SAMPLE_RATE, "segment": segment, **parameters}
    return FEATURES[kind], FEATURES[kind].block.model_validate(values)


def mel_db(waveform: np.ndarray, **parameters: int) -> np.ndarray:
    return librosa.power_to_db(librosa.feature.melspectrogram(y=waveform, sr=SAMPLE_RATE, **parameters))


def stft_db(waveform: np.ndarray, **parameters: int) -> np.ndarray:
    return librosa.amplitude_to_db(np.abs(librosa.stft(waveform, **parameters)))


def cqt_db(waveform: np.ndarray, **parameters: int) -> np.ndarray:
    return librosa.amplitude_to_db(np.abs(librosa.cqt(waveform, sr=SAMPLE_RATE, bins_per_octave=36, **parameters)))


FRAMES = {"n_fft": 2048, "hop_length": 512}
MEL = request("log_mel", **FRAMES, n_mels=128)
MFCC = request("mfcc", **FRAMES, n_mels=128)
STFT = request("stft", **FRAMES)
STFT_SINGLE = request("stft", **FRAMES, precision="single")
CQT = request("cqt", hop_length=512, n_octaves=7, bins_per_octave=36)

CONTESTS: dict[str, tuple[list[Request], Callable[[np.ndarray], object]]] = {
    "log-mel 2048/1024/128": (
        [request("log_mel", n_fft=2048, hop_length=1024, n_mels=128)],
        lambda waveform: mel_db(waveform, hop_length=1024),
    ),
    "log-mel 2048/512/256": ([request("log_mel", **FRAMES, n_mels=256)], lambda waveform: mel_db(waveform, n_mels=256)),
    "log-mel 4096/1024/1024": (
        [request("log_mel", n_fft=4096, hop_length=1024, n_mels=1024)],
        lambda waveform: mel_db(waveform, n_fft=4096, hop_length=1024, n_mels=1024),
    ),
    "MFCC, 20 of 2048/512/128": ([MFCC], lambda waveform: librosa.feature.mfcc(y=waveform, n_mfcc=20)),
    "STFT 2048/512, double precision": ([STFT], stft_db),
    "STFT 2048/512, single precision": ([STFT_SINGLE], stft_db),
    "CQT 252 bins, hop 512": ([CQT], lambda waveform: cqt_db(waveform, n_bins=252)),
    "CQT 288 bins, hop 384": (
        [request("cqt", hop_length=384, n_octaves=8, bins_per_octave=36)],
        lambda waveform: cqt_db(waveform, n_bins=288, hop_length=384),
    ),
    "chroma, tuning given": (
        [request("chroma", **FRAMES, tuning=0.0)],
        lambda waveform: librosa.feature.chroma_stft(y=waveform, tuning=0.0),
    ),
    "chroma, tuning estimated": (
        [request("chroma", **FRAMES)],
        lambda waveform: librosa.feature.chroma_stft(y=waveform),
    ),
    "STFT + mel + MFCC": (
        [STFT_SINGLE, MEL, MFCC],
        lambda waveform: (stft_db(waveform), mel_db(waveform), librosa.feature.mfcc(y=waveform)),
    ),
    "STFT + mel + MFCC + CQT": (
        [STFT_SINGLE, MEL, MFCC, CQT],
        lambda waveform: (
            stft_db(waveform),
            mel_db(waveform),
            librosa.feature.mfcc(y=waveform),
            cqt_db(waveform, n_bins=252),
        ),
    ),
}


def seconds(job: Callable[[np.ndarray], object], waveforms: Sequence[np.ndarray]) -> float:
    start = time.process_time()
    for waveform in waveforms:
        job(waveform)
    return (time.process_time() - start) / len(waveforms)


def read_tracks(folder: Path | None, n_tracks: int) -> list[np.ndarray]:
    if folder is None:
        numbers = [TrackNumber(0, genre % len(GENRES), genre // len(GENRES), 0, 0) for genre in range(n_tracks)]
        stereo = [render(number, duration_s=30.0, sample_rate=SAMPLE_RATE) for number in numbers]
        return [waveform.mean(axis=0).astype(np.float32) for waveform in stereo]
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".wav", ".flac", ".ogg", ".mp3"})
    return [read_waveform(path, sample_rate=SAMPLE_RATE) for path in paths[:: max(1, len(paths) // n_tracks)]]


def our_way(requests: list[Request], *, is_compiled: bool) -> Callable[[np.ndarray], object]:
    return lambda waveform: [list(each) for each in stream_features([waveform], requests, is_compiled=is_compiled)]


def compare(waveforms: Sequence[np.ndarray], n_rounds: int) -> None:
    print("| feature | librosa, ms | torch, ms | compiled, ms | ratio, torch | ratio, compiled |")
    print("|---|--:|--:|--:|--:|--:|")
    for title, (requests, plain) in CONTESTS.items():
        jobs = [plain, our_way(requests, is_compiled=False), our_way(requests, is_compiled=True)]
        for job in jobs:
            seconds(job, waveforms[:1])
        rounds = [[seconds(job, waveforms) for job in jobs] for _ in range(n_rounds)]
        times = [f"{1e3 * statistics.median(taken):.1f}" for taken in zip(*rounds, strict=True)]
        ratios = [sorted(taken[0] / taken[index] for taken in rounds) for index in (1, 2)]
        spread = [f"{statistics.median(each):.1f} ({each[0]:.1f} to {each[-1]:.1f})" for each in ratios]
        print(f"| {title} | {' | '.join([*times, *spread])} |", flush=True)


def profile(waveform: np.ndarray, n_rounds: int) -> None:
    """Print which functions take the time, their own without those they call, in ms per track."""
    for title, (requests, _) in CONTESTS.items():
        for is_compiled in (False, True):
            job = our_way(requests, is_compiled=is_compiled)
            job(waveform)
            profiler = cProfile.Profile(time.process_time)
            profiler.enable()
            for _ in range(n_rounds):
                job(waveform)
            profiler.disable()
            print(f"\n{title}, {'compiled' if is_compiled else 'torch'}")
            entries = pstats.Stats(profiler).stats.items()  # type: ignore[attr-defined]
            for (file, _line, name), (_, _, own, *_) in sorted(entries, key=lambda entry: -entry[1][2])[:8]:
                print(f"{1e3 * own / n_rounds:8.2f}  {Path(file).name} {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--n-tracks", type=int, default=6)
    parser.add_argument("--n-rounds", type=int, default=7)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    waveforms = read_tracks(arguments.folder, arguments.n_tracks)
    print(f"{len(waveforms)} tracks of {len(waveforms[0]) / SAMPLE_RATE:.1f} s, one core")
    # Freed memory is kept, as in a worker of an extraction.
    np.empty(2**25 - 2**13, dtype=np.uint8)
    if arguments.profile:
        profile(waveforms[0], arguments.n_rounds)
    else:
        compare(waveforms, arguments.n_rounds)


if __name__ == "__main__":
    main()
