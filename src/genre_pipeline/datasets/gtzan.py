"""GTZAN: 1000 clips of 30 s in ten genres, the most used and most studied genre dataset.

What is wrong with it is documented in Sturm (2013): repetitions, mislabellings, distortions. Artists and titles come
from his index; the *fault-filtered* split of Kereliuk, Sturm and Larsen (2015) leaves the known faults out and keeps
known artists apart. Both ship with this package, as facts with their sources named.
"""

from __future__ import annotations

import csv
import logging
import re
from functools import cache
from importlib import resources
from pathlib import Path

from genre_pipeline.datasets.base import DATASETS, Clip, DatasetBlock, DatasetSpec, Listing
from genre_pipeline.datasets.files import Stamp, list_files, no_audio, require_root
from genre_pipeline.errors import DatasetError

logger = logging.getLogger(__name__)

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
"""The ten genres, in the spelling of the labels."""

# [P] Tzanetakis and Cook (2002).
N_CLIPS_PER_GENRE = 100

_SPELLINGS = {**{genre: genre for genre in GENRES}, "hip-hop": "hiphop"}

# Where mirrors put the genres' folders below the one that the user unpacked.
_PLACES = ("", "genres", "genres_original", "Data/genres_original")

_FILE_NAME = re.compile(rf"({'|'.join(_SPELLINGS)})\.(\d{{5}})\.(wav|au|ogg|mp3|flac)", re.IGNORECASE)

_LAYOUT = (
    "the genres' folders with files such as blues/blues.00000.wav, in it or in one of "
    + ", ".join(f"{place}/" for place in _PLACES[1:])
    + " (GTZAN cannot be downloaded by this program: its official links are dead)"
)


def prepare(block: DatasetBlock) -> None:
    """Check that the folder holds GTZAN clips.

    Raises:
        DatasetError: If it is missing, or holds none.
    """
    require_root(block.root, layout=_LAYOUT)
    if not _paths(block.root)[0]:
        raise no_audio(block.root, layout=_LAYOUT)


def find_clips(block: DatasetBlock) -> Listing:
    """List the clips that are there.

    Raises:
        DatasetError: If two files are the same clip.
    """
    known = artists()
    paths, stamps, others = _paths(block.root)
    if others:
        logger.warning("%s: %d files not named like GTZAN clips of their folder are not used.", block.root, len(others))
    clips = [
        Clip(track_id, track_id.split(".", maxsplit=1)[0], path, *known.get(track_id, ("", "")))
        for track_id, path in sorted(paths.items())
    ]
    return Listing(tuple(clips), stamps, tuple(sorted(others)))


def _paths(root: Path) -> tuple[dict[str, str], dict[str, Stamp], list[str]]:
    """Return the clips' paths relative to the root by track id, their stamps by path, and the other files' paths."""
    paths: dict[str, str] = {}
    stamps: dict[str, Stamp] = {}
    others: list[str] = []
    for folder in _genre_folders(root):
        genre = _SPELLINGS[folder.name.lower()]
        place = folder.relative_to(root).as_posix()
        files, links = list_files(folder)
        others += [f"{place}/{link}" for link in links]
        for file, stamp in files.items():
            name = _FILE_NAME.fullmatch(file)
            track_id, path = f"{genre}.{name[2]}" if name else "", f"{place}/{file}"
            if name is None or _SPELLINGS[name[1].lower()] != genre:
                others.append(path)
                continue
            if track_id in paths:
                raise DatasetError(
                    f"{root}: two files are the GTZAN clip {track_id}: {paths[track_id]} and {path}. Keep one of them."
                )
            paths[track_id] = path
            stamps[path] = stamp
    return paths, stamps, others


def _genre_folders(root: Path) -> list[Path]:
    """Return the genres' folders in the first place that has any."""
    for place in _PLACES:
        base = root / place
        if base.is_dir():
            folders = [path for path in sorted(base.iterdir()) if path.name.lower() in _SPELLINGS and path.is_dir()]
            if folders:
                return folders
    return []


@cache
def artists() -> dict[str, tuple[str, str]]:
    """Return artist and title of the tracks by track id, as Sturm's index gives them; empty where unknown.

    Example:
        >>> artists()["blues.00012"]
        ('Robert Johnson', 'Cross Road Blues')
    """
    return {row["track_id"]: (row["artist"], row["title"]) for row in _facts("gtzan_artists.csv")}


def official_splits(block: DatasetBlock) -> dict[str, dict[str, str]]:  # noqa: ARG001
    """Return the ``fault_filtered`` lists: 443 tracks to train on, 197 to validate, 290 to test."""
    return {"fault_filtered": {row["track_id"]: row["split"] for row in _facts("gtzan_fault_filtered.csv")}}


def _facts(name: str) -> list[dict[str, str]]:
    text = resources.files("genre_pipeline.datasets").joinpath("metadata", name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


DATASETS.register(
    DatasetSpec(
        name="gtzan",
        title="GTZAN Genre Collection",
        block=DatasetBlock,
        prepare=prepare,
        find_clips=find_clips,
        official_splits=official_splits,
        citation=(
            "G. Tzanetakis and P. Cook, 'Musical genre classification of audio signals', IEEE Transactions on Speech "
            "and Audio Processing 10(5), 2002. Artists and titles: B. L. Sturm, 'An analysis of the GTZAN music genre "
            "dataset', Proc. ACM MIRUM, 2012. Faults: B. L. Sturm, 'The GTZAN dataset: its contents, its faults, "
            "their effects on evaluation, and its future use', arXiv:1306.1461, 2013. Fault-filtered split: "
            "C. Kereliuk, B. L. Sturm and J. Larsen, 'Deep learning and music adversaries', IEEE Transactions on "
            "Multimedia 17(11), 2015."
        ),
        licence=(
            "No licence is stated. The recordings are under their owners' copyright and were collected for research; "
            "the user brings a copy, and it is not redistributed."
        ),
    )
)
