"""Extended Ballroom: 4180 excerpts of 30 s of dance music in thirteen dances, from Marchand and Peeters (2016).

The authors published a list (tempo, artist, title, MD5 of each file, which tracks repeat which) and a script that
fetched the audio from a site about ballroom dancing. The list ships with this package, as facts with their source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree import ElementTree

from genre_pipeline.datasets.base import DATASETS, Clip, DatasetBlock, DatasetSpec, Listing, no_official_facts
from genre_pipeline.datasets.reading.catalogue import (
    MatchedFiles,
    lies_in,
    list_clips,
    match_files,
    one_spelling,
    plain,
    prepare_listed,
    shipped_facts,
)
from genre_pipeline.errors import DatasetError

GENRES = (
    "Chacha", "Foxtrot", "Jive", "Pasodoble", "Quickstep", "Rumba", "Salsa", "Samba", "Slowwaltz", "Tango",
    "Viennesewaltz", "Waltz", "Wcswing",
)  # fmt: skip
"""The thirteen dances, in the spelling of the authors' list."""

_SPELLINGS = {
    **{plain(genre): genre for genre in GENRES},
    "chachacha": "Chacha",
    "westcoastswing": "Wcswing",
}

# The script of the authors writes Waltz/Waltz.100601.mp3, the dataset that Extended Ballroom extends Media-100601.wav.
_FILE_STEM = re.compile(r"(?:[A-Za-z]+[.-])?(\d{6})")

_LIST_NAME = "extendedballroom_v*.xml"

# Entries of the list that stand for no artist.
_NO_ARTIST = frozenset({"?", "Unknown", "Various", "Various Artists"})

_LAYOUT = (
    "a folder for each dance with files such as Waltz/100601.mp3, or those files alone (this program cannot download "
    "them: the list and the script that fetched the audio are at the Analysis/Synthesis team of IRCAM, "
    "http://anasynth.ircam.fr/home/media/ExtendedBallroom, and the recordings at ballroomdancers.com)"
)


class Song(NamedTuple):
    """A track of the authors' list.

    Attributes:
        track_id: Six digits.
        genre: The dance.
        artist: Empty where the list names none.
        title: Title.
        album: Album.
        bpm: Tempo in beats per minute, as text.
        md5: MD5 of the MP3 file, hexadecimal.
    """

    track_id: str
    genre: str
    artist: str
    title: str
    album: str
    bpm: str
    md5: str


def prepare(block: DatasetBlock) -> None:
    """Check that the folder holds tracks of the list; unpack an archive.

    Raises:
        DatasetError: If it is missing, or holds none, or an archive cannot be unpacked.
    """
    prepare_listed(block, _match, layout=_LAYOUT)


def find_clips(block: DatasetBlock) -> Listing:
    """List the clips that exist.

    Raises:
        DatasetError: If two files are the same clip, or the list in the folder cannot be read.
    """
    known = songs(block.root)

    def clip(track_id: str, path: str) -> Clip:
        song = known[track_id]
        return Clip(track_id, song.genre, path, song.artist, song.title, song.album)

    return list_clips(_match(block), clip)


def _match(block: DatasetBlock) -> MatchedFiles:
    known = songs(block.root)

    def identify(path: PurePosixPath) -> str | None:
        name = _FILE_STEM.fullmatch(path.stem)
        song = known.get(name[1]) if name else None
        return song.track_id if song and lies_in(path, song.genre, _SPELLINGS) else None

    return match_files(block.root, identify, links_within=block.links_within)


def songs(root: Path | None = None) -> Mapping[str, Song]:
    """Return the authors' list by track id.

    Args:
        root: The dataset's folder. The list in it, or in a folder directly below it, takes precedence over the
            package's.

    Raises:
        DatasetError: If the list in the folder cannot be read.
    """
    if root is not None:
        for place in (_LIST_NAME, f"*/{_LIST_NAME}"):
            lists = sorted(root.glob(place))
            if lists:
                return _by_id(read_list(lists[-1]))
    return _shipped()


@cache
def _shipped() -> Mapping[str, Song]:
    return _by_id([Song(**row) for row in shipped_facts("extended_ballroom.csv")])


def read_list(path: Path) -> list[Song]:
    """Read a list as the authors publish it: ``extendedballroom_v1.1.xml``.

    Raises:
        DatasetError: If it is not such a list.
    """
    try:
        # Expat limits the expansion of entities, and ElementTree does not load external ones.
        dances = ElementTree.parse(path).getroot()  # noqa: S314
        return [
            Song(
                track_id=song.attrib["id"],
                genre=_SPELLINGS[plain(dance.tag)],
                artist=song.attrib["artist"],
                title=" ".join(song.attrib["title"].split()),
                album=" ".join(song.attrib["album"].split()),
                bpm=song.attrib["bpm"],
                md5=song.attrib["hash"],
            )
            for dance in dances
            for song in dance.iter("song")
        ]
    except (ElementTree.ParseError, KeyError, OSError) as error:
        raise DatasetError(
            f"{path}: expected the list of Extended Ballroom, an element a dance and within it one a song ({error!r}). "
            "Replace it by the published one, or remove it: the package has its own."
        ) from error


def _by_id(listed: Sequence[Song]) -> Mapping[str, Song]:
    artists = one_spelling(song.artist for song in listed)
    return {
        song.track_id: song._replace(artist="" if artist in _NO_ARTIST else artist)
        for song, artist in zip(listed, artists, strict=True)
    }


def repetitions() -> Mapping[str, frozenset[frozenset[str]]]:
    """Return the pairs of tracks that the authors marked as repetitions.

    Returns:
        By kind: ``exact`` (the same recording), ``time`` (at another tempo), ``karaoke`` (with and without the singer)
        and ``version`` (the same piece, another recording).
    """
    pairs: dict[str, set[frozenset[str]]] = {}
    for row in shipped_facts("extended_ballroom_repetitions.csv"):
        pairs.setdefault(row["kind"], set()).add(frozenset((row["track_id"], row["other"])))
    return {kind: frozenset(found) for kind, found in pairs.items()}


def exact_repetitions(block: DatasetBlock) -> list[tuple[str, ...]]:  # noqa: ARG001
    """Return the pairs of tracks that are the same recording, sorted."""
    return sorted(tuple(sorted(pair)) for pair in repetitions()["exact"])


def catalogue(block: DatasetBlock) -> dict[str, str]:
    """Return the dance of each track of the list."""
    return {track_id: song.genre for track_id, song in songs(block.root).items()}


def checksums(block: DatasetBlock) -> dict[str, str]:
    """Return the MD5 of each MP3 file, with which the authors' script checked its downloads."""
    return {track_id: song.md5 for track_id, song in songs(block.root).items()}


DATASETS.register(
    DatasetSpec(
        name="extended_ballroom",
        title="Extended Ballroom Dataset",
        block=DatasetBlock,
        prepare=prepare,
        find_clips=find_clips,
        official_splits=no_official_facts,
        repetitions=exact_repetitions,
        catalogue=catalogue,
        checksums=checksums,
        file_format="MP3",
        clip_duration_s=30.0,  # [P] Marchand and Peeters (2016)
        citation=(
            "U. Marchand and G. Peeters, 'The Extended Ballroom Dataset', Late-Breaking Session of the 17th "
            "International Society for Music Information Retrieval Conference (ISMIR), 2016; by the same authors, "
            "'Scale and shift invariant time/frequency representation using auditory statistics: application to rhythm "
            "description', IEEE International Workshop on Machine Learning for Signal Processing, 2016."
        ),
        licence=(
            "No licence is stated. The authors offer the list, not the audio, which the site ballroomdancers.com had "
            "for listening; it is under its owners' copyright. The user brings a copy, and it is not redistributed."
        ),
        caveats=(
            (
                "Tempo alone gives the dance away: taking for each track the most common dance among the others of its "
                "tempo is right for 85 % of all tracks (counted in the tempo annotations of the authors' list)."
            ),
            (
                "The classes are unbalanced, from 23 tracks (Wcswing) to 529 (Waltz); papers often use the nine "
                "largest, 3992 tracks of 4180."
            ),
            (
                "Recordings recur on several albums: the authors mark 251 pairs of tracks as the same recording, 16 as "
                "the same at another tempo and 12 as the same with and without the singer, and three pairs of files "
                "have one checksum; 85 of the 251 pairs name two artists, so that keeping artists apart is not enough. "
                "Ingest connects the 251 as one recording each, which artist_kfold keeps on one side."
            ),
            (
                "For 171 tracks the list names no artist but 'Various', 'Various Artists', 'Unknown' or '?'; splits by "
                "artist treat each of them as an artist of its own."
            ),
        ),
    )
)
