"""Extraction: from audio files to a feature store, computing only what is not stored yet."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from genre_pipeline.audio import io as audio_io
from genre_pipeline.errors import AudioError, FeatureError
from genre_pipeline.features.base import FeatureBlock, FeatureSpec
from genre_pipeline.features.store import FeatureStore, Frames, PackedTrack, spec_hash
from genre_pipeline.progress import progress_bar

logger = logging.getLogger(__name__)

# Share of unused bytes [?] from which a store is rewritten: it then never takes more than twice the space it needs.
_MAX_WASTE = 0.5

_NO_HASH = "has no audio hash, because its audio could not be read at ingest"


@dataclass(frozen=True)
class ExtractionResult:
    """What an extraction left.

    Attributes:
        store: The store, holding exactly the tracks that are not quarantined and did not fail.
        report: Plain JSON: ``n_tracks`` in the store; ``n_extracted`` recordings computed in this run; ``n_reused``
            tracks found in the store; ``n_removed`` recordings no longer wanted; ``n_bytes`` of the frames; ``failed``,
            a list of ``track_id``, ``path`` and ``error``.
    """

    store: FeatureStore
    report: dict[str, Any]


class _Job(NamedTuple):
    """One recording to be computed."""

    track_id: str
    audio_hash: str
    path: str


def extract(
    tracks: pd.DataFrame,
    *,
    root: Path,
    spec: FeatureSpec,
    block: FeatureBlock,
    folder: Path,
    n_workers: int,
    shard_size: int = 64,
) -> ExtractionResult:
    """Bring a feature store up to date with a track table.

    Recordings are known by their ``audio_hash``: a track that was renamed, or is a copy of another, is not decoded
    again; one whose audio changed is. A store of another specification or extractor version is replaced. Quarantined
    tracks are not part of it.

    Args:
        tracks: Track table, sorted by ``track_id``.
        root: The dataset's root folder, which the tracks' paths are relative to.
        spec: The kind of feature.
        block: Its parameters.
        folder: The store's folder.
        n_workers: Threads that decode and compute. The bytes stored do not depend on it.
        shard_size: Tracks written at a time: what an interruption can lose at most.

    Returns:
        The store, and a report. A track that fails is left out of the store, logged and reported; it does not stop
        the others, and is tried again in the next run.

    Raises:
        FeatureError: If no track is left: all are quarantined, or every one failed.
        StoreError: If the store in the folder is corrupted.
        StorageError: If the disk is full, or the folder is read-only.
    """
    wanted = tracks.loc[~tracks["quarantined"].astype(bool), ["track_id", "audio_hash", "path"]].astype("string")
    if wanted.empty:
        raise FeatureError(f"{root}: no track to extract features from: all {len(tracks)} are quarantined.")
    store = _open_or_create(folder, spec, block)
    n_removed = len(set(store.index["audio_hash"]) - set(wanted["audio_hash"]))
    store.adopt(wanted)
    n_reused = len(store.index)

    fresh = wanted.loc[~wanted["audio_hash"].isin(store.index["audio_hash"])].drop_duplicates("audio_hash")
    jobs = [_Job(*row) for row in fresh.itertuples(index=False, name=None) if row[1]]
    errors = _extract_into(store, jobs, root=root, spec=spec, block=block, n_workers=n_workers, shard_size=shard_size)
    if store.waste() > _MAX_WASTE:
        store.compact()
    # A second time, for the copies of what was computed just now.
    store.adopt(wanted)

    failed = _failures(wanted, errors)
    if store.index.empty:
        raise FeatureError(
            f"{root}: the feature '{spec.name}' could be computed of none of {len(wanted)} tracks. "
            f"The first: {failed[0]['path']}: {failed[0]['error']}"
        )
    report = {
        "n_tracks": len(store.index),
        "n_extracted": len(jobs) - len(errors),
        "n_reused": n_reused,
        "n_removed": n_removed,
        "n_bytes": store.n_bytes,
        "failed": failed,
    }
    logger.info(
        "%s: %d tracks extracted, %d unchanged, %d removed, %d failed; %.1f MB stored",
        _label(folder),
        report["n_extracted"],
        n_reused,
        n_removed,
        len(failed),
        store.n_bytes / 1e6,
    )
    return ExtractionResult(store=store, report=report)


def _label(folder: Path) -> str:
    """Name a store by its dataset's and its own folder."""
    return "/".join(folder.parts[-2:])


def _open_or_create(folder: Path, spec: FeatureSpec, block: FeatureBlock) -> FeatureStore:
    if not folder.exists() or not any(folder.iterdir()):
        return FeatureStore.create(folder, spec, block)
    store = FeatureStore.open(folder)
    if store.spec_hash != spec_hash(spec, block):
        logger.info("%s: replacing the features of another specification (%s).", folder, store.spec_hash)
        return FeatureStore.create(folder, spec, block)
    return store


def _extract_into(
    store: FeatureStore,
    jobs: Sequence[_Job],
    *,
    root: Path,
    spec: FeatureSpec,
    block: FeatureBlock,
    n_workers: int,
    shard_size: int,
) -> dict[str, str]:
    """Compute recordings and append them in shards; return the errors of those that failed, by audio hash."""

    def compute(job: _Job) -> Frames:
        waveform = audio_io.read_waveform(root / job.path, sample_rate=block.sample_rate)
        return store.pack(spec.extract(waveform, block))

    errors: dict[str, str] = {}
    shard: list[PackedTrack] = []
    with (
        progress_bar(f"Extracting {_label(store.folder)}", len(jobs)) as advance,
        _single_torch_thread(),
        closing(_in_order(jobs, compute, n_workers)) as results,
    ):
        for job, result in results:
            try:
                shard.append(PackedTrack(job.track_id, job.audio_hash, result.result()))
            except (AudioError, FeatureError) as error:
                errors[job.audio_hash] = str(error)
                logger.warning("Track '%s' (%s) gives no '%s' feature: %s", job.track_id, job.path, spec.name, error)
            if len(shard) == shard_size:
                store.append(shard)
                shard = []
            advance(job.track_id)
    if shard:
        store.append(shard)
    return errors


def _in_order(
    jobs: Sequence[_Job], compute: Callable[[_Job], Frames], n_workers: int
) -> Generator[tuple[_Job, Future[Frames]], None, None]:
    """Run jobs in threads, a few ahead of the consumer so that memory stays flat; yield them in their order."""
    ahead: deque[tuple[_Job, Future[Frames]]] = deque()
    with ThreadPoolExecutor(n_workers, thread_name_prefix="features") as pool:
        try:
            for job in jobs:
                ahead.append((job, pool.submit(compute, job)))
                if len(ahead) > 2 * n_workers:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()
        finally:
            for _, future in ahead:
                future.cancel()


@contextmanager
def _single_torch_thread() -> Iterator[None]:
    """Give each thread of the pool one torch thread: the threads already share out the cores."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _failures(wanted: pd.DataFrame, errors: dict[str, str]) -> list[dict[str, str]]:
    """List every track that is not in the store, copies of a failed recording included, in the tracks' order."""
    reasons = {**errors, "": _NO_HASH}
    return [
        {"track_id": track_id, "path": path, "error": reasons[audio_hash]}
        for track_id, audio_hash, path in wanted.itertuples(index=False, name=None)
        if audio_hash in reasons
    ]
