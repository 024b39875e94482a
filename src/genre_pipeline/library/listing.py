"""Which files are meant: by paths, folders, patterns, playlists, and lists that another program writes."""

from __future__ import annotations

import codecs
import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import unquote, urlsplit

from genre_pipeline.datasets.reading.files import (
    LeftOut,
    Stamp,
    count_left_out,
    describe_left_out,
    extension,
    is_audio,
    list_files,
)
from genre_pipeline.errors import AudioError

PLAYLISTS = (".m3u", ".m3u8", ".pls")
"""Extensions of the playlists that are read."""

# What a person may have meant by a folder's name; covers and texts beside the music are not of it.
_MEANT = frozenset({"other_format", "broken_link", "unreadable", "bad_name"})

# File1=..., in a .pls.
_PLS_ENTRY = re.compile(r"\s*file\d+\s*=(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Listing:
    """The files that are meant.

    Attributes:
        paths: The files, in the order in which they were named, each once.
        folders: The folders that were looked through.
        left_out: What in them may be music and cannot be read; paths are relative to the folder.
    """

    paths: tuple[Path, ...]
    folders: tuple[Path, ...]
    left_out: tuple[LeftOut, ...] = ()

    def stamps(self) -> dict[Path, Stamp]:
        """Return the size and time of change of each file that is there."""
        found: dict[Path, Stamp] = {}
        for path in self.paths:
            try:
                status = path.stat()
            except (OSError, ValueError):
                continue
            found[path] = status.st_size, status.st_mtime_ns
        return found


def list_music(named: Iterable[Path], *, allow_empty: bool = False) -> Listing:
    """Find the audio files that are meant.

    Args:
        named: Audio files; folders, with all audio in them; patterns such as ``Music/**/*.flac``, for what is not
            there by that name; and playlists, whose entries are relative to them. A file need not exist: whoever opens
            it finds out.
        allow_empty: Whether a folder may hold no audio, and a pattern match nothing.

    Raises:
        AudioError: If a folder or playlist holds no audio, a pattern matches nothing, or a playlist cannot be read.
        DatasetError: If a folder cannot be listed.
    """
    paths: dict[Path, None] = {}
    folders: dict[Path, list[LeftOut]] = {}
    for each in named:
        found = [match for path in _matching(each) for match in _in(path, folders)]
        if not found and not allow_empty:
            raise _nothing(each, folders.get(each, []))
        paths.update(dict.fromkeys(found))
    return Listing(tuple(paths), tuple(folders), tuple(chain.from_iterable(folders.values())))


def read_list(content: bytes) -> list[Path]:
    r"""Read a list of paths: one per line, or ended by NUL (``find -print0``).

    Args:
        content: The list.

    Example:
        >>> [str(path) for path in read_list(b"one.mp3\ntwo.mp3\n")], [str(path) for path in read_list(b"a\nb.mp3\0")]
        (['one.mp3', 'two.mp3'], ['a\nb.mp3'])
    """
    lines = content.split(b"\0") if b"\0" in content else content.replace(b"\r\n", b"\n").split(b"\n")
    return [Path(os.fsdecode(line)) for line in lines if line.strip()]


def _matching(named: Path) -> list[Path]:
    """Return what a pattern matches; any other path as it is."""
    if os.path.lexists(named) or not glob.has_magic(str(named)):
        return [named]
    # Path.glob needs a folder to begin in, which an absolute pattern does not name.
    return sorted(map(Path, glob.glob(str(named), recursive=True)))  # noqa: PTH207


def _in(path: Path, folders: dict[Path, list[LeftOut]]) -> Sequence[Path]:
    if extension(path.name) in PLAYLISTS and not _is_folder(path):
        return [found for entry in _entries(path) for found in _of_folder(entry, folders)]
    return _of_folder(path, folders)


def _of_folder(path: Path, folders: dict[Path, list[LeftOut]]) -> Sequence[Path]:
    if not _is_folder(path):
        return [path]
    files, left_out = list_files(path)
    folders[path] = [each for each in left_out if each.kind in _MEANT]
    return [path / each for each in filter(is_audio, files)]


def _is_folder(path: Path) -> bool:
    # Path.is_dir raises an error for a name that is too long, or in a folder that may not be read.
    return os.path.isdir(path)  # noqa: PTH112


def _entries(playlist: Path) -> Iterator[Path]:
    """Yield what a playlist names."""
    # A pipe would be waited for.
    if playlist.exists() and not playlist.is_file():
        raise AudioError(f"{playlist}: expected a playlist, but it is not a regular file. Leave it out.")
    try:
        content = playlist.read_bytes()
    except OSError as error:
        raise AudioError(
            f"{playlist}: cannot be read ({error.strerror}). Make it readable, or leave it out."
        ) from error
    lines = _text(content).splitlines()
    if extension(playlist.name) == ".pls":
        named = [match[1] for line in lines if (match := _PLS_ENTRY.fullmatch(line))]
    else:
        named = [line for line in lines if not line.startswith("#")]
    for name in (each.strip() for each in named):
        if name:
            # A path replaces the folder where it is absolute.
            yield playlist.parent / (_path_of(name) if name.lower().startswith("file://") else name)


def _path_of(url: str) -> str:
    try:
        return unquote(urlsplit(url).path)
    except ValueError:
        # Of no valid URL: there is no file of that name, which is said where it is opened.
        return url


def _text(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # What older programs on Windows write; each byte is a sign in it.
        return content.decode("cp1252", errors="replace")


def _nothing(named: Path, left_out: Sequence[LeftOut]) -> AudioError:
    if _is_folder(named):
        held = f" It holds {describe_left_out(count_left_out(left_out))}." if left_out else ""
        return AudioError(f"{named} holds no audio files that can be read: expected some, in any sub-folder.{held}")
    if extension(named.name) in PLAYLISTS:
        return AudioError(f"{named} is a playlist that names no file: expected some. Leave it out.")
    return AudioError(f"{named} matches no file: expected a file, a folder, a pattern or a playlist.")
