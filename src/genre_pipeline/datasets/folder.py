"""The user's own music: one sub-folder per genre, and optionally a table of artists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from posixpath import splitext

from genre_pipeline.datasets.base import DATASETS, Clip, DatasetBlock, DatasetSpec, Listing
from genre_pipeline.datasets.reading.archives import prepare_root
from genre_pipeline.datasets.reading.files import (
    MEANINGS,
    LeftOut,
    count_left_out,
    describe_left_out,
    extension,
    list_files,
    no_audio,
    walk_files,
)
from genre_pipeline.datasets.reading.tables import MatchedRows, find_table, match_rows, read_table
from genre_pipeline.errors import DatasetError
from genre_pipeline.spelling import composed, shown

METADATA_NAME = "metadata.csv"
_COLUMNS = ("path", "genre", "artist", "title", "album")
_LAYOUT = f"one sub-folder per genre, holding audio files at any depth, and optionally {METADATA_NAME}"

# Folders that are parts of a split, not genres.
_PARTS = re.compile(
    r"(.+[ _-])?(train|test|val|valid|dev|devel|eval)(ing|s|idation|ation|elopment|uation|set)?"
    r"[ _-]?(set|data|split|\d+)?"
    r"|hold[ _-]?out|(fold|split)[ _-]?\d+"
)
# [?] Names in a message; the others are counted.
_MAX_NAMED = 5


def prepare(block: DatasetBlock) -> None:
    """Check that the folder holds audio; if ``path`` is an archive, unpack it.

    Raises:
        DatasetError: If it is missing or holds none, its ``metadata.csv`` is not valid, or the archive cannot be
            unpacked.
    """

    # The first clip is enough: a large collection is listed once, in find_clips.
    def is_there(root: Path) -> bool:
        found = walk_files(root, links_within=block.links_within)
        by_tags = block.tags == "genres"
        return any(stamp and not left_out and (by_tags or "/" in path) for path, stamp, left_out in found)

    # Archives among the music stay packed.
    prepare_root(block, layout=_LAYOUT, is_there=is_there, stems=())
    table = find_table(block.root, METADATA_NAME)
    if not (table and read_table(table, _COLUMNS)) and not is_there(block.root):
        raise no_audio(block.root, layout=_LAYOUT, links_within=block.links_within)


def find_clips(block: DatasetBlock) -> Listing:
    """List the clips: audio files in a sub-folder, and files in ``metadata.csv`` except unsupported audio formats.

    The genre is the sub-folder's name, unless ``metadata.csv`` gives another; it is empty if the block takes genres
    from tags. The track id is the path without its
    extension, or with it if two files differ only in that. A listed file that does not exist is a clip too: ingest
    reports it as unreadable.

    Raises:
        DatasetError: If the folder cannot be listed, ``metadata.csv`` is not valid or describes other files, or the
            folders are not genres.
    """
    root = block.root
    table = find_table(root, METADATA_NAME)
    files, left_out = list_files(root, links_within=block.links_within)
    reasons = {each.path: each for each in left_out}
    rows = match_rows(table, read_table(table, _COLUMNS), files, reasons) if table else None
    not_read = {path for path, each in reasons.items() if each.kind == "other_format"}
    listed = {path: row.values for path, row in rows.rows.items() if path not in not_read} if rows else {}
    by_tags = block.tags == "genres"
    for row in rows.missing if rows else ():
        if not (row.values.get("genre") or _genre_of(row.path)):
            del listed[row.path]
    audio = files.keys() - reasons.keys()
    stray = set() if by_tags else {path for path in audio if "/" not in path} - listed.keys()
    paths = (audio | listed.keys()) - stray
    clips = [_clip(track_id, path, listed.get(path, {}), block) for path, track_id in _track_ids(paths).items()]
    by_folder = [] if by_tags else sorted(path for path in paths if not listed.get(path, {}).get("genre"))
    if by_folder and len(by_folder) == len(paths):
        _check_level(root, by_folder)
    used = {*paths, *([table.name] if table else [])}
    unused = [*(each for each in left_out if each.path not in used), *(LeftOut(path, "stray") for path in stray)]
    return Listing(
        tuple(sorted(clips, key=attrgetter("track_id"))),
        {path: stamp for path, stamp in files.items() if path in paths},
        tuple(sorted(unused)),
        (*_table_remarks(rows, unused), *_remarks(clips, by_folder, unused)),
    )


def _clip(track_id: str, path: str, row: Mapping[str, str], block: DatasetBlock) -> Clip:
    by_tags = block.tags == "genres"
    genre = row.get("genre") or ("" if by_tags else _genre_of(path))
    if not genre and not by_tags:
        raise DatasetError(
            f"{block.root / METADATA_NAME}: the file '{path}' is in no genre's folder and has no genre. Fill in its "
            "column 'genre', or move it into a folder."
        )
    return Clip(track_id, genre, path, row.get("artist", ""), row.get("title", ""), row.get("album", ""))


def _genre_of(path: str) -> str:
    return composed(path.split("/", maxsplit=1)[0].strip()) if "/" in path else ""


def _check_level(root: Path, paths: Sequence[str]) -> None:
    """Check that the top folders are genres: not the parts of a split, nor a single folder that holds the genres.

    Raises:
        DatasetError: If they are not; the message names the right folder.
    """
    place: list[str] = []
    below = [path.split("/") for path in paths]
    while len({parts[0] for parts in below}) == 1 and all(len(parts) > 2 for parts in below):
        place.append(below[0][0])
        below = [parts[1:] for parts in below]
    names = sorted({parts[0] for parts in below if len(parts) > 1})
    if names and all(_PARTS.fullmatch(name.casefold()) for name in names):
        inner = [name for name in names if any(parts[0] == name and len(parts) > 2 for parts in below)]
        part = next((name for name in inner if "train" in name.casefold()), "".join(inner[:1]))
        use_one = (
            f", or use one part as the folder, datasets.<name>.path: {root.joinpath(*place, part)}" if part else ""
        )
        raise DatasetError(
            f"The folders {_quoted(names)} in {root.joinpath(*place)} are the parts of a split, not genres. The "
            f"protocols split the tracks themselves: put all tracks of a genre into one folder{use_one}."
        )
    if place and len(names) > 1:
        raise DatasetError(
            f"All audio in {root} lies in one folder, '{'/'.join(place)}', which would be its only genre. If the "
            f"folders in it ({_quoted(names)}) are the genres, use it as the folder, datasets.<name>.path: "
            f"{root.joinpath(*place)}."
        )


def _table_remarks(rows: MatchedRows | None, unused: Iterable[LeftOut]) -> list[str]:
    """List the rows without a file, and the files whose names resemble the table's."""
    stem = splitext(METADATA_NAME)[0]
    names = [each.path for each in unused if each.path.rpartition("/")[2].casefold().startswith(f"{stem}.")]
    not_read = f"not read: {_quoted(names)}. The table of artists is {METADATA_NAME}, beside the genres' folders."
    return [*([rows.remark] if rows and rows.remark else ()), *([not_read] if names else ())]


def _remarks(clips: Collection[Clip], by_folder: Iterable[str], unused: Iterable[LeftOut]) -> list[str]:
    """List things to check in the folders: those not used, those merged, and those that cannot be a genre."""
    remarks = []
    folders: dict[str, set[str]] = {}
    for path in by_folder:
        folders.setdefault(_genre_of(path), set()).add(path.partition("/")[0])
    for genre, names in sorted(folders.items()):
        if len(names) > 1:
            remarks.append(
                f"{len(names)} folders are the genre '{shown(genre)}': their names differ in their Unicode form, or in "
                "blanks, only."
            )
    tops = {path.partition("/")[0] for clip in clips for path in [clip.path]}
    lost: dict[str, list[LeftOut]] = {}
    for each in unused:
        top, below, _ = each.path.partition("/")
        if MEANINGS[each.kind][1] and (below or not extension(top)) and top not in tops:
            lost.setdefault(top, []).append(each)
    for top, same in sorted(lost.items())[:_MAX_NAMED]:
        remarks.append(f"nothing of '{shown(top)}' is used: {describe_left_out(count_left_out(same))}.")
    if len(lost) > _MAX_NAMED:
        remarks.append(f"nothing of {len(lost) - _MAX_NAMED} more folders is used; the ingest report names them.")
    genres = {clip.genre for clip in clips}
    if len(genres) == 1 and genres != {""}:
        remarks.append(f"there is only one genre, '{shown(*genres)}': nothing can be classified. Expected {_LAYOUT}.")
    parts = sorted(genre for genre in folders if _PARTS.fullmatch(genre.casefold()))
    if len(parts) > 1:
        remarks.append(f"the folders {_quoted(parts)} look like the parts of a split, and are used as genres.")
    return remarks


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{shown(name)}'" for name in names[:_MAX_NAMED]) + (", ..." if len(names) > _MAX_NAMED else "")


def _track_ids(paths: Iterable[str]) -> dict[str, str]:
    """Give each path its own id: the path without the extension, or with it if that is taken."""
    ids = {path: splitext(path)[0] if extension(path) else path for path in sorted(paths)}
    while shared := {track_id for track_id, n in Counter(ids.values()).items() if n > 1}:
        ids = {path: path if track_id in shared else track_id for path, track_id in ids.items()}
    return ids


def official_splits(block: DatasetBlock) -> dict[str, dict[str, str]]:  # noqa: ARG001
    """Return no lists: a user's own music has no official split."""
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
