"""Datasets of which every track is known: the lists that ship with the package, and finding listed tracks on disk."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from genre_pipeline.datasets.base import Clip, DatasetBlock, Listing
from genre_pipeline.datasets.reading.archives import prepare_root
from genre_pipeline.datasets.reading.files import LeftOut, Stamp, list_files, no_audio
from genre_pipeline.errors import DatasetError


@dataclass(frozen=True)
class MatchedFiles:
    """Which files of a folder are which tracks.

    Attributes:
        paths: Path by track id, sorted by track id.
        stamps: Size and time of change of those files, by path.
        left_out: Everything else, sorted.
    """

    paths: Mapping[str, str]
    stamps: Mapping[str, Stamp]
    left_out: tuple[LeftOut, ...]


def match_files(
    root: Path, identify: Callable[[PurePosixPath], str | None], *, links_within: Path | None = None
) -> MatchedFiles:
    """Find the tracks of a dataset among the audio files below its folder.

    Args:
        root: The dataset's folder.
        identify: Says which track a file is, from its path relative to the folder, or none.
        links_within: As for :func:`~genre_pipeline.datasets.reading.files.walk_files`.

    Returns:
        The files that are tracks, and what is left out.

    Raises:
        DatasetError: If two files are the same track, or the folder cannot be listed.
    """
    files, left_out = list_files(root, links_within=links_within)
    not_read = {each.path for each in left_out}
    paths: dict[str, str] = {}
    for path in files:
        if path in not_read:
            continue
        track_id = identify(PurePosixPath(path))
        if track_id is None:
            left_out.append(LeftOut(path, "stray"))
        elif track_id in paths:
            raise DatasetError(
                f"{root}: two files are the track {track_id}: {paths[track_id]} and {path}. Keep one of them."
            )
        else:
            paths[track_id] = path
    stamps = {path: files[path] for path in sorted(paths.values())}
    return MatchedFiles(dict(sorted(paths.items())), stamps, tuple(sorted(left_out)))


def prepare_listed(block: DatasetBlock, match: Callable[[Any], MatchedFiles], *, layout: str) -> MatchedFiles:
    """Make sure that tracks of a published list are there; unpack what was given as archives.

    Args:
        block: The dataset's parameters.
        match: Finds the listed tracks below a block's folder, see :func:`match_files`.
        layout: What should be there, for messages.

    Returns:
        The tracks that are there, one or more.

    Raises:
        DatasetError: If the folder is missing, or holds none, or an archive cannot be unpacked.
    """
    prepare_root(block, layout=layout, is_there=lambda _: bool(match(block).paths))
    found = match(block)
    if not found.paths:
        raise no_audio(block.root, layout=layout, links_within=block.links_within)
    return found


def list_clips(found: MatchedFiles, clip: Callable[[str, str], Clip]) -> Listing:
    """Match the songs of a published list with the files that were found.

    Args:
        found: The files of listed tracks.
        clip: Makes the clip of a track id and its path.
    """
    return Listing(tuple(clip(*each) for each in found.paths.items()), found.stamps, found.left_out)


@cache
def shipped_facts(name: str) -> tuple[Mapping[str, str], ...]:
    """Read a list of facts that ships with the package; lines that begin with ``#`` say where it is from.

    Args:
        name: File name within ``datasets/metadata``.

    Returns:
        A mapping from column to value for each row, in the file's order.
    """
    text = resources.files("genre_pipeline.datasets").joinpath("metadata", name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def plain(text: str) -> str:
    """Reduce a name to lower-case ASCII letters and digits, in which the spellings of a name mostly agree.

    Example:
        >>> plain("Folk-Country"), plain("L'Estampida"), plain("Muñeca")
        ('folkcountry', 'lestampida', 'muneca')
    """
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", text).casefold())


def one_spelling(names: Iterable[str]) -> list[str]:
    """Write names that differ in nothing but case, blanks and signs as the first of them is written.

    An artist spelled in two ways could stand on both sides of a split.

    Example:
        >>> one_spelling(["DJ Dero", "Dj  Dero", "V.V. Brown", "V V Brown", "?"])
        ['DJ Dero', 'DJ Dero', 'V.V. Brown', 'V.V. Brown', '?']
    """
    known: dict[str, str] = {}
    return [known.setdefault(plain(name) or name, " ".join(name.split())) for name in names]


def lies_in(path: PurePosixPath, genre: str, spellings: Mapping[str, str]) -> bool:
    """Whether a file lies in its genre's folder, or in no genre's.

    Args:
        path: Path relative to the dataset's folder.
        genre: The genre that the dataset's list gives the file.
        spellings: Genre by the plain spelling of its folder.

    Example:
        >>> spellings = {"waltz": "Waltz", "jive": "Jive"}
        >>> [lies_in(PurePosixPath(path), "Waltz", spellings) for path in ("a/WALTZ/1.mp3", "Jive/1.mp3", "1.mp3")]
        [True, False, True]
    """
    named = [spellings[plain(part)] for part in path.parts[:-1] if plain(part) in spellings]
    return not named or named[-1] == genre
