"""Archives of datasets: unpacked once, and only if every member is safe.

This module checks the whole list of members before it writes a byte, and writes every byte itself. So no member can be
a link or a device, have a mode or an owner, or overwrite another one.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import logging
import lzma
import os
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import IO, Any, NamedTuple, cast

from filelock import FileLock

from genre_pipeline.datasets.base import ARCHIVE_SUFFIXES, DatasetBlock
from genre_pipeline.datasets.reading.files import list_files, require_root
from genre_pipeline.errors import DatasetError, StorageError
from genre_pipeline.progress import progress_bar
from genre_pipeline.storage import storage_errors

logger = logging.getLogger(__name__)

# In each unpacked folder: its archive.
_MARKER = ".unpacked"

# In a dataset's folder while its archives are being unpacked.
_PENDING = ".unpacking"

_MIB = 2**20

# In bytes: [D] the longest name in ext4, XFS and APFS, and [?] the longest path.
_MAX_NAME, _MAX_PATH = 255, 1024


@dataclass(frozen=True)
class Limits:
    """Limits of an archive's content.

    Attributes:
        n_bytes: Total size. [?] Twice FMA-full, the largest music dataset in common use: 879 GiB.
        n_members: Files and folders. [?] Twice FMA-full: 106,574 files.
        ratio: Bytes per byte of the archive. [?] Text compresses to a tenth, audio hardly, bombs to a thousandth.
        n_spared: Up to this size in bytes the ratio does not matter: silence compresses as well as a bomb.
    """

    n_bytes: int = 2 * 2**40
    n_members: int = 250_000
    ratio: int = 100
    n_spared: int = 64 * _MIB


def prepare_root(
    block: DatasetBlock,
    *,
    layout: str,
    is_there: Callable[[Path], bool],
    stems: Collection[str] | None = None,
) -> None:
    """Provide a dataset's folder, unpacked if it is an archive or holds only archives.

    If ``block.path`` is an archive, it is unpacked into ``block.root``. If it is a folder without the audio, each
    archive in it is unpacked into a sub-folder with the archive's name. Unpacked folders are not touched until the
    archive changes, and folders that this project did not unpack are never touched.

    Args:
        block: The dataset's parameters.
        layout: What the folder should hold, for messages.
        is_there: Returns whether a folder holds the audio, so that its archives need not be unpacked.
        stems: Names, without the suffix, of the archives in the folder that may be unpacked; all if none are given.

    Raises:
        DatasetError: If the folder or archive is missing, or an archive is damaged or not safe to unpack.
        StorageError: If the disk is full, or the folder is read-only.
    """
    if _stem(block.path) and block.path.is_file():
        unpack(block.path, block.root, lift=True)
    require_root(block.root, layout=layout)
    archives = {
        path: block.root / _stem(path)
        for path in _entries(block.root)
        if _stem(path) and path.is_file() and (stems is None or _stem(path) in stems)
    }
    pending = block.root / _PENDING
    if archives and (pending.exists() or not is_there(block.root)):
        # The first of several archives may already hold the audio: if this stops half-way, the next run continues.
        with storage_errors(pending):
            pending.touch()
        for archive, folder in archives.items():
            unpack(archive, folder)
        pending.unlink()
    else:
        for archive, folder in archives.items():
            if (folder / _MARKER).exists():
                unpack(archive, folder)


def unpack(archive: Path, folder: Path, *, lift: bool = False, limits: Limits | None = None) -> None:
    """Unpack an archive into its own folder, completely or not at all.

    Nothing is done if the folder was unpacked from this archive (by its size and modification time), or holds files
    that this function did not unpack.

    Args:
        archive: A tar file, compressed by gzip, bzip2 or xz or not at all, or a zip file.
        folder: The folder. If the archive holds everything in one folder of that name, its content goes there.
        lift: Do the same with that one folder whatever its name.
        limits: Limits of the content.

    Raises:
        DatasetError: If the archive is damaged, encrypted or not safe to unpack, or the archive changed after it was
            unpacked and the folder now holds other files as well.
        StorageError: If there is not enough space, or the folder above is read-only.
    """
    if _is_done(archive, folder):
        return
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not _is_done(archive, folder):
                _unpack(archive, folder, lift, limits or Limits())


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(f"The folder {folder} cannot be listed ({error.strerror}). Make it readable.") from error


def _stem(path: Path) -> str:
    """Return an archive's name without its suffix; empty if the name is not an archive's, or a hidden file's."""
    name = path.name
    suffix = next((suffix for suffix in ARCHIVE_SUFFIXES if name.lower().endswith(suffix)), None)
    return name[: -len(suffix)] if suffix and not name.startswith(".") else ""


def _is_done(archive: Path, folder: Path) -> bool:
    marker = folder / _MARKER
    if marker.exists():
        return marker.read_text(encoding="utf-8") == _stamp(archive)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    logger.info("%s is used as it is. To unpack %s again, remove the folder.", folder, archive)
    return True


def _stamp(archive: Path) -> str:
    status = archive.stat()
    return f"{archive.name}\n{status.st_size}\n{status.st_mtime_ns}\n"


def _unpack(archive: Path, folder: Path, lift: bool, limits: Limits) -> None:
    temporary, retired = (folder.with_name(f".{folder.name}.{state}") for state in ("unpacking", "retired"))
    for remains in (temporary, retired):
        shutil.rmtree(remains, ignore_errors=True)
    with _opened(archive, limits) as members:
        files = _lifted(_checked(archive, members, limits), folder.name, lift)
        if folder.exists():
            _check_replaceable(archive, folder, files)
        _check_space(archive, folder, sum(member.n_bytes for member in files.values()))
        try:
            _write(archive, members, files, temporary)
            (temporary / _MARKER).write_text(_stamp(archive), encoding="utf-8")
            if folder.exists():
                folder.replace(retired)
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(retired, ignore_errors=True)


def _write(
    archive: Path, members: _ZipReader | _TarReader, files: Mapping[tuple[str, ...], _Member], folder: Path
) -> None:
    folder.mkdir()
    with progress_bar(f"Unpacking {archive.name}", len(files)) as advance:
        for parts, member in files.items():
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with _reading(archive, member.name), members.open(member) as source, target.open("xb") as copy:
                _copy(source, copy, member.n_bytes)
            advance(target.name)


def _opened(archive: Path, limits: Limits) -> _ZipReader | _TarReader:
    if not os.access(archive, os.R_OK):
        raise DatasetError(f"{archive} cannot be read: permission was denied. Make it readable.")
    with _reading(archive, "its beginning"):
        return _ZipReader(archive) if archive.name.lower().endswith(".zip") else _TarReader(archive, limits)


class _Member(NamedTuple):
    """A file or folder of an archive, as the archive describes it.

    Attributes:
        name: Path, untrusted.
        n_bytes: Size of the file.
        is_folder: Whether it is a folder.
        refusal: Why it is refused; empty if nothing is wrong.
        place: Position of its content: the offset in the tar stream, or the entry in the zip file's directory.
    """

    name: str
    n_bytes: int
    is_folder: bool
    refusal: str
    place: int | zipfile.ZipInfo


class _ZipReader:
    """The members of a zip file. Its directory is at the end, so the list can be read without the content."""

    def __init__(self, archive: Path) -> None:
        self._file = zipfile.ZipFile(archive)

    def __enter__(self) -> _ZipReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[_Member]:
        for info in self._file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            refusal = ""
            if info.flag_bits & 1:
                refusal = "is encrypted"
            elif kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
                refusal = "is a link" if kind == stat.S_IFLNK else "is neither a file nor a folder"
            # The directory's own spelling: zipfile cuts a name at a NUL. For an empty rest, is_dir() cannot decide.
            yield _Member(info.orig_filename, info.file_size, info.filename.endswith("/"), refusal, info)

    def open(self, member: _Member) -> IO[bytes]:
        assert isinstance(member.place, zipfile.ZipInfo)
        return self._file.open(member.place)


class _TarReader:
    """The members of a tar file, found by reading all of it; a compressed one is decompressed twice."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self._stream = _BoundedStream(archive, limits)

    def __enter__(self) -> _TarReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[_Member]:
        with tarfile.open(fileobj=cast("IO[bytes]", self._stream), mode="r:") as file:
            for info in file:
                refusal = ""
                if info.issym() or info.islnk():
                    refusal = "is a link"
                elif not (info.isreg() or info.isdir()) or info.issparse():
                    refusal = "is neither a plain file nor a folder"
                yield _Member(info.name, info.size, info.isdir(), refusal, info.offset_data)
            # For tarfile, a truncated list looks like a complete one.
            self._stream.seek(file.offset)
            if self._stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("it breaks off after this member")
        while self._stream.read(_MIB):
            pass  # To the end, where the checksum of gzip, bzip2 or xz is.

    @contextmanager
    def open(self, member: _Member) -> Iterator[_BoundedStream]:
        assert isinstance(member.place, int)
        self._stream.seek(member.place)
        yield self._stream


_COMPRESSIONS: Mapping[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


class _BoundedStream:
    """A decompressed tar file; its compression is detected from its content, not its name.

    It reads no more at once than a header may need, and not beyond the limits.
    """

    # [?] tarfile reads a header's long names at once; no honest one is nearly as long.
    _MAX_READ = 4 * _MIB

    def __init__(self, archive: Path, limits: Limits) -> None:
        with archive.open("rb") as file:
            start = file.read(8)
        decompressed = (opener for magic, opener in _COMPRESSIONS.items() if start.startswith(magic))
        self._stream: IO[bytes] = next(decompressed, open)(archive, "rb")
        # Plus headers and padding: [D] about three blocks per member of an ordinary archive.
        self._limit = _size_limit(archive, limits) + 3 * tarfile.BLOCKSIZE * limits.n_members + self._MAX_READ

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self._MAX_READ:
            raise tarfile.ReadError(f"a header says that {size} bytes follow")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, position: int) -> int:
        self._check(position)
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        self._stream.close()

    def _check(self, position: int) -> None:
        if not 0 <= position <= self._limit:
            raise tarfile.ReadError(f"it exceeds {self._limit} bytes")


def _size_limit(archive: Path, limits: Limits) -> int:
    return min(limits.n_bytes, max(limits.ratio * archive.stat().st_size, limits.n_spared))


def _checked(archive: Path, members: Iterable[_Member], limits: Limits) -> Mapping[tuple[str, ...], _Member]:
    """Return the files of an archive by the parts of their paths, if it is safe to write every one of them."""
    files: dict[tuple[str, ...], _Member] = {}
    is_file: dict[str, bool] = {}
    n_bytes, limit = 0, _size_limit(archive, limits)
    for number, member in enumerate(_listed(archive, members), start=1):
        n_bytes += member.n_bytes
        if number > limits.n_members:
            raise _refusal(archive, member.name, f"is one of more than {limits.n_members:,}")
        if member.n_bytes < 0 or n_bytes > limit:
            raise _refusal(archive, member.name, f"brings what would be unpacked to more than {limit:,} bytes")
        if member.refusal:
            raise _refusal(archive, member.name, member.refusal)
        parts = _parts(archive, member.name)
        if not parts and not member.is_folder:
            raise _refusal(archive, member.name, "has no name")
        if not parts or _is_litter(parts):
            continue
        _take_place(archive, member, parts, is_file)
        if not member.is_folder:
            files[parts] = member
    if not files:
        raise DatasetError(f"{archive}: expected an archive with files in it, and it has none. Get the archive again.")
    return files


def _take_place(archive: Path, member: _Member, parts: tuple[str, ...], is_file: dict[str, bool]) -> None:
    """Record a member's path and its parents, as the least exact file systems compare them."""
    normal = [unicodedata.normalize("NFC", part).casefold() for part in parts]
    *folders, key = ("/".join(normal[:depth]) for depth in range(1, len(normal) + 1))
    if any(is_file.setdefault(folder, False) for folder in folders):
        raise _refusal(archive, member.name, "lies below what is a file as well")
    if key in is_file and (is_file[key] or not member.is_folder):
        raise _refusal(archive, member.name, "is there twice, if the case of letters does not count")
    is_file[key] = not member.is_folder


def _listed(archive: Path, members: Iterable[_Member]) -> Iterator[_Member]:
    """Yield the members; an error names the member after which the archive cannot be read."""
    iterator, last = iter(members), "the list of its members"
    while True:
        with _reading(archive, last):
            member = next(iterator, None)
        if member is None:
            return
        last = member.name
        yield member


def _parts(archive: Path, name: str) -> tuple[str, ...]:
    """Return the parts of a member's path, if it stays below the folder on every system."""
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if name.startswith("/") or PureWindowsPath(name).drive:
        raise _refusal(archive, name, "has an absolute path")
    if ".." in parts:
        raise _refusal(archive, name, "has a path that leads upwards")
    if "\\" in name or "\0" in name:
        raise _refusal(archive, name, "has a sign in its name that means different things to different systems")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise _refusal(archive, name, "has a name that is not valid UTF-8") from None
    if max(sizes, default=0) > _MAX_NAME or sum(sizes) + len(sizes) > _MAX_PATH:
        raise _refusal(archive, name, "has too long a name")
    return parts


def _is_litter(parts: tuple[str, ...]) -> bool:
    """Whether a member is one that macOS adds to archives."""
    return any(part in {"__MACOSX", ".DS_Store"} or part.startswith("._") for part in parts)


def _lifted(files: Mapping[tuple[str, ...], _Member], name: str, lift: bool) -> Mapping[tuple[str, ...], _Member]:
    """Remove the one folder that holds everything, if it exists and has the right name or may have any."""
    tops = {parts[0] if len(parts) > 1 else "" for parts in files}
    if len(tops) == 1 and "" not in tops and (lift or tops == {name}):
        return {parts[1:]: member for parts, member in files.items()}
    return files


def _check_replaceable(archive: Path, folder: Path, files: Mapping[tuple[str, ...], _Member]) -> None:
    added = sorted(list_files(folder)[0].keys() - {"/".join(parts) for parts in files})
    if added:
        raise DatasetError(
            f"{archive} has changed since it was unpacked into {folder}, which holds {len(added)} files that it does "
            f"not have, '{added[0]}' among them. Move them away, or the whole folder, and run again."
        )


def _check_space(archive: Path, folder: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(folder.parent).free
    if n_bytes > free:
        raise StorageError(
            f"Cannot unpack {archive}: that takes {n_bytes / 1e9:.1f} GB, and {folder.parent} has {free / 1e9:.1f} GB "
            "left. Free some space and run again."
        )


def _copy(source: IO[bytes] | _BoundedStream, target: IO[bytes], n_bytes: int) -> None:
    while n_bytes:
        chunk = source.read(min(_MIB, n_bytes))
        if not chunk:
            raise EOFError("it ends early")
        target.write(chunk)
        n_bytes -= len(chunk)


# Exceptions of the standard library's readers for damaged archives, besides OSError without a number.
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, ValueError, OverflowError,
)  # fmt: skip


@contextmanager
def _reading(archive: Path, member: str) -> Iterator[None]:
    try:
        yield
    except NotImplementedError as error:
        raise _refusal(archive, member, f"is packed in a way that Python does not read ({error})") from error
    except (*_DAMAGE, OSError) as error:
        # The decompressors' errors have no number, and a damaged offset gives an invalid argument in a seek.
        if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:
            raise
        raise DatasetError(f"{archive} is damaged at {member!r} ({error}). Get the archive again.") from error


def _refusal(archive: Path, member: str, why: str) -> DatasetError:
    return DatasetError(
        f"{archive} is not unpacked: its member {member!r} {why}. If you trust whom you have the archive from, unpack "
        "it yourself, and remove it."
    )
