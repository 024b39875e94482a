"""Measure how long ``kedro refresh`` takes to find that nothing is stale, and that one track is new.

    OMP_NUM_THREADS=1 python benchmarks/bench_refresh.py --n-tracks 100000

The script writes tables and records for a folder of files of a few bytes each, as if they had been ingested and trained
on; nothing is decoded. Then it runs the command in a new process.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from genre_pipeline.audio import AudioFacts
from genre_pipeline.datasets import DATASETS, TRACK_COLUMNS, DatasetBlock
from genre_pipeline.ingest import inspections
from genre_pipeline.project import PROJECT_ROOT

GENRES = ("blues", "jazz", "metal", "pop", "rock")
N_ARTISTS = 1000


def write_music(root: Path, n_tracks: int) -> None:
    lines = ["path,artist,title"]
    for genre in GENRES:
        (root / genre).mkdir(parents=True)
    for number in range(n_tracks):
        path = f"{GENRES[number % len(GENRES)]}/{number:07d}.wav"
        (root / path).write_bytes(f"{number:07d}".encode())
        lines.append(f"{path},Artist {number % N_ARTISTS},Title {number}")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")


def invented_facts(path: Path) -> AudioFacts:
    content = Path(path).read_bytes()
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return AudioFacts(30.0, 22050, 1, 661_500, "WAV", len(content), digest, digest)


def ingest(block: DatasetBlock, cache: Path) -> pd.DataFrame:
    listing = DATASETS["folder"].find_clips(block)
    inspections.inspect_audio = invented_facts
    paths = [clip.path for clip in listing.clips]
    found = inspections.inspect_files(
        block.root, paths, stamps=listing.stamps, cache=cache, n_workers=1, description="Recording"
    )
    clips = pd.DataFrame([vars(clip) for clip in listing.clips])
    facts = found.facts.drop(columns=["detail"])
    tracks = pd.concat([clips, facts], axis="columns").assign(
        start_sample=0, recording=clips["track_id"], checksum="", quarantined=False
    )
    return tracks[list(TRACK_COLUMNS)].astype(dict(TRACK_COLUMNS))


def record_everything(experiment: str) -> None:
    """Write tables and records as a session would."""
    from genre_pipeline.ops.refresh.records import Recorder
    from genre_pipeline.ops.refreshing import Request, read_graph

    graph = read_graph(Request(experiment=experiment))
    recorder = Recorder()
    for step in graph.steps:
        recorder.begin(step, graph.entries)
        contents = {entry: {"invented": entry} for entry in step.outputs}
        if step.source is not None:
            block = DatasetBlock.parse(step.source.parameters, key="datasets")
            contents[step.source.tracks] = ingest(block, step.source.cache)
        for entry, content in contents.items():
            place = graph.entries[entry]
            newest = place.path / "2000-01-01T00.00.00.000Z" / place.path.name if place.versioned else place.path
            for path in {newest, place.copy_path or newest}:
                path.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, pd.DataFrame):
                    content.to_parquet(path)
                else:
                    path.write_text(json.dumps(content))
            recorder.saved(step.name, entry, content)


def run(label: str, arguments: list[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started_s = time.perf_counter()
    command = [sys.executable, "-m", "kedro", "refresh", *arguments]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    wall_s = time.perf_counter() - started_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{label}: {wall_s:.1f} s, {cpu_s:.1f} s of processor time, peak {after.ru_maxrss / 1000:.0f} MB so far")
    print(f"  {done.stdout.splitlines()[0]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-tracks", type=int, default=100_000)
    n_tracks = parser.parse_args().n_tracks
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GENRE_PIPELINE_DATA"] = folder
        root = Path(folder, "01_raw", "my_music")
        write_music(root, n_tracks)
        record_everything("my_music")
        arguments = ["--dry-run", "--experiment", "my_music"]
        for attempt in ("nothing stale", "nothing stale, again"):
            run(attempt, arguments)
        (root / "jazz" / "new.wav").write_bytes(b"new")
        run("one new track", arguments)
        (root / "jazz" / "new.wav").unlink()
        run("content of all files checked", [*arguments, "--check-content"])


if __name__ == "__main__":
    main()
