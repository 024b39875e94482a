"""Measure ingest: how fast files are inspected, what a second run costs, and how memory grows with the collection.

Run ``python benchmarks/bench_ingest.py --n-tracks 2000 --duration-s 30 --n-workers 1 2``. The audio is noise in WAV
files of 22,050 Hz, mono, 16 bits, all different. With ``--n-files``, only that many are written, and the other tracks
are hard links to them. Ingest reads these like any file and reports them as duplicates. Each ingest runs in its own
process, whose peak resident memory is reported. The files were just written, so reading them costs almost nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 22_050
GENRES = ("blues", "jazz", "rock", "pop")


def write_tracks(root: Path, n_tracks: int, duration_s: float, n_files: int) -> None:
    """Write tracks of four genres, a thousand per folder, as in large collections."""
    rng = np.random.default_rng(0)
    written: list[Path] = []
    for number in range(n_tracks):
        path = root / GENRES[number % len(GENRES)] / f"{number // 1000:03d}" / f"{number:06d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < n_files:
            noise = rng.integers(-9000, 9000, int(duration_s * SAMPLE_RATE), dtype=np.int16)
            soundfile.write(path, noise, SAMPLE_RATE, subtype="PCM_16")
            written.append(path)
        else:
            os.link(written[number % n_files], path)


def ingest_once(root: Path, cache: Path, n_workers: int) -> None:
    """Ingest in this process, and print time and memory."""
    from genre_pipeline.datasets import DATASETS, DatasetBlock
    from genre_pipeline.ingest.ingest import ingest

    block = DatasetBlock(kind="folder", path=root, min_duration_s=0.0, quarantine=("unreadable",))
    at_rest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    result = ingest("bench", DATASETS["folder"], block, cache=cache, n_workers=n_workers)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = result.report
    print(json.dumps({"seconds": seconds, "at_rest": at_rest, "peak": peak, "n_inspected": report["n_inspected"]}))


def measured(root: Path, cache: Path, n_workers: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--ingest", str(root), str(cache), "--n-workers", str(n_workers)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return json.loads(output.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-tracks", type=int, nargs="+", default=[2000])
    parser.add_argument("--duration-s", type=float, default=30.0)
    parser.add_argument("--n-workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--n-files", type=int, help="distinct files, default all")
    parser.add_argument("--folder", type=Path, help="where to write, default the system's place for temporary files")
    parser.add_argument("--ingest", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ingest:
        ingest_once(*arguments.ingest, n_workers=arguments.n_workers[0])
        return
    print("   tracks  workers     run   seconds   files/s  of first     MB  MB at rest")
    for n_tracks in arguments.n_tracks:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            root = Path(name) / "music"
            write_tracks(root, n_tracks, arguments.duration_s, min(arguments.n_files or n_tracks, n_tracks))
            for n_workers in arguments.n_workers:
                cache = Path(name) / f"cache_{n_workers}" / "bench.parquet"
                runs = {run: measured(root, cache, n_workers) for run in ("first", "second")}
                for run, result in runs.items():
                    seconds = result["seconds"]
                    assert result["n_inspected"] == (n_tracks if run == "first" else 0)
                    print(
                        f"{n_tracks:9,}{n_workers:9}{run:>8}{seconds:10.2f}{n_tracks / seconds:10,.0f}"
                        f"{seconds / runs['first']['seconds']:10.2%}{result['peak'] / 1024:7.0f}"
                        f"{result['at_rest'] / 1024:12.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
