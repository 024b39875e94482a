"""What a file says of itself: genre, artist, title and album."""

from __future__ import annotations

import logging
from pathlib import Path

from genre_pipeline.spelling import composed

TAGS = ("genre", "artist", "title", "album")
"""The tags that are read."""

logger = logging.getLogger(__name__)


def read_tags(path: Path) -> dict[str, str]:
    """Read the tags of an audio file (ID3, Vorbis comments, RIFF and AIFF chunks, APE).

    Args:
        path: The file.

    Returns:
        Each of :data:`TAGS`, empty where the file does not have it. The artist is the track's, or else the album's.
    """
    from tinytag import TinyTag

    try:
        found = TinyTag.get(path, duration=False)
    # A damaged tag makes the parser raise whatever it stumbles over; whether the audio is sound is found elsewhere.
    except Exception as error:
        logger.debug("%s: its tags cannot be read (%s).", path, error)
        return dict.fromkeys(TAGS, "")
    texts = {name: _clean(getattr(found, name)) for name in TAGS}
    return {**texts, "artist": texts["artist"] or _clean(found.albumartist)}


def _clean(text: str | None) -> str:
    """Return a tag on one line, in Unicode's composed form; what is not text in UTF-8 is replaced."""
    printable = (text or "").replace("\0", " ").encode(errors="replace").decode()
    return composed(" ".join(printable.split()))
