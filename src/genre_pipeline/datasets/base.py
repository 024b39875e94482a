"""What a music dataset is to this project: a loader that lists clips, and a block of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field
from typing_extensions import override

from genre_pipeline.blocks import Block, Seconds, parse_block, registered
from genre_pipeline.datasets.reading.files import MEANINGS, LeftOut
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.registry import Registry
from genre_pipeline.spelling import Composed

Fault = Literal[
    "unreadable",
    "unusable_rate",
    "truncated",
    "wrong_size",
    "left_over",
    "empty",
    "silent",
    "non_finite",
    "too_short",
    "short",
    "clipped",
    "dc_offset",
    "decoder_warning",
    "wrong_rate",
    "unknown_checksum",
    "duplicate_file",
    "duplicate_audio",
    "near_duplicate",
]

# Every column of the track table with its pandas type, in order. ``duration_s`` and ``n_samples`` are the clip's, which
# begins at ``start_sample`` of its file (0 unless the dataset's clips are excerpts), and so is ``audio_hash``;
# ``recording`` is the id of the first of the tracks that hold the same recording; ``checksum`` is ``official``,
# ``re_encoded`` or ``unknown`` against the dataset's published checksums, empty where there is none.
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
    "start_sample": "int64",
    "n_samples": "int64",
    "format": "string",
    "n_bytes": "int64",
    "content_hash": "string",
    "audio_hash": "string",
    "recording": "string",
    "checksum": "string",
    "faults": "string",
    "quarantined": "bool",
}


# Raised whenever the same tracks would be said to be others.
_TRACKS_VERSION = 1


def tracks_fingerprint(tracks: pd.DataFrame) -> str:
    """Hash what a dataset consists of: its usable tracks, their audio, genres and artists.

    Args:
        tracks: The track table; the order of its rows does not matter.

    Returns:
        16 hexadecimal digits.
    """
    usable = tracks.loc[~tracks["quarantined"], ["track_id", "audio_hash", "genre", "artist"]]
    rows = usable.sort_values("track_id").to_numpy(dtype=object).tolist()
    return fingerprint("tracks", _TRACKS_VERSION, tracks=rows)


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


@dataclass(frozen=True)
class Listing:
    """The files of a dataset, before anybody looked inside.

    Attributes:
        clips: The clips, sorted by track id; a clip that only a table names may have no file.
        stamps: Size in bytes and time of change in nanoseconds of the clips' files, by path, as the listing of their
            folders gave them.
        left_out: Everything else below the dataset's folder.
        remarks: What a person should look at, a sentence each.
    """

    clips: tuple[Clip, ...]
    stamps: Mapping[str, tuple[int, int]]
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def extra(self) -> tuple[str, ...]:
        """Paths of what is left out and should not be there as it is, sorted."""
        return tuple(sorted(each.path for each in self.left_out if MEANINGS[each.kind][1]))


class ExcerptBlock(Block):
    """The part of each file that is the clip, where a dataset ships whole tracks.

    A file of at least ``start_s + duration_s`` gives the ``duration_s`` from ``start_s`` on; a shorter one its last
    ``duration_s``; one shorter than ``duration_s`` is ``too_short``.

    Attributes:
        start_s: Where the excerpt begins, in seconds.
        duration_s: How long it is, in seconds.
    """

    start_s: Seconds
    duration_s: float = Field(gt=0.0, le=86_400.0)


@dataclass(frozen=True)
class Source:
    """A file that the dataset's owners offer for download.

    Attributes:
        url: Where it is.
        sha1: SHA-1 that they publish for it, hexadecimal.
        n_bytes: Its size, for messages.
    """

    url: str
    sha1: str
    n_bytes: int


ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip")


class DatasetBlock(Block):
    """Parameters that every dataset has.

    Attributes:
        kind: Registered name of the loader.
        path: Root folder of the dataset's audio, absolute; or the archive as it was distributed, which is unpacked
            into a folder beside it.
        links_within: Links to folders and files are followed as far as they lead to somewhere below this folder (that
            of a git-annex or DVC repository, of a file server). None for links to files within ``path`` only.
        genres: The genres to use, or none for all that the dataset has. A subset is named in the split's hash and tags.
        max_per_genre: Use at most this many clips of each genre, chosen by a hash of their track ids; ``None`` means
            all. A subset as well.
        strict: Whether anything that would only be reported (a missing clip, a fault) stops the run.
        excerpt: The part of each file that is the clip; ``None`` means all of it.
        min_duration_s: Shorter clips carry the fault ``too_short``.
        quarantine: Faults that keep a track out of every split. The others are only reported.
    """

    kind: str
    path: Path
    links_within: Path | None = None
    genres: tuple[Composed, ...] | None = Field(default=None, min_length=2)
    max_per_genre: int | None = Field(default=None, ge=1, le=10_000_000)
    strict: bool = False
    excerpt: ExcerptBlock | None = None
    min_duration_s: Seconds = 3.0
    quarantine: tuple[Fault, ...] = (
        "unreadable",
        "unusable_rate",
        "truncated",
        "empty",
        "silent",
        "non_finite",
        "too_short",
        "duplicate_file",
        "duplicate_audio",
    )

    @classmethod
    @override
    def parse(cls, values: object, *, key: str) -> DatasetBlock:
        """Check the values as the block of their kind."""
        return parse_block(registered(DATASETS, values, key=key).block, values, key=key)

    @override
    def deciding(self) -> dict[str, Any]:
        """Return the parameters but where the dataset is and its links lead: files are compared, and may be moved."""
        return {key: value for key, value in self.dump().items() if key not in {"path", "links_within"}}

    @property
    @override
    def user_files(self) -> tuple[Path, ...]:
        """The archive, which may be replaced by another one; nothing where the dataset is a folder."""
        return () if self.path == self.root else (self.path,)

    @property
    def root(self) -> Path:
        """The folder that the clips' paths are relative to: ``path``, or where an archive is unpacked."""
        for suffix in ARCHIVE_SUFFIXES:
            if self.path.name.lower().endswith(suffix):
                return self.path.with_name(self.path.name[: -len(suffix)])
        return self.path


def no_official_facts(block: DatasetBlock) -> dict[str, Any]:  # noqa: ARG001
    """Return nothing: what a dataset without official lists, or without checksums, has."""
    return {}


@dataclass(frozen=True)
class DatasetSpec:
    """A kind of dataset that the project can load. The functions take a block of the class that it names.

    Attributes:
        name: Registered name, used as ``kind`` in YAML.
        title: Full name, for people.
        block: Class of its parameters.
        prepare: Makes sure that the audio is there: writes synthetic audio, unpacks an archive, or checks that the
            folder exists. Raises :class:`~genre_pipeline.errors.DatasetError` saying what to get, from whom, and where
            to put it.
        find_clips: Lists the files, without opening any audio file.
        official_splits: Named lists that ship with the dataset: name to track id to ``train``, ``validation`` or
            ``test``.
        citation: How to cite it.
        licence: Under what terms it may be used, and where it comes from.
        catalogue: The clips that the whole dataset has: track id to genre; empty if no list was published.
        checksums: MD5 of the files as they were published, by track id; empty if none were published.
        file_format: Container of those files, in libsndfile's names (``"WAV"``, ``"MP3"``): what another has was
            encoded anew and cannot have their checksum. Empty where there are no checksums.
        repetitions: Groups of track ids that hold one recording, as somebody published them.
        clip_duration_s: Length of the clips as published; one shorter by more than a tenth of a second is ``short``.
            None where they differ.
        sample_rate: Rate of the clips as published, in Hz; another is a ``wrong_rate``. None where they differ.
        caveats: What a reader of results on this dataset should know, a sentence each, with its source.
    """

    name: str
    title: str
    block: type[DatasetBlock]
    prepare: Callable[[Any], None]
    find_clips: Callable[[Any], Listing]
    official_splits: Callable[[Any], Mapping[str, Mapping[str, str]]]
    citation: str
    licence: str
    catalogue: Callable[[Any], Mapping[str, str]] = no_official_facts
    checksums: Callable[[Any], Mapping[str, str]] = no_official_facts
    repetitions: Callable[[Any], Iterable[Sequence[str]]] = no_official_facts
    file_format: str = ""
    clip_duration_s: float | None = None
    sample_rate: int | None = None
    caveats: tuple[str, ...] = ()


DATASETS: Registry[DatasetSpec] = Registry("dataset kind", package="genre_pipeline.datasets")
