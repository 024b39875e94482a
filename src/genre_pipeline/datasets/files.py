"""Finding a dataset's files: roots that must exist, and audio below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from posixpath import splitext

from genre_pipeline.errors import DatasetError

AUDIO_EXTENSIONS = frozenset({
    ".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64", ".snd", ".w64", ".wav",
    ".wave",
})  # fmt: skip
"""Extensions, in lower case, of the audio formats that libsndfile reads."""


def require_root(path: Path, *, layout: str) -> None:
    """Check that a dataset's folder is there.

    Args:
        path: The dataset's root folder.
        layout: What it should hold, for messages.

    Raises:
        DatasetError: If it is missing, or is not a folder.
    """
    if path.is_dir():
        return
    given = "is a file, not a folder" if path.exists() else "does not exist"
    raise DatasetError(f"The dataset's folder {path} {given}. {_what_to_do(layout)}")


def no_audio(path: Path, *, layout: str) -> DatasetError:
    """Return the error of a dataset whose folder holds no clip.

    Args:
        path: The dataset's root folder.
        layout: What it should hold.
    """
    return DatasetError(f"The dataset's folder {path} holds no audio where it was expected. {_what_to_do(layout)}")


def _what_to_do(layout: str) -> str:
    return f"Expected {layout}. Put the audio there, or change the parameter datasets.<name>.path."


Stamp = tuple[int, int]
"""Size in bytes and time of change in nanoseconds of a file."""


def list_files(folder: Path) -> tuple[dict[str, Stamp], list[str]]:
    """List the regular files below a folder, hidden ones left out.

    Links to folders are not followed, links to files only if they lead to somewhere below the folder.

    Args:
        folder: Where to look, at any depth.

    Returns:
        The files' stamps by path relative to ``folder``, with forward slashes, sorted; and the links that were not
        followed, sorted.

    Raises:
        DatasetError: If a folder cannot be listed, or a name cannot be written as UTF-8.
    """
    found: dict[str, Stamp] = {}
    links: list[str] = []
    for path, stamp in walk_files(folder):
        if stamp is None:
            links.append(path)
        else:
            found[path] = stamp
    return dict(sorted(found.items())), sorted(links)


def walk_files(folder: Path) -> Iterator[tuple[str, Stamp | None]]:
    """Go through the files below a folder as the system lists them, as far as the caller wants.

    Args:
        folder: Where to look, at any depth.

    Yields:
        Path relative to ``folder`` and stamp of each file; a link that is not followed has no stamp.

    Raises:
        DatasetError: As :func:`list_files` does.
    """
    root = folder.resolve()
    pending = [""]
    while pending:
        place = pending.pop()
        try:
            with os.scandir(root / place) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    path = _text(f"{place}{entry.name}")
                    if entry.is_symlink() and (entry.is_dir() or not Path(entry.path).resolve().is_relative_to(root)):
                        yield path, None
                    elif entry.is_dir():
                        pending.append(f"{path}/")
                    elif entry.is_file():
                        status = entry.stat()
                        yield path, (status.st_size, status.st_mtime_ns)
        except OSError as error:
            raise DatasetError(
                f"The folder {folder / place} cannot be listed ({error.strerror}). Make it readable."
            ) from error


def is_audio(path: str) -> bool:
    """Whether a path has the extension of an audio format.

    Example:
        >>> is_audio("jazz/So What.FLAC"), is_audio("jazz/cover.jpg")
        (True, False)
    """
    return splitext(path)[1].lower() in AUDIO_EXTENSIONS


def _text(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise DatasetError(f"The file name {path!r} is not valid UTF-8. Rename the file.") from error
    return path
