"""The user's own music: one sub-folder a genre, and optionally a table of artists."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from operator import attrgetter
from pathlib import Path, PurePosixPath
from posixpath import splitext

from genre_pipeline.datasets.archives import prepare_root
from genre_pipeline.datasets.base import DATASETS, Clip, DatasetBlock, DatasetSpec, Listing
from genre_pipeline.datasets.files import is_audio, list_files, no_audio, walk_files
from genre_pipeline.errors import DatasetError
from genre_pipeline.registry import suggestion

logger = logging.getLogger(__name__)

METADATA_NAME = "metadata.csv"
_COLUMNS = ("path", "genre", "artist", "title", "album")
_LAYOUT = f"one sub-folder a genre, holding audio files at any depth, and optionally {METADATA_NAME}"


def prepare(block: DatasetBlock) -> None:
    """Check that the folder holds audio; where ``path`` is an archive, unpack it.

    Raises:
        DatasetError: If it is missing or holds none, its ``metadata.csv`` is not valid, or the archive cannot be
            unpacked.
    """
    # Archives that people keep among their music stay packed.
    prepare_root(block, layout=_LAYOUT, is_there=_has_audio, stems=())
    if not _read_metadata(block.root / METADATA_NAME) and not _has_audio(block.root):
        raise no_audio(block.root, layout=_LAYOUT)


def _has_audio(root: Path) -> bool:
    # The first clip is enough: a large collection is listed once, in find_clips.
    return any(stamp and "/" in path and is_audio(path) for path, stamp in walk_files(root))


def find_clips(block: DatasetBlock) -> Listing:
    """List the clips: files with an audio extension in a sub-folder, and whatever ``metadata.csv`` lists.

    The genre is the sub-folder's name, unless ``metadata.csv`` says otherwise. The track id is the path without its
    extension; with it, where two files differ in nothing else. A listed file that is not there is a clip as well:
    ingest reports it as unreadable.

    Raises:
        DatasetError: If ``metadata.csv`` is not valid.
    """
    root = block.root
    listed = _read_metadata(root / METADATA_NAME)
    files, links = list_files(root)
    audio = {path for path in files if is_audio(path)}
    stray = {path for path in audio if "/" not in path} - listed.keys()
    paths = (audio | listed.keys()) - stray
    if stray:
        logger.warning("%s: %d audio files lie in no genre's folder and are not used.", root, len(stray))
    if links:
        logger.warning("%s: %d links to folders or out of the dataset are not followed.", root, len(links))
    clips = [_clip(track_id, path, listed.get(path, {}), root) for path, track_id in _track_ids(paths).items()]
    return Listing(
        tuple(sorted(clips, key=attrgetter("track_id"))),
        {path: stamp for path, stamp in files.items() if path in paths},
        tuple(sorted([*links, *stray])),
    )


def _clip(track_id: str, path: str, row: Mapping[str, str], root: Path) -> Clip:
    folder = path.split("/", maxsplit=1)[0].strip() if "/" in path else ""
    genre = row.get("genre") or folder
    if not genre:
        raise DatasetError(
            f"{root / METADATA_NAME}: the file '{path}' lies in no genre's folder and has no genre. Fill in its column "
            "'genre', or move it into a folder."
        )
    return Clip(track_id, genre, path, row.get("artist", ""), row.get("title", ""), row.get("album", ""))


def _track_ids(paths: Iterable[str]) -> dict[str, str]:
    """Give each path its own id: the path without the extension, or with it where that is taken."""
    ids = {path: splitext(path)[0] for path in sorted(paths)}
    while shared := {track_id for track_id, n in Counter(ids.values()).items() if n > 1}:
        ids = {path: path if track_id in shared else track_id for path, track_id in ids.items()}
    return ids


def _read_metadata(path: Path) -> dict[str, dict[str, str]]:
    """Read the table of metadata by file path; empty if there is none."""
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", strict=True)
            _check_columns(path, reader.fieldnames or [])
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: expected a table of comma-separated values in UTF-8 ({error}).") from error
    table: dict[str, dict[str, str]] = {}
    for line, row in rows:
        if "" in row:
            raise DatasetError(f"{path}, line {line}: more values than columns. Put quotes around values with commas.")
        values = {name: (value or "").strip() for name, value in row.items()}
        file_path = _inside(path, line, values["path"])
        if file_path in table:
            raise DatasetError(f"{path}, line {line}: the file '{file_path}' is listed twice. Remove one of the lines.")
        table[file_path] = values
    return table


def _check_columns(path: Path, names: Iterable[str]) -> None:
    names = list(names)
    if "path" not in names:
        raise DatasetError(f"{path}: expected a first line with column names, 'path' among them, got {names}.")
    for name in names:
        if name not in _COLUMNS:
            raise DatasetError(f"{path}: unknown column '{name}'. {suggestion(name, _COLUMNS)}")


def _inside(path: Path, line: int, given: str) -> str:
    """Return a listed path in normal form, if it stays inside the dataset's folder."""
    listed = PurePosixPath(given)
    if listed == PurePosixPath() or listed.is_absolute() or ".." in listed.parts or "\0" in given:
        raise DatasetError(f"{path}, line {line}: expected a path relative to {path.parent}, got '{given}'.")
    return str(listed)


def official_splits(block: DatasetBlock) -> dict[str, dict[str, str]]:  # noqa: ARG001
    """Return no lists: one's own music has no official split."""
    return {}


DATASETS.register(
    DatasetSpec(
        name="folder",
        title="Own music, one folder a genre",
        block=DatasetBlock,
        prepare=prepare,
        find_clips=find_clips,
        official_splits=official_splits,
        citation="None: the user's own collection.",
        licence="As the recordings' owners allow. The files stay where they are; nothing is copied or sent anywhere.",
    )
)
