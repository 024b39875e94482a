"""Compare feature extraction and the feature store with a plain implementation.

Run ``python benchmarks/bench_features.py``. The jobs take turns, and each ratio is the median of the rounds' ratios, so
that a busy machine slows all of them alike. Check the load first: on a busy machine there is no second core to use.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from genre_pipeline.experiment import parse_feature
from genre_pipeline.features import FEATURES
from genre_pipeline.features.segments import segment_tracks
from genre_pipeline.stores import extraction
from genre_pipeline.stores.extraction import SHARD_SIZE, Target, extract_together
from genre_pipeline.stores.store import FeatureStore, StoredTrack
from genre_pipeline.work.backends import Workers

SAMPLE_RATE = 22050
CPUS = sorted(os.sched_getaffinity(0))
LEVELS = {"sample_rate": SAMPLE_RATE, "n_fft": 2048, "segment": {"n_frames": 128, "hop_frames": 64}}
BLOCKS = {
    name: parse_feature(name, {**LEVELS, **values})
    for name, values in {
        "log_mel_1024": {
            "kind": "log_mel",
            "hop_length": 1024,
            "n_mels": 128,
            "segment": {"n_frames": 64, "hop_frames": 32},
        },
        "stft": {"kind": "stft", "hop_length": 512},
        "log_mel": {"kind": "log_mel", "hop_length": 512, "n_mels": 128},
        "mfcc": {"kind": "mfcc", "hop_length": 512, "n_mels": 128, "n_mfcc": 20},
    }.items()
}
BLOCKS["cqt"] = parse_feature(
    "cqt",
    {
        "kind": "cqt",
        "sample_rate": SAMPLE_RATE,
        "hop_length": 512,
        "n_octaves": 7,
        "bins_per_octave": 36,
        "segment": {"n_frames": 128, "hop_frames": 64},
    },
)
ALL_FOUR = ("stft", "log_mel", "mfcc", "cqt")
# Together, the first three share the double-precision spectra that the STFT needs to agree with librosa's.
SHARING = {name: BLOCKS[name].model_copy(update={"precision": "double"}) for name in ("stft", "log_mel", "mfcc")}
N_GATHERED = 2048
LONG_S = 7200


def plain_feature(name: str, waveform: np.ndarray) -> np.ndarray:
    """Compute a feature with the obvious librosa calls."""
    import librosa

    if name == "stft":
        return librosa.amplitude_to_db(np.abs(librosa.stft(waveform, n_fft=2048, hop_length=512)))
    if name == "mfcc":
        return librosa.feature.mfcc(y=waveform, sr=SAMPLE_RATE, n_mfcc=20, n_fft=2048, hop_length=512)
    if name == "cqt":
        return librosa.amplitude_to_db(
            np.abs(librosa.cqt(waveform, sr=SAMPLE_RATE, hop_length=512, n_bins=252, bins_per_octave=36))
        )
    hop_length = BLOCKS[name].hop_length
    energies = librosa.feature.melspectrogram(y=waveform, sr=SAMPLE_RATE, n_fft=2048, hop_length=hop_length, n_mels=128)
    return librosa.power_to_db(energies)


def plain_loop(tracks: pd.DataFrame, audio: Path, folder: Path, features: Sequence[str]) -> None:
    """Load, transform and save, track by track, without regard to speed."""
    import librosa

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for track in tracks.itertuples():
        waveform, _ = librosa.load(audio / track.path, sr=SAMPLE_RATE)
        for name in features:
            np.save(folder / f"{track.track_id}-{name}.npy", plain_feature(name, waveform).astype(BLOCKS[name].dtype))


def our_way(
    tracks: pd.DataFrame,
    audio: Path,
    folder: Path,
    features: Sequence[str],
    workers: Workers,
    *,
    is_compiled: bool = True,
) -> None:
    # By default, few tracks are not worth compiling for.
    extraction.COMPILED_SAMPLES = 0 if is_compiled else 2**62
    shutil.rmtree(folder, ignore_errors=True)
    blocks = {name: BLOCKS[name] if len(features) == 1 else SHARING.get(name, BLOCKS[name]) for name in features}
    targets = [Target(FEATURES[block.kind], block, folder / name) for name, block in blocks.items()]
    extract_together(tracks, targets, root=audio, workers=workers)


def write_tracks(folder: Path, n_tracks: int, duration_s: float, suffix: str) -> pd.DataFrame:
    """Write clips of tones in noise: WAV as in GTZAN, or MP3 as in FMA (44.1 kHz, stereo)."""
    rate, n_channels = (SAMPLE_RATE, 1) if suffix == "wav" else (44_100, 2)
    folder.mkdir()
    rows = []
    for number in range(n_tracks):
        clip = music(number, int(duration_s * rate), rate, n_channels)
        soundfile.write(folder / f"t{number:04d}.{suffix}", clip, rate)
        rows.append(row(f"t{number:04d}", suffix, len(clip), rate))
    return pd.DataFrame(rows)


def row(track_id: str, suffix: str, n_samples: int, rate: int) -> dict[str, Any]:
    return {
        "track_id": track_id,
        "genre": "noise",
        "path": f"{track_id}.{suffix}",
        "audio_hash": track_id,
        "start_sample": 0,
        "n_samples": n_samples,
        "sample_rate": rate,
        "quarantined": False,
    }


def music(seed: int, n_samples: int, rate: int, n_channels: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time_s = np.arange(n_samples, dtype=np.float32) / rate
    clip = 0.02 * rng.standard_normal((n_samples, n_channels), dtype=np.float32)
    for frequency_hz in rng.uniform(60.0, 4000.0, 6):
        clip += 0.1 * np.sin(2 * np.pi * frequency_hz * time_s)[:, None]
    return clip


def compare(title: str, unit: str, n_units: int, jobs: dict[str, Callable[[], object]], n_rounds: int) -> None:
    """Run jobs in turn, and print their speeds, their ratios to the first, and their processor time."""
    for job in jobs.values():
        job()
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(n_rounds):
        for name, job in jobs.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            job()
            seconds[name].append(time.perf_counter() - start)
            cpu_seconds[name].append(time.process_time() - cpu_start)
    # The processor time of other processes is not counted.
    print(f"\n| {title} | {unit} a second | ratio | CPU ms each | ratio |\n|---|---|---|---|---|")
    for name, taken in seconds.items():
        ratios = sorted(slow / fast for slow, fast in zip(next(iter(seconds.values())), taken, strict=True))
        speed, cpu_ms = n_units / statistics.median(taken), 1000 * statistics.median(cpu_seconds[name]) / n_units
        ratio, cpu_ratio = median_ratio(seconds, name), median_ratio(cpu_seconds, name)
        spread = f"{ratio:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        # What other processes take is not known here.
        cpu = "- | -" if "processes" in name else f"{cpu_ms:.3g} | {cpu_ratio:.2f}"
        print(f"| {name} | {speed:,.3g} | {spread} | {cpu} |", flush=True)


def median_ratio(taken: dict[str, list[float]], name: str) -> float:
    """Return how much longer the first of several jobs took than another, round by round."""
    baseline = next(iter(taken.values()))
    return statistics.median(slow / fast for slow, fast in zip(baseline, taken[name], strict=True))


def compare_extraction(work: Path, n_tracks: int, duration_s: float, n_rounds: int) -> None:
    import torch

    for suffix in ("wav", "mp3"):
        audio = work / suffix
        # What a job begins with should not count: the shorter one gets more tracks.
        all_tracks = write_tracks(audio, 4 * n_tracks, duration_s, suffix)
        for title, features, n in (
            ("log-mel 2048/1024/128", ["log_mel_1024"], 4 * n_tracks),
            ("STFT + mel + MFCC + CQT", ALL_FOUR, n_tracks),
        ):
            tracks = all_tracks.head(n)
            jobs: dict[str, Callable[[], object]] = {
                "plain librosa loop": lambda audio=audio, tracks=tracks, features=features: plain_loop(
                    tracks, audio, work / "files", features
                )
            }
            contestants = {
                "1 thread": Workers("serial"),
                "2 threads": Workers("threads", 2),
                "2 processes": Workers("processes", 2),
            }
            if torch.cuda.is_available():
                contestants[f"GPU and {len(CPUS)} threads"] = Workers("threads", len(CPUS), device="cuda")
            jobs["1 thread, torch"] = lambda audio=audio, tracks=tracks, features=features: our_way(
                tracks, audio, work / "store", features, Workers("serial"), is_compiled=False
            )
            for label, workers in contestants.items():
                jobs[label] = lambda audio=audio, tracks=tracks, features=features, workers=workers: our_way(
                    tracks, audio, work / "store", features, workers
                )
            compare(f"{suffix.upper()} to stored {title}", "tracks", len(tracks), jobs, n_rounds)


def compare_features(duration_s: float, n_rounds: int) -> None:
    """Measure from waveform to feature, on one core."""
    import torch

    waveform = music(0, int(duration_s * SAMPLE_RATE), SAMPLE_RATE, 1)[:, 0]
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, block in BLOCKS.items():
        spec = FEATURES[block.kind]
        jobs = {
            "librosa": lambda name=name: [plain_feature(name, waveform) for _ in range(5)],
            "ours": lambda spec=spec, block=block: [spec.extract(waveform, block) for _ in range(5)],
        }
        compare(f"one waveform to {name}, one core", "tracks", 5, jobs, 3 * n_rounds)
    torch.set_num_threads(n_threads)


def gather_from_files(segments: pd.DataFrame, folder: Path) -> np.ndarray:
    arrays = []
    for segment in segments.itertuples():
        features = np.load(folder / f"{segment.track_id}-log_mel_1024.npy", mmap_mode="r")
        start = segment.start_frame
        arrays.append(features[:, start : start + segment.n_frames].astype(np.float32))
    return np.stack(arrays)


def compare_gathering(work: Path, n_tracks: int, duration_s: float, n_rounds: int) -> None:
    name, audio = "log_mel_1024", work / "gathered"
    tracks = write_tracks(audio, n_tracks, duration_s, "wav")
    plain_loop(tracks, audio, work / "files", [name])
    our_way(tracks, audio, work / "store", [name], Workers("serial"))
    segments = segment_tracks(tracks, BLOCKS[name]).table.sample(N_GATHERED, replace=True, random_state=0)
    store = FeatureStore.open(work / "store" / name)
    compare(
        f"random segments of {BLOCKS[name].segment.n_frames} frames (3 s)",
        "segments",
        len(segments),
        {
            "one memory-mapped .npy a track": lambda: gather_from_files(segments, work / "files"),
            "feature store": lambda: store.gather(segments),
            "feature store, opened and checked each time": lambda: FeatureStore.open(store.folder).gather(segments),
        },
        n_rounds,
    )


def peak_of(job: Callable[..., object], *arguments: Any) -> float:
    """Return the greatest memory, in MB, of a new process that does a job."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_measured, args=(sending, job, arguments))
    process.start()
    peak: float = receiving.recv()
    process.join()
    return peak


def _measured(sending: Any, job: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    job(*arguments)
    # Not getrusage: what that says begins with the parent's memory at the fork.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [line] = [each for each in status.splitlines() if each.startswith("VmHWM")]
    sending.send(int(line.split()[1]) * 1024 / 1e6)


def warm_up() -> None:
    """Load what every worker loads."""
    import torch

    torch.fft.rfft(torch.zeros(2048))


def measure_memory(work: Path, n_tracks: int, duration_s: float) -> None:
    print("\n| peak memory of a process, all four features | MB |\n|---|---|")
    print(f"| the libraries alone | {peak_of(warm_up):.0f} |")
    for n in (SHARD_SIZE, n_tracks):
        audio = work / f"{n}-tracks"
        tracks = write_tracks(audio, n, duration_s, "wav")
        peak = peak_of(our_way, tracks, audio, work / "store", ALL_FOUR, Workers("serial"))
        print(f"| {n} tracks of {duration_s:g} s | {peak:.0f} |", flush=True)
    audio = work / "long"
    audio.mkdir()
    minute = music(0, 60 * 44_100, 44_100, 2)
    with soundfile.SoundFile(audio / "mix.wav", "w", 44_100, 2) as file:
        for _ in range(LONG_S // 60):
            file.write(minute)
    mix = pd.DataFrame([row("mix", "wav", LONG_S * 44_100, 44_100)])
    peak = peak_of(our_way, mix, audio, work / "store", ALL_FOUR, Workers("serial"))
    print(f"| one mix of 2 hours, 44.1 kHz stereo | {peak:.0f} |", flush=True)


def measure_backends(work: Path, n_tracks: int, duration_s: float) -> None:
    """Measure how long each backend takes to start, and the work of the parent process, which limits a cluster."""
    tracks = write_tracks(work / "backends", n_tracks, duration_s, "wav")
    print("\n| log-mel 2048/1024/128, all | wall s | CPU ms a track in the asking process |\n|---|---|---|")
    for workers in (Workers("serial"), Workers("threads", 2), Workers("processes", 2), Workers("dask", 2)):
        start, cpu_start = time.perf_counter(), time.process_time()
        our_way(tracks, work / "backends", work / "store", ["log_mel_1024"], workers)
        wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
        print(f"| {workers.backend} | {wall_s:.1f} | {1000 * cpu_s / n_tracks:.2g} |", flush=True)


def measure_index(work: Path) -> None:
    """Measure the index of a store of all of FMA: 106,574 tracks."""
    n = 106_574
    block = BLOCKS["mfcc"]
    spec = FEATURES[block.kind]
    store = FeatureStore.create(work / "indexed", spec, block)
    frames = work / "shard.frames"
    frames.write_bytes(bytes(4 * spec.n_bins(block) * n))
    index = [StoredTrack(f"{number:06d}", f"{number * 2654435761 % 2**64:032x}", 1, 0) for number in range(n)]
    print("\n| index of 106,574 tracks | CPU s |\n|---|---|")
    for name, job in {
        "append and write": lambda: [store.stage(frames, index), store.commit()],
        "open": lambda: FeatureStore.open(store.folder),
        "adopt": lambda: store.adopt(store.index),
    }.items():
        start = time.process_time()
        job()
        print(f"| {name} | {time.process_time() - start:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-tracks", type=int, default=64)
    parser.add_argument("--duration-s", type=float, default=30.0)
    parser.add_argument("--n-rounds", type=int, default=5)
    parser.add_argument("--only", choices=["extraction", "features", "gathering", "memory", "backends", "index"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    n_tracks, duration_s, n_rounds = arguments.n_tracks, arguments.duration_s, arguments.n_rounds
    print(f"{len(CPUS)} cores, load {os.getloadavg()[0]:.1f} before it began")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        parts: dict[str, Callable[[], None]] = {
            "extraction": lambda: compare_extraction(work, n_tracks, duration_s, n_rounds),
            "features": lambda: compare_features(duration_s, n_rounds),
            "gathering": lambda: compare_gathering(work, n_tracks, duration_s, n_rounds),
            "memory": lambda: measure_memory(work, n_tracks, duration_s),
            "backends": lambda: measure_backends(work, n_tracks, duration_s),
            "index": lambda: measure_index(work),
        }
        for part in [arguments.only] if arguments.only else parts:
            parts[part]()


if __name__ == "__main__":
    main()
