"""FMA: tracks of the Free Music Archive in four sizes, from Defferrard, Benzi, Vandergheynst and Bresson (2017).

``small`` has 8000 clips of 30 s in eight genres, ``medium`` 25,000 in sixteen, ``large`` 106,574 and ``full`` as many
whole tracks; ``large`` includes ``medium``, which includes ``small``. The table ``tracks.csv`` describes each track. It
comes with the dataset, not with this package. Tracks without a top genre are left out: 56,976 of ``large``.
"""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, TypeAlias

import pyarrow as pa
from pyarrow import csv as pyarrow_csv

from genre_pipeline.datasets.base import DATASETS, Clip, DatasetBlock, DatasetSpec, Listing, Source
from genre_pipeline.datasets.reading.archives import prepare_root, unpack
from genre_pipeline.datasets.reading.catalogue import match_files
from genre_pipeline.datasets.reading.downloads import download
from genre_pipeline.datasets.reading.files import LeftOut, no_audio
from genre_pipeline.errors import DatasetError

logger = logging.getLogger(__name__)

_HOST = "https://os.unil.cloud.switch.ch/fma"

# [P] URLs, SHA-1 and rounded sizes: the README of github.com/mdeff/fma; exact sizes: from the server.
_METADATA = Source(f"{_HOST}/fma_metadata.zip", "f0df49ffe5f2a6008d7dc83c6915b31835dfe733", 358_412_441)
_AUDIO = {
    "small": Source(f"{_HOST}/fma_small.zip", "ade154f733639d52e35e32f5593efe5be76c6d70", 7_679_594_875),
    "medium": Source(f"{_HOST}/fma_medium.zip", "c67b69ea232021025fca9231fc1c7c1a063ab50b", 22 * 2**30),
    "large": Source(f"{_HOST}/fma_large.zip", "497109f4dd721066b5ce5e5f250ec604dc78939e", 100_306_112_191),
    "full": Source(f"{_HOST}/fma_full.zip", "0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab", 879 * 2**30),
}

# In tracks.csv, a track has the smallest subset that it is in; ``full`` is ``large`` with whole tracks.
_SUBSETS = ("small", "medium", "large")

# [C] The authors cut all clips once, for ``large``, so the folder of a larger subset works too.
_FOLDERS = {
    "small": ("fma_small", "fma_medium", "fma_large"),
    "medium": ("fma_medium", "fma_large"),
    "large": ("fma_large",),
    "full": ("fma_full",),
}

_SIDES = {"training": "train", "validation": "validation", "test": "test"}

_COLUMNS = (
    "track_id", "track.genre_top", "track.title", "set.subset", "set.split", "artist.id", "artist.name", "album.title",
)  # fmt: skip

# [?] Any line of tracks.csv fits, even with long texts about artist and album.
_BLOCK_BYTES = 16 * 2**20


class _Block(DatasetBlock):
    metadata: Path | None = None
    download: bool = False


class FmaBlock(_Block):
    """Parameters of the subsets of clips.

    Attributes:
        subset: The subset.
        metadata: Folder that holds ``tracks.csv``; ``None`` searches the dataset's folder, and ``fma_metadata`` in it
            and beside it.
        download: Whether to download missing files from the authors' server.
    """

    subset: Literal["small", "medium", "large"]


class FmaFullBlock(_Block):
    """Parameters of the whole tracks.

    Attributes:
        subset: All of them.
        metadata: As for the clips.
        download: As for the clips.
    """

    subset: Literal["full"] = "full"


AnyFmaBlock: TypeAlias = FmaBlock | FmaFullBlock


class _Track(NamedTuple):
    track_id: str
    genre: str
    title: str
    subset: str
    split: str
    artist_id: str
    artist: str
    album: str


def prepare(block: AnyFmaBlock) -> None:
    """Check that the audio and ``tracks.csv`` exist; otherwise unpack or download them.

    Raises:
        DatasetError: If either is missing, or cannot be unpacked or downloaded.
        StorageError: If the disk is full, or the folder is read-only.
    """
    source = _AUDIO[block.subset]
    if block.download and not block.path.is_file():
        missing = [] if _tracks_csv(block) else [_METADATA]
        download(missing if _audio_folder(block) else [*missing, source], block.root)
    layout = (
        f"fma_{block.subset}.zip or its content, the folder fma_{block.subset}/ with files such as 000/000002.mp3, and "
        f"fma_metadata.zip or its content. They are at {source.url} ({source.n_bytes / 2**30:.1f} GiB) and "
        f"{_METADATA.url}; this program fetches them if datasets.<name>.download is true"
    )
    prepare_root(
        block,
        layout=layout,
        is_there=lambda _: _audio_folder(block) is not None and _tracks_csv(block) is not None,
        stems={f"fma_{block.subset}", "fma_metadata"},
    )
    beside = block.root.with_name("fma_metadata.zip")
    if _tracks_csv(block) is None and beside.is_file():
        unpack(beside, beside.with_suffix(""))
    _find_tracks_csv(block)
    if _audio_folder(block) is None:
        raise no_audio(block.root, layout=layout, links_within=block.links_within)


def find_clips(block: AnyFmaBlock) -> Listing:
    """List the clips of the subset that exist and have a top genre.

    Raises:
        DatasetError: If two files are the same track, or ``tracks.csv`` is missing or not the published table.
    """
    known = _read_tracks(_find_tracks_csv(block))
    wanted = _of_subset(block, known)
    place = _audio_folder(block) or ""
    found = match_files(block.root / place, lambda path: _identify(path, known), links_within=block.links_within)
    paths = {track_id: f"{place}/{path}" if place else path for track_id, path in found.paths.items()}
    clips = [
        Clip(track_id, track.genre, paths[track_id], _artist(track), _spaced(track.title), _spaced(track.album))
        for track_id, track in wanted.items()
        if track_id in paths
    ]
    if n_other := len(paths) - len(clips):
        logger.info("%s: %d tracks of other subsets or without a top genre are not used.", block.root, n_other)
    stamps = {f"{place}/{path}" if place else path: stamp for path, stamp in found.stamps.items()}
    left_out = [each._replace(path=f"{place}/{each.path}") if place else each for each in found.left_out]
    left_out += [LeftOut(path, "other_part") for track_id, path in paths.items() if track_id not in wanted]
    return Listing(tuple(clips), {clip.path: stamps[clip.path] for clip in clips}, tuple(sorted(left_out)))


def _identify(path: PurePosixPath, known: Mapping[str, _Track]) -> str | None:
    """Return the track of a file such as ``000/000002.mp3``."""
    return path.stem if path.stem in known and path.parent.name == path.stem[:3] else None


def _artist(track: _Track) -> str:
    # Different artists share a name; a split by artist must not treat them as one.
    return f"{_spaced(track.artist)} [{track.artist_id}]".lstrip() if track.artist_id else _spaced(track.artist)


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _audio_folder(block: AnyFmaBlock) -> str | None:
    """Return the folder, relative to the root, that holds the folders 000 to 155; ``None`` if there is none."""
    for name in (*_FOLDERS[block.subset], ""):
        # Some programs unpack an archive into an additional folder.
        for place in (name, f"{name}/{name}") if name else ("",):
            folder = block.root / place
            try:
                inner = list(folder.iterdir()) if folder.is_dir() else []
            except OSError as error:
                raise DatasetError(
                    f"The folder {folder} cannot be listed ({error.strerror}). Make it readable."
                ) from error
            if any(re.fullmatch(r"\d{3}", path.name) and path.is_dir() for path in inner):
                return place
    return None


def _tracks_csv(block: AnyFmaBlock) -> Path | None:
    names = ("fma_metadata", "fma_metadata/fma_metadata")
    usual = [block.root, *(base / name for base in (block.root, block.root.parent) for name in names)]
    places = [block.metadata] if block.metadata else usual
    return next((folder / "tracks.csv" for folder in places if (folder / "tracks.csv").is_file()), None)


def _find_tracks_csv(block: AnyFmaBlock) -> Path:
    path = _tracks_csv(block)
    if path is None:
        raise DatasetError(
            f"FMA's table tracks.csv is not in {block.metadata or block.root}. Get {_METADATA.url} "
            f"({_METADATA.n_bytes / 2**20:.0f} MiB) and put it, or the folder fma_metadata/ that it holds, into "
            f"{block.root}; or name the table's folder in datasets.<name>.metadata; or set datasets.<name>.download to "
            "true."
        )
    return path


def _of_subset(block: AnyFmaBlock, known: Mapping[str, _Track]) -> dict[str, _Track]:
    """Return the tracks of the block's subset that have a top genre."""
    subsets = _SUBSETS if block.subset == "full" else _SUBSETS[: 1 + _SUBSETS.index(block.subset)]
    tracks = {track_id: track for track_id, track in known.items() if track.subset in subsets}
    wanted = {track_id: track for track_id, track in tracks.items() if track.genre}
    if len(wanted) < len(tracks):
        logger.info("FMA-%s: %d tracks have no top genre and are left out.", block.subset, len(tracks) - len(wanted))
    return wanted


def _read_tracks(path: Path) -> dict[str, _Track]:
    """Read the needed columns of ``tracks.csv``: 260 MB, most of it texts about artists.

    It has three lines of headings: the subject (``track``), its property (``genre_top``), and the index's name.

    Returns:
        The tracks by their ids of six digits, in that order.

    Raises:
        DatasetError: If it is not that table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            subjects, names, index = islice(csv.reader(file, strict=True), 3)
        columns = [*index[:1], *(f"{subject}.{name}" for subject, name in zip(subjects[1:], names[1:], strict=True))]
        table = pyarrow_csv.read_csv(
            path,
            read_options=pyarrow_csv.ReadOptions(skip_rows=3, column_names=columns, block_size=_BLOCK_BYTES),
            parse_options=pyarrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow_csv.ConvertOptions(
                include_columns=_COLUMNS, column_types=dict.fromkeys(_COLUMNS, pa.string())
            ),
        )
    except (ValueError, csv.Error, KeyError) as error:
        raise DatasetError(
            f"{path}: expected tracks.csv of fma_metadata.zip, with three lines of headings and the columns "
            f"{', '.join(_COLUMNS)} ({error}). Replace it by the published one: {_METADATA.url}."
        ) from error
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    tracks = (_Track(track_id.zfill(6), *texts) for track_id, *texts in rows)
    return {track.track_id: track for track in sorted(tracks)}


def official_splits(block: AnyFmaBlock) -> dict[str, dict[str, str]]:
    """Return the list ``official``: 80, 10 and 10 % of the tracks for training, validation and test.

    Raises:
        DatasetError: If ``tracks.csv`` is missing or not the published table.
    """
    tracks = _of_subset(block, _read_tracks(_find_tracks_csv(block)))
    return {"official": {track_id: _SIDES[track.split] for track_id, track in tracks.items() if track.split in _SIDES}}


def catalogue(block: AnyFmaBlock) -> dict[str, str]:
    """Return the top genre of each track of the subset that has one.

    Raises:
        DatasetError: If ``tracks.csv`` is missing or not the published table.
    """
    tracks = _of_subset(block, _read_tracks(_find_tracks_csv(block)))
    return {track_id: track.genre for track_id, track in tracks.items()}


_CLIPS = DatasetSpec(
    name="fma",
    title="FMA: A Dataset For Music Analysis",
    block=FmaBlock,
    prepare=prepare,
    find_clips=find_clips,
    official_splits=official_splits,
    catalogue=catalogue,
    clip_duration_s=30.0,  # [P]
    citation=(
        "M. Defferrard, K. Benzi, P. Vandergheynst and X. Bresson, 'FMA: A dataset for music analysis', Proc. 18th "
        "International Society for Music Information Retrieval Conference (ISMIR), 2017."
    ),
    licence=(
        "The recordings are under the licences that their artists chose, Creative Commons licences for the most part "
        "(column track.license of tracks.csv); the metadata are under CC BY 4.0. The dataset is meant for research."
    ),
    caveats=(
        (
            "Genres are what the artists themselves chose from the archive's list; a track's top genre is the root of "
            "those, if they have one root in common (Defferrard et al., 2017). 56,976 of the 106,574 tracks have none "
            "and are left out."
        ),
        (
            "In the subsets of clips, 099134, 108925 and 133297 hold no audio, and 098565, 098567 and 098569 are much "
            "shorter than 30 s: the archive stated wrong durations, and clips were cut from the middle (issues 4 and 8 "
            "of github.com/mdeff/fma)."
        ),
        (
            "Only small is balanced, with 1000 tracks for each of eight genres. Of the sixteen genres of the others, "
            "some are rare: macro-F1 and balanced accuracy say more than accuracy."
        ),
        "The official split keeps artists apart and the genres' shares equal (Defferrard et al., 2017).",
        (
            "Medium and small prefer what was listened to most, of 1 to 10 minutes and above 100 kbit/s (the authors' "
            "creation notebook): they are no random sample of the archive."
        ),
    ),
)
DATASETS.register(_CLIPS)
DATASETS.register(
    replace(
        _CLIPS,
        name="fma_full",
        title="FMA: A Dataset For Music Analysis, whole tracks",
        block=FmaFullBlock,
        clip_duration_s=None,
        caveats=(*_CLIPS.caveats, "Tracks are whole, and of all lengths: set an excerpt to compare them with clips."),
    )
)
