"""GTZAN: 1000 clips of 30 s in ten genres, the most used and most studied genre dataset.

Sturm (2013) documents its faults: repetitions, mislabellings, distortions. Artists and titles come from his index; the
*fault-filtered* split of Kereliuk, Sturm and Larsen (2015) leaves the known faults out and keeps known artists apart.
Both ship with this package, as facts with their sources named.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import PurePosixPath

from genre_pipeline.datasets.base import DATASETS, Clip, DatasetBlock, DatasetSpec, Listing
from genre_pipeline.datasets.reading.catalogue import (
    MatchedFiles,
    lies_in,
    list_clips,
    match_files,
    plain,
    prepare_listed,
    shipped_facts,
)

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
"""The ten genres, in the spelling of the labels."""

_SPELLINGS = {genre: genre for genre in GENRES}

# [P] A file of the archive, ``blues.00000.wav``; mirrors keep the name and change the folders.
_FILE_NAME = re.compile(r"([a-z-]+)\.(\d{5})", re.IGNORECASE)

_LAYOUT = (
    "the genres' folders with files such as blues/blues.00000.wav, in it or below it (genres/, genres_original/, "
    "Data/genres_original/...), or the archive genres.tar.gz (this program cannot download it: its official links are "
    "dead; many who work on music genres have a copy)"
)


def prepare(block: DatasetBlock) -> None:
    """Check that the folder holds GTZAN clips; otherwise unpack archives in it.

    Raises:
        DatasetError: If it is missing, or holds none, or an archive cannot be unpacked.
    """
    prepare_listed(block, _match, layout=_LAYOUT)


def find_clips(block: DatasetBlock) -> Listing:
    """List the clips that exist.

    Raises:
        DatasetError: If two files are the same clip.
    """
    wanted = catalogue(block)
    return list_clips(
        _match(block), lambda track_id, path: Clip(track_id, wanted[track_id], path, *artists()[track_id])
    )


def _match(block: DatasetBlock) -> MatchedFiles:
    return match_files(block.root, _identify, links_within=block.links_within)


def _identify(path: PurePosixPath) -> str | None:
    name = _FILE_NAME.fullmatch(path.stem)
    if name is None:
        return None
    genre = plain(name[1])
    track_id = f"{genre}.{name[2]}"
    return track_id if track_id in artists() and lies_in(path, genre, _SPELLINGS) else None


@cache
def artists() -> dict[str, tuple[str, str]]:
    """Return artist and title of the tracks by track id, from Sturm's index; empty if unknown.

    Example:
        >>> artists()["blues.00012"]
        ('Robert Johnson', 'Cross Road Blues')
    """
    return {row["track_id"]: (row["artist"], row["title"]) for row in shipped_facts("gtzan_artists.csv")}


def catalogue(block: DatasetBlock) -> dict[str, str]:  # noqa: ARG001
    """Return the genre of each of the 1000 clips."""
    return {track_id: track_id.partition(".")[0] for track_id in artists()}


def checksums(block: DatasetBlock) -> dict[str, str]:  # noqa: ARG001
    """Return the MD5 of each of the 1000 distributed WAV files."""
    return {row["track_id"]: row["md5"] for row in shipped_facts("gtzan_md5.csv")}


def official_splits(block: DatasetBlock) -> dict[str, dict[str, str]]:  # noqa: ARG001
    """Return the ``fault_filtered`` lists: 443 tracks for training, 197 for validation, 290 for test."""
    return {"fault_filtered": {row["track_id"]: row["split"] for row in shipped_facts("gtzan_fault_filtered.csv")}}


DATASETS.register(
    DatasetSpec(
        name="gtzan",
        title="GTZAN Genre Collection",
        block=DatasetBlock,
        prepare=prepare,
        find_clips=find_clips,
        official_splits=official_splits,
        catalogue=catalogue,
        checksums=checksums,
        file_format="WAV",
        clip_duration_s=30.0,  # [P] Tzanetakis and Cook (2002)
        sample_rate=22_050,  # [P] the same
        citation=(
            "G. Tzanetakis and P. Cook, 'Musical genre classification of audio signals', IEEE Transactions on Speech "
            "and Audio Processing 10(5), 2002. Artists and titles: B. L. Sturm, 'An analysis of the GTZAN music genre "
            "dataset', Proc. ACM MIRUM, 2012. Faults: B. L. Sturm, 'The GTZAN dataset: its contents, its faults, "
            "their effects on evaluation, and its future use', arXiv:1306.1461, 2013. Fault-filtered split: "
            "C. Kereliuk, B. L. Sturm and J. Larsen, 'Deep learning and music adversaries', IEEE Transactions on "
            "Multimedia 17(11), 2015. Sub-sonic content: F. Rodríguez-Algarra, B. L. Sturm and H. Maruri-Aguilar, "
            "'Analysing scattering-based music content analysis systems: where's the music?', Proc. 17th International "
            "Society for Music Information Retrieval Conference (ISMIR), 2016."
        ),
        licence=(
            "No licence is stated. The recordings are under their owners' copyright and were collected for research; "
            "the user brings a copy, and it is not redistributed."
        ),
        caveats=(
            (
                "Clips are repeated, some of them under two genres, others are mislabelled or distorted; a system that "
                "is right about the music is expected to score about 94.5 % on these labels (Sturm, 2013)."
            ),
            (
                "A few artists make much of a genre: 35 of reggae's 100 clips are by Bob Marley, 28 of jazz's by "
                "Coleman Hawkins, and 81 clips have no known artist (counted in Sturm's index). A system that is "
                "tested on artists it was trained on can score by recognising them."
            ),
            (
                "The fault-filtered lists leave the known faults out and keep known artists apart; they hold 930 "
                "clips, and numbers on them do not compare to those on all 1000 (Kereliuk, Sturm and Larsen, 2015)."
            ),
            (
                "Some clips have content below 20 Hz, which nobody hears and which tells genres apart: classifiers can "
                "live off it (Rodríguez-Algarra, Sturm and Maruri-Aguilar, 2016)."
            ),
            "A clip of a common mirror, jazz.00054, cannot be read (seen by many who downloaded it).",
        ),
    )
)
