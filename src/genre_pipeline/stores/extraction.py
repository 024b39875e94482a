"""Extraction: from audio files to feature stores, computing only what is not stored yet."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from genre_pipeline.errors import FeatureError, StorageError, StoreError
from genre_pipeline.features.base import FeatureBlock, Features, FeatureSpec
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.progress import progress_bar
from genre_pipeline.stores.locks import writing
from genre_pipeline.stores.shards import (
    ClipAlteration,
    Recording,
    Shard,
    ShardTask,
    WrittenShard,
    matrix_threads,
    write_shards,
)
from genre_pipeline.stores.store import FeatureStore, PackedTrack, shards_folder, spec_hash
from genre_pipeline.work.backends import Device, Workers, require_device

logger = logging.getLogger(__name__)

# Share of unused bytes [?] from which a store is rewritten: so it never takes more than twice the space it needs.
_MAX_WASTE = 0.5
# [?] Tracks without a feature that the log names; the report has all.
_N_NAMED = 10
# [?] Tracks per task of a worker: half a second of work. So few seconds are lost, the workers finish together, and the
# cost of the other files of a shard is negligible.
SHARD_SIZE = 16
# [?] An hour and a half at 22,050 Hz: what compiled code saves is then several times what it takes to import it, and as
# much as it takes to compile it, once on a machine.
COMPILED_SAMPLES = 2**27
# [?] Staged shards wait for the store's next index until they hold this many tracks, and this share of the stored ones:
# so the time for writing indexes grows only in proportion to the tracks.
_COMMIT_TRACKS = 256
_COMMIT_SHARE = 1 / 8

_NO_HASH = "has no audio hash, because its audio could not be read at ingest"


@dataclass(frozen=True)
class Target:
    """A requested feature and its store.

    Attributes:
        spec: The kind of feature.
        block: Its parameters.
        folder: Its store's folder.
    """

    spec: FeatureSpec
    block: FeatureBlock
    folder: Path


@dataclass(frozen=True)
class ExtractionResult:
    """Result of an extraction.

    Attributes:
        store: The store, holding exactly the tracks that are not quarantined and did not fail.
        report: Plain JSON: ``n_tracks`` in the store; ``n_extracted`` recordings computed in this run; ``n_copied``
            recordings found in other stores of the same specification; ``n_reused`` tracks found in this store, or in
            the shards of a killed run; ``n_removed`` recordings no longer wanted; ``n_bytes`` of the frames;
            ``transform``, what computes spectra in this run (``torch`` or ``compiled``; ``none`` if features are read);
            ``failed``, a list of ``track_id``, ``path`` and ``error``.
    """

    store: FeatureStore
    report: dict[str, Any]


def extract(
    tracks: pd.DataFrame,
    *,
    root: Path,
    spec: FeatureSpec,
    block: FeatureBlock,
    folder: Path,
    workers: Workers,
    library: Path | None = None,
    shard_size: int = SHARD_SIZE,
) -> ExtractionResult:
    """Bring one feature store up to date with a track table: see :func:`extract_together`."""
    target = Target(spec, block, folder)
    return extract_together(tracks, [target], root=root, workers=workers, library=library, shard_size=shard_size)[0]


def extract_together(
    tracks: pd.DataFrame,
    targets: Sequence[Target],
    *,
    root: Path,
    workers: Workers,
    library: Path | None = None,
    shard_size: int = SHARD_SIZE,
    alter: ClipAlteration | None = None,
) -> list[ExtractionResult]:
    """Bring feature stores up to date with a track table, decoding each clip once for all of one sample rate.

    Recordings are identified by their ``audio_hash``: a track that was renamed, or is a copy of another, is not decoded
    again; one whose audio changed is. Recordings are copied from other stores of the same specification. A store of
    another specification or extractor version is replaced. Quarantined tracks are not part of it. Features that are not
    computed from audio (``spec.load``) are read each time.

    Workers write shards beside the stores (see :mod:`~genre_pipeline.stores.shards`), and the stores append them in the
    order of the tracks: their bytes depend neither on the workers nor on interruptions. The next run reuses the
    finished shards of a killed run.

    Args:
        tracks: Track table, sorted by ``track_id``.
        targets: The features, each with a store of its own.
        root: The dataset's root folder, which the tracks' paths are relative to. If workers are on other machines, it
            and the stores' folders must be on a file system that all of them mount at the same path.
        workers: The workers that decode and compute.
        library: Folder of all feature stores (``<dataset>/<feature>``), searched for recordings; ``None`` disables the
            search.
        shard_size: Tracks per task of a worker; each worker loses at most this many if it is killed.
        alter: Change of each clip before its features are computed. An altered clip is another recording with another
            ``audio_hash``.

    Returns:
        For each target the store and a report. A track that fails is left out of the store, logged and reported. It
        does not stop the others, and the next run tries it again.

    Raises:
        FeatureError: If no track is left for a feature: all are quarantined, or every one failed (altered clips may
            all fail: they can be too short). If clips are to be altered whose feature is not computed from audio.
        StoreError: If a store in a folder is corrupted, or another process writes to it.
        StorageError: If the disk is full or will be, or a folder is read-only.
        ComputeError: If the workers cannot be started or reached, or die, or lack the device.
        ConfigError: If what a feature needs beside the audio, such as weights, is missing.
    """
    for target in targets:
        target.spec.require(target.block)
    if workers.backend != "dask":
        require_device(workers.device)
    wanted = _wanted(tracks, root)
    if alter is not None:
        wanted = _altered(wanted, targets, alter)
    with ExitStack() as stack:
        for folder in sorted({target.folder for target in targets}):
            stack.enter_context(writing(folder))
        # By what is wanted, not by what is missing: an interrupted extraction continues as it began.
        is_compiled = workers.device == "cpu" and int(wanted["n_samples"].sum()) >= COMPILED_SAMPLES
        works = [
            _Loading(each, wanted)
            if each.spec.load
            else _Update(each, wanted, library, may_be_empty=alter is not None, is_compiled=is_compiled)
            for each in targets
        ]
        updates = [work for work in works if isinstance(work, _Update)]
        _check_room(updates, tracks)
        _run(
            _plan(updates, wanted, root=root, shard_size=shard_size, device=workers.device, alter=alter),
            updates,
            workers,
        )
        return [work.finish(root) for work in works]


def _wanted(tracks: pd.DataFrame, root: Path) -> pd.DataFrame:
    usable = tracks.loc[~tracks["quarantined"].astype(bool), list(Recording._fields)]
    if usable.empty:
        raise FeatureError(f"{root}: no track to extract features from: all {len(tracks)} are quarantined.")
    texts = {"track_id": "string", "audio_hash": "string", "path": "string"}
    return usable.astype({**texts, "start_sample": "int64", "n_samples": "int64"}).sort_values("track_id")


def _altered(wanted: pd.DataFrame, targets: Sequence[Target], alter: ClipAlteration) -> pd.DataFrame:
    for target in targets:
        if target.spec.load is not None:
            raise FeatureError(
                f"The feature '{target.spec.name}' is read, not computed from audio: what is done to the audio cannot "
                "change it. Leave it out."
            )
    # A clip without a hash was not decoded; the report states this.
    hashes = [each and fingerprint("altered_audio", 1, of=each, by=alter.fingerprint) for each in wanted["audio_hash"]]
    return wanted.assign(audio_hash=pd.Series(hashes, index=wanted.index, dtype="string"))


class _Update:
    """One store during extraction.

    Attributes:
        is_compiled: Whether workers compute spectra by code compiled for the processor.
        shards: The shards to compute, in the order of the frames, by task number.
        written: The workers' results, by task number.
        staged: Shards whose frames are in the store but not yet in its index.
    """

    def __init__(
        self, target: Target, wanted: pd.DataFrame, library: Path | None, *, may_be_empty: bool, is_compiled: bool
    ) -> None:
        self.target = target
        self.is_compiled = is_compiled
        self.wanted = wanted
        self.may_be_empty = may_be_empty
        self.shards: dict[int, Shard] = {}
        self.written: dict[int, WrittenShard] = {}
        self.staged: list[Shard] = []
        self.n_staged = 0
        self.store = _open_or_create(target)
        self.n_removed = len(set(self.store.index["audio_hash"]) - set(self.wanted["audio_hash"]))
        self.store.adopt(self.wanted)
        self.n_reused = len(self.store.index)
        n_stored = self._n_recordings()
        if library is not None:
            _copy_from_others(self.store, self._missing(), library)
        self.n_copied = self._n_recordings() - n_stored
        self.n_extracted = 0
        self.errors: dict[str, str] = {}

    def recordings(self) -> list[Recording]:
        """Return the recordings to compute, sorted."""
        rows = self._missing().itertuples(index=False, name=None)
        return sorted(Recording(*row) for row in rows if row[1])

    def ask(self, number: int, recordings: Sequence[Recording]) -> Shard | None:
        """Plan a shard of recordings, after those planned before.

        Returns:
            The task for a worker; ``None`` if a killed run has staged the shard.
        """
        shard = Shard(self.target.spec, self.target.block, tuple(recordings), shards_folder(self.target.folder))
        # In the order of the frames: everything after a gap is computed again.
        if not self.shards and (staged := shard.staged()) and self.store.restage(staged.tracks):
            self.n_reused += len(staged.tracks)
            self._note_staged(shard, staged)
            return None
        self.shards[number] = shard
        return shard

    def receive(self, number: int, shard: WrittenShard) -> None:
        """Accept a worker's result; shards go into the store in order, and into its index many at a time."""
        self.written[number] = shard
        if shard.reused:
            self.n_reused += len(shard.tracks)
        else:
            self.n_extracted += len(shard.tracks)
        for following in self._in_order():
            self._stage(self.shards.pop(following), self.written.pop(following))
        if self.n_staged >= max(_COMMIT_TRACKS, _COMMIT_SHARE * len(self.store.index)):
            self._commit()

    def finish(self, root: Path) -> ExtractionResult:
        """Add the last shards to the index, clean up, and report."""
        self._commit()
        if self.store.waste() > _MAX_WASTE:
            self.store.compact()
        # A second time, for copies of recordings that were just computed.
        self.store.adopt(self.wanted)
        shutil.rmtree(shards_folder(self.target.folder), ignore_errors=True)
        failed = self._failed()
        if self.store.index.empty and not self.may_be_empty:
            raise FeatureError(
                f"{root}: the feature '{self.target.spec.name}' could be computed of none of {len(self.wanted)} "
                f"tracks. The first: {failed[0]['path']}: {failed[0]['error']}"
            )
        report = {
            "n_tracks": len(self.store.index),
            "n_extracted": self.n_extracted,
            "n_copied": self.n_copied,
            "n_reused": self.n_reused,
            "n_removed": self.n_removed,
            "n_bytes": self.store.n_bytes,
            "transform": "compiled" if self.is_compiled else "torch",
            "failed": failed,
        }
        logger.info(
            "%s: %d tracks extracted, %d copied from other stores, %d unchanged, %d removed, %d failed; %.1f MB stored",
            _label(self.target.folder),
            self.n_extracted,
            self.n_copied,
            self.n_reused,
            self.n_removed,
            len(failed),
            self.store.n_bytes / 1e6,
        )
        return ExtractionResult(store=self.store, report=report)

    def n_bytes_missing(self, tracks: pd.DataFrame) -> int:
        """Estimate the bytes of the recordings to compute."""
        spec, block = self.target.spec, self.target.block
        missing = tracks[tracks["track_id"].isin(self._missing()["track_id"])]
        # Without rates in the table, the feature's rate is assumed.
        rates = missing["sample_rate"].clip(lower=1) if "sample_rate" in missing else block.sample_rate
        lengths = missing["n_samples"].astype("float64") * block.sample_rate / rates
        n_frames = sum(block.n_frames(int(length)) for length in lengths)
        return n_frames * spec.n_bins(block) * np.dtype(block.dtype).itemsize

    def _missing(self) -> pd.DataFrame:
        """Return the requested recordings that are not stored, once each."""
        stored = self.wanted["audio_hash"].isin(self.store.index["audio_hash"])
        return self.wanted.loc[~stored].drop_duplicates("audio_hash")

    def _n_recordings(self) -> int:
        return int(self.store.index["audio_hash"].nunique())

    def _in_order(self) -> list[int]:
        """Return the numbers of the shards that can be staged now: those without a missing shard before them."""
        numbers = []
        for number in self.shards:
            if number not in self.written:
                break
            numbers.append(number)
        return numbers

    def _stage(self, shard: Shard, written: WrittenShard) -> None:
        if written.tracks:
            self.store.stage(shard.frames_path, written.tracks)
        # The list stays until the index names the tracks, because it records what is staged.
        shard.frames_path.unlink(missing_ok=True)
        self._note_staged(shard, written)

    def _note_staged(self, shard: Shard, written: WrittenShard) -> None:
        self.staged.append(shard)
        self.n_staged += len(written.tracks)
        self._note_errors(shard, written)

    def _commit(self) -> None:
        self.store.commit()
        for shard in self.staged:
            shard.list_path.unlink(missing_ok=True)
        self.staged, self.n_staged = [], 0

    def _note_errors(self, shard: Shard, written: WrittenShard) -> None:
        self.errors.update(written.errors)
        for recording in shard.recordings:
            if recording.audio_hash in written.errors:
                logger.warning(
                    "Track '%s' (%s) gives no '%s' feature: %s",
                    recording.track_id,
                    recording.path,
                    self.target.spec.name,
                    written.errors[recording.audio_hash],
                )

    def _failed(self) -> list[dict[str, str]]:
        """List every track that is not in the store, copies of a failed recording included, in the tracks' order."""
        reasons = {**self.errors, "": _NO_HASH}
        return [
            {"track_id": track_id, "path": path, "error": reasons[audio_hash]}
            for track_id, audio_hash, path, *_ in self.wanted.itertuples(index=False, name=None)
            if audio_hash in reasons
        ]


class _Loading:
    """One store of a feature that is not computed from audio but read.

    All of it is read each time, because only its content shows whether it has changed. In the store's index, and so in
    the fingerprints of models trained on it, the content's hash replaces the audio's.
    """

    def __init__(self, target: Target, wanted: pd.DataFrame) -> None:
        self.target = target
        self.wanted = wanted

    def finish(self, root: Path) -> ExtractionResult:
        """Read every track, write the store if it differs, and report."""
        store = _open_or_create(self.target)
        tracks: list[PackedTrack] = []
        failed: list[dict[str, str]] = []
        for track_id, _, path, *_ in self.wanted.itertuples(index=False, name=None):
            try:
                frames = store.pack(self._load(track_id))
            except FeatureError as error:  # noqa: PERF203  # a track of its own each
                failed.append({"track_id": track_id, "path": path, "error": str(error)})
            else:
                content = hashlib.sha256(track_id.encode() + b"\0" + frames.tobytes()).hexdigest()
                tracks.append(PackedTrack(track_id, content, frames))
        if not tracks:
            raise FeatureError(
                f"{root}: the feature '{self.target.spec.name}' could be read of none of {len(self.wanted)} tracks. "
                f"The first: {failed[0]['error']}"
            )
        for each in failed[:_N_NAMED]:
            logger.warning("Track '%s' has no '%s': %s", each["track_id"], self.target.spec.name, each["error"])
        if len(failed) > _N_NAMED:
            logger.warning("... and %d more tracks: the extraction report lists them.", len(failed) - _N_NAMED)
        stored = dict(zip(store.index["track_id"], store.index["audio_hash"], strict=True))
        n_reused = sum(stored.get(track.track_id) == track.audio_hash for track in tracks)
        is_changed = n_reused < max(len(tracks), len(stored))
        if is_changed:
            store = FeatureStore.create(self.target.folder, self.target.spec, self.target.block)
            store.append(tracks)
        report = {
            "n_tracks": len(tracks),
            "n_extracted": len(tracks) - n_reused,
            "n_copied": 0,
            "n_reused": n_reused,
            "n_removed": len(set(stored) - {track.track_id for track in tracks}),
            "n_bytes": store.n_bytes,
            "transform": "none",
            "failed": failed,
        }
        return ExtractionResult(store=store, report=report)

    @cached_property
    def _load(self) -> Callable[[str], Features]:
        assert self.target.spec.load is not None, "only what is read is loaded"
        return self.target.spec.load(self.target.block)


def _check_room(updates: Sequence[_Update], tracks: pd.DataFrame) -> None:
    """Check that the disks have room for the results.

    Raises:
        StorageError: If one has not.
    """
    needed: defaultdict[int, list[tuple[int, _Update]]] = defaultdict(list)
    for update in updates:
        n_bytes = update.n_bytes_missing(tracks)
        needed[update.target.folder.parent.stat().st_dev].append((n_bytes, update))
    for each in needed.values():
        n_bytes, folder = sum(n for n, _ in each), each[0][1].target.folder
        n_free = shutil.disk_usage(folder.parent).free
        if n_bytes > n_free:
            largest = max(each, key=lambda one: one[0])[1].target
            raise StorageError(
                f"features.{largest.folder.name}: needs about {n_bytes / 1e9:,.1f} GB in {folder.parent}"
                f"{f', with {len(each) - 1} others,' if len(each) > 1 else ''} where {n_free / 1e9:,.1f} GB are free. "
                "Free some space, give storage.features another disk, or choose a coarser feature (a greater "
                "hop_length, fewer bins)."
            )


def _label(folder: Path) -> str:
    """Name a store by its dataset's and its own folder."""
    return "/".join(folder.parts[-2:])


def _open_or_create(target: Target) -> FeatureStore:
    folder = target.folder
    if not folder.exists() or not any(folder.iterdir()):
        return FeatureStore.create(folder, target.spec, target.block)
    store = FeatureStore.open(folder)
    if store.spec_hash != spec_hash(target.spec, target.block):
        logger.info("%s: replacing the features of another specification (%s).", folder, store.spec_hash)
        return FeatureStore.create(folder, target.spec, target.block)
    return store


def _copy_from_others(store: FeatureStore, missing: pd.DataFrame, library: Path) -> None:
    """Copy recordings from other stores of the same specification, except damaged stores and stores being packed."""
    for header in sorted(library.glob("*/*/store.json")):
        if missing.empty:
            return
        if header.parent.resolve() == store.folder.resolve():
            continue
        try:
            store.copy_from(FeatureStore.open(header.parent, spec_hash=store.spec_hash), missing)
        except (StoreError, FileNotFoundError):
            continue
        missing = missing.loc[~missing["audio_hash"].isin(store.index["audio_hash"])]


class _Job(NamedTuple):
    """A worker's task, and the shards it returns."""

    task: ShardTask
    updates: tuple[_Update, ...]


def _plan(
    updates: Sequence[_Update],
    wanted: pd.DataFrame,
    *,
    root: Path,
    shard_size: int,
    device: Device,
    alter: ClipAlteration | None,
) -> list[_Job]:
    """Divide the work. A clip's group does not depend on what is stored, so that shards left by a crash fit."""
    hashes = wanted["audio_hash"].drop_duplicates()
    group_of = {audio_hash: index // shard_size for index, audio_hash in enumerate(hashes)}
    groups: defaultdict[int, dict[int, list[Recording]]] = defaultdict(dict)
    for index, update in enumerate(updates):
        for recording in update.recordings():
            groups[group_of[recording.audio_hash]].setdefault(index, []).append(recording)
    jobs: list[_Job] = []
    for group in (groups[each] for each in sorted(groups)):
        asked = [(shard, updates[index]) for index in group if (shard := updates[index].ask(len(jobs), group[index]))]
        if asked:
            shards, concerned = zip(*asked, strict=True)
            jobs.append(_Job(ShardTask(root, shards, device, alter, updates[0].is_compiled), concerned))
    return jobs


def _run(jobs: Sequence[_Job], updates: Sequence[_Update], workers: Workers) -> None:
    if not jobs:
        return
    labels = ", ".join(_label(update.target.folder) for update in updates)
    n_clips = sum(len(_clips(job.task)) for job in jobs)
    with (
        progress_bar(f"Extracting {labels}", n_clips) as advance,
        _threads_kept(),
        workers.for_clips(n_clips).map(write_shards, [job.task for job in jobs]) as answers,
    ):
        for number, shards in answers:
            job = jobs[number]
            for update, shard in zip(job.updates, shards, strict=True):
                update.receive(number, shard)
            for track_id in _clips(job.task):
                advance(track_id)


def _clips(task: ShardTask) -> list[str]:
    return sorted({each.track_id for shard in task.shards for each in shard.recordings})


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Undo the changes that workers in this process make to torch and numpy."""
    import torch

    n_threads = torch.get_num_threads()
    try:
        with matrix_threads().limit(limits=1):
            yield
    finally:
        torch.set_num_threads(n_threads)
