"""Measure feature extraction and the feature store against the plain way of doing the same.

Run ``python benchmarks/bench_features.py --n-tracks 40 --duration-s 30``. The contestants take turns, and each ratio is
the median of the rounds' ratios, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from genre_pipeline.features import FEATURES
from genre_pipeline.features.extraction import extract
from genre_pipeline.features.log_mel import LogMelBlock
from genre_pipeline.features.segments import segment_tracks
from genre_pipeline.features.store import FeatureStore

SAMPLE_RATE = 22050
BLOCK = LogMelBlock.model_validate(
    {
        "kind": "log_mel",
        "sample_rate": SAMPLE_RATE,
        "hop_length": 1024,
        "n_fft": 2048,
        "n_mels": 128,
        # About 3 s.
        "segment": {"n_frames": 64, "hop_frames": 32},
    }
)
N_GATHERED = 2048


def write_tracks(folder: Path, n_tracks: int, duration_s: float) -> pd.DataFrame:
    n_samples = int(duration_s * SAMPLE_RATE)
    rng = np.random.default_rng(0)
    for number in range(n_tracks):
        noise = 0.1 * rng.standard_normal(n_samples, dtype=np.float32)
        soundfile.write(folder / f"t{number:04d}.wav", noise, SAMPLE_RATE, subtype="PCM_16")
    ids = [f"t{number:04d}" for number in range(n_tracks)]
    return pd.DataFrame(
        {
            "track_id": ids,
            "genre": "noise",
            "path": [f"{track_id}.wav" for track_id in ids],
            "audio_hash": ids,
            "n_samples": n_samples,
            "sample_rate": SAMPLE_RATE,
            "quarantined": False,
        }
    )


def librosa_loop(tracks: pd.DataFrame, audio: Path, folder: Path) -> None:
    """Load, transform and save, track by track, as one writes it without thinking of speed."""
    import librosa

    folder.mkdir()
    for track in tracks.itertuples():
        waveform, rate = librosa.load(audio / track.path, sr=SAMPLE_RATE)
        energies = librosa.feature.melspectrogram(y=waveform, sr=rate, n_fft=2048, hop_length=1024, n_mels=128)
        np.save(folder / f"{track.track_id}.npy", librosa.power_to_db(energies).astype(np.float16))


def gather_from_files(segments: pd.DataFrame, folder: Path) -> np.ndarray:
    arrays = []
    for segment in segments.itertuples():
        features = np.load(folder / f"{segment.track_id}.npy", mmap_mode="r")
        start = segment.start_frame
        arrays.append(features[:, start : start + segment.n_frames].astype(np.float32))
    return np.stack(arrays)


def timed(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def compare(title: str, unit: str, n_units: int, jobs: dict[str, Callable[[], object]], n_rounds: int) -> None:
    for job in jobs.values():
        job()
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(n_rounds):
        for name, job in jobs.items():
            seconds[name].append(timed(job))
    baseline = next(iter(seconds.values()))
    print(f"\n{title}\n{'':34}{unit:>16}{'ratio':>8}")
    for name, taken in seconds.items():
        ratio = statistics.median(slow / fast for slow, fast in zip(baseline, taken, strict=True))
        print(f"{name:34}{n_units / statistics.median(taken):16,.0f}{ratio:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-tracks", type=int, default=40)
    parser.add_argument("--duration-s", type=float, default=30.0)
    parser.add_argument("--n-rounds", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        audio, files, store = work / "audio", work / "files", work / "store"
        audio.mkdir()
        tracks = write_tracks(audio, arguments.n_tracks, arguments.duration_s)

        def plain() -> None:
            shutil.rmtree(files, ignore_errors=True)
            librosa_loop(tracks, audio, files)

        def ours(n_workers: int) -> None:
            shutil.rmtree(store, ignore_errors=True)
            spec = FEATURES[BLOCK.kind]
            extract(tracks, root=audio, spec=spec, block=BLOCK, folder=store, n_workers=n_workers)

        compare(
            f"WAV -> stored log-mel 2048/1024/128, {arguments.n_tracks} tracks of {arguments.duration_s:g} s",
            "tracks/s",
            len(tracks),
            {"plain librosa loop": plain, "ours, 1 worker": lambda: ours(1), "ours, 2 workers": lambda: ours(2)},
            arguments.n_rounds,
        )

        segments = segment_tracks(tracks, BLOCK).table.sample(N_GATHERED, replace=True, random_state=0)
        opened = FeatureStore.open(store)
        compare(
            f"Random segments of {BLOCK.segment.n_frames} frames",
            "segments/s",
            len(segments),
            {
                "one .npy a track, memory-mapped": lambda: gather_from_files(segments, files),
                "feature store, without checks": lambda: opened.gather(segments, verify=False),
                "feature store": lambda: opened.gather(segments),
                "feature store, opened each time": lambda: FeatureStore.open(store).gather(segments),
            },
            arguments.n_rounds,
        )


if __name__ == "__main__":
    main()
