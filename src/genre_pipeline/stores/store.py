"""The feature store: one feature of a dataset in a packed, memory-mapped file, with an index of its tracks.

A store is a folder of three files:

- ``frames.bin``: numbers only, C order, shape ``(total_frames, n_bins)``, little-endian; tracks one after another, each
    frame's bins side by side, so that a segment is one contiguous piece.
- ``index.parquet``: one row per track: ``track_id``, ``audio_hash``, ``offset`` and ``n_frames`` (in frames), ``crc32``
  of the track's bytes. Tracks of one ``audio_hash`` share their bytes. Its metadata names the file of frames.
- ``store.json``: the feature's parameters and the extractor's version.

Frames are appended, made durable, and only then added to a new index, which replaces the old one in one step. Readers
ignore frames that the index does not name; the next write overwrites them, unless they are staged
(:meth:`FeatureStore.restage`). So a crash leaves a valid store, without the tracks that were being written. Packing
moves the tracks into a second file of frames, which the new index names. One process writes at a time
(:func:`~genre_pipeline.stores.locks.writing`), and no process reads while frames are dropped.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genre_pipeline.blocks import Block, parse_block
from genre_pipeline.errors import ConfigError, FeatureError, StoreError
from genre_pipeline.features.base import FeatureBlock, FeatureSpec
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.storage import atomic_file, atomic_folder, storage_errors, write_json

if TYPE_CHECKING:
    import pyarrow as pa

# Stored numbers, shape (n_frames, n_bins), of a store's type.
Frames = NDArray[np.floating[Any]]

_FORMAT_VERSION = 1
_HEADER = "store.json"
_INDEX = "index.parquet"
# Two names, so that packing can write one while the index still names the other.
_FRAMES = ("frames.bin", "frames-packed.bin")
_INDEX_TYPES = {"track_id": "string", "audio_hash": "string", "offset": "int64", "n_frames": "int64", "crc32": "int64"}
# [?] Frames of another store that are in memory at once during copying.
_COPY_BYTES = 2**25
# [?] Number of staged frames that are made durable together: a tenth of a second's work for a disk.
_SYNC_BYTES = 2**25
# Segments copied at once [?]: enough to make numpy's overhead small, few enough to need little extra memory.
_GATHER_SEGMENTS = 256

# Fields of a feature block that set how its numbers are used, not their values.
_USE_FIELDS = frozenset({"segment", "normalisation"})


def spec_hash(spec: FeatureSpec, block: FeatureBlock) -> str:
    """Hash everything that a feature's stored numbers depend on, except the audio.

    Args:
        spec: The kind of feature.
        block: Its parameters. How segments are normalised or cut out of the feature does not matter.

    Returns:
        16 hexadecimal digits.
    """
    return _spec_hash(spec.version, _stored_parameters(block))


def _spec_hash(extractor_version: int, feature: dict[str, Any]) -> str:
    return fingerprint("features", extractor_version, feature=feature)


def _stored_parameters(block: FeatureBlock) -> dict[str, Any]:
    """Return a block without the fields for the use of its numbers, except those that the numbers depend on."""
    parameters = {field: value for field, value in block.deciding().items() if field not in _USE_FIELDS}
    padding = None if block.padding is None else [block.padding.least, block.padding.full]
    return {**parameters, "own_samples": block.own_samples, "padding": padding}


def shards_folder(folder: Path) -> Path:
    """Return the folder, beside a store's, of shards that are not in the store yet."""
    return folder.with_name(f".{folder.name}.shards")


class StoreHeader(Block):
    """Content of ``store.json``.

    Attributes:
        format_version: Version of the files' layout.
        feature: The feature's parameters on which its numbers depend.
        extractor_version: Version of the extractor.
        spec_hash: Hash of ``feature`` and ``extractor_version``.
        n_bins: Numbers in a frame.
        dtype: Their type.
    """

    format_version: Literal[1]
    feature: dict[str, Any]
    extractor_version: int
    spec_hash: str
    n_bins: int
    dtype: Literal["float16", "float32"]


@dataclass(frozen=True)
class PackedTrack:
    """A track's features, ready to be appended.

    Attributes:
        track_id: The track.
        audio_hash: Hash of the audio that they were computed from.
        frames: From :meth:`FeatureStore.pack`.
    """

    track_id: str
    audio_hash: str
    frames: Frames


class StoredTrack(NamedTuple):
    """A track whose packed frames are in a file.

    Attributes:
        track_id: The track.
        audio_hash: Hash of the audio that they were computed from.
        n_frames: How many frames there are.
        crc32: Checksum of their bytes.
    """

    track_id: str
    audio_hash: str
    n_frames: int
    crc32: int


def pack_frames(frames: NDArray[np.float32], *, n_bins: int, dtype: Literal["float16", "float32"]) -> Frames:
    """Convert frames to their stored form.

    Args:
        frames: Shape ``(n_frames, n_bins)``, float32.
        n_bins: Numbers that a frame must have.
        dtype: The stored type.

    Returns:
        The same shape, C order, little-endian, of the stored type.

    Raises:
        FeatureError: If there are numbers that are not finite, or that the type cannot hold.
        ValueError: If the shape is wrong, which is a fault of the extractor.
    """
    if frames.ndim != 2 or frames.shape[1] != n_bins or frames.shape[0] == 0:
        raise ValueError(f"Expected features of shape ({n_bins}, n_frames), got {frames.shape[::-1]}.")
    # Avoids a copy of the magnitudes; a NaN makes both NaN.
    greatest = max(float(frames.max()), -float(frames.min()))
    if not np.isfinite(greatest):
        raise FeatureError("The feature holds NaN or infinite numbers. Leave the clip out, or change the parameters.")
    limit = float(np.finfo(dtype).max)
    if greatest > limit:
        raise FeatureError(
            f"The feature reaches {greatest:g}, beyond the {limit:g} that {dtype} can hold. "
            "Set the feature's dtype to float32, or its scale to decibels."
        )
    stored = np.dtype(dtype).newbyteorder("<")
    if dtype == "float32":
        return frames.astype(stored, order="C")
    import torch

    # The same numbers as numpy's conversion, in half the time. torch warns about arrays that are not writable.
    source = torch.from_numpy(frames if frames.flags.writeable else frames.copy())
    packed: Frames = source.to(torch.float16, memory_format=torch.contiguous_format).numpy().astype(stored, copy=False)
    return packed


class FeatureStore:
    """The stored features of one dataset with one specification.

    Made by :meth:`create` or :meth:`open`.
    """

    _mapped: Frames | None
    # Offsets of the tracks whose bytes were checked since the store was opened.
    _intact: set[int]
    # Tracks whose frames are after the last one in the index, and where they end.
    _staged: list[StoredTrack]
    _staged_end: int
    _n_unsynced: int

    def __init__(self, folder: Path, header: StoreHeader, index: pd.DataFrame, frames_name: str) -> None:
        self.folder = folder
        self.header = header
        self._type = np.dtype(header.dtype).newbyteorder("<")
        self._use_index(index, frames_name)

    @classmethod
    def create(cls, folder: Path, spec: FeatureSpec, block: FeatureBlock) -> FeatureStore:
        """Create an empty store. An existing store in the folder is replaced.

        Args:
            folder: The store's folder.
            spec: The kind of feature.
            block: Its parameters.

        Raises:
            StorageError: If the disk is full, or the folder is read-only.
        """
        header = StoreHeader(
            format_version=_FORMAT_VERSION,
            feature=_stored_parameters(block),
            extractor_version=spec.version,
            spec_hash=spec_hash(spec, block),
            n_bins=spec.n_bins(block),
            dtype=block.dtype,
        )
        empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _INDEX_TYPES.items()})
        with atomic_folder(folder) as temporary:
            write_json(temporary / _HEADER, header.dump())
            (temporary / _FRAMES[0]).touch()
            _write_index(temporary / _INDEX, empty, _FRAMES[0])
        return cls(folder, header, empty, _FRAMES[0])

    @classmethod
    def open(cls, folder: Path, *, spec_hash: str | None = None) -> FeatureStore:
        """Open a store. Extra frames after those in the index, left by a crash, are not a fault.

        Args:
            folder: The store's folder.
            spec_hash: The specification that it must have, if known: see :func:`spec_hash`.

        Raises:
            StoreError: If it is missing, incomplete, corrupted, or holds another feature.
        """
        if not (folder / _HEADER).is_file():
            raise StoreError(f"{folder}: there is no feature store (no {_HEADER}). Run the feature extraction first.")
        header = _read_header(folder / _HEADER)
        if spec_hash is not None and header.spec_hash != spec_hash:
            raise StoreError(
                f"{folder}: holds another feature: expected specification {spec_hash}, got {header.spec_hash} "
                f"({header.feature}). Run the feature extraction again, which replaces it."
            )
        index, frames_name = _read_index(folder / _INDEX)
        store = cls(folder, header, index, frames_name)
        store._check_size()
        return store

    @classmethod
    def mend(cls, folder: Path) -> str:
        """Remove damaged content from a store, so that extraction computes it again.

        Tracks whose bytes differ from those written are dropped; if the store cannot identify them, all of it is
        deleted.

        Args:
            folder: The store's folder.

        Returns:
            The damage; empty if there was none.

        Raises:
            StorageError: If the folder cannot be written.
        """
        try:
            cls.open(folder).verify()
            return ""
        except StoreError as error:
            fault = str(error).partition(" Delete the folder")[0]
        try:
            store = cls(folder, _read_header(folder / _HEADER), *_read_index(folder / _INDEX))
            intact = store._intact_rows()
        except (OSError, StoreError):
            with storage_errors(folder):
                shutil.rmtree(folder)
            return fault
        store._replace_index(store.index[intact], store._frames_name)
        store._discard_unnamed()
        return fault

    def _intact_rows(self) -> list[bool]:
        """Return for each track whether its bytes are those written. Read, not mapped: the file may be truncated."""
        intact = []
        with self._path.open("rb") as file:
            for offset, n_frames, crc32 in self._index[["offset", "n_frames", "crc32"]].itertuples(index=False):
                file.seek(offset * self._frame_bytes)
                intact.append(zlib.crc32(file.read(n_frames * self._frame_bytes)) == crc32)
        return intact

    def __reduce__(self) -> tuple[Callable[[Path, str], FeatureStore], tuple[Path, str]]:
        """Pickle only the folder: another process opens the store again."""
        return _open, (self.folder, self.spec_hash)

    @property
    def index(self) -> pd.DataFrame:
        """The tracks: ``track_id``, ``audio_hash``, ``offset``, ``n_frames``, ``crc32``, sorted by ``track_id``."""
        return self._index

    @property
    def spec_hash(self) -> str:
        """Hash of the feature's specification and of the extractor's version."""
        return self.header.spec_hash

    @property
    def files(self) -> tuple[str, ...]:
        """Names of its files, each after the files that it refers to."""
        return (self._frames_name, _INDEX, _HEADER)

    @property
    def n_bytes(self) -> int:
        """Size of the frames up to the last one in the index, including unused ones between."""
        return self._end * self._frame_bytes

    @property
    def fingerprint(self) -> str:
        """Hash of the specification and of every track's audio: equal for equal features."""
        tracks = self._index[["track_id", "audio_hash"]].to_numpy(dtype=object).tolist()
        return fingerprint("feature_store", _FORMAT_VERSION, spec_hash=self.spec_hash, tracks=tracks)

    def read(self, track_id: str) -> NDArray[np.float32]:
        """Return the features of a track.

        Returns:
            Shape ``(n_bins, n_frames)``, float32.

        Raises:
            StoreError: If the track is not in the store, or its bytes were corrupted.
        """
        row = int(self._rows_of([track_id])[0])
        self._check_rows([row])
        frames: NDArray[np.float32] = self._frames_of(row).T.astype(np.float32, order="C")
        return frames

    def gather(self, segments: pd.DataFrame, *, verify: bool = True) -> NDArray[np.float32]:
        """Return the features of segments.

        Args:
            segments: Segment table: ``track_id``, ``start_frame``, ``n_frames``; all of one length.
            verify: Whether the bytes of the tracks are checked, once per track while the store is open.

        Returns:
            Shape ``(n_segments, n_bins, n_frames)``, float32, in the order of the table.

        Raises:
            StoreError: If a track is not in the store or is shorter than a segment requires, or its bytes were
                corrupted.
        """
        if segments.empty:
            return np.empty((0, self.header.n_bins, 0), dtype=np.float32)
        n_frames = int(segments["n_frames"].iloc[0])
        if (segments["n_frames"] != n_frames).any():
            raise StoreError(
                "Segments of different lengths cannot be gathered into one array. Gather each length alone."
            )
        rows = self._rows_of(segments["track_id"])
        starts = segments["start_frame"].to_numpy(dtype=np.int64)
        self._check_inside(rows, starts, n_frames)
        if verify:
            self._check_rows(np.unique(rows).tolist())

        # View whose item i is the segment that begins at frame i of the file, shape (n_bins, n_frames).
        windows = np.lib.stride_tricks.sliding_window_view(self._frames, n_frames, axis=0)
        positions = self._offsets[rows] + starts
        gathered = np.empty((len(segments), self.header.n_bins, n_frames), dtype=np.float32)
        for first in range(0, len(segments), _GATHER_SEGMENTS):
            chunk = slice(first, first + _GATHER_SEGMENTS)
            gathered[chunk] = windows[positions[chunk]]
        return gathered

    def verify(self) -> None:
        """Check the bytes of every track.

        Raises:
            StoreError: If they are not those that were written; the message names the tracks.
        """
        self._intact.clear()
        self._check_rows(range(len(self._index)))

    def pack(self, features: NDArray[np.float32]) -> Frames:
        """Convert a track's features to their stored form. May be called from several threads.

        Args:
            features: Shape ``(n_bins, n_frames)``, float32.

        Returns:
            Shape ``(n_frames, n_bins)``, C order, of the stored type.

        Raises:
            FeatureError: If there are numbers that are not finite, or that the type cannot hold.
            ValueError: If the shape is wrong, which is a fault of the extractor.
        """
        return pack_frames(features.T, n_bins=self.header.n_bins, dtype=self.header.dtype)

    def append(self, tracks: Sequence[PackedTrack]) -> None:
        """Add tracks. All of them become part of the store at once, or none.

        Args:
            tracks: Tracks that are not in the store yet.

        Raises:
            StorageError: If the disk is full, or the folder is read-only.
        """

        def write(file: IO[bytes]) -> None:
            for track in tracks:
                file.write(track.frames.data)

        rows = [
            StoredTrack(track.track_id, track.audio_hash, len(track.frames), zlib.crc32(track.frames.data))
            for track in tracks
        ]
        self._stage(rows, write)
        self.commit()

    def stage(self, path: Path, tracks: Sequence[StoredTrack]) -> None:
        """Write the frames of tracks after the existing ones. :meth:`commit` makes them part of the store.

        Args:
            path: A file of their packed frames, one track after another.
            tracks: The tracks, which are not in the store yet.

        Raises:
            StorageError: If the disk is full, or the folder is read-only.
        """

        def write(file: IO[bytes]) -> None:
            with path.open("rb") as frames:
                shutil.copyfileobj(frames, file, 1 << 20)

        self._stage(tracks, write)

    def restage(self, tracks: Sequence[StoredTrack]) -> bool:
        """Check whether tracks were staged before a crash, and if so continue after them.

        Args:
            tracks: The tracks that should come next.

        Returns:
            Whether all bytes of their frames are present after the indexed or staged ones.
        """
        with self._path.open("rb") as file:
            file.seek(self._staged_end * self._frame_bytes)
            if any(zlib.crc32(file.read(each.n_frames * self._frame_bytes)) != each.crc32 for each in tracks):
                return False
        self._note_staged(tracks)
        return True

    def commit(self) -> None:
        """Make the staged tracks part of the store: all at once, or none.

        Raises:
            StorageError: If the disk is full, or the folder is read-only.
        """
        staged, self._staged, self._staged_end = self._staged, [], self._end
        if not staged:
            return
        with storage_errors(self._path), self._path.open("r+b") as file:
            os.fsync(file.fileno())
        added = pd.DataFrame(staged, columns=StoredTrack._fields)
        added["offset"] = self._end + added["n_frames"].cumsum().shift(fill_value=0)
        self._replace_index(pd.concat([self._index, added.astype(_INDEX_TYPES)], ignore_index=True), self._frames_name)
        self._remove_other_frames()

    def copy_from(self, other: FeatureStore, tracks: pd.DataFrame) -> None:
        """Add the tracks whose audio is intact in another store of the same specification.

        Args:
            other: The other store. Another process may write to it meanwhile.
            tracks: ``track_id`` and ``audio_hash`` of tracks that are not in this store yet.

        Raises:
            StorageError: If the disk is full, or the folder is read-only.
        """
        stored = other.index.drop(columns="track_id").drop_duplicates("audio_hash")
        found = tracks[["track_id", "audio_hash"]].merge(stored, on="audio_hash", how="inner")
        waiting: list[PackedTrack] = []
        n_bytes = 0
        # Read, not mapped: if the file is truncated meanwhile, a mapping would kill the process.
        with other._path.open("rb") as file:
            for track_id, audio_hash, offset, n_frames, crc32 in found.itertuples(index=False, name=None):
                file.seek(offset * self._frame_bytes)
                data = file.read(n_frames * self._frame_bytes)
                if zlib.crc32(data) != crc32:
                    continue
                frames = np.frombuffer(data, dtype=self._type).reshape(n_frames, self.header.n_bins)
                waiting.append(PackedTrack(track_id, audio_hash, frames))
                n_bytes += len(data)
                if n_bytes >= _COPY_BYTES:
                    self.append(waiting)
                    waiting, n_bytes = [], 0
        if waiting:
            self.append(waiting)

    def adopt(self, tracks: pd.DataFrame) -> None:
        """Make the index name exactly the given tracks whose audio is stored, under their present ids.

        Args:
            tracks: Track table, or its columns ``track_id`` and ``audio_hash``.

        Raises:
            StorageError: If the disk is full, or the folder is read-only.
        """
        stored = self._index.drop(columns="track_id").drop_duplicates("audio_hash")
        wanted = tracks[["track_id", "audio_hash"]].astype("string").merge(stored, on="audio_hash", how="inner")
        index = _sorted(wanted)
        if not index.equals(self._index):
            self._replace_index(index, self._frames_name)
            self._discard_unnamed()

    def waste(self) -> float:
        """Return the share of the frames' bytes that no track uses, from 0 to 1."""
        used = int(self._index.drop_duplicates("offset")["n_frames"].sum())
        return 1.0 - used / self._end if self._end else 0.0

    def compact(self) -> None:
        """Rewrite the frames without waste, in the order of the tracks.

        Raises:
            StoreError: If the bytes of a track were corrupted.
            StorageError: If the disk is full, or the folder is read-only.
        """
        self._check_rows(range(len(self._index)))
        moved: dict[int, int] = {}
        end = 0
        frames_name = _FRAMES[1 - _FRAMES.index(self._frames_name)]
        path = self.folder / frames_name
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            for row, offset in enumerate(self._offsets.tolist()):
                if offset not in moved:
                    moved[offset] = end
                    frames = self._frames_of(row)
                    file.write(frames.data)
                    end += len(frames)
        self._replace_index(self._index.assign(offset=self._index["offset"].map(moved)), frames_name)
        self._discard_unnamed()

    @property
    def _path(self) -> Path:
        return self.folder / self._frames_name

    @property
    def _frame_bytes(self) -> int:
        return self.header.n_bins * self._type.itemsize

    @property
    def _frames(self) -> Frames:
        """All frames up to the last indexed one, shape ``(total_frames, n_bins)``, mapped on first use."""
        if self._mapped is None:
            shape = (self._end, self.header.n_bins)
            # A plain view: slices of numpy's memmap class cost several times as much.
            self._mapped = np.asarray(np.memmap(self._path, dtype=self._type, mode="r", shape=shape))
        return self._mapped

    def _frames_of(self, row: int) -> Frames:
        return self._frames[self._offsets[row] : self._offsets[row] + self._lengths[row]]

    def _use_index(self, index: pd.DataFrame, frames_name: str) -> None:
        self._index = index
        self._frames_name = frames_name
        self._ids = pd.Index(index["track_id"])
        self._offsets = index["offset"].to_numpy(dtype=np.int64)
        self._lengths = index["n_frames"].to_numpy(dtype=np.int64)
        self._end = int((self._offsets + self._lengths).max(initial=0))
        self._staged = []
        self._staged_end = self._end
        self._n_unsynced = 0
        self._mapped = None
        self._intact = set()

    def _replace_index(self, index: pd.DataFrame, frames_name: str) -> None:
        index = _sorted(index)
        _write_index(self.folder / _INDEX, index, frames_name)
        self._use_index(index, frames_name)

    def _stage(self, tracks: Sequence[StoredTrack], write: Callable[[IO[bytes]], None]) -> None:
        """Write the frames of tracks after the existing ones, over leftovers of a crash."""
        with storage_errors(self._path), self._path.open("r+b") as file:
            file.truncate(self._staged_end * self._frame_bytes)
            file.seek(0, os.SEEK_END)
            write(file)
            self._n_unsynced += sum(track.n_frames for track in tracks) * self._frame_bytes
            if self._n_unsynced >= _SYNC_BYTES:
                file.flush()
                os.fsync(file.fileno())
                self._n_unsynced = 0
        self._note_staged(tracks)

    def _note_staged(self, tracks: Sequence[StoredTrack]) -> None:
        self._staged.extend(tracks)
        self._staged_end += sum(track.n_frames for track in tracks)

    def _discard_unnamed(self) -> None:
        """Remove bytes that are not in the index, left by a crash or by removed tracks."""
        with storage_errors(self._path):
            os.truncate(self._path, self.n_bytes)
        self._remove_other_frames()

    def _remove_other_frames(self) -> None:
        for name in _FRAMES:
            if name != self._frames_name:
                with storage_errors(self.folder / name):
                    (self.folder / name).unlink(missing_ok=True)

    def _rows_of(self, track_ids: pd.Series[str] | list[str]) -> NDArray[np.intp]:
        wanted = pd.Index(track_ids, dtype="string")
        rows: NDArray[np.intp] = self._ids.get_indexer(wanted)
        if (rows < 0).any():
            missing = wanted[rows < 0].unique()
            raise StoreError(
                f"{self.folder}: has no features of {_listed(missing)}. Run the feature extraction again; "
                "its report lists the failed tracks."
            )
        return rows

    def _check_inside(self, rows: NDArray[np.intp], starts: NDArray[np.int64], n_frames: int) -> None:
        outside = (starts < 0) | (starts + n_frames > self._lengths[rows])
        if outside.any():
            first = int(np.flatnonzero(outside)[0])
            row = rows[first]
            raise StoreError(
                f"{self.folder}: the segment of {n_frames} frames from frame {starts[first]} is not inside track "
                f"'{self._ids[row]}', which has {self._lengths[row]} frames. Cut the segments again."
            )

    def _check_rows(self, rows: Iterable[int]) -> None:
        sums = self._index["crc32"].to_numpy()
        corrupted = []
        for row in rows:
            offset = int(self._offsets[row])
            if offset in self._intact:
                continue
            if zlib.crc32(self._frames_of(row).data) == sums[row]:
                self._intact.add(offset)
            else:
                corrupted.append(str(self._ids[row]))
        if corrupted:
            raise StoreError(
                f"{self._path}: the features of {_listed(corrupted)} are not those that were written. "
                f"Delete the folder {self.folder} and run again."
            )

    def _check_size(self) -> None:
        n_bytes = self._path.stat().st_size if self._path.is_file() else 0
        if n_bytes < self.n_bytes:
            raise StoreError(
                f"{self._path}: is missing or cut short: expected at least {self.n_bytes} bytes, got {n_bytes}. "
                f"Delete the folder {self.folder} and run again."
            )


def _open(folder: Path, spec_hash: str) -> FeatureStore:
    return FeatureStore.open(folder, spec_hash=spec_hash)


def _listed(names: Sequence[str] | pd.Index[str], limit: int = 5) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:limit])
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"track {shown}" if len(names) == 1 else f"tracks {shown}{more}"


def _sorted(index: pd.DataFrame) -> pd.DataFrame:
    return index[list(_INDEX_TYPES)].astype(_INDEX_TYPES).sort_values("track_id", ignore_index=True)


def _index_schema() -> pa.Schema:
    """Return the index's columns: a schema without pandas' metadata, which differs between versions."""
    import pyarrow as pa

    kinds = {"string": pa.string(), "int64": pa.int64()}
    return pa.schema([(name, kinds[kind]) for name, kind in _INDEX_TYPES.items()])


def _write_index(path: Path, index: pd.DataFrame, frames_name: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _index_schema().with_metadata({"frames_file": frames_name})
    columns = [pa.array(index[field.name].to_numpy(dtype=object), type=field.type) for field in schema]
    with atomic_file(path) as temporary:
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), temporary, write_page_checksum=True)


def _read_header(path: Path) -> StoreHeader:
    try:
        header = parse_block(StoreHeader, json.loads(path.read_text(encoding="utf-8")), key=path.name)
    except (ValueError, ConfigError) as error:
        raise _corrupted(path, str(error)) from error
    if header.spec_hash != _spec_hash(header.extractor_version, header.feature):
        raise _corrupted(path, "its spec_hash is not that of its feature")
    return header


def _read_index(path: Path) -> tuple[pd.DataFrame, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Read as a single file: given a path, pyarrow would look for partitions in the folders' names.
        with path.open("rb") as file:
            table = pq.ParquetFile(file, page_checksum_verification=True).read()
        frames_name = (table.schema.metadata or {}).get(b"frames_file", b"").decode()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _corrupted(path, str(error)) from error
    if frames_name not in _FRAMES or not table.schema.equals(_index_schema()):
        raise _corrupted(path, "it is not the index of a feature store")
    index = _sorted(table.to_pandas())
    if index["track_id"].duplicated().any() or (index["offset"] < 0).any() or (index["n_frames"] < 1).any():
        raise _corrupted(path, "its rows contradict each other")
    return index, frames_name


def _corrupted(path: Path, reason: str) -> StoreError:
    return StoreError(f"{path}: is corrupted ({reason}). Delete the folder {path.parent} and run again.")
