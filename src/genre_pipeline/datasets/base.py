"""What a music dataset is to this project: a loader that lists clips, and a block of parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from genre_pipeline.blocks import Block
from genre_pipeline.registry import Registry

Fault = Literal[
    "unreadable",
    "truncated",
    "empty",
    "silent",
    "non_finite",
    "too_short",
    "clipped",
    "dc_offset",
    "duplicate_file",
    "duplicate_audio",
]

# Every column of the track table with its pandas type, in order.
TRACK_COLUMNS: Mapping[str, str] = {
    "track_id": "string",
    "genre": "string",
    "path": "string",
    "artist": "string",
    "title": "string",
    "album": "string",
    "duration_s": "float64",
    "sample_rate": "int64",
    "n_channels": "int64",
    "n_samples": "int64",
    "format": "string",
    "n_bytes": "int64",
    "content_hash": "string",
    "audio_hash": "string",
    "faults": "string",
    "quarantined": "bool",
}


@dataclass(frozen=True)
class Clip:
    """One audio file that a dataset ships, before anybody looked inside.

    Attributes:
        track_id: Stable identity of the track within the dataset.
        genre: Genre label, in the dataset's canonical spelling.
        path: Path relative to the dataset's root, with forward slashes.
        artist: Artist, empty where unknown.
        title: Title, empty where unknown.
        album: Album, empty where unknown.
    """

    track_id: str
    genre: str
    path: str
    artist: str = ""
    title: str = ""
    album: str = ""


class DatasetBlock(Block):
    """Parameters that every dataset has.

    Attributes:
        kind: Registered name of the loader.
        path: Root folder of the dataset's audio, absolute.
        genres: The genres to use, or none for all that the dataset has. A subset is part of the split's hash.
        min_duration_s: Shorter clips carry the fault ``too_short``.
        quarantine: Faults that keep a track out of every split. The others are only reported.
    """

    kind: str
    path: Path
    genres: tuple[str, ...] | None = Field(default=None, min_length=2)
    min_duration_s: float = Field(default=3.0, ge=0.0)
    quarantine: tuple[Fault, ...] = (
        "unreadable",
        "truncated",
        "empty",
        "silent",
        "non_finite",
        "too_short",
        "duplicate_file",
        "duplicate_audio",
    )


@dataclass(frozen=True)
class DatasetSpec:
    """A kind of dataset that the project can load. The functions take a block of the class that it names.

    Attributes:
        name: Registered name, used as ``kind`` in YAML.
        title: Full name, for people.
        block: Class of its parameters.
        prepare: Makes sure that the audio is there: writes synthetic audio, or checks that the folder exists.
            Raises :class:`~genre_pipeline.errors.DatasetError` saying what to get and where to put it.
        find_clips: Lists the clips, sorted by track id, without opening any audio file.
        official_splits: Named lists that ship with the dataset: name to track id to ``train``, ``validation`` or
            ``test``.
        citation: How to cite it.
        licence: Under what terms it may be used, and where it comes from.
    """

    name: str
    title: str
    block: type[DatasetBlock]
    prepare: Callable[[Any], None]
    find_clips: Callable[[Any], list[Clip]]
    official_splits: Callable[[Any], Mapping[str, Mapping[str, str]]]
    citation: str
    licence: str


DATASETS: Registry[DatasetSpec] = Registry("dataset kind", package="genre_pipeline.datasets")
