"""Datasets with a published list of tracks: the lists in the package, and finding listed tracks on disk."""

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
    """The files of the tracks in a folder.

    Attributes:
        paths: Path by track id, sorted by track id.
        stamps: Size and modification time of those files, by path.
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
        identify: Returns a file's track from its path relative to the folder, or ``None``.
        links_within: As for :func:`~genre_pipeline.datasets.reading.files.walk_files`.

    Returns:
        The tracks' files, and everything left out.

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
    """Check that tracks of a published list exist; unpack archives.

    Args:
        block: The dataset's parameters.
        match: Finds the listed tracks below a block's folder, see :func:`match_files`.
        layout: The expected content, for messages.

    Returns:
        The tracks that exist, one or more.

    Raises:
        DatasetError: If the folder is missing, or holds none, or an archive cannot be unpacked.
    """
    prepare_root(block, layout=layout, is_there=lambda _: bool(match(block).paths))
    found = match(block)
    if not found.paths:
        raise no_audio(block.root, layout=layout, links_within=block.links_within)
    return found


def list_clips(found: MatchedFiles, clip: Callable[[str, str], Clip]) -> Listing:
    """Match the songs of a published list with the files found.

    Args:
        found: The files of listed tracks.
        clip: Makes the clip of a track id and its path.
    """
    return Listing(tuple(clip(*each) for each in found.paths.items()), found.stamps, found.left_out)


@cache
def shipped_facts(name: str) -> tuple[Mapping[str, str], ...]:
    """Read a list of facts from the package; lines that begin with ``#`` state its source.

    Args:
        name: File name within ``datasets/metadata``.

    Returns:
        A mapping from column to value for each row, in the file's order.
    """
    text = resources.files("genre_pipeline.datasets").joinpath("metadata", name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def plain(text: str) -> str:
    """Reduce a name to lower-case ASCII letters and digits, so that its spellings mostly agree.

    Example:
        >>> plain("Folk-Country"), plain("L'Estampida"), plain("Muñeca")
        ('folkcountry', 'lestampida', 'muneca')
    """
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", text).casefold())


def one_spelling(names: Iterable[str]) -> list[str]:
    """Replace names that differ only in case, blanks and signs by the first spelling.

    An artist with two spellings could be on both sides of a split.

    Example:
        >>> one_spelling(["DJ Dero", "Dj  Dero", "V.V. Brown", "V V Brown", "?"])
        ['DJ Dero', 'DJ Dero', 'V.V. Brown', 'V.V. Brown', '?']
    """
    known: dict[str, str] = {}
    return [known.setdefault(plain(name) or name, " ".join(name.split())) for name in names]


def lies_in(path: PurePosixPath, genre: str, spellings: Mapping[str, str]) -> bool:
    """Whether a file is in its genre's folder, or in no genre's.

    Args:
        path: Path relative to the dataset's folder.
        genre: The file's genre in the dataset's list.
        spellings: Genre by the plain spelling of its folder.

    Example:
        >>> spellings = {"waltz": "Waltz", "jive": "Jive"}
        >>> [lies_in(PurePosixPath(path), "Waltz", spellings) for path in ("a/WALTZ/1.mp3", "Jive/1.mp3", "1.mp3")]
        [True, False, True]
    """
    named = [spellings[plain(part)] for part in path.parts[:-1] if plain(part) in spellings]
    return not named or named[-1] == genre
