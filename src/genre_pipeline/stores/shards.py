"""Shards: files with the features of a few tracks, which a worker writes and the store appends.

A shard is a file of packed frames and a list of its content. The list is written last, so a shard with a list is
complete. A worker that gets the task again, after a crash or because another worker was lost, only checks it. Only the
list is returned to the main process.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from genre_pipeline.audio import io as audio_io
from genre_pipeline.errors import AudioError, FeatureError
from genre_pipeline.features.base import FeatureBlock, Features, FeatureSpec, stream_features
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.storage import storage_errors, temporary_prefix
from genre_pipeline.stores.store import StoredTrack, pack_frames, spec_hash
from genre_pipeline.work.backends import Device, require_device

_SHARD_VERSION = 1
# [D] glibc's DEFAULT_MMAP_THRESHOLD_MAX on 64-bit systems, minus glibc's overhead per block.
_GREATEST_MEASURE = 2**25 - 2**13


class Recording(NamedTuple):
    """A clip to compute.

    Attributes:
        track_id: The track.
        audio_hash: Hash of its audio.
        path: Its file, relative to the dataset's root.
        start_sample: The clip's first sample in its file.
        n_samples: The clip's length, at the file's own rate.
    """

    track_id: str
    audio_hash: str
    path: str
    start_sample: int
    n_samples: int


class ClipAlteration(Protocol):
    """A change of clips before their features are computed. Worker processes must be able to unpickle it."""

    @property
    def fingerprint(self) -> str:
        """Hash of everything that its results depend on, except the clip."""
        ...

    def __call__(self, audio_hash: str, waveform: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
        """Return another waveform.

        Args:
            audio_hash: Identity of the altered clip: two clips differ in it.
            waveform: The clip at its file's own rate, shape ``(n_samples,)``.
            sample_rate: That rate, in Hz.

        Raises:
            AudioError: If this clip cannot be changed in this way.
        """
        ...


@dataclass(frozen=True)
class Shard:
    """A worker's task for one store.

    Attributes:
        spec: The kind of feature.
        block: Its parameters.
        recordings: The clips, sorted.
        folder: Where the shard is written.
    """

    spec: FeatureSpec
    block: FeatureBlock
    recordings: tuple[Recording, ...]
    folder: Path

    @cached_property
    def name(self) -> str:
        """Name of the shard's files: a hash of everything that its bytes depend on."""
        clips = [(each.track_id, each.audio_hash) for each in self.recordings]
        return fingerprint("shard", _SHARD_VERSION, spec_hash=spec_hash(self.spec, self.block), clips=clips)

    @property
    def frames_path(self) -> Path:
        """The file of packed frames."""
        return self.folder / f"{self.name}.frames"

    @property
    def list_path(self) -> Path:
        """The list of its content."""
        return self.folder / f"{self.name}.json"

    def staged(self) -> WrittenShard | None:
        """Return the content of a shard whose frames are already in the store: only its list is left."""
        return None if self.frames_path.exists() else _read_list(self)


class WrittenShard(NamedTuple):
    """A worker's result.

    Attributes:
        tracks: The tracks in the file of frames, in order.
        errors: Why the others are missing, by audio hash.
        reused: Whether the shard existed already.
    """

    tracks: tuple[StoredTrack, ...]
    errors: dict[str, str]
    reused: bool


class ShardTask(NamedTuple):
    """A worker's unit of work: some clips, and their requested features.

    Attributes:
        root: The dataset's root folder.
        shards: One shard per feature; clips that several of them need are decoded once per sample rate.
        device: Where spectra are computed.
        alter: Change of each clip before its features are computed.
        is_compiled: Whether code compiled for the processor computes spectra.
    """

    root: Path
    shards: tuple[Shard, ...]
    device: Device
    alter: ClipAlteration | None = None
    is_compiled: bool = False


def write_shards(task: ShardTask) -> list[WrittenShard]:
    """Compute and write the missing shards of a task.

    torch and numpy's matrix products use one thread, whatever the process's settings: the workers already divide the
    cores, and the numbers must not depend on the number of threads.

    Args:
        task: The task.

    Returns:
        The content of each shard. A clip that cannot be decoded, or from which the feature cannot be computed, is an
        entry of ``errors`` and stops nothing.

    Raises:
        ComputeError: If the device does not exist.
        StorageError: If the disk is full, or the folder is read-only.
    """
    import torch

    require_device(task.device)
    torch.set_num_threads(1)
    matrix_threads().limit(limits=1)
    _keep_freed_memory()
    found = [_read(shard) for shard in task.shards]
    with _writing([shard for shard, there in zip(task.shards, found, strict=True) if there is None]) as writers:
        for recording in sorted({each for writer in writers for each in writer.shard.recordings}):
            wanting = [writer for writer in writers if recording in writer.shard.recordings]
            for rate in sorted({writer.shard.block.sample_rate for writer in wanting}):
                _add(task, recording, [each for each in wanting if each.shard.block.sample_rate == rate])
        fresh = iter([writer.finish() for writer in writers])
    return [next(fresh) if there is None else there for there in found]


@lru_cache(maxsize=1)
def matrix_threads() -> ThreadpoolController:
    """Return the controller of the number of threads of numpy's matrix products."""
    return ThreadpoolController().select(user_api="blas")


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next track's features, instead of returning it to the system.

    It keeps up to twice the largest freed block (mallopt(3), M_MMAP_THRESHOLD), so this frees a block of the largest
    size that counts, without writing to it. Otherwise clearing new pages takes a sixth of the time of four features.
    Other allocators are not affected.
    """
    np.empty(_GREATEST_MEASURE, dtype=np.uint8)


def _add(task: ShardTask, recording: Recording, writers: Sequence[_ShardWriter]) -> None:
    """Decode a clip and add its features, all of one sample rate, in memory that does not grow with its length."""
    samples = audio_io.waveform_blocks(
        task.root / recording.path,
        sample_rate=writers[0].shard.block.sample_rate,
        start_sample=recording.start_sample,
        n_samples=recording.n_samples,
        alter=None if task.alter is None else partial(task.alter, recording.audio_hash),
    )
    try:
        requests = [(each.shard.spec, each.shard.block) for each in writers]
        features = stream_features(samples, requests, task.device, is_compiled=task.is_compiled)
    except (AudioError, FeatureError) as error:
        for writer in writers:
            writer.leave_out(recording, error)
        return
    for writer, blocks in zip(writers, features, strict=True):
        writer.add(recording, blocks)


class _ShardWriter:
    """Writes a shard beside its final place."""

    def __init__(self, shard: Shard, file: IO[bytes]) -> None:
        self.shard = shard
        self._file = file
        self._tracks: list[StoredTrack] = []
        self._errors: dict[str, str] = {}

    def add(self, recording: Recording, blocks: Iterable[Features]) -> None:
        """Add a clip's features from blocks of shape ``(n_bins, n)``: all of them, or record the error."""
        block = self.shard.block
        n_bins = self.shard.spec.n_bins(block)
        start = self._file.tell()
        n_frames = crc32 = 0
        try:
            for features in blocks:
                packed = pack_frames(features.T, n_bins=n_bins, dtype=block.dtype)
                self._file.write(packed.data)
                n_frames += len(packed)
                crc32 = zlib.crc32(packed.data, crc32)
        except FeatureError as error:
            self._file.seek(start)
            self._file.truncate()
            self.leave_out(recording, error)
        else:
            self._tracks.append(StoredTrack(recording.track_id, recording.audio_hash, n_frames, crc32))

    def leave_out(self, recording: Recording, error: Exception) -> None:
        """Record why a clip is missing."""
        self._errors[recording.audio_hash] = str(error)

    def finish(self) -> WrittenShard:
        """Give the files their names, the list last. No fsync: the store checks what it reads from them."""
        self._file.close()
        Path(self._file.name).replace(self.shard.frames_path)
        with _temporary(self.shard) as file:
            file.write(json.dumps({"tracks": self._tracks, "errors": self._errors}).encode())
            file.close()
            Path(file.name).replace(self.shard.list_path)
        return WrittenShard(tuple(self._tracks), self._errors, reused=False)


@contextmanager
def _writing(shards: Sequence[Shard]) -> Iterator[list[_ShardWriter]]:
    with ExitStack() as stack:
        yield [_ShardWriter(shard, stack.enter_context(_temporary(shard))) for shard in shards]


@contextmanager
def _temporary(shard: Shard) -> Iterator[IO[bytes]]:
    """Open a file for writing in a shard's folder; it is deleted at the end, unless it was renamed."""
    with storage_errors(shard.frames_path):
        shard.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=shard.folder, prefix=temporary_prefix(shard.name), delete=False) as file:
            try:
                yield file
            finally:
                Path(file.name).unlink(missing_ok=True)


def _read(shard: Shard) -> WrittenShard | None:
    """Read an existing shard if it is complete and without errors (errors are tried again)."""
    written = _read_list(shard)
    return written if written and not written.errors and _is_intact(shard, written.tracks) else None


def _read_list(shard: Shard) -> WrittenShard | None:
    try:
        content: dict[str, Any] = json.loads(shard.list_path.read_bytes())
        tracks = tuple(StoredTrack(*each) for each in content["tracks"])
        return WrittenShard(tracks, dict(content["errors"]), reused=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_intact(shard: Shard, tracks: Sequence[StoredTrack]) -> bool:
    frame_bytes = shard.spec.n_bins(shard.block) * np.dtype(shard.block.dtype).itemsize
    try:
        with shard.frames_path.open("rb") as file:
            return all(zlib.crc32(file.read(each.n_frames * frame_bytes)) == each.crc32 for each in tracks)
    except OSError:
        return False
