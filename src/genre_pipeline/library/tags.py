"""Genres written into the tags of audio files, without touching the audio, and taken back to the byte."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genre_pipeline.audio.io import open_audio
from genre_pipeline.errors import AudioError, ConfigError
from genre_pipeline.fingerprints import file_hash
from genre_pipeline.library.patches import Patch, apply_patch, make_patch
from genre_pipeline.storage import storage_errors, temporary_prefix


@dataclass(frozen=True)
class Change:
    """A change of a file's tags, with what takes it back.

    Attributes:
        path: The file, absolute.
        genre: The genre that was written.
        genre_before: The genre before; empty if there was none.
        model: Fingerprint of the model that named the genre.
        sha256: Of the changed file.
        sha256_before: Of the file before.
        patch: How to make the file as it was of the changed one.
    """

    path: str
    genre: str
    genre_before: str
    model: str
    sha256: str
    sha256_before: str
    patch: Patch


class Journal:
    """All changes of tags, a line each, written before the file is changed.

    Args:
        path: The file of the lines.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, change: Change) -> None:
        """Add a change, and have the disk keep it.

        Raises:
            StorageError: If it cannot be written.
        """
        with storage_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a+b") as file:
                # What a crash has left of a line must not spoil this one.
                file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
                gap = b"" if file.read(1) in {b"", b"\n"} else b"\n"
                file.write(gap + json.dumps(asdict(change)).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def changes(self) -> dict[str, list[Change]]:
        """Return the changes of each file, the newest first.

        Raises:
            StorageError: If the journal cannot be read.
        """
        found: dict[str, list[Change]] = {}
        if not self._path.exists():
            return found
        with storage_errors(self._path), self._path.open("rb") as lines:
            for line in lines:
                # A line that a crash cut off changed no file.
                with suppress(ValueError, TypeError, KeyError):
                    values = json.loads(line)
                    change = Change(**{**values, "patch": Patch(*values["patch"])})
                    texts = {**vars(change), "patch": change.patch.content}
                    if all(isinstance(text, str) for text in texts.values()):
                        found.setdefault(change.path, []).insert(0, change)
        return found


def require_mutagen() -> None:
    """Check that tags can be written.

    Raises:
        ConfigError: If mutagen is not installed.
    """
    try:
        import mutagen  # noqa: F401
    except ImportError:
        raise ConfigError(
            "Tags are written by the package mutagen, which is not installed: pip install 'genre-pipeline[tags]'"
        ) from None


def write_genre(path: Path, genre: str, *, genre_before: str, model: str, journal: Journal) -> None:
    """Write a genre into a file's tags: ID3 (MP3, WAV, AIFF) or Vorbis comments (FLAC, Ogg, Opus).

    A copy is changed, compared with the file, journalled, and takes the file's place in one step, with its mode, owner
    and time of change. A link to the file stays a link.

    Args:
        path: The file.
        genre: The genre.
        genre_before: The genre that it has, for the journal.
        model: Fingerprint of the model that named the genre.
        journal: Where the change is written down first.

    Raises:
        AudioError: If its format has no such tags, they are damaged, or the audio would be another one.
        StorageError: If the folder or the journal cannot be written.
    """
    file = Path(os.path.realpath(path))
    with _replacement(file) as copy:
        _set_genre(copy, genre, name=path)
        if not _has_audio(copy, _audio_hash(file)):
            raise AudioError(f"{path}: with other tags its audio would be another one. It was left as it is.")
        change = Change(
            path=str(file),
            genre=genre,
            genre_before=genre_before,
            model=model,
            sha256=file_hash(copy),
            sha256_before=file_hash(file),
            patch=make_patch(file, copy),
        )
        if change.sha256 == change.sha256_before:
            # Another command has just written the same.
            return
        _check(change, copy)
        journal.write(change)


def take_back(change: Change) -> None:
    """Make a file to the byte what it was before a change.

    Args:
        change: The change.

    Raises:
        AudioError: If the file is not what the change made of it.
        StorageError: If its folder cannot be written.
    """
    file = Path(change.path)
    if last_change(file, [change]) is None:
        raise AudioError(f"{file}: it has been changed since, and is not taken back. It was left as it is.")
    with _replacement(file) as copy:
        _restore(change, file, copy)


def follow_moved(changes: Mapping[str, list[Change]], paths: Collection[str]) -> dict[str, list[Change]]:
    """Find files that were moved after they were changed: by their checksums, and only if a changed file is missing.

    Args:
        changes: The changes of each file, by where it was.
        paths: Files that may be those, absolute.

    Returns:
        The changes, also by where such files are now.
    """
    missing = {each.sha256: some for path, some in changes.items() if not os.path.lexists(path) for each in some}
    found = dict(changes)
    for path in sorted(set(paths) - changes.keys()) if missing else ():
        with suppress(OSError):
            some = missing.get(file_hash(Path(path)), [])
            found |= {path: [replace(each, path=path) for each in some]} if some else {}
    return found


def last_change(path: Path, changes: list[Change]) -> Change | None:
    """Return the change that made a file what it is; ``None`` if none did.

    Args:
        path: The file.
        changes: Its changes, the newest first.

    Raises:
        AudioError: If it cannot be read.
    """
    try:
        present = file_hash(path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror}). Restore it, or leave it out.") from error
    # A change to the same would be taken back again and again, and those before it never.
    return next((each for each in changes if each.sha256 == present != each.sha256_before), None)


def _set_genre(path: Path, genre: str, *, name: Path) -> None:
    import mutagen
    from mutagen.id3 import ID3, TCON

    try:
        tagged: Any = mutagen.File(path)
        if tagged is None:
            raise AudioError(f"{name}: files of this format hold no tags that can be written. Leave it out.")
        if tagged.tags is None:
            tagged.add_tags()
        if not isinstance(tagged.tags, ID3):
            tagged["genre"] = [genre]
            tagged.save()
            return
        tagged.tags.setall("TCON", [TCON(encoding=3, text=[genre])])
        # Programs that read 2.3 need not read 2.4.
        if tagged.tags.version[:2] == (2, 3):
            tagged.tags.update_to_v23()
            tagged.save(v2_version=3)
        else:
            tagged.save()
    except (AudioError, OSError):
        raise
    except Exception as error:  # a damaged file makes mutagen raise whatever it stumbles over
        reason = str(error) or "damaged"
        raise AudioError(f"{name}: its tags cannot be written ({reason}). Repair them, or leave it out.") from error


def _audio_hash(path: Path) -> str:
    """Hash the decoded audio."""
    digest = hashlib.sha256()
    with open_audio(path) as audio:
        for samples in audio.sample_blocks(block_samples=2**16):
            digest.update(samples.tobytes())
    return digest.hexdigest()


def _has_audio(path: Path, audio_hash: str) -> bool:
    try:
        return _audio_hash(path) == audio_hash
    except AudioError:
        return False


def _check(change: Change, changed: Path) -> None:
    """Take a change back on the side, before it is made."""
    with tempfile.TemporaryDirectory(prefix=temporary_prefix("tags"), dir=changed.parent) as folder:
        _restore(change, changed, Path(folder, "before"))


def _restore(change: Change, changed: Path, place: Path) -> None:
    try:
        apply_patch(changed, change.patch, place)
        is_restored = file_hash(place) == change.sha256_before
    except (ValueError, TypeError, OverflowError, MemoryError, zlib.error):
        # The journal is damaged.
        is_restored = False
    except OSError as error:
        # Such as a position below zero, of a damaged journal.
        if error.errno != errno.EINVAL:
            raise
        is_restored = False
    if not is_restored:
        raise AudioError(f"{change.path}: the change could not be taken back. It was left as it is.")


def _state(path: Path) -> tuple[int, int, int] | None:
    """Return what tells a file from what others make of it; ``None`` if it is gone."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def is_read_only(path: Path) -> bool:
    """Whether nobody may write into a file; replacing it, as is done here, would not need that right."""
    return not path.stat().st_mode & 0o222


@contextmanager
def _replacement(path: Path) -> Iterator[Path]:
    """Give a copy of a file to change; on success it takes the file's place, with the file's attributes."""
    if is_read_only(path):
        raise AudioError(f"{path}: it is read-only. Make it writable, or leave it out.")
    with storage_errors(path):
        handle, name = tempfile.mkstemp(prefix=temporary_prefix(path.stem), suffix=path.suffix, dir=path.parent)
        os.close(handle)
    copy = Path(name)
    try:
        with storage_errors(path):
            before = _state(path)
            shutil.copyfile(path, copy)
            yield copy
            with copy.open("rb+") as written:
                os.fsync(written.fileno())
            if _state(path) != before:
                raise AudioError(f"{path}: another program has just changed it. It was left as it is; run again.")
            status = path.stat()
            # Only a superuser may give files away.
            with suppress(PermissionError):
                os.chown(copy, status.st_uid, status.st_gid)
            shutil.copystat(path, copy)
            copy.replace(path)
    finally:
        copy.unlink(missing_ok=True)
