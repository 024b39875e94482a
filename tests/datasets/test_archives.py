"""Unpacking archives: what people have works, and nothing that an archive says can do harm."""

import bz2
import errno
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genre_pipeline.datasets import DATASETS, DatasetBlock
from genre_pipeline.datasets.reading import archives
from genre_pipeline.datasets.reading.archives import Limits, prepare_root, unpack
from genre_pipeline.errors import DatasetError, StorageError

FILES = {"genres/blues/blues.00000.wav": b"blue" * 500, "genres/rock/rock.00000.wav": b"rock" * 500}
SUFFIXES = [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip"]
COMPRESSORS = {".gz": gzip.compress, ".tgz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def member(name: str, content: bytes = b"", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as file:
        for info, content in members:
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content)
    return buffer.getvalue()


def packed(files: dict[str, bytes], suffix: str) -> bytes:
    if suffix == ".zip":
        return zipped(*files.items())
    content = tar(*(member(name, content) for name, content in files.items()))
    return COMPRESSORS.get("." + suffix.rsplit(".", maxsplit=1)[-1], bytes)(content)


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files that are no marks of this module, by path."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in {".unpacked"}]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def prepare(path: Path, stems: set[str] | None = None) -> None:
    block = DatasetBlock(kind="folder", path=path)
    prepare_root(block, layout="audio", is_there=lambda root: any(root.rglob("[!.]*.wav")), stems=stems)


def assert_nothing_happened(archive: Path) -> None:
    """Nothing lies beside the archive but, hidden, the lock."""
    assert {path.name for path in archive.parent.iterdir()} <= {archive.name, ".out.lock"}


# What people have


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_archive_as_path(tmp_path, suffix):
    archive = write(tmp_path / f"gtzan{suffix}", packed(FILES, suffix))
    prepare(archive)
    # The one folder that holds everything is taken away, whatever its name.
    assert contents(tmp_path / "gtzan") == {name.removeprefix("genres/"): data for name, data in FILES.items()}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("path", ["gtzan", "gtzan/genres{suffix}"])
def test_gtzan_as_distributed(tmp_path, suffix, path):
    write(tmp_path / f"gtzan/genres{suffix}", packed(FILES, suffix))
    block = DatasetBlock(kind="gtzan", path=tmp_path / path.format(suffix=suffix))
    DATASETS["gtzan"].prepare(block)
    listing = DATASETS["gtzan"].find_clips(block)
    assert [clip.track_id for clip in listing.clips] == ["blues.00000", "rock.00000"]
    assert all((block.root / clip.path).is_file() for clip in listing.clips)


def test_own_music_in_an_archive(tmp_path):
    archive = write(tmp_path / "mine.zip", zipped(("My Music/pop/a.wav", b"a"), ("My Music/folk/b.wav", b"b")))
    block = DatasetBlock(kind="folder", path=archive)
    DATASETS["folder"].prepare(block)
    assert [clip.genre for clip in DATASETS["folder"].find_clips(block).clips] == ["folk", "pop"]


def test_archive_for_each_genre(tmp_path):
    write(tmp_path / "music/blues.tar.gz", packed({"blues/a.wav": b"a"}, ".tar.gz"))
    write(tmp_path / "music/Rock.ZIP", zipped(("b.wav", b"b"), ("live/c.wav", b"c")))
    write(tmp_path / "music/.hidden.zip", b"no archive")
    write(tmp_path / "music/notes.txt", b"no archive")
    prepare(tmp_path / "music")
    assert contents(tmp_path / "music/blues") == {"a.wav": b"a"}
    assert contents(tmp_path / "music/Rock") == {"b.wav": b"b", "live/c.wav": b"c"}


def test_only_the_named_archives(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.zip", zipped((f"{name}.wav", b"")))
    prepare(tmp_path, stems={"b"})
    assert not (tmp_path / "a").exists()
    assert contents(tmp_path / "b") == {"b.wav": b""}


def test_folder_with_its_audio_is_left_alone(tmp_path):
    write(tmp_path / "rock/a.wav", b"a")
    write(tmp_path / "other.zip", b"no archive")
    prepare(tmp_path)
    assert not (tmp_path / "other").exists()


def test_folder_unpacked_by_hand_is_left_alone(tmp_path, caplog):
    archive = write(tmp_path / "music.zip", zipped(("rock/a.wav", b"theirs")))
    write(tmp_path / "music/rock/a.wav", b"mine")
    with caplog.at_level("INFO"):
        prepare(archive)
    assert contents(tmp_path / "music") == {"rock/a.wav": b"mine"}
    assert f"{tmp_path / 'music'} is used as it is" in caplog.text


def test_empty_folder_is_filled(tmp_path):
    (tmp_path / "music").mkdir()
    prepare(write(tmp_path / "music.zip", zipped(("rock/a.wav", b"a"), ("pop/b.wav", b"b"))))
    assert set(contents(tmp_path / "music")) == {"rock/a.wav", "pop/b.wav"}


def test_archive_may_be_removed_once_unpacked(tmp_path):
    archive = write(tmp_path / "music.zip", zipped(("a.wav", b"a")))
    prepare(archive)
    archive.unlink()
    prepare(archive)
    assert contents(tmp_path / "music") == {"a.wav": b"a"}


def test_missing_archive(tmp_path):
    with pytest.raises(DatasetError, match=r"music does not exist\. Expected audio"):
        prepare(tmp_path / "music.zip")


def test_file_where_the_folder_should_be(tmp_path):
    write(tmp_path / "music", b"")
    with pytest.raises(DatasetError, match=r"music is a file, not a folder"):
        prepare(write(tmp_path / "music.zip", zipped(("a.wav", b"a"))))


@pytest.mark.parametrize("inside", [False, True])
def test_unpacked_once(tmp_path, inside, monkeypatch):
    archive = write(tmp_path / "all/music.zip", zipped(("a.wav", b"a"), ("b.wav", b"b")))
    prepare(archive.parent if inside else archive)
    monkeypatch.setattr(archives, "_unpack", lambda *arguments: pytest.fail("unpacked again"))
    prepare(archive.parent if inside else archive)


@pytest.mark.parametrize("inside", [False, True])
def test_changed_archive_is_unpacked_anew(tmp_path, inside):
    archive = write(tmp_path / "all/music.zip", zipped(("a.wav", b"a"), ("b.wav", b"b")))
    prepare(archive.parent if inside else archive)
    write(archive, zipped(("a.wav", b"another"), ("c.wav", b"c")))
    shutil.copytree(tmp_path / "all/music", tmp_path / "all/.music.retired")
    with pytest.raises(DatasetError, match=r"has changed since .* holds 1 files that it does not have, 'b\.wav'"):
        prepare(archive.parent if inside else archive)
    (tmp_path / "all/music/b.wav").unlink()
    prepare(archive.parent if inside else archive)
    assert contents(tmp_path / "all/music") == {"a.wav": b"another", "c.wav": b"c"}
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"music", "music.zip", ".music.lock"}


@pytest.mark.parametrize("mistaken", [".tar.gz", ".tar.bz2", ".tar.xz", ".tar"])
@pytest.mark.parametrize("real", [".tar.gz", ".tar.bz2", ".tar.xz", ".tar"])
def test_compression_is_recognised_by_content(tmp_path, real, mistaken):
    unpack(write(tmp_path / f"a{mistaken}", packed(FILES, real)), tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_of_zip(tmp_path, compression):
    # FMA's archives are compressed by bzip2, which many programs do not read.
    unpack(write(tmp_path / "a.zip", zipped(*FILES.items(), compression=compression)), tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_formats_of_tar(tmp_path, form):
    files = {f"{'long/' * 30}Motörhead {number}.wav": bytes([number]) * 3000 for number in range(3)}
    content = tar(*(member(name, data) for name, data in files.items()), form=form)
    unpack(write(tmp_path / "a.tar", content), tmp_path / "out")
    assert contents(tmp_path / "out") == files


def test_what_macos_adds_is_left_out(tmp_path):
    names = ["._genres", "genres/a.wav", "genres/._a.wav", "genres/.DS_Store", "__MACOSX/genres/._a.wav"]
    unpack(write(tmp_path / "a.tar", tar(*(member(name, b"x") for name in names))), tmp_path / "genres")
    assert contents(tmp_path / "genres") == {"a.wav": b"x"}


def test_folders_of_an_archive_are_not_members_to_write(tmp_path):
    folder = member("./", type=tarfile.DIRTYPE), member("rock/", type=tarfile.DIRTYPE, mode=0)
    unpack(write(tmp_path / "a.tar", tar(*folder, *folder, member("rock/./a.wav", b"a"))), tmp_path / "out")
    assert contents(tmp_path / "out") == {"rock/a.wav": b"a"}


def test_modes_and_owners_are_not_taken_over(tmp_path):
    archive = write(tmp_path / "a.tar", tar(member("a.wav", b"a", mode=0o6777, uid=1, gid=1)))
    unpack(archive, tmp_path / "out")
    status, plain = (tmp_path / "out/a.wav").stat(), archive.stat()
    assert (status.st_mode, status.st_uid, status.st_gid) == (plain.st_mode, plain.st_uid, plain.st_gid)


# Hostile archives

NAMES = {
    "../evil": "leads upwards",
    "a/../../evil": "leads upwards",
    "a/..": "leads upwards",
    "/evil": "absolute",
    "//server/share/evil": "absolute",
    "C:evil": "absolute",
    "C:/evil": "absolute",
    "..\\evil": "different things",
    "a\\b": "different things",
    "\\evil": "different things",
    f"{'n' * 256}": "too long",
    "n/" * 600 + "n": "too long",
}


@pytest.mark.parametrize(("name", "why"), NAMES.items())
@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_paths_that_lead_elsewhere(tmp_path, name, why, suffix):
    archive = write(tmp_path / "in" / f"a{suffix}", packed({"fine.wav": b"a", name: b"evil"}, suffix))
    with pytest.raises(DatasetError, match=rf"a{suffix} is not unpacked: its member .* {why}"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


LINKS = {
    "symbolic": member("out", type=tarfile.SYMTYPE, linkname="/tmp"),
    "symbolic, inside": member("out", type=tarfile.SYMTYPE, linkname="fine.wav"),
    "hard": member("out", type=tarfile.LNKTYPE, linkname="fine.wav"),
    "hard, outside": member("out", type=tarfile.LNKTYPE, linkname="../../etc/passwd"),
}
OTHERS = {
    "character device": member("out", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "block device": member("out", type=tarfile.BLKTYPE),
    "pipe": member("out", type=tarfile.FIFOTYPE),
    "sparse": member("out", type=tarfile.GNUTYPE_SPARSE),
    "unknown": member("out", type=b"Z"),
}


def test_file_without_a_name(tmp_path):
    archive = write(tmp_path / "in/a.tar", tar(member("fine.wav", b"a"), member("./.", b"b")))
    with pytest.raises(DatasetError, match=r"its member '\./\.' has no name"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


@pytest.mark.parametrize("kind", [*LINKS, *OTHERS])
def test_members_that_are_no_files(tmp_path, kind):
    # The second member would be written through the first one.
    first = {**LINKS, **OTHERS}[kind]
    content = tar(member("fine.wav", b"a"), first, member("out/evil.wav", b"e"))
    archive = write(tmp_path / "in/a.tar", content)
    why = "is a link" if kind in LINKS else "is neither a plain file|is there twice|lies below|damaged"
    with pytest.raises(DatasetError, match=why):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


@pytest.mark.parametrize(
    ("mode", "why"),
    [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "neither a file nor"), (stat.S_IFCHR, "neither a file nor")],
)
def test_members_of_zips_that_are_no_files(tmp_path, mode, why):
    info = zipfile.ZipInfo("out")
    info.external_attr = (mode | 0o777) << 16
    archive = write(tmp_path / "in/a.zip", zipped(("fine.wav", b"a"), (info, b"/tmp"), ("out/evil.wav", b"e")))
    with pytest.raises(DatasetError, match=rf"its member 'out' .*{why}"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["a.wav", "a.wav"], "is there twice"),
        (["a.wav", "./a.wav"], "is there twice"),
        (["a.wav", "b//../a.wav"], "leads upwards"),
        (["rock/a.wav", "Rock/A.WAV"], "is there twice"),
        (["stra\u00dfe.wav", "STRASSE.wav"], "is there twice"),
        (["caf\u00e9.wav", "cafe\u0301.wav"], "is there twice"),
        (["a", "a/b.wav"], "lies below what is a file"),
        (["a/b.wav", "A"], "is there twice"),
        (["a", "a/"], "is there twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_members_that_would_overwrite_each_other(tmp_path, names, why, suffix):
    members = [(name, b"") for name in names]
    if suffix == ".zip":
        content = zipped(*members)
    else:
        kinds = {True: tarfile.DIRTYPE, False: tarfile.REGTYPE}
        content = tar(*(member(name, data, type=kinds[name.endswith("/")]) for name, data in members))
    archive = write(tmp_path / "in" / f"a{suffix}", content)
    with pytest.raises(DatasetError, match=why):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


def test_folders_that_differ_in_case_only(tmp_path):
    unpack(write(tmp_path / "a.zip", zipped(("Rock/a.wav", b"a"), ("rock/b.wav", b"b"))), tmp_path / "out")
    assert set(contents(tmp_path / "out")) == {"Rock/a.wav", "rock/b.wav"}


@pytest.mark.parametrize("name", ["evil\0.wav", "\0evil.wav"])
def test_nul_in_a_name(tmp_path, name):
    # zipfile would make evil of the one, and nothing of the other.
    content = zipped(("evil_.wav", b"a")).replace(b"evil_.wav", name.encode())
    archive = write(tmp_path / "in/a.zip", content)
    with pytest.raises(DatasetError, match=rf"{re.escape(repr(name))} has a sign"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


def test_name_that_is_no_utf8(tmp_path):
    info, data = member("placeholder.wav", b"a")
    content = bytearray(info.tobuf(tarfile.USTAR_FORMAT)) + data + bytes(511) + bytes(1024)
    content[:4] = b"\xff\xfe\xfa!"
    content[148:156] = b"%06o\0 " % (sum(content[:148]) + sum(content[156:512]) + 8 * 32)
    archive = write(tmp_path / "in/a.tar", bytes(content))
    with pytest.raises(DatasetError, match=r"not valid UTF-8"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.bz2", ".tar.xz", ".zip"])
def test_bomb(tmp_path, suffix):
    archive = write(tmp_path / "in" / f"a{suffix}", packed({"fine.wav": b"", "zeros.wav": bytes(2_000_000)}, suffix))
    assert archive.stat().st_size < 20_000
    with pytest.raises(DatasetError, match=r"'zeros\.wav' brings what would be unpacked to more than \d"):
        unpack(archive, tmp_path / "in/out", limits=Limits(n_spared=1000))
    assert_nothing_happened(archive)
    unpack(archive, tmp_path / "in/out")


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
@pytest.mark.parametrize(
    ("limits", "why"),
    [(Limits(n_bytes=3000), "more than 3,000 bytes"), (Limits(n_members=1), "one of more than 1")],
)
def test_limits(tmp_path, suffix, limits, why):
    archive = write(tmp_path / "in" / f"a{suffix}", packed(FILES, suffix))
    with pytest.raises(DatasetError, match=rf"its member 'genres/rock/rock\.00000\.wav' .*{why}"):
        unpack(archive, tmp_path / "in/out", limits=limits)
    assert_nothing_happened(archive)


def test_zip_whose_members_share_their_content(tmp_path):
    # The other kind of zip bomb: many entries of the directory point to the same data.
    content = zipped(*((f"{number:04d}.wav", bytes(20_000)) for number in range(100)))
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        start, names = file.start_dir, file.namelist()
    directory = bytearray(content[start:])
    for name in names:
        at = directory.index(name.encode()) - 4
        directory[at : at + 4] = bytes(4)
    archive = write(tmp_path / "in/a.zip", content[:start] + bytes(directory))
    with pytest.raises(DatasetError, match=r"brings what|is damaged"):
        unpack(archive, tmp_path / "in/out", limits=Limits(n_spared=0, ratio=10))
    assert_nothing_happened(archive)
    with pytest.raises(DatasetError, match=r"is damaged at '0001\.wav'"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


def test_bomb_behind_the_last_member(tmp_path):
    content = gzip.compress(tar(member("a.wav", b"a")) + bytes(5 * 2**20))
    archive = write(tmp_path / "in/a.tar.gz", content)
    with pytest.raises(DatasetError, match=r"is damaged at 'a\.wav' \(it exceeds \d+ bytes\)"):
        unpack(archive, tmp_path / "in/out", limits=Limits(n_bytes=1000, n_members=1))
    assert_nothing_happened(archive)
    unpack(archive, tmp_path / "in/out")


def test_header_that_would_fill_the_memory(tmp_path):
    # A name of 8 MiB, compressed to nothing, which tarfile reads in one go.
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 8 * 2**20
    archive = write(tmp_path / "in/a.tar.gz", gzip.compress(info.tobuf() + b"n" * info.size, compresslevel=1))
    with pytest.raises(DatasetError, match=r"a header says that 8388608 bytes follow"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


def test_header_that_leads_back(tmp_path):
    # Base-256 numbers may be negative; some versions of tarfile then read for ever.
    header = bytearray(member("a.wav")[0].tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xfc\x00"
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:512]) + 8 * 32)
    archive = write(tmp_path / "in/a.tar", bytes(header) * 4 + bytes(1024))
    with pytest.raises(DatasetError, match=r"is damaged|brings what"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


# Damaged archives


def test_encrypted_zip(tmp_path):
    content = bytearray(zipped(("a.wav", b"a")))
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    archive = write(tmp_path / "in/a.zip", bytes(content))
    with pytest.raises(DatasetError, match=r"its member 'a\.wav' is encrypted"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


def test_compression_that_python_does_not_read(tmp_path):
    content = bytearray(zipped(("a.wav", b"a" * 100)))
    for at in (8, content.rindex(b"PK\x01\x02") + 10):
        content[at] = 9
    archive = write(tmp_path / "in/a.zip", bytes(content))
    with pytest.raises(DatasetError, match=r"its member 'a\.wav' is packed in a way that Python does not read"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_truncated_archive(tmp_path, suffix, share):
    content = packed({f"{number}.wav": os.urandom(3000) for number in range(9)}, suffix)
    archive = write(tmp_path / "in" / f"a{suffix}", content[: int(share * len(content))].rstrip(b"\0"))
    with pytest.raises(DatasetError, match=rf"a{suffix} is damaged at .*Get the archive again"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


def test_tar_that_breaks_off_between_members(tmp_path):
    # tarfile takes that for the end.
    content = tar(member("a.wav", b"a"), member("b.wav", b"b"))
    archive = write(tmp_path / "in/a.tar", content[:1024])
    with pytest.raises(DatasetError, match=r"is damaged at 'a\.wav' \(it breaks off after this member\)"):
        unpack(archive, tmp_path / "in/out")


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_changed_byte(tmp_path, suffix):
    content = bytearray(packed({"a.wav": bytes(1000), "b.wav": os.urandom(3000)}, suffix))
    content[len(content) // 2] ^= 255
    archive = write(tmp_path / "in" / f"a{suffix}", bytes(content))
    with pytest.raises(DatasetError, match=r"is damaged at 'b\.wav'"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


def test_file_that_is_shorter_than_the_list_says(tmp_path):
    content = bytearray(zipped(("a.wav", b"a" * 100)))
    at = content.rindex(b"PK\x01\x02") + 24
    content[at : at + 4] = (101).to_bytes(4, "little")
    archive = write(tmp_path / "in/a.zip", bytes(content))
    with pytest.raises(DatasetError, match=r"is damaged at 'a\.wav' \(it ends early\)"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_no_archive_at_all(tmp_path, suffix, content):
    with pytest.raises(DatasetError, match=r"is damaged"):
        unpack(write(tmp_path / f"in/a{suffix}", content), tmp_path / "in/out")


@pytest.mark.parametrize("content", [tar(), tar(member("a/", type=tarfile.DIRTYPE))])
def test_archive_without_files(tmp_path, content):
    with pytest.raises(DatasetError, match=r"expected an archive with files in it"):
        unpack(write(tmp_path / "in/a.tar", content), tmp_path / "in/out")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from([".tar", ".tar.gz", ".zip"]))
def test_whatever_an_archive_holds(tmp_path_factory, data, suffix):
    """Any damage gives either the files or a DatasetError, and never anything outside the folder."""
    work = tmp_path_factory.mktemp("any")
    content = bytearray(packed(FILES, suffix))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    archive = write(work / f"a{suffix}", bytes(content))
    try:
        unpack(archive, work / "out")
    except DatasetError:
        assert not (work / "out").exists()
    assert {path.name for path in work.iterdir()} <= {archive.name, "out", ".out.lock"}


_PARTS = st.sampled_from(["a", "A", "b", "..", ".", "", "c.wav", "a\\b", "C:", "\u00e9", "e\u0301", " "])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.lists(_PARTS, min_size=1, max_size=4).map("/".join), min_size=1, max_size=4))
def test_whatever_the_names(tmp_path_factory, names):
    """Each file that is written is one that was named, below the folder; else nothing is written at all."""
    work = tmp_path_factory.mktemp("names")
    archive = write(work / "in/a.tar", tar(*(member(name, name.encode()) for name in names)))
    try:
        unpack(archive, work / "in/out")
    except DatasetError:
        assert_nothing_happened(archive)
    else:
        assert sorted(contents(work / "in/out").values()) == sorted(name.encode() for name in names)
    assert [path.name for path in work.iterdir()] == ["in"]


# Disks and crashes


def test_space_is_checked_first(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3999))
    archive = write(tmp_path / "in/a.zip", zipped(*FILES.items()))
    with pytest.raises(StorageError, match=r"that takes 0\.0 GB.*Free some space"):
        unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


def test_archive_that_may_not_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(DatasetError, match=r"cannot be read: permission was denied"):
        unpack(write(tmp_path / "in/a.zip", zipped(*FILES.items())), tmp_path / "in/out")


def test_full_disk(tmp_path, monkeypatch):
    archive = write(tmp_path / "in/a.zip", zipped(*FILES.items()))
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(archives, "_copy", lambda source, target, n_bytes: full.write(b"a"))
        with pytest.raises(StorageError, match=r"out: the disk is full"):
            unpack(archive, tmp_path / "in/out")
    assert_nothing_happened(archive)


def test_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    def refuse(folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DatasetError, match=r"cannot be listed \(Permission denied\)"):
        prepare(tmp_path)


def test_another_process_was_faster(tmp_path, monkeypatch):
    archive = write(tmp_path / "in/a.zip", zipped(*FILES.items()))

    class Lock:
        """The other process unpacks while this one waits."""

        def __init__(self, path: Path) -> None:
            assert path.name == ".out.lock"

        def __enter__(self) -> None:
            archives._unpack(archive, tmp_path / "in/out", lift=False, limits=Limits())
            monkeypatch.setattr(archives, "_unpack", lambda *arguments: pytest.fail("unpacked again"))

        def __exit__(self, *exception: object) -> None: ...

    monkeypatch.setattr(archives, "FileLock", Lock)
    unpack(archive, tmp_path / "in/out")
    assert contents(tmp_path / "in/out") == FILES


def test_remains_of_a_killed_run_are_removed(tmp_path):
    for remains in (".out.unpacking", ".out.retired"):
        write(tmp_path / remains / "half.wav", b"h")
    unpack(write(tmp_path / "a.zip", zipped(("a.wav", b"a"))), tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "out", ".out.lock"}
    assert contents(tmp_path / "out") == {"a.wav": b"a"}


@pytest.mark.parametrize(("name", "least"), [("music", 20), ("music/blues.tar.gz", 8)])
def test_killed_at_any_moment(tmp_path, name, least):
    """A real SIGKILL at each change of the disk leaves no half of an archive, and the next run finishes."""
    for genre in ("blues", "rock"):
        files = {f"{genre}/{number}.wav": genre.encode() * 10 for number in range(2)}
        write(tmp_path / f"original/music/{genre}.tar.gz", packed(files, ".tar.gz"))
    script = Path(__file__).with_name("unpack_until_killed.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path / "original", name], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least
