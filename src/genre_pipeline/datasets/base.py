"""Music datasets: a loader that lists clips, and a block of parameters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from typing_extensions import override

from genre_pipeline.blocks import Block, Seconds, parse_block, registered
from genre_pipeline.datasets.reading.files import MEANINGS, LeftOut
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.registry import Registry
from genre_pipeline.spelling import Composed

if TYPE_CHECKING:
    import pandas as pd

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
# ``recording`` is the id of the first track with the same recording; ``checksum`` is ``official``, ``re_encoded`` or
# ``unknown`` by comparison with the dataset's published checksums, empty without one.
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


# Raise it when the same tracks get another hash.
_TRACKS_VERSION = 1


def tracks_fingerprint(tracks: pd.DataFrame) -> str:
    """Hash the content of a dataset: its usable tracks, their audio, genres and artists.

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
    """One audio file of a dataset, before inspection.

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
    """The files of a dataset, before inspection.

    Attributes:
        clips: The clips, sorted by track id; a clip that only a table names may lack a file.
        stamps: Size in bytes and modification time in nanoseconds of the clips' files, by path, from the listing of
            their folders.
        left_out: Everything else below the dataset's folder.
        remarks: Things to check, one sentence each.
    """

    clips: tuple[Clip, ...]
    stamps: Mapping[str, tuple[int, int]]
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def extra(self) -> tuple[str, ...]:
        """Paths of left-out files that should not be there, sorted."""
        return tuple(sorted(each.path for each in self.left_out if MEANINGS[each.kind][1]))


class ExcerptBlock(Block):
    """The part of each file that is the clip, if a dataset has whole tracks.

    From a file of at least ``start_s + duration_s``, the clip is the ``duration_s`` from ``start_s`` on; from a shorter
    one, its last ``duration_s``. A file shorter than ``duration_s`` is ``too_short``.

    Attributes:
        start_s: Start of the excerpt, in seconds.
        duration_s: Its length, in seconds.
    """

    start_s: Seconds
    duration_s: float = Field(gt=0.0, le=86_400.0)


@dataclass(frozen=True)
class Source:
    """A file that the dataset's owners offer for download.

    Attributes:
        url: Its address.
        sha1: Its published SHA-1, hexadecimal.
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
        path: Root folder of the dataset's audio, absolute; or the original archive, which is unpacked into a folder
            beside it.
        links_within: Links to folders and files are followed if they lead to somewhere below this folder (of a
            git-annex or DVC repository, or a file server). ``None`` follows only links to files within ``path``.
        tags: What is taken from the files' own tags where no table gives it: ``artists`` (titles and albums, too),
            or ``genres`` as well, instead of the folders' names. ``ignored`` takes nothing.
        merge: Genres to be counted as another one: its name by theirs, such as ``{Hip Hop: Rap}``.
        genres: The genres to use; ``None`` means all. The split's hash and tags name a subset.
        max_per_genre: Use at most this many clips of each genre, chosen by a hash of their track ids; ``None`` means
            all. This also counts as a subset.
        strict: Whether anything that would only be reported (a missing clip, a fault) stops the run.
        excerpt: The part of each file that is the clip; ``None`` means all of it.
        min_duration_s: Shorter clips get the fault ``too_short``.
        quarantine: Faults that exclude a track from every split. The others are only reported.
    """

    kind: str
    path: Path
    links_within: Path | None = None
    tags: Literal["ignored", "artists", "genres"] = "ignored"
    merge: Mapping[Composed, Composed] = Field(default_factory=dict)
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
        """Return the parameters except ``path`` and ``links_within``: files are compared, and may be moved."""
        return {key: value for key, value in self.dump().items() if key not in {"path", "links_within"}}

    @property
    @override
    def user_files(self) -> tuple[Path, ...]:
        """The archive, which the user may replace; nothing if the dataset is a folder."""
        return () if self.path == self.root else (self.path,)

    @property
    def root(self) -> Path:
        """The folder to which the clips' paths are relative: ``path``, or the folder of an unpacked archive."""
        for suffix in ARCHIVE_SUFFIXES:
            if self.path.name.lower().endswith(suffix):
                return self.path.with_name(self.path.name[: -len(suffix)])
        return self.path


def no_official_facts(block: DatasetBlock) -> dict[str, Any]:  # noqa: ARG001
    """Return nothing, for a dataset without official lists or checksums."""
    return {}


@dataclass(frozen=True)
class DatasetSpec:
    """A kind of dataset that the project can load. The functions take a block of this class.

    Attributes:
        name: Registered name, used as ``kind`` in YAML.
        title: Full name, for people.
        block: Class of its parameters.
        prepare: Provides the audio: writes synthetic audio, unpacks an archive, or checks that the folder exists.
            Raises :class:`~genre_pipeline.errors.DatasetError` with what to get, from whom, and where to put it.
        find_clips: Lists the files, without opening any audio file.
        official_splits: Named lists that ship with the dataset: name to track id to ``train``, ``validation`` or
            ``test``.
        citation: How to cite it.
        licence: Its terms of use, and its source.
        catalogue: All clips of the dataset: track id to genre; empty if no list was published.
        checksums: MD5 of the published files, by track id; empty if none were published.
        file_format: Container of those files, in libsndfile's names (``"WAV"``, ``"MP3"``): a file of another format
            was re-encoded and cannot have their checksum. Empty without checksums.
        repetitions: Published groups of track ids that hold one recording.
        clip_duration_s: Length of the published clips; one shorter by more than a tenth of a second is ``short``.
            ``None`` if lengths differ.
        sample_rate: Rate of the published clips, in Hz; another is a ``wrong_rate``. ``None`` if rates differ.
        planted: Ids of the tracks that are faulty on purpose.
        caveats: Facts that a reader of results on this dataset should know, one sentence each, with its source.
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
    planted: Callable[[Any], Collection[str]] = no_official_facts


DATASETS: Registry[DatasetSpec] = Registry("dataset kind", package="genre_pipeline.datasets")
