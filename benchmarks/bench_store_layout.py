"""The packed feature store against one file per track, named by its content, on fabricated tracks.

Both hold the same frames and the same Parquet index. Each operation is done by both in turns; "cold" reads follow
``posix_fadvise(DONTNEED)``. The last table counts the calls that each would send to a network file system.

    python benchmarks/bench_store_layout.py                       # 100,000 tracks, about 6 GB below --folder
    python benchmarks/bench_store_layout.py --n-tracks 2000
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.experiment import parse_feature
from genre_pipeline.features import FEATURES
from genre_pipeline.stores.store import FeatureStore, PackedTrack

N_BINS, SEGMENT = 100, 43
FEATURE = {
    "kind": "log_mel",
    "sample_rate": 22050,
    "n_fft": 1024,
    "hop_length": 512,
    "n_mels": N_BINS,
    "dtype": "float16",
    "segment": {"n_frames": SEGMENT, "hop_frames": SEGMENT},
}


def frames_of(number: int, n_frames: int) -> NDArray[np.float16]:
    """Return a track's frames, different ones for each track and cheap to make."""
    return np.full((n_frames, N_BINS), (number % 9973) / 7, dtype=np.float16)


def hash_of(number: int) -> str:
    return f"{number * 2654435761 % 2**32:08x}{number:08x}"


def path_of(folder: Path, audio_hash: str) -> Path:
    return folder / audio_hash[:2] / f"{audio_hash}.npy"


def file_per_track(folder: Path, numbers: range, n_frames: int) -> None:
    rows = []
    for number in numbers:
        audio_hash, frames = hash_of(number), frames_of(number, n_frames)
        path = path_of(folder, audio_hash)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        with temporary.open("wb") as file:
            np.save(file, frames)
        temporary.replace(path)
        rows.append((f"{number:08d}", audio_hash, len(frames), zlib.crc32(frames.data)))
    table = pd.DataFrame(rows, columns=["track_id", "audio_hash", "n_frames", "crc32"])
    known = folder / "index.parquet"
    if known.exists():
        table = pd.concat([pd.read_parquet(known), table])
    table.to_parquet(known)
    os.sync()


def packed(store: FeatureStore, numbers: range, n_frames: int) -> None:
    block = 256
    for first in range(numbers.start, numbers.stop, block):
        some = range(first, min(first + block, numbers.stop))
        store.append([PackedTrack(f"{number:08d}", hash_of(number), frames_of(number, n_frames)) for number in some])
    os.sync()


def forget(paths: Iterator[Path]) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def gather_files(folder: Path, segments: pd.DataFrame) -> NDArray[np.float32]:
    index = pd.read_parquet(folder / "index.parquet")
    known = dict(zip(index["track_id"], zip(index["audio_hash"], index["crc32"], strict=True), strict=True))
    gathered = np.empty((len(segments), N_BINS, SEGMENT), dtype=np.float32)
    row = 0
    for track_id, starts in segments.groupby("track_id", sort=False)["start_frame"]:
        audio_hash, crc32 = known[track_id]
        frames = np.load(path_of(folder, audio_hash))
        if zlib.crc32(frames.data) != crc32:
            raise ValueError(track_id)
        for start in starts:
            gathered[row] = frames[start : start + SEGMENT].T
            row += 1
    return gathered


def gather_packed(folder: Path, segments: pd.DataFrame) -> NDArray[np.float32]:
    return FeatureStore.open(folder).gather(segments)


def timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-tracks", type=int, default=100_000)
    parser.add_argument("--n-frames", type=int, default=129, help="frames of a track, of 200 bytes each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; a temporary folder by default")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(dir=options.folder))
    n, n_frames = options.n_tracks, options.n_frames
    block = parse_feature("log_mel_small", FEATURE)
    results: dict[str, tuple[list[float], list[float]]] = {}

    def compare(name: str, one: Callable[[], object], other: Callable[[], object]) -> None:
        packed_s, files_s = results.setdefault(name, ([], []))
        packed_s.append(timed(one))
        files_s.append(timed(other))

    try:
        store = FeatureStore.create(root / "packed", FEATURES["log_mel"], block)
        files = root / "files"
        files.mkdir()
        compare(
            "write all", lambda: packed(store, range(n), n_frames), lambda: file_per_track(files, range(n), n_frames)
        )
        chosen = sorted(
            np.random.default_rng(0).choice(n, size=min(n, 200_000_000 // (200 * n_frames)), replace=False).tolist()
        )
        segments = pd.DataFrame(
            [
                (f"{number:08d}", start, SEGMENT)
                for number in chosen
                for start in range(0, n_frames - SEGMENT + 1, SEGMENT)
            ],
            columns=["track_id", "start_frame", "n_frames"],
        )
        for _ in range(options.rounds):
            for temperature in ("cold", "warm"):
                if temperature == "cold":
                    forget(path for path in root.rglob("*") if path.is_file())
                compare(
                    f"gather the segments of {len(chosen):,} tracks, {temperature}",
                    lambda: gather_packed(root / "packed", segments),
                    lambda: gather_files(files, segments),
                )
            compare(
                "check that every file is there with its size",
                lambda: FeatureStore.open(root / "packed"),
                lambda: sum(path.stat().st_size for path in files.glob("*/*.npy")),
            )
            compare(
                "copy the whole",
                *(
                    lambda place=place: shutil.copytree(root / place, root / "copy" / place)
                    for place in ("packed", "files")
                ),
            )
            shutil.rmtree(root / "copy")
        for first in range(n, n + options.rounds * n // 100, n // 100):
            compare(
                f"add {n // 100:,} tracks",
                lambda first=first: packed(
                    FeatureStore.open(root / "packed"), range(first, first + n // 100), n_frames
                ),
                lambda first=first: file_per_track(files, range(first, first + n // 100), n_frames),
            )
        n_files = sum(1 for path in files.rglob("*") if path.is_file())
        compare("delete", lambda: shutil.rmtree(root / "packed"), lambda: shutil.rmtree(files))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(f"{n:,} tracks of {n_frames * N_BINS * 2 / 1000:.1f} kB, load {os.getloadavg()[0]:.1f}\n")
    print("| operation | packed (s) | one file per track (s) | ratio |\n|---|--:|--:|--:|")
    for name, (one, other) in results.items():
        ratio = statistics.median(each / base for base, each in zip(one, other, strict=True))
        print(f"| {name} | {statistics.median(one):.2f} | {statistics.median(other):.2f} | {ratio:.1f} |")
    print(
        f"\nFiles: 3 packed, {n_files:,} otherwise. A network file system that takes 0.5 ms a call needs "
        f"{n * 3 * 0.0005:,.0f} s more for open, read and close of each of {n:,} files in turn."
    )


if __name__ == "__main__":
    main()
