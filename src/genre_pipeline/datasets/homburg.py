"""HOMBURG: 1886 clips of 10 s in nine genres, from songs that amateurs offered on Garageband (2005).

The names of the files are the dataset's list: artist and title, with an underscore for each character that is neither
a letter nor a digit. They ship with this package, as facts with their source named.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import PurePosixPath

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

GENRES = ("alternative", "blues", "electronic", "folkcountry", "funksoulrnb", "jazz", "pop", "raphiphop", "rock")
"""The nine genres, in the spelling of the dataset's folders."""

_SPELLINGS = {**{genre: genre for genre in GENRES}, "funksoulrb": "funksoulrnb"}

_LAYOUT = (
    "the genres' folders with files such as blues/Andy_Kimbel-Red_Hot_Blues.mp3, or those files alone (this program "
    "cannot download them: the Artificial Intelligence Group of TU Dortmund offers them, an archive a genre, as 'Music "
    "Audio Benchmark Data Set' at https://www-ai.cs.tu-dortmund.de/audio.html)"
)


def prepare(block: DatasetBlock) -> None:
    """Check that the folder holds clips of the list; unpack archives, such as one per genre.

    Raises:
        DatasetError: If it is missing, or holds none, or an archive cannot be unpacked.
    """
    prepare_listed(block, _match, layout=_LAYOUT)


def find_clips(block: DatasetBlock) -> Listing:
    """List the clips that exist.

    Raises:
        DatasetError: If two files are the same clip.
    """
    genres = _genres()
    return list_clips(
        _match(block),
        lambda track_id, path: Clip(track_id, genres[track_id], path, *names()[track_id]),
    )


def _match(block: DatasetBlock) -> MatchedFiles:
    by_name = {plain(track_id): track_id for track_id in _genres()}

    def identify(path: PurePosixPath) -> str | None:
        track_id = by_name.get(plain(path.stem))
        return track_id if track_id and lies_in(path, _genres()[track_id], _SPELLINGS) else None

    return match_files(block.root, identify, links_within=block.links_within)


@cache
def names() -> Mapping[str, tuple[str, str]]:
    """Return artist and title of the clips by track id, from the files' names.

    Example:
        >>> names()["50_Minutes-The_Great_Wall"]
        ('50 Minutes', 'The Great Wall')
    """
    track_ids = list(_genres())
    spelled = [track_id.replace("_", " ").partition("-") for track_id in track_ids]
    artists = one_spelling(artist for artist, _, _ in spelled)
    titles = (" ".join(title.split()) for _, _, title in spelled)
    return dict(zip(track_ids, zip(artists, titles, strict=True), strict=True))


@cache
def _genres() -> Mapping[str, str]:
    return {row["track_id"]: row["genre"] for row in shipped_facts("homburg.csv")}


def catalogue(block: DatasetBlock) -> dict[str, str]:  # noqa: ARG001
    """Return the genre of each of the 1886 clips."""
    return dict(_genres())


DATASETS.register(
    DatasetSpec(
        name="homburg",
        title="HOMBURG (Music Audio Benchmark Data Set)",
        block=DatasetBlock,
        prepare=prepare,
        find_clips=find_clips,
        official_splits=no_official_facts,
        catalogue=catalogue,
        clip_duration_s=10.0,  # [P] Homburg et al. (2005)
        sample_rate=44_100,  # [P] the dataset's page
        citation=(
            "H. Homburg, I. Mierswa, B. Möller, K. Morik and M. Wurst, 'A benchmark dataset for audio classification "
            "and clustering', Proc. 6th International Conference on Music Information Retrieval (ISMIR), 2005, "
            "pp. 528-531."
        ),
        licence=(
            "No licence is stated. The authors call the dataset freely available; the songs are their artists', who "
            "offered them on Garageband. The user brings a copy, and it is not redistributed."
        ),
        caveats=(
            (
                "The classes are unbalanced, from 47 clips (funksoulrnb) to 504 (rock, 27 % of all): macro-F1 and "
                "balanced accuracy say more than accuracy (counted in the dataset's list)."
            ),
            "The clips last 10 s, a third of what other genre datasets have (Homburg et al., 2005).",
            (
                "The 29 artists with clips in more than one genre, of 1462, show that genres were chosen song by song "
                "(counted in the dataset's list)."
            ),
        ),
    )
)
