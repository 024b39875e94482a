"""The demo dataset: synthetic music that the project makes itself, so that everything runs on a new machine.

The music is invented (see :mod:`~genre_pipeline.demo.composition`): accuracies on it show that the code works and how
protocols differ, but not how well a model recognises real genres.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from genre_pipeline.datasets.base import DATASETS, Clip, DatasetBlock, DatasetSpec, Listing
from genre_pipeline.datasets.reading.files import LeftOut, list_files
from genre_pipeline.demo.composition import GENRES
from genre_pipeline.demo.encoding import ENCODINGS, write_audio
from genre_pipeline.demo.rendering import TrackNumber, render
from genre_pipeline.demo.synthesis import Waveform, double_rate
from genre_pipeline.errors import DatasetError
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.progress import progress_bar
from genre_pipeline.project import check_output
from genre_pipeline.storage import atomic_folder, write_json

# Raise it when the same parameters give other files.
_GENERATOR_VERSION = 1

_MANIFEST = "tracks.csv"
_RECORD = "demo.json"
_COLUMNS = tuple(field.name for field in fields(Clip))

_N_ALBUMS = 2
_MAX_ARTISTS = 60
_SUFFIXES = tuple(ENCODINGS)
# Channels and sample rate factor of the delivered files.
_DELIVERIES = ((1, 1), (2, 1), (2, 2), (1, 2))

_ADJECTIVES = (
    "Amber", "Borrowed", "Copper", "Distant", "Early", "Folded", "Gentle", "Hollow", "Idle", "Jagged",
    "Kindled", "Little", "Midnight", "Northern", "Open", "Paper", "Quiet", "Restless", "Silver", "Tangled",
)  # fmt: skip
_NOUNS = (
    "Anchors", "Balconies", "Compass", "Doorways", "Engines", "Ferries", "Gardens", "Harbour", "Islands", "Junctions",
    "Kites", "Lanterns", "Meadows", "Needles", "Orchards", "Pendulum", "Quarry", "Rivers", "Staircase", "Turbines",
    "Umbrellas", "Valleys", "Windows",
)  # fmt: skip

Fault = Literal["", "truncated", "silent", "duplicate"]
_FAULTS: tuple[Fault, ...] = ("truncated", "silent", "duplicate")


class DemoBlock(DatasetBlock):
    """Parameters of the demo dataset.

    Attributes:
        n_genres: How many genres, in the templates' order.
        n_artists_per_genre: How many artists play each genre, at most ``n_clips_per_genre``.
        n_clips_per_genre: How many sound clips each genre has, not counting the three faulty files.
        clip_duration_s: Length of each clip.
        sample_rate: Samples per second of half of the clips; the others have twice as many. MP3 allows few rates.
        seed: Another seed gives other artists and tracks.
    """

    kind: Literal["demo"] = "demo"
    n_genres: int = Field(default=len(GENRES), ge=2, le=len(GENRES))
    n_artists_per_genre: int = Field(default=5, ge=2, le=_MAX_ARTISTS)
    n_clips_per_genre: int = Field(default=20, ge=2, le=500)
    clip_duration_s: float = Field(default=10.0, ge=0.5, le=60.0)
    sample_rate: Literal[16000, 22050, 24000] = 22050
    seed: int = Field(default=0, ge=0, lt=2**32)

    @field_validator("path")
    @classmethod
    def _does_not_leave_the_data_folder(cls, path: Path) -> Path:
        """Other datasets are read from this folder; this one is written to it."""
        return check_output(path)

    @model_validator(mode="after")
    def _check_artists(self) -> DemoBlock:
        if self.n_artists_per_genre > self.n_clips_per_genre:
            raise ValueError(
                f"n_artists_per_genre is {self.n_artists_per_genre}, more than n_clips_per_genre "
                f"({self.n_clips_per_genre}): every artist needs a clip"
            )
        return self


@dataclass(frozen=True)
class PlannedClip:
    """One file of the demo dataset.

    Attributes:
        clip: Its row in the manifest.
        number: The track that it holds.
        n_channels: 1 or 2.
        rate_factor: 1 or 2: its sample rate, in multiples of the block's.
        fault: Its deliberate fault.
        copy_of: Path of the original of a duplicate.
    """

    clip: Clip
    number: TrackNumber
    n_channels: int = 1
    rate_factor: int = 1
    fault: Fault = ""
    copy_of: str = ""


def plan_clips(block: DemoBlock) -> list[PlannedClip]:
    """List the files of the demo dataset without writing any.

    In addition to the sound ones, there are three faulty files in the first genres: a truncated FLAC, a silent WAV, and
    the genre's first clip again.

    Returns:
        The files, by genre; a duplicate comes after its original.
    """
    plan: list[PlannedClip] = []
    for genre in range(block.n_genres):
        sound = _sound_clips(block, genre)
        faults = _FAULTS[genre :: block.n_genres]
        plan += [*sound, *(_faulty_clip(fault, sound[0], len(sound) + n) for n, fault in enumerate(faults))]
    return plan


def prepare(block: DemoBlock) -> None:
    """Write the demo's audio, unless the files of these parameters exist already.

    Args:
        block: The dataset's parameters.

    Raises:
        DatasetError: If the folder must be replaced and holds files that the demo dataset did not write.
        StorageError: If the disk is full, or the folder is read-only.
    """
    wanted = fingerprint("demo", _GENERATOR_VERSION, **_parameters(block))
    if block.path.exists():
        record = _read_record(block.path)
        if record.get("fingerprint") == wanted and _is_complete(block.path, record["files"]):
            return
        _refuse_foreign(block.path, record["files"])
    plan = plan_clips(block)
    with atomic_folder(block.path) as folder:
        _write_clips(plan, folder, block)
        _write_manifest(folder / _MANIFEST, [planned.clip for planned in plan])
        sizes = {name: (folder / name).stat().st_size for name in (_MANIFEST, *(item.clip.path for item in plan))}
        record = {"fingerprint": wanted, "generator": _GENERATOR_VERSION, "parameters": _parameters(block)}
        write_json(folder / _RECORD, {**record, "files": sizes})


def find_clips(block: DemoBlock) -> Listing:
    """Read the manifest.

    Raises:
        DatasetError: If there is none, or another program wrote it.
    """
    path = block.path / _MANIFEST
    if not path.is_file():
        raise DatasetError(f"{path}: expected the demo dataset's manifest, found none. Prepare the dataset first.")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns = tuple(reader.fieldnames or ())
        if columns != _COLUMNS:
            raise DatasetError(
                f"{path}: expected the columns {', '.join(_COLUMNS)}, found {', '.join(columns) or 'none'}. "
                f"Delete {block.path} and run again; it is made again."
            )
        clips = sorted((Clip(**row) for row in reader), key=lambda clip: clip.track_id)
    files, left_out = list_files(block.path)
    stamps = {clip.path: files[clip.path] for clip in clips if clip.path in files}
    strays = [LeftOut(path, "stray") for path in files.keys() - stamps.keys() - {each.path for each in left_out}]
    return Listing(tuple(clips), stamps, tuple(sorted([*left_out, *strays])))


def official_splits(block: DemoBlock) -> Mapping[str, Mapping[str, str]]:
    """Return the list ``demo``: each genre's last artist tests, the one before validates, the others train.

    With two artists per genre there is no validation part. The faulty files are in no part.
    """
    last = block.n_artists_per_genre - 1
    parts = {last: "test", last - 1: "validation"} if last > 1 else {last: "test"}
    sound = [planned for planned in plan_clips(block) if not planned.fault]
    return {"demo": {planned.clip.track_id: parts.get(planned.number.artist, "train") for planned in sound}}


def _sound_clips(block: DemoBlock, genre: int) -> list[PlannedClip]:
    sound: list[PlannedClip] = []
    smallest, n_larger = divmod(block.n_clips_per_genre, block.n_artists_per_genre)
    for artist in range(block.n_artists_per_genre):
        n_tracks = smallest + (artist < n_larger)
        for track in range(n_tracks):
            number = TrackNumber(block.seed, genre, artist, track * _N_ALBUMS // n_tracks, track)
            # Latin squares: every artist has each format, every genre each delivery with each format about equally
            # often, so that none of them reveals the genre, the artist or the split.
            file_format = (track + artist + 2 * genre) % len(_SUFFIXES)
            n_channels, rate_factor = _DELIVERIES[(file_format + artist + genre) % len(_DELIVERIES)]
            clip = _clip(number, len(sound), _SUFFIXES[file_format])
            sound.append(PlannedClip(clip, number, n_channels, rate_factor))
    return sound


def planted_faults(block: DemoBlock) -> frozenset[str]:
    """Return the ids of the files that are faulty on purpose."""
    return frozenset(planned.clip.track_id for planned in plan_clips(block) if planned.fault)


def _faulty_clip(fault: Fault, first: PlannedClip, index: int) -> PlannedClip:
    """Plan a faulty file by the genre's first artist, beside the genre's first clip."""
    if fault == "duplicate":
        path = Path(first.clip.path)
        copied = _clip(first.number, index, path.suffix)
        clip = replace(first.clip, track_id=copied.track_id, path=copied.path)
        return replace(first, clip=clip, fault=fault, copy_of=first.clip.path)
    number = replace(first.number, track=index)
    # The header of a truncated FLAC shows how much is missing; the silence is 16-bit zeros.
    return PlannedClip(_clip(number, index, ".flac" if fault == "truncated" else ".wav"), number, fault=fault)


def _clip(number: TrackNumber, index: int, suffix: str) -> Clip:
    """Name a track; ``index`` counts from zero within the genre."""
    genre = GENRES[number.genre].name
    track_id = f"{genre}_{index + 1:03d}"
    artist = _name(number.genre * _MAX_ARTISTS + number.artist)
    return Clip(
        track_id=track_id,
        genre=genre,
        path=f"{genre}/{track_id}{suffix}",
        artist=artist,
        title=f"The {_name(7 * index + 3 * number.genre + 11)}",
        album=f"{artist}, Volume {number.album + 1}",
    )


def _name(index: int) -> str:
    """Return two words; as the lists' lengths have no common factor, names repeat only after their product (460)."""
    return f"{_ADJECTIVES[index % len(_ADJECTIVES)]} {_NOUNS[index % len(_NOUNS)]}"


def _write_clips(plan: list[PlannedClip], folder: Path, block: DemoBlock) -> None:
    """Write all files; threads help because transforms and encoders release the interpreter's lock."""
    for genre in {planned.clip.genre for planned in plan}:
        (folder / genre).mkdir()
    made = [planned for planned in plan if not planned.copy_of]
    write = partial(_write_clip, folder=folder, block=block)
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress_bar("Making demo music", len(made)) as advance:
        for planned, _ in zip(made, pool.map(write, made), strict=True):
            advance(planned.clip.path)
    for planned in plan:
        if planned.copy_of:
            shutil.copyfile(folder / planned.copy_of, folder / planned.clip.path)


def _write_clip(planned: PlannedClip, folder: Path, block: DemoBlock) -> None:
    path = folder / planned.clip.path
    write_audio(path, _waveform(planned, block), planned.rate_factor * block.sample_rate)
    if planned.fault == "truncated":
        os.truncate(path, path.stat().st_size // 2)


def _waveform(planned: PlannedClip, block: DemoBlock) -> Waveform:
    """Return a file's samples, shape (n_channels, n_samples)."""
    waveform = render(planned.number, duration_s=block.clip_duration_s, sample_rate=block.sample_rate)
    if planned.fault == "silent":
        waveform = np.zeros_like(waveform)
    if planned.n_channels == 1:
        waveform = waveform.mean(axis=0, keepdims=True)
    return double_rate(waveform) if planned.rate_factor == 2 else waveform


def _write_manifest(path: Path, clips: list[Clip]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(clip) for clip in sorted(clips, key=lambda clip: clip.track_id))


def _parameters(block: DemoBlock) -> dict[str, Any]:
    """Return the parameters that the files depend on, without their place or use."""
    return block.model_dump(mode="json", exclude=set(DatasetBlock.model_fields))


def _read_record(folder: Path) -> dict[str, Any]:
    """Return the demo dataset's record of a folder; an empty folder has no files."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: expected a folder for the demo dataset, found a file. Choose another path.")
    if not any(folder.iterdir()):
        return {"files": {}}
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return {"fingerprint": str(record["fingerprint"]), "files": dict(record["files"])}
    except (FileNotFoundError, ValueError, TypeError, KeyError) as error:
        raise DatasetError(
            f"{folder}: expected the demo dataset or nothing; the folder has files and no readable {_RECORD}. "
            "It is left as it is: choose another path, or delete it if it is an old demo dataset."
        ) from error


def _is_complete(folder: Path, sizes: Mapping[str, int]) -> bool:
    paths = ((folder / name, size) for name, size in sizes.items())
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def _refuse_foreign(folder: Path, ours: Iterable[str]) -> None:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    foreign = sorted(found - {_RECORD, *ours})
    if foreign:
        raise DatasetError(
            f"{folder}: the demo dataset must be made again, but the folder also holds {foreign[0]} "
            f"({len(foreign)} such in all), which it did not write. Move them away, or choose another path."
        )


DATASETS.register(
    DatasetSpec(
        name="demo",
        title="Demo: synthetic music",
        block=DemoBlock,
        prepare=prepare,
        find_clips=find_clips,
        official_splits=official_splits,
        planted=planted_faults,
        citation="None: made by this project; results on it say nothing about real music.",
        licence="CC0-1.0: generated by code at first use.",
    )
)
