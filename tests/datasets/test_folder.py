"""The user's own music: genres from folders, facts from a table, and files that are left alone."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.datasets import DATASETS, Clip, DatasetBlock
from genre_pipeline.datasets.folder import _track_ids
from genre_pipeline.errors import DatasetError

SPEC = DATASETS["folder"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    return folder


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def clips(root: Path) -> list[Clip]:
    return list(SPEC.find_clips(DatasetBlock(kind="folder", path=root)).clips)


def prepare(root: Path) -> None:
    SPEC.prepare(DatasetBlock(kind="folder", path=root))


def test_one_folder_a_genre(root):
    touch(root, "Hip Hop/b.mp3", "Hip Hop/artist/album/01 one.FLAC", "jazz /a.v2.wav", "jazz /c.opus")
    prepare(root)
    assert clips(root) == [
        Clip("Hip Hop/artist/album/01 one", "Hip Hop", "Hip Hop/artist/album/01 one.FLAC"),
        Clip("Hip Hop/b", "Hip Hop", "Hip Hop/b.mp3"),
        Clip("jazz /a.v2", "jazz", "jazz /a.v2.wav"),
        Clip("jazz /c", "jazz", "jazz /c.opus"),
    ]


def test_files_that_are_not_clips(root, caplog):
    touch(root, "jazz/a.wav", "jazz/cover.jpg", "jazz/.b.wav", ".hidden/c.wav", "jazz/.git/d.wav", "stray.wav")
    assert [clip.path for clip in clips(root)] == ["jazz/a.wav"]
    assert "1 audio files lie in no genre's folder" in caplog.text


def test_links_do_not_lead_out(root, tmp_path, caplog):
    touch(root, "jazz/a.wav")
    touch(tmp_path, "elsewhere/b.wav")
    (root / "jazz/b.wav").symlink_to(tmp_path / "elsewhere/b.wav")
    (root / "jazz/c.wav").symlink_to(root / "jazz/a.wav")
    (root / "jazz/loop").symlink_to(root)
    (root / "pop").symlink_to(tmp_path / "elsewhere")
    assert [clip.path for clip in clips(root)] == ["jazz/a.wav", "jazz/c.wav"]
    assert "3 links" in caplog.text


def test_root_may_be_a_link(root, tmp_path):
    touch(root, "jazz/a.wav")
    (tmp_path / "link").symlink_to(root)
    assert [clip.path for clip in clips(tmp_path / "link")] == ["jazz/a.wav"]


def test_pipe_is_not_a_clip(root):
    touch(root, "jazz/a.wav")
    os.mkfifo(root / "jazz/b.wav")
    assert [clip.path for clip in clips(root)] == ["jazz/a.wav"]


def test_track_ids_are_unique(root):
    touch(root, "jazz/a.wav", "jazz/a.mp3", "jazz/a.wav.flac", "jazz/b.wav")
    assert {clip.path: clip.track_id for clip in clips(root)} == {
        "jazz/a.wav": "jazz/a.wav",
        "jazz/a.mp3": "jazz/a.mp3",
        "jazz/a.wav.flac": "jazz/a.wav.flac",
        "jazz/b.wav": "jazz/b",
    }


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.sets(st.lists(st.sampled_from(["a", "b", "a.a", "a.b"]), min_size=1, max_size=3).map(".".join), max_size=12))
def test_any_paths_get_unique_ids(paths):
    ids = _track_ids(paths)
    assert ids.keys() == paths
    assert len(set(ids.values())) == len(paths)


def test_metadata(root):
    touch(root, "jazz/a.wav", "jazz/b.wav", "odd.bin", "jazz/c.wav")
    (root / "metadata.csv").write_text(
        "\ufeffgenre,path,artist,title,album\n"
        ',./jazz/a.wav, Ann ,"One, Two",Three\n'
        "pop,jazz/b.wav,,,\n"
        "rock,odd.bin,Bé,,\n",
        encoding="utf-8",
    )
    assert clips(root) == [
        Clip("jazz/a", "jazz", "jazz/a.wav", "Ann", "One, Two", "Three"),
        Clip("jazz/b", "pop", "jazz/b.wav"),
        Clip("jazz/c", "jazz", "jazz/c.wav"),
        Clip("odd", "rock", "odd.bin", "Bé"),
    ]


def test_metadata_short_lines_are_filled_up(root):
    touch(root, "jazz/a.wav")
    (root / "metadata.csv").write_text("path,artist,title\njazz/a.wav,Ann\n")
    assert clips(root) == [Clip("jazz/a", "jazz", "jazz/a.wav", "Ann")]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "column names, 'path' among them"),
        ("file,artist\n", "'path' among them, got \\['file', 'artist'\\]"),
        ("path,artst\njazz/a.wav,Ann\n", "unknown column 'artst'. Did you mean 'artist'?"),
        ("path,artist\njazz/a.wav,Ann,Bea\n", "line 2: more values than columns"),
        ("path\njazz/a.wav\n./jazz/a.wav\n", "line 3: the file 'jazz/a.wav' is listed twice"),
        ("path\n../a.wav\n", "line 2: expected a path relative to .*got '../a.wav'"),
        ("path\n/a.wav\n", "line 2: expected a path relative"),
        ("path,artist\n,Ann\n", "line 2: expected a path relative to .*got ''"),
        ("path,artist\nodd.bin,Ann\n", "'odd.bin' lies in no genre's folder"),
        ('path,artist\n"jazz/a.wav,Ann\n', "comma-separated values in UTF-8"),
    ],
)
def test_bad_metadata(root, table, message):
    touch(root, "jazz/a.wav", "odd.bin")
    (root / "metadata.csv").write_text(table)
    with pytest.raises(DatasetError, match=rf"metadata\.csv.*{message}"):
        clips(root)


def test_metadata_in_another_encoding(root):
    touch(root, "jazz/a.wav")
    (root / "metadata.csv").write_bytes("path,artist\njazz/a.wav,Bé\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"metadata\.csv.*UTF-8"):
        prepare(root)


def test_missing_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"/music does not exist.*one sub-folder a genre.*datasets\.<name>\.path"):
        prepare(tmp_path / "music")


def test_file_in_place_of_the_folder(tmp_path):
    touch(tmp_path, "music")
    with pytest.raises(DatasetError, match=r"/music is a file, not a folder"):
        prepare(tmp_path / "music")


@pytest.mark.parametrize("names", [(), ("jazz/notes.txt",), ("stray.wav",)])
def test_empty_folder(root, names):
    touch(root, *names)
    with pytest.raises(DatasetError, match=r"holds no audio.*one sub-folder a genre.*datasets\.<name>\.path"):
        prepare(root)


def test_folder_that_cannot_be_listed(root, monkeypatch):
    touch(root, "jazz/a.wav")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("jazz"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DatasetError, match=r"/jazz cannot be listed \(Permission denied\)"):
        clips(root)


def test_name_that_is_not_utf8(root):
    touch(root, "jazz/a.wav")
    try:
        (root / "jazz" / os.fsdecode(b"b\xe9.wav")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(DatasetError, match=r"not valid UTF-8.*Rename"):
        clips(root)


def test_no_official_split(root):
    assert SPEC.official_splits(DatasetBlock(kind="folder", path=root)) == {}


def test_archive_is_unpacked_beside_it(root, tmp_path):
    touch(root, "jazz/a.wav", "pop/b.wav")
    archive = Path(shutil.make_archive(str(tmp_path / "mine"), "zip", root))
    block = DatasetBlock(kind="folder", path=archive)
    SPEC.prepare(block)
    assert [clip.path for clip in SPEC.find_clips(block).clips] == ["jazz/a.wav", "pop/b.wav"]


def test_archive_among_the_music_stays_packed(root, tmp_path):
    touch(tmp_path, "other/jazz/a.wav")
    shutil.make_archive(str(root / "backup"), "zip", tmp_path / "other")
    with pytest.raises(DatasetError, match="holds no audio"):
        prepare(root)
    assert [path.name for path in root.iterdir()] == ["backup.zip"]


def test_listed_files_are_enough(root):
    touch(root, "odd.bin")
    (root / "metadata.csv").write_text("path,genre\nodd.bin,rock\n")
    prepare(root)
    assert clips(root) == [Clip("odd", "rock", "odd.bin")]
