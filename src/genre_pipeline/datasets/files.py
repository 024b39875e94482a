"""Finding a dataset's files: roots that must exist, and audio below a folder."""

from __future__ import annotations

import os
from pathlib import Path

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


def list_files(folder: Path) -> tuple[list[str], int]:
    """List the regular files below a folder, hidden ones left out.

    Links to folders are not followed, links to files only if they lead to somewhere below the folder.

    Args:
        folder: Where to look, at any depth.

    Returns:
        Paths relative to ``folder``, with forward slashes, sorted, and how many links were not followed.

    Raises:
        DatasetError: If a folder cannot be listed, or a name cannot be written as UTF-8.
    """
    found: list[str] = []
    n_links = 0
    for place, folders, names in os.walk(folder, onerror=_cannot_list):
        folders[:] = [name for name in folders if not name.startswith(".")]
        n_links += sum(Path(place, name).is_symlink() for name in folders)
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                n_links += 1
            elif path.is_file():
                found.append(_text(path.relative_to(folder)))
    return sorted(found), n_links


def _cannot_list(error: OSError) -> None:
    raise DatasetError(f"The folder {error.filename} cannot be listed ({error.strerror}). Make it readable.") from error


def _text(path: Path) -> str:
    text = path.as_posix()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DatasetError(f"The file name {text!r} is not valid UTF-8. Rename the file.") from error
    return text
