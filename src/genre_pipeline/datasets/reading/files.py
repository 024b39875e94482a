"""Find a dataset's files: check its folder, list audio below it, and account for everything else."""

from __future__ import annotations

import errno
import heapq
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from posixpath import splitext
from typing import Any, Literal, NamedTuple

from genre_pipeline.errors import DatasetError
from genre_pipeline.spelling import shown

AUDIO_EXTENSIONS = frozenset({
    ".aif", ".aifc", ".aiff", ".au", ".bwf", ".caf", ".flac", ".m2a", ".mp2", ".mp3", ".mpa", ".mpga", ".nist", ".oga",
    ".ogg", ".opus", ".rf64", ".sf", ".snd", ".sph", ".voc", ".w64", ".wav", ".wave",
})  # fmt: skip
"""Extensions, in lower case, of the audio formats that libsndfile reads."""

_OTHER_FORMATS = frozenset({
    ".3ga", ".3gp", ".aa", ".aac", ".aax", ".ac3", ".adts", ".alac", ".amr", ".ape", ".asf", ".avi", ".awb", ".dff",
    ".dsd", ".dsf", ".dts", ".eac3", ".flv", ".gsm", ".la", ".m4a", ".m4b", ".m4p", ".m4r", ".m4v", ".mka", ".mkv",
    ".mov", ".mp1", ".mp4", ".mpc", ".mpeg", ".mpg", ".mpp", ".ofr", ".ogv", ".ra", ".ram", ".rm", ".shn", ".spx",
    ".tak", ".tta", ".vqf", ".weba", ".webm", ".wma", ".wmv", ".wv",
})  # fmt: skip

# Names that NAS, Windows, macOS, Android and file systems add to folders, besides those that begin with a dot.
_SYSTEM_NAMES = frozenset({
    "#recycle", "#snapshot", "$extend", "$recycle.bin", "@__thumb", "@eadir", "@recently-snapshot", "@recycle",
    "@sharebin", "@synoresource", "@tmp", "__macosx", "_gsdata_", "desktop db", "desktop df", "desktop.ini",
    "ehthumbs.db", "ehthumbs_vista.db", "icon\r", "lost+found", "lost.dir", "network recycle bin",
    "network trash folder", "recycle bin", "recycle.bin", "recycled", "recycler", "system volume information",
    "temporary items", "thevolumesettingsfolder", "thumbs.db", "~snapshot",
})  # fmt: skip
_CHECKED_DISK = re.compile(r"found\.\d{3}")

# "02. Song" and "Vol.2" have no extension.
_EXTENSION = re.compile(r"\.(?=.*[a-z])[a-z0-9_+~-]{1,10}")

# Magic numbers of audio files: position, bytes, and the file's extension.
_BEGINNINGS = (
    (8, b"WAVE", ".wav"), (8, b"AIFF", ".aiff"), (8, b"AIFC", ".aiff"), (0, b"fLaC", ".flac"), (0, b"OggS", ".ogg"),
    (0, b"ID3", ".mp3"), (0, b".snd", ".au"), (0, b"caff", ".caf"), (0, b"riff.\x91\xcf\x11", ".w64"),
    (0, b"NIST_1A", ".nist"), (0, b"Creative Voice", ".voc"), (4, b"ftypM4", ".m4a"), (4, b"ftypmp4", ".mp4"),
    (4, b"ftypiso", ".mp4"), (4, b"ftyp3g", ".3gp"), (4, b"ftypdash", ".mp4"), (4, b"ftypqt", ".mov"),
    (0, b"0&\xb2u\x8ef\xcf\x11", ".wma"), (0, b"MAC ", ".ape"), (0, b"wvpk", ".wv"), (0, b"TTA1", ".tta"),
    (0, b"MPCK", ".mpc"), (0, b"MP+", ".mpc"), (0, b"\x1aE\xdf\xa3", ".webm"), (0, b"DSD ", ".dsf"),
    (0, b"FRM8", ".dff"), (0, b"#!AMR", ".amr"), (0, b".RMF", ".rm"), (0, b"\x0bw", ".ac3"), (0, b"ADIF", ".aac"),
)  # fmt: skip
_BEGINNING_BYTES = 16
# Bits of the layer in the second byte of an MPEG frame; those of layer I equal a byte-order mark's.
_LAYERS = {0b000: ".aac", 0b010: ".mp3", 0b100: ".mp2"}

Kind = Literal[
    "stray", "untagged", "other_format", "link", "broken_link", "bad_name", "unreadable", "special", "other_part",
    "system", "other",
]  # fmt: skip

MEANINGS: Mapping[Kind, tuple[str, str]] = {
    "stray": ("audio that is no clip of this dataset", "move it to where the dataset's clips are, or away"),
    "untagged": ("audio without a genre in its tags", "tag it, or take the genres from folders or a table"),
    "other_format": ("audio in formats that are not read", "convert it to FLAC with ffmpeg"),
    "link": ("links that are not followed", "name the folder they lead to in datasets.<name>.links_within"),
    "broken_link": ("links that lead to no file", "get what they lead to (git annex get, dvc pull), or remove them"),
    "bad_name": ("names that are not UTF-8", "rename them"),
    "unreadable": ("folders and files that cannot be read", "make them readable"),
    "special": ("pipes, sockets and devices", "remove them"),
    "other_part": ("tracks of another part of the dataset", ""),
    "system": ("system and hidden files and folders", ""),
    "other": ("other files", ""),
}
"""Kinds of left-out files: in words, and what to do about them; nothing if no action is needed."""

# [?] Enough names of a kind to show where to begin.
_MAX_SORTS = 5
_MAX_EXAMPLES = 20


class LeftOut(NamedTuple):
    """A file, folder or link of a dataset that is not used.

    Attributes:
        path: Relative to the dataset's root; bytes that are not text are escaped.
        kind: Why it is left out. A left-out folder represents its whole content.
        detail: The extension, the system's name for the thing, the error, or where the link leads.
    """

    path: str
    kind: Kind
    detail: str = ""


Stamp = tuple[int, int]
"""Size in bytes and modification time in nanoseconds of a file."""


class Found(NamedTuple):
    """An entry of a folder: readable audio, another file (with a stamp as well), or anything else.

    Attributes:
        path: Relative to the folder, with forward slashes.
        stamp: Stamp of a regular file, or of a followed link to one; else ``None``.
        left_out: Why it is not readable audio; ``None`` for readable audio.
    """

    path: str
    stamp: Stamp | None
    left_out: LeftOut | None


def require_root(path: Path, *, layout: str) -> None:
    """Check that a dataset's folder exists.

    Args:
        path: The dataset's root folder.
        layout: What it should hold, for messages.

    Raises:
        DatasetError: If it is missing, is not a folder, or cannot be reached.
    """
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return
        given = "is a file, not a folder"
    except (FileNotFoundError, NotADirectoryError):
        given = "is a link that leads nowhere" if path.is_symlink() else "does not exist"
    except OSError as error:
        given = f"cannot be reached ({error.strerror})"
    raise DatasetError(f"The dataset's folder {path} {given}. {_what_to_do(layout)}")


def no_audio(path: Path, *, layout: str, links_within: Path | None) -> DatasetError:
    """Return the error for a dataset whose folder holds no clip; it lists what the folder holds instead.

    Args:
        path: The dataset's root folder.
        layout: What it should hold.
        links_within: As for :func:`walk_files`.
    """
    files, left_out = list_files(path, links_within=links_within)
    strays = [LeftOut(each, "stray") for each in files.keys() - {each.path for each in left_out}]
    held = describe_left_out(count_left_out([*left_out, *strays]))
    instead = f" It holds {held}." if held else ""
    return DatasetError(
        f"The dataset's folder {path} holds no audio where it was expected.{instead} {_what_to_do(layout)}"
    )


def _what_to_do(layout: str) -> str:
    return (
        f"Expected {layout}. Put the audio there, or name another folder (in the configuration: datasets.<name>.path)."
    )


def list_files(folder: Path, *, links_within: Path | None = None) -> tuple[dict[str, Stamp], list[LeftOut]]:
    """List the regular files below a folder, except system and hidden files.

    Args:
        folder: Where to look, at any depth.
        links_within: As for :func:`walk_files`.

    Returns:
        The files' stamps by path relative to ``folder``, with forward slashes, sorted; and everything that is not
        readable audio, sorted; some of it is among the files.

    Raises:
        DatasetError: If the folder cannot be listed.
    """
    found: dict[str, Stamp] = {}
    left_out: list[LeftOut] = []
    for path, stamp, reason in walk_files(folder, links_within=links_within):
        if stamp is not None:
            found[path] = stamp
        if reason is not None:
            left_out.append(reason)
    return dict(sorted(found.items())), sorted(left_out)


def walk_files(folder: Path, *, links_within: Path | None = None) -> Iterator[Found]:
    """Iterate over everything below a folder, in the system's order.

    A bad entry stops nothing: it is yielded as left out.

    Args:
        folder: Where to look, at any depth.
        links_within: Links to folders and files are followed if they lead to somewhere below this folder. ``None``
            follows only links to files within ``folder``. Each folder is listed once, wherever links lead.

    Yields:
        Each file, and everything left out; left-out folders are not listed.

    Raises:
        DatasetError: If the folder itself cannot be listed.
    """
    root = os.path.realpath(folder)
    bounds = [root] if links_within is None else [root, os.path.realpath(links_within)]
    pending = [("", root)]
    linked: list[tuple[str, str]] = []
    listed: set[str] = set()
    while pending or linked:
        # The folder's own content comes before linked content, so that the order of entries does not matter.
        place, real = pending.pop() if pending else heapq.heappop(linked)
        if real in listed:
            yield _left_out(place.rstrip("/"), "link", "a folder that is listed already")
            continue
        listed.add(real)
        try:
            with os.scandir(Path(real)) as entries:
                for entry in entries:
                    found = _found(entry, f"{place}{entry.name}", bounds)
                    if found is not None:
                        yield found
                    elif entry.is_symlink():
                        if links_within is None:
                            yield _left_out(f"{place}{entry.name}", "link", os.path.realpath(entry.path))
                        else:
                            heapq.heappush(linked, (f"{place}{entry.name}/", os.path.realpath(entry.path)))
                    else:
                        pending.append((f"{place}{entry.name}/", entry.path))
        except OSError as error:
            if not place:
                raise DatasetError(
                    f"The folder {folder} cannot be listed ({error.strerror}). Make it readable."
                ) from error
            yield _left_out(place.rstrip("/"), "unreadable", error.strerror or str(error))


def _found(entry: os.DirEntry[str], path: str, bounds: Sequence[str]) -> Found | None:
    """Return the kind of an entry; ``None`` for a folder, or a link to one, that may be listed."""
    reason = _badly_named(entry.name)
    if reason is None:
        try:
            status = entry.stat()
        except OSError as error:
            reason = _unreachable(entry, error)
        else:
            reason = _out_of_bounds(entry, status.st_mode, bounds)
    if reason is not None:
        return _left_out(path, *reason)
    if stat.S_ISDIR(status.st_mode):
        return None
    return Found(path, (status.st_size, status.st_mtime_ns), _not_read(path, entry.path))


def _badly_named(name: str) -> tuple[Kind, str] | None:
    plain = name.casefold()
    if not _is_text(name):
        return "bad_name", ""
    if name.startswith("._"):
        return "system", "._*"
    if name.startswith(".") or plain in _SYSTEM_NAMES or _CHECKED_DISK.fullmatch(plain):
        return "system", name
    return None


def _unreachable(entry: os.DirEntry[str], error: OSError) -> tuple[Kind, str]:
    reasons = {errno.ELOOP: "it leads to itself", errno.ENOENT: ""} if entry.is_symlink() else {}
    kind: Kind = "broken_link" if entry.is_symlink() else "unreadable"
    return kind, reasons.get(error.errno or 0, error.strerror or "")


def _out_of_bounds(entry: os.DirEntry[str], mode: int, bounds: Sequence[str]) -> tuple[Kind, str] | None:
    if entry.is_symlink():
        target = os.path.realpath(entry.path)
        if not any(Path(target).is_relative_to(bound) for bound in bounds):
            return "link", target
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "special", ""
    return None


def _not_read(path: str, place: str) -> LeftOut | None:
    """Return why a regular file is not readable audio; ``None`` if it is."""
    suffix = extension(path)
    form = suffix or _form(place)
    if form in AUDIO_EXTENSIONS:
        return None
    if form in _OTHER_FORMATS:
        return LeftOut(path, "other_format", suffix or f"{form} by its first bytes")
    return LeftOut(path, "other", suffix or "no extension")


def _form(place: str) -> str:
    """Return the extension of the format of a file's first bytes; empty if unknown."""
    try:
        with Path(place).open("rb") as file:
            beginning = file.read(_BEGINNING_BYTES)
    except OSError:
        return ""
    if len(beginning) > 2 and beginning[0] == 0xFF and beginning[1] & 0xF0 == 0xF0 and beginning[2] >> 4 != 0xF:
        return _LAYERS.get(beginning[1] & 0b110, "")
    return next((form for at, magic, form in _BEGINNINGS if beginning.startswith(magic, at)), "")


def _left_out(path: str, kind: Kind, detail: str = "") -> Found:
    written, said = (
        text if _is_text(text) else os.fsencode(text).decode("utf-8", "backslashreplace") for text in (path, detail)
    )
    return Found(written, None, LeftOut(written, kind, said))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def extension(path: str) -> str:
    """Return a path's extension in lower case; empty if the text after its last dot is not an extension.

    Example:
        >>> extension("jazz/So What.FLAC"), extension("jazz/02. So What"), extension("jazz/Vol.2")
        ('.flac', '', '')
    """
    suffix = splitext(path)[1].lower()
    return suffix if _EXTENSION.fullmatch(suffix) else ""


def is_audio(path: str) -> bool:
    """Whether a path has the extension of an audio format that can be read.

    Example:
        >>> is_audio("jazz/So What.FLAC"), is_audio("jazz/cover.jpg")
        (True, False)
    """
    return extension(path) in AUDIO_EXTENSIONS


def count_left_out(left_out: Iterable[LeftOut]) -> dict[str, Any]:
    """Count left-out files by kind.

    Args:
        left_out: The left-out files.

    Returns:
        Plain JSON types, by kind: ``n``, ``sorts`` (how many of each detail, the most frequent first) and ``examples``
        (the first paths).

    Example:
        >>> count_left_out([LeftOut("pop/a.m4a", "other_format", ".m4a"), LeftOut("pop/b.m4a", "other_format", ".m4a")])
        {'other_format': {'n': 2, 'sorts': {'.m4a': 2}, 'examples': ['pop/a.m4a', 'pop/b.m4a']}}
    """
    by_kind: dict[str, list[LeftOut]] = {kind: [] for kind in MEANINGS}
    for each in left_out:
        by_kind[each.kind].append(each)
    return {
        kind: {
            "n": len(same),
            "sorts": _sorts(each.detail for each in same),
            "examples": sorted(each.path for each in same)[:_MAX_EXAMPLES],
        }
        for kind, same in by_kind.items()
        if same
    }


def _sorts(details: Iterable[str]) -> dict[str, int]:
    counted = Counter(detail for detail in details if detail)
    return dict(sorted(counted.items(), key=lambda each: (-each[1], each[0]))[:_MAX_EXAMPLES])


def describe_left_out(counts: Mapping[str, Any]) -> str:
    """Describe the left-out files in one line, and what to do about them.

    Args:
        counts: See :func:`count_left_out`.

    Example:
        >>> describe_left_out(count_left_out([LeftOut("pop/a.m4a", "other_format", ".m4a")]))
        'audio in formats that are not read: 1 (.m4a: 1; convert it to FLAC with ffmpeg)'
    """
    return "; ".join(_described(kind, counts[kind]) for kind in MEANINGS if kind in counts)


def _described(kind: Kind, counted: Mapping[str, Any]) -> str:
    words, advice = MEANINGS[kind]
    sorts = describe_sorts(counted)
    details = "; ".join(text for text in (sorts, advice) if text)
    return f"{words}: {counted['n']:,}" + (f" ({details})" if details else "")


def describe_sorts(counted: Mapping[str, Any]) -> str:
    """Name the sorts of one kind of left-out files, or the first paths if there are no sorts.

    Args:
        counted: A value of :func:`count_left_out`.
    """
    sorts = [f"{shown(name)}: {n:,}" for name, n in counted["sorts"].items()]
    names = sorts or [shown(path) for path in counted["examples"]]
    n_more = (len(sorts) or counted["n"]) - _MAX_SORTS
    return ", ".join(names[:_MAX_SORTS]) + (", ..." if n_more > 0 else "")
