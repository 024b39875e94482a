"""The user's table beside the audio: read the output of spreadsheets, and match its rows to files."""

from __future__ import annotations

import codecs
import csv
import io
import re
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath, PureWindowsPath

from genre_pipeline.errors import DatasetError
from genre_pipeline.registry import suggestion
from genre_pipeline.spelling import composed, shown

# Column separators of spreadsheets.
_SEPARATORS = (",", ";", "\t", "|")

# [?] Names in a message; the others are counted.
_MAX_NAMED = 3

# Relative paths in normal form: pathlib takes ten times as long to find that out.
_NORMAL = re.compile(r"(?!\.{1,2}(/|\Z))[^/\\:]+(/(?!\.{1,2}(/|\Z))[^/\\:]+)*")

# [?] Maximum number of files compared with a row's path: some tenths of a second.
_MAX_COMPARED = 10_000


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        line: Its first line, from 1.
        path: Its file, relative to the dataset's root, as written in the table.
        values: The values by column, in Unicode's composed form.
    """

    line: int
    path: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class MatchedRows:
    """The rows of files.

    Attributes:
        rows: The rows by path; by the written path if there is no such file.
        missing: The rows without a file.
        remark: A remark about those; empty if there are none.
    """

    rows: Mapping[str, Row]
    missing: Sequence[Row]
    remark: str


def find_table(root: Path, name: str) -> Path | None:
    """Return a folder's table: the file of that name, or the only one that differs in case; ``None`` if there is none.

    Raises:
        DatasetError: If there are several.
    """
    try:
        names = [each.name for each in root.iterdir() if each.name.casefold() == name]
    except OSError:
        return None
    if name in names or len(names) < 2:
        return next((root / each for each in (name, *names) if each in names), None)
    raise DatasetError(f"{root}: {', '.join(sorted(names))} could all be the table {name}. Keep one of them.")


def read_table(path: Path, columns: Collection[str]) -> list[Row]:
    """Read a table of files.

    UTF-8 and UTF-16 are read, with commas, semicolons, tabs or bars between columns, and any line ends. Column names
    may be in capitals; lines without a value are skipped.

    Args:
        path: The table.
        columns: The allowed columns; ``path`` is required.

    Raises:
        DatasetError: If it cannot be read, is not such a table, or a row's path leads outside the table's folder.
    """
    text = _decoded(path, _read_bytes(path))
    names: list[str] | None = None
    rows: list[Row] = []
    line = 1
    try:
        separator = next((each for each in _SEPARATORS if "path" in _header(text, each)), ",")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        for values in reader:
            if _says_something(values):
                if names is None:
                    names = _checked_columns(path, [_column(value) for value in values], columns)
                else:
                    rows.append(_row(path, line, names, values))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(
            f"{path}, line {line}: expected a table of comma-separated values in UTF-8 ({error})."
        ) from error
    if names is None:
        _checked_columns(path, [], columns)
    return rows


def _read_bytes(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DatasetError(f"{path} is no file. Expected a table of comma-separated values: rename or remove it.")
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read ({error.strerror}). Make it readable, or remove it: then no artist is known."
        ) from error


def _decoded(path: Path, content: bytes) -> str:
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DatasetError(
            f"{path}, line {line}: expected a table of comma-separated values in UTF-8 ({error}). Save it as UTF-8."
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DatasetError(
            f"{path}, line {line}: expected a table of comma-separated values in UTF-8, got a NUL character. Save it "
            "as UTF-8."
        )
    return text


def _header(text: str, separator: str) -> list[str]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    return [_column(value) for value in next(filter(_says_something, rows), [])]


def _says_something(values: Sequence[str]) -> bool:
    """Whether a line is neither empty nor Excel's declaration of the separator."""
    return any(value.strip() for value in values) and not values[0].startswith("sep=")


def _column(name: str) -> str:
    return name.strip().casefold()


def _checked_columns(path: Path, names: list[str], columns: Collection[str]) -> list[str]:
    while names and not names[-1]:
        names.pop()
    if "path" not in names:
        raise DatasetError(f"{path}: expected a first line with column names, 'path' among them, got {names}.")
    for name in names:
        if name not in columns:
            raise DatasetError(f"{path}: unknown column '{name}'. {suggestion(name, columns)}")
        if names.count(name) > 1:
            raise DatasetError(f"{path}: the column '{name}' occurs {names.count(name)} times. Keep one of them.")
    return names


def _row(path: Path, line: int, names: Sequence[str], values: Sequence[str]) -> Row:
    if any(value.strip() for value in values[len(names) :]):
        raise DatasetError(f"{path}, line {line}: more values than columns. Put quotes around values with commas.")
    padded = [*values, *[""] * len(names)]
    row = {name: value.strip() for name, value in zip(names, padded, strict=False)}
    return Row(line, _inside(path, line, row["path"]), {name: composed(value) for name, value in row.items()})


def _inside(path: Path, line: int, given: str) -> str:
    """Return a listed path in normal form, if it stays within the dataset's folder."""
    if path.parent.is_absolute() and _NORMAL.fullmatch(given):
        return given
    listed = PurePosixPath(given)
    if listed.is_relative_to(path.parent):
        listed = listed.relative_to(path.parent)
    parts = [part for text in listed.parts for part in text.split("\\")]
    if listed == PurePosixPath() or listed.is_absolute() or PureWindowsPath(given).drive or ".." in parts:
        raise DatasetError(f"{path}, line {line}: expected a path relative to {path.parent}, got '{shown(given)}'.")
    return str(listed)


def match_rows(table: Path, rows: Sequence[Row], files: Collection[str], others: Collection[str]) -> MatchedRows:
    """Find the file of each row: the one with that path, else the only one whose path is another spelling of it.

    Spellings differ in Unicode form, then also in case, in blanks around names, or in backslashes for slashes.

    Args:
        table: The table, for messages.
        rows: Its rows.
        files: Paths of the files.
        others: Existing paths that cannot be used, such as links that are not followed.

    Raises:
        DatasetError: If two rows of one file differ, or most rows have no file.
    """
    found: dict[str, Row] = {}
    rest: list[Row] = []
    for row in rows:
        if row.path in files or row.path in others:
            _add(table, found, row.path, row)
        else:
            rest.append(row)
    for spelled in (composed, _loosely):
        rest = _match_spelled(table, found, rest, files, spelled) if rest else rest
    for row in rest:
        if _is_folder(table.parent / row.path):
            raise DatasetError(
                f"{table}, line {row.line}: expected the path of a file, got '{shown(row.path)}', a folder."
            )
    remark = ""
    if rest:
        remark = f"{len(rest)} of {len(rows)} rows match no file: {_named(rest, sorted({*files} - found.keys()))}"
        # [?] If most files exist, the others are missing; if most do not, the table belongs to another folder.
        if 2 * len(rest) > len(rows):
            raise DatasetError(f"{table}: {remark}. Write each path as it is below {table.parent}.")
    for row in rest:
        _add(table, found, row.path, row)
    return MatchedRows(found, rest, f"{table.name}: {remark}." if remark else "")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _match_spelled(
    table: Path, found: dict[str, Row], rows: Sequence[Row], files: Collection[str], spelled: Callable[[str], str]
) -> list[Row]:
    """Match rows to the only file with that spelling; return the other rows."""
    paths: dict[str, list[str]] = {}
    for path in files:
        paths.setdefault(spelled(path), []).append(path)
    rest = []
    for row in rows:
        same = paths.get(spelled(row.path), ())
        if len(same) == 1:
            _add(table, found, same[0], row)
        else:
            rest.append(row)
    return rest


def _add(table: Path, found: dict[str, Row], path: str, row: Row) -> None:
    if path in found and _said(found[path]) != _said(row):
        raise DatasetError(
            f"{table}, line {row.line}: the file '{shown(path)}' is listed twice, otherwise in line "
            f"{found[path].line}. Remove one of the lines."
        )
    found.setdefault(path, row)


def _said(row: Row) -> dict[str, str]:
    """Return the metadata of a row's file."""
    return {name: value for name, value in row.values.items() if name != "path"}


def _loosely(path: str) -> str:
    parts = composed(path).replace("\\", "/").casefold().split("/")
    return "/".join(part.strip() for part in parts if part != ".")


def _named(rows: Sequence[Row], files: Sequence[str]) -> str:
    named = ", ".join(f"'{shown(row.path)}' in line {row.line}{_nearest(row.path, files)}" for row in rows[:_MAX_NAMED])
    return named + (", ..." if len(rows) > _MAX_NAMED else "")


def _nearest(path: str, files: Sequence[str]) -> str:
    compared = files[:_MAX_COMPARED]
    name = _loosely(path).rpartition("/")[2]
    namesakes = [each for each in compared if _loosely(each).rpartition("/")[2] == name]
    near = get_close_matches(path, namesakes, 1, 0.0) or get_close_matches(path, compared, 1)
    return f" (nearest: '{shown(near[0])}')" if near else ""
