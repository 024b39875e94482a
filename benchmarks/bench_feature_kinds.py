"""Measure each kind of feature against the librosa calls that it equals, on one core, from waveform to array.

Run ``OMP_NUM_THREADS=1 python benchmarks/bench_feature_kinds.py [folder with audio]``; without a folder, on synthetic
music. The two take turns, and a ratio is the median of the rounds' ratios, so that a busy machine slows both alike.
Times are processor times, not wall times.
"""

from __future__ import annotations

import argparse
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
from genre_pipeline.features import FEATURES, extract_features
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--n-tracks", type=int, default=6)
    parser.add_argument("--n-rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    waveforms = read_tracks(arguments.folder, arguments.n_tracks)
    print(f"{len(waveforms)} tracks of {len(waveforms[0]) / SAMPLE_RATE:.1f} s, one core")
    print(f"{'':34}{'librosa':>10}{'ours':>10}{'ratio':>8}")
    for title, (requests, plain) in CONTESTS.items():

        def ours(waveform: np.ndarray, requests: list[Request] = requests) -> object:
            return extract_features(waveform, requests)

        seconds(ours, waveforms[:1]), seconds(plain, waveforms[:1])
        rounds = [(seconds(plain, waveforms), seconds(ours, waveforms)) for _ in range(arguments.n_rounds)]
        slow, fast = (statistics.median(times) for times in zip(*rounds, strict=True))
        ratio = statistics.median(one / other for one, other in rounds)
        print(f"{title:34}{1e3 * slow:7.1f} ms{1e3 * fast:7.1f} ms{ratio:8.2f}", flush=True)


if __name__ == "__main__":
    main()
