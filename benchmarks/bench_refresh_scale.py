"""Measure the cost of a refresh at a million tracks, without audio: planner, index, fingerprints and splits.

Run ``OMP_NUM_THREADS=1 python benchmarks/bench_refresh_scale.py --n-tracks 1000000``. The files exist but are empty:
ten genres, a thousand files per folder, ten tracks per artist. Everything else (inspections, tracks, index) is
fabricated. Times are processor times, which other work on the machine inflates little. Each step also prints the
process's peak memory so far.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from genre_pipeline.datasets import Clip

GENRES = tuple(f"genre{number}" for number in range(10))
TRACKS_PER_ARTIST = 10


def measured(name: str, job: Callable[[], Any]) -> Any:
    start = time.process_time()
    result = job()
    seconds = time.process_time() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(f"| {name} | {seconds:,.1f} | {peak_mb:,.0f} |", flush=True)
    return result


def write_files(root: Path, n_tracks: int) -> None:
    for first in range(0, n_tracks, 1000):
        folder = root / GENRES[first // 1000 % len(GENRES)] / f"{first // 1000:04d}"
        folder.mkdir(parents=True)
        for number in range(first, min(first + 1000, n_tracks)):
            (folder / f"{number:07d}.wav").touch()


def write_metadata(root: Path) -> int:
    """Give every ten files, in the order of their names, one artist."""
    from genre_pipeline.datasets.reading.files import list_files

    paths = list(list_files(root)[0])
    rows = [f"{path},Artist {row // TRACKS_PER_ARTIST},Title {row}" for row, path in enumerate(paths)]
    (root / "metadata.csv").write_text("\n".join(["path,artist,title", *rows, ""]), encoding="utf-8")
    return len(paths)


def write_inspections(cache: Path, stamps: dict[str, tuple[int, int]]) -> None:
    sizes, times = zip(*stamps.values(), strict=True)
    pd.DataFrame({"path": list(stamps), "n_bytes": sizes, "mtime_ns": times}).to_parquet(cache)


def invented_clip(number: int) -> Clip:
    """Return a clip whose genre depends on its artist in a seemingly random way."""
    artist = number // TRACKS_PER_ARTIST
    genre = GENRES[artist * 2654435761 % 2**32 % len(GENRES)]
    return Clip(f"{number:07d}", genre, f"{genre}/{number:07d}.wav", f"Artist {artist}")


def track_table(clips: Any) -> pd.DataFrame:
    from genre_pipeline.datasets import TRACK_COLUMNS

    names = [f"{number * 2654435761 % 2**64:032x}" for number in range(len(clips))]
    table = pd.DataFrame([vars(clip) for clip in clips]).assign(
        duration_s=30.0, sample_rate=22_050, n_channels=1, start_sample=0, n_samples=661_500, format="WAV", n_bytes=0,
        content_hash=names, audio_hash=names, recording=[clip.track_id for clip in clips], checksum="", faults="",
        quarantined=False,
    )  # fmt: skip
    return table[list(TRACK_COLUMNS)].astype(dict(TRACK_COLUMNS))


def plan_steps(work: Path, root: Path) -> Any:
    """Return a graph like that of an experiment with one cell."""
    from genre_pipeline.datasets import DatasetBlock
    from genre_pipeline.ops.refresh.graph import Entry, Graph, Source, Step

    names = ("d.tracks", "d.quality", "d.p.split", "d.f.segments", "d.p.f.m.checkpoints", "leaderboard")
    entries = {name: Entry(path=work / "results" / name) for name in names}
    parameters = DatasetBlock(kind="folder", path=root).dump()
    source = Source(
        dataset="d", kind="folder", parameters=parameters, cache=work / "inspections.parquet", tracks="d.tracks",
        quality="d.quality",
    )  # fmt: skip
    split = {"d.tracks": ("track_id", "genre", "artist", "audio_hash"), "d.quality": ("subset",)}
    steps = (
        Step(name="d.ingest", versions={"ingest": 1}, outputs=("d.tracks", "d.quality"), source=source),
        Step(name="d.p.split", versions={"split": 1}, inputs=split, outputs=("d.p.split",)),
        Step(name="d.f.segment", versions={"s": 1}, inputs={"d.tracks": None}, outputs=("d.f.segments",)),
        Step(
            name="d.p.f.m.train",
            versions={"train": 1},
            inputs={"d.p.split": None, "d.f.segments": None},
            outputs=("d.p.f.m.checkpoints",),
        ),
        Step(name="rank", versions={"r": 1}, inputs={"d.p.f.m.checkpoints": None}, outputs=("leaderboard",)),
    )
    return Graph(key="scale", steps=steps, entries=entries)


def record(graph: Any, contents: dict[str, Any]) -> None:
    """Write every result and its record, as a refresh would."""
    from genre_pipeline.ops.refresh.records import Recorder

    recorder = Recorder()
    for step in graph.steps:
        recorder.begin(step, graph.entries)
        for entry in step.outputs:
            content = contents.get(entry, {"made": entry})
            path = graph.entries[entry].path
            path.parent.mkdir(parents=True, exist_ok=True)
            content.to_parquet(path) if isinstance(content, pd.DataFrame) else path.write_text("made")
            recorder.saved(step.name, entry, content)


def measure_planner(work: Path, n_tracks: int) -> pd.DataFrame:
    from genre_pipeline.datasets import DATASETS, DatasetBlock
    from genre_pipeline.ops.refresh.planning import make_plan

    root = work / "music"
    measured("making the files", lambda: write_files(root, n_tracks))
    write_metadata(root)
    block = DatasetBlock(kind="folder", path=root)
    listing = measured("list files and metadata", lambda: DATASETS["folder"].find_clips(block))
    write_inspections(work / "inspections.parquet", dict(listing.stamps))
    tracks = track_table(listing.clips)
    graph = plan_steps(work, root)
    measured("write the track table and all records", lambda: record(graph, {"d.tracks": tracks}))
    plan = measured("plan: nothing is stale", lambda: make_plan(graph))
    assert (plan.stale, plan.n_tracks) == ([], n_tracks), plan.summary()
    (root / GENRES[0] / "0000" / "new.wav").touch()
    plan = measured("plan: one file is new", lambda: make_plan(graph))
    assert plan.stale[0] == "d.ingest", plan.summary()
    return tracks


def measure_index(work: Path, tracks: pd.DataFrame) -> None:
    from genre_pipeline.features import FEATURES
    from genre_pipeline.features.mfcc import MfccBlock
    from genre_pipeline.stores.store import FeatureStore, StoredTrack

    spec, n_tracks = FEATURES["mfcc"], len(tracks)
    segment = {"n_frames": 129, "hop_frames": 129}
    block = MfccBlock.model_validate(
        {
            "kind": "mfcc",
            "sample_rate": 22_050,
            "n_fft": 2048,
            "hop_length": 512,
            "n_mels": 128,
            "n_mfcc": 1,
            "segment": segment,
        }
    )
    store = FeatureStore.create(work / "store", spec, block)
    frames = work / "shard.frames"
    frames.write_bytes(bytes(4 * spec.n_bins(block) * n_tracks))
    names = zip(tracks["track_id"], tracks["audio_hash"], strict=True)
    index = [StoredTrack(track, audio, 1, 0) for track, audio in names]

    def write() -> None:
        store.stage(frames, index)
        store.commit()

    measured("index: append all tracks and write", write)
    measured("index: open", lambda: FeatureStore.open(store.folder))
    measured("index: match with the track table", lambda: store.adopt(store.index))


def measure_fingerprints(tracks: pd.DataFrame) -> None:
    from genre_pipeline.ops.refresh.content import content_parts

    measured("fingerprints of the track table's 19 columns", lambda: content_parts(tracks))


def measure_splits(tracks: pd.DataFrame, work: Path) -> None:
    from genre_pipeline.splits import PROTOCOLS, read_record, split_tracks, write_record

    for kind in ("track_kfold", "artist_kfold", "random_track"):
        spec = PROTOCOLS[kind]
        block = spec.block(kind=kind, repeats=2)

        def split(rows: pd.DataFrame, record: Any = None, spec: Any = spec, block: Any = block) -> Any:
            return split_tracks(rows, spec, block, dataset="d", official={}, record=record)

        old = tracks.iloc[: len(tracks) * 99 // 100]
        first = measured(f"{kind}, two repeats: 99 % of the tracks", lambda old=old: split(old))
        path = work / f"{kind}.parquet"
        measured("its record: write", lambda path=path, first=first: write_record(path, first.record))
        kept = measured("its record: read", lambda path=path: read_record(path))
        grown = measured("one per cent more tracks", lambda kept=kept: split(tracks, kept))
        growth = grown.report["growth"]
        assert (growth["n_kept"], growth["moved"]["n_tracks"]) == (len(old), 0)
        print(
            f"record on disk: {path.stat().st_size / 1e6:.1f} MB; imbalance {grown.report['stratification_imbalance']}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-tracks", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["planner", "index", "fingerprints", "splits"])
    parser.add_argument("--folder", type=Path, help="Where to work; a temporary folder by default.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        work = Path(folder)
        print(f"| {arguments.n_tracks:,} tracks | CPU s | peak MB |\n|---|---|---|")
        if arguments.only in {None, "planner"}:
            tracks = measure_planner(work, arguments.n_tracks)
        else:
            tracks = track_table([invented_clip(number) for number in range(arguments.n_tracks)])
        if arguments.only in {None, "fingerprints"}:
            measure_fingerprints(tracks)
        if arguments.only in {None, "index"}:
            measure_index(work, tracks)
        if arguments.only in {None, "splits"}:
            measure_splits(tracks, work)


if __name__ == "__main__":
    main()
