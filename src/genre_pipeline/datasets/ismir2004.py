"""ISMIR 2004 genre contest: whole tracks from the label Magnatune in six genres, in three parts of 729 (2004).

Two parts make the dataset: *training*, and a test part, which is *evaluation* or *development*; papers seldom state
which. A clip is the excerpt that the block defines, by default half a minute of each track. The track lists ship with
this package, as facts with their source named.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from genre_pipeline.datasets.base import DATASETS, Clip, DatasetBlock, DatasetSpec, ExcerptBlock, Listing
from genre_pipeline.datasets.reading.catalogue import MatchedFiles, match_files, plain, prepare_listed, shipped_facts
from genre_pipeline.datasets.reading.files import LeftOut
from genre_pipeline.errors import DatasetError

logger = logging.getLogger(__name__)

GENRES = ("classical", "electronic", "jazz_blues", "metal_punk", "rock_pop", "world")
"""The six genres, in the spelling of the track lists; in the folders, two of them are subdivided."""

PARTS = ("training", "development", "evaluation")

_PART_FOLDERS = {**{part: part for part in PARTS}, "train": "training", "dev": "development", "eval": "evaluation"}

_LAYOUT = (
    "the folders training/ and evaluation/ (or development/, see the parameter test_part), in it or below it, with "
    "files such as training/classical/american_baroque/the_four_seasons_by_vivaldi/1-concerto_no.1_in_d_major_rv_2.mp3 "
    "(this program does not download them: the Music Technology Group of Universitat Pompeu Fabra offers them as "
    "'ISMIR04 Genre Identification task dataset' at https://zenodo.org/records/1302992)"
)


class Ismir2004Block(DatasetBlock):
    """Parameters of the dataset.

    Attributes:
        test_part: The part used as the test half: ``evaluation``, or ``development``, whose artists are anonymous.
        excerpt: [P] The rule of MusicNeXt: 30 to 60 s of tracks that last a minute, the last 30 s of shorter ones.
    """

    test_part: Literal["evaluation", "development"] = "evaluation"
    excerpt: ExcerptBlock | None = ExcerptBlock(start_s=30.0, duration_s=30.0)


class _Track(NamedTuple):
    track_id: str
    part: str
    genre: str
    artist: str
    title: str
    album: str
    path: PurePosixPath


def prepare(block: Ismir2004Block) -> None:
    """Check that the folder holds tracks of the list; unpack an archive.

    Raises:
        DatasetError: If it is missing, holds none, or holds only the other test part, or an archive cannot be unpacked.
    """
    found = prepare_listed(block, _match, layout=_LAYOUT)
    n_found = Counter(_tracks()[track_id].part for track_id in found.paths)
    (other,) = {"evaluation", "development"} - {block.test_part}
    if other in n_found and block.test_part not in n_found:
        raise DatasetError(
            f"The dataset's folder {block.root} holds no track of the part '{block.test_part}', but {n_found[other]} "
            f"of the part '{other}'. Set datasets.<name>.test_part to '{other}', or add the folder {block.test_part}/."
        )


def find_clips(block: Ismir2004Block) -> Listing:
    """List the existing clips of the two parts.

    Raises:
        DatasetError: If two files are the same track.
    """
    found = _match(block)
    wanted = catalogue(block)
    clips = [
        Clip(track_id, track.genre, path, track.artist, track.title, track.album)
        for track_id, path in found.paths.items()
        for track in (_tracks()[track_id],)
        if track_id in wanted
    ]
    if len(clips) < len(found.paths):
        logger.info("%s: %d tracks of a third part are not used.", block.root, len(found.paths) - len(clips))
    others = [LeftOut(path, "other_part") for track_id, path in found.paths.items() if track_id not in wanted]
    stamps = {clip.path: found.stamps[clip.path] for clip in clips}
    return Listing(tuple(clips), stamps, tuple(sorted([*found.left_out, *others])))


def _match(block: Ismir2004Block) -> MatchedFiles:
    def identify(path: PurePosixPath) -> str | None:
        for depth, folder in enumerate(path.parts[:-1], start=1):
            part = _PART_FOLDERS.get(plain(folder))
            if part:
                below = PurePosixPath(*path.parts[depth:])
                return next((known for key in _keys(below) if (known := _by_key()[part].get(key))), None)
        return None

    return match_files(block.root, identify, links_within=block.links_within)


def _keys(path: PurePosixPath) -> Iterator[tuple[str, ...]]:
    """Yield keys that may identify a track within its part, the most reliable first.

    Artist, album and number do; titles are written differently in lists and file names (``l'oracle``, ``l_oracle``, and
    one damaged letter). If folders were removed, album, number and title are left, or number and title.
    """
    folders = [plain(folder) for folder in path.parts[:-1]]
    title = path.stem.lstrip("0123456789")
    number = path.stem.removesuffix(title).lstrip("0")
    if number and len(folders) > 1:
        yield (*folders[-2:], number)
    if folders:
        yield (folders[-1], number + plain(title))
    yield (number + plain(title),)


@cache
def _by_key() -> Mapping[str, Mapping[tuple[str, ...], str]]:
    """Return for each part the track ids by their keys, without those that identify no single track."""
    owners: dict[str, dict[tuple[str, ...], set[str]]] = {part: {} for part in PARTS}
    for track in _tracks().values():
        for key in _keys(track.path):
            owners[track.part].setdefault(key, set()).add(track.track_id)
    return {
        part: {key: min(track_ids) for key, track_ids in keys.items() if len(track_ids) == 1}
        for part, keys in owners.items()
    }


@cache
def _tracks() -> Mapping[str, _Track]:
    tracks = (
        _Track(
            track_id=f"{row['part']}/{row['path']}",
            part=row["part"],
            genre=row["genre"],
            artist=_spaced(row["artist"]),
            title=_spaced(row["title"]),
            album=_spaced(row["album"]),
            path=PurePosixPath(f"{row['path']}.mp3"),
        )
        for row in shipped_facts("ismir2004.csv")
    )
    return {track.track_id: track for track in tracks}


def _spaced(text: str) -> str:
    return " ".join(text.replace("_", " ").split())


def official_splits(block: Ismir2004Block) -> dict[str, dict[str, str]]:
    """Return the list ``official``: 729 tracks for training, 729 for test."""
    parts = {"training": "train", block.test_part: "test"}
    return {
        "official": {
            track_id: parts[track.part] for track_id, track in sorted(_tracks().items()) if track.part in parts
        }
    }


def catalogue(block: Ismir2004Block) -> dict[str, str]:
    """Return the genre of each of the 1458 tracks of the two parts."""
    return {track_id: _tracks()[track_id].genre for track_id in official_splits(block)["official"]}


DATASETS.register(
    DatasetSpec(
        name="ismir2004",
        title="ISMIR 2004 Genre Classification Contest",
        block=Ismir2004Block,
        prepare=prepare,
        find_clips=find_clips,
        official_splits=official_splits,
        catalogue=catalogue,
        sample_rate=44_100,  # [P] Lee, Shih, Yu and Lin, IEEE Transactions on Multimedia 11(4), 2009
        citation=(
            "P. Cano, E. Gómez, F. Gouyon, P. Herrera, M. Koppenberger, B. Ong, X. Serra, S. Streich and N. Wack, "
            "'ISMIR 2004 audio description contest', Technical Report MTG-TR-2006-02, Music Technology Group, "
            "Universitat Pompeu Fabra, Barcelona, 2006."
        ),
        licence=(
            "The recordings are from the label Magnatune, much of whose music is under Creative Commons licences, as "
            "the dataset's page says; look there for the terms. The user brings a copy, and it is not redistributed."
        ),
        caveats=(
            (
                "The classes are unbalanced, from 52 tracks (jazz_blues) to 639 (classical, 44 % of all): balanced "
                "accuracy and macro-F1 say more than accuracy (counted in the track lists)."
            ),
            (
                "The official split is no artist filter: every artist of the evaluation part is in the training part, "
                "and so are the albums of all but two of its 729 tracks (counted in the track lists). The artists of "
                "the development part are anonymous, so that nothing can be said of its overlap."
            ),
            (
                "Papers seldom say whether they tested on the evaluation or on the development part, both of 729 "
                "tracks; the development part has 102 tracks of rock_pop, the evaluation part 101."
            ),
            (
                "Clips are excerpts of whole tracks; with MusicNeXt's rule, as by default, tracks shorter than 30 s "
                "give none, which leaves 724 and 720 (as its authors state)."
            ),
        ),
    )
)
