"""The user's own music: genres from folders, facts from a table, and files that are left alone."""

import itertools
import os
import shutil
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.datasets import DATASETS, Clip, DatasetBlock
from genre_pipeline.datasets.folder import _track_ids
from genre_pipeline.datasets.reading import tables
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


def listing(root: Path, **options):
    return SPEC.find_clips(DatasetBlock(kind="folder", path=root, **options))


def left_out(root: Path) -> dict[str, str]:
    return {each.path: each.kind for each in listing(root).left_out}


def test_files_that_are_not_clips(root):
    touch(root, "jazz/a.wav", "jazz/cover.jpg", "jazz/.b.wav", ".hidden/c.wav", "jazz/.git/d.wav", "stray.wav")
    assert [clip.path for clip in clips(root)] == ["jazz/a.wav"]
    assert left_out(root) == {
        ".hidden": "system",
        "jazz/.b.wav": "system",
        "jazz/.git": "system",
        "jazz/cover.jpg": "other",
        "stray.wav": "stray",
    }
    assert listing(root).extra == ("stray.wav",)


def test_links_do_not_lead_out(root, tmp_path):
    touch(root, "jazz/a.wav")
    touch(tmp_path, "elsewhere/b.wav")
    (root / "jazz/b.wav").symlink_to(tmp_path / "elsewhere/b.wav")
    (root / "jazz/c.wav").symlink_to(root / "jazz/a.wav")
    (root / "jazz/loop").symlink_to(root)
    (root / "pop").symlink_to(tmp_path / "elsewhere")
    assert [clip.path for clip in clips(root)] == ["jazz/a.wav", "jazz/c.wav"]
    assert left_out(root) == {"jazz/b.wav": "link", "jazz/loop": "link", "pop": "link"}
    assert any(remark.startswith("nothing of 'pop' is used: links") for remark in listing(root).remarks)


def test_genres_that_are_links(root, tmp_path):
    touch(tmp_path, "nas/jazz/a.wav", "nas/pop/b.wav")
    for genre in ("jazz", "pop"):
        (root / genre).symlink_to(tmp_path / "nas" / genre)
    with pytest.raises(
        DatasetError, match=r"links that are not followed: 2 .*nas/jazz.*datasets\.<name>\.links_within"
    ):
        prepare(root)
    SPEC.prepare(DatasetBlock(kind="folder", path=root, links_within=tmp_path / "nas"))
    found = listing(root, links_within=tmp_path / "nas")
    assert [(clip.genre, clip.path) for clip in found.clips] == [("jazz", "jazz/a.wav"), ("pop", "pop/b.wav")]
    assert found.left_out == ()


def test_files_in_an_annex(root):
    touch(root, ".git/annex/objects/one", "jazz/plain.wav")
    (root / "jazz/there.wav").symlink_to("../.git/annex/objects/one")
    (root / "jazz/elsewhere.wav").symlink_to("../.git/annex/objects/two")
    assert [clip.path for clip in clips(root)] == ["jazz/plain.wav", "jazz/there.wav"]
    assert left_out(root) == {".git": "system", "jazz/elsewhere.wav": "broken_link"}


def test_a_genre_that_vanishes_is_named(root):
    touch(root, "jazz/a.wav", "rock/a.wav", "pop/a.m4a", "pop/cd/b.m4a", "pop/c.wma", "scans/a.jpg")
    assert listing(root).remarks == (
        (
            "nothing of 'pop' is used: audio in formats that are not read: 3 (.m4a: 2, .wma: 1; convert it to FLAC "
            "with ffmpeg)."
        ),
    )


def test_a_listed_file_of_another_format_is_no_clip(root):
    touch(root, "jazz/a.wav", "rock/a.wav", "pop/a.m4a")
    (root / "metadata.csv").write_text("path,artist\npop/a.m4a,Ann\n")
    assert [clip.path for clip in clips(root)] == ["jazz/a.wav", "rock/a.wav"]
    assert left_out(root) == {"pop/a.m4a": "other_format"}


def test_folders_of_the_system_are_no_genres(root):
    touch(root, "jazz/a.wav", "rock/a.wav", "#recycle/a.wav", "@eaDir/a.wav", "rock/@eaDir/a.wav", "lost+found/a.wav")
    assert {clip.genre for clip in clips(root)} == {"jazz", "rock"}
    assert listing(root).remarks == ()
    assert listing(root).extra == ()


def test_folders_in_two_unicode_forms_are_one_genre(root):
    touch(root, "Cafe\N{COMBINING ACUTE ACCENT}/a.wav", "Caf\N{LATIN SMALL LETTER E WITH ACUTE}/b.wav", "jazz/a.wav")
    touch(root, "jazz /b.wav")
    assert [clip.genre for clip in clips(root)] == ["Café", "Café", "jazz", "jazz"]
    assert listing(root).remarks == (
        "2 folders are the genre 'Café': their names differ in their Unicode form, or in blanks, only.",
        "2 folders are the genre 'jazz': their names differ in their Unicode form, or in blanks, only.",
    )


@pytest.mark.parametrize(
    "parts",
    [
        ("train", "test", "val"),
        ("Training", "Validation"),
        ("dev", "eval"),
        ("fold1", "fold2"),
        ("my_train", "my_test"),
    ],
)
def test_parts_of_a_split_are_no_genres(root, parts):
    touch(root, *(f"{part}/{genre}/{part}.wav" for part in parts for genre in ("jazz", "rock")))
    named = next((part for part in parts if "train" in part.lower()), sorted(parts)[0])
    with pytest.raises(DatasetError, match=rf"parts of a split, not genres.*path: {root}/{named}\."):
        clips(root)


def test_parts_of_a_split_without_genres(root):
    touch(root, "train/a.wav", "test/b.wav")
    with pytest.raises(DatasetError, match=r"'test', 'train' .* put all tracks of a genre into one folder\."):
        clips(root)


def test_parts_of_a_split_among_genres(root):
    touch(root, "train/a.wav", "test/b.wav", "jazz/a.wav")
    assert listing(root).remarks == (
        "the folders 'test', 'train' look like the parts of a split, and are used as genres.",
    )


def test_parts_of_a_split_with_genres_in_the_table(root):
    touch(root, "train/a.wav", "test/b.wav")
    (root / "metadata.csv").write_text("path,genre\ntrain/a.wav,jazz\ntest/b.wav,rock\n")
    assert {clip.genre for clip in clips(root)} == {"jazz", "rock"}


def test_one_level_too_many(root):
    touch(root, "Data/genres_original/jazz/a.wav", "Data/genres_original/rock/a.wav", "Data/images_original/jazz/a.png")
    with pytest.raises(DatasetError, match=r"'jazz', 'rock'.*\.path: .*/Data/genres_original\."):
        clips(root)


def test_only_one_genre_is_remarked_upon(root):
    touch(root, "jazz/a.wav", "jazz/cd/b.wav")
    (remark,) = listing(root).remarks
    assert remark.startswith("there is only one genre, 'jazz'")


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


@pytest.mark.parametrize("name", ["metadata.tsv", "Metadata.xlsx", "metadata.csv.txt", "jazz/metadata.csv"])
def test_a_table_under_another_name_is_named(root, name):
    touch(root, "jazz/a.wav", "rock/a.wav", name)
    assert listing(root).remarks == (
        f"not read: '{name}'. The table of artists is metadata.csv, beside the genres' folders.",
    )


def test_a_row_that_is_there_twice_is_read_once(root):
    touch(root, "jazz/a.wav")
    (root / "metadata.csv").write_text("path,artist\njazz/a.wav,Ann\n./jazz/A.wav, Ann\njazz/a.wav,Ann\n")
    assert clips(root) == [Clip("jazz/a", "jazz", "jazz/a.wav", "Ann")]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "column names, 'path' among them"),
        ("file,artist\n", "'path' among them, got \\['file', 'artist'\\]"),
        ("path,artst\njazz/a.wav,Ann\n", "unknown column 'artst'. Did you mean 'artist'?"),
        ("path,artist\njazz/a.wav,Ann,Bea\n", "line 2: more values than columns"),
        ("path,artist\njazz/a.wav,Ann\n./jazz/a.wav,Bea\n", "line 3: the file 'jazz/a.wav' is listed twice, otherwise"),
        ("path\n../a.wav\n", "line 2: expected a path relative to .*got '../a.wav'"),
        ("path\n/a.wav\n", "line 2: expected a path relative"),
        ("path,artist\n,Ann\n", "line 2: expected a path relative to .*got ''"),
        ("path,artist\nodd.bin,Ann\n", "'odd.bin' is in no genre's folder"),
        ('path,artist\n"jazz/a.wav,Ann\n', "comma-separated values in UTF-8"),
    ],
)
def test_bad_metadata(root, table, message):
    touch(root, "jazz/a.wav", "odd.bin")
    (root / "metadata.csv").write_text(table)
    with pytest.raises(DatasetError, match=rf"metadata\.csv.*{message}"):
        clips(root)


@pytest.mark.parametrize(
    "listed",
    [
        "jazz/Cafe\N{COMBINING ACUTE ACCENT}.wav", "jazz/Caf\N{LATIN SMALL LETTER E WITH ACUTE}.wav", "Jazz/CAFÉ.WAV",
        r"jazz\Café.wav", r".\Jazz\café.wav", "./jazz/Café.wav", "jazz//Café.wav", "jazz / Café.wav",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "name", ["jazz/Cafe\N{COMBINING ACUTE ACCENT}.wav", "jazz/Caf\N{LATIN SMALL LETTER E WITH ACUTE}.wav"]
)
def test_a_row_in_another_spelling_is_matched(root, listed, name):
    touch(root, name)
    (root / "metadata.csv").write_text(f"path,artist\n{listed},Ann\n", encoding="utf-8")
    assert [(clip.path, clip.artist) for clip in clips(root)] == [(name, "Ann")]


def test_a_row_with_the_whole_path_is_matched(root):
    touch(root, "jazz/a.wav")
    (root / "metadata.csv").write_text(f"path,artist\n{root}/jazz/a.wav,Ann\n")
    assert [clip.artist for clip in clips(root)] == ["Ann"]


def test_a_row_that_two_files_could_be_is_not_matched(root):
    touch(root, "jazz/song.wav", "jazz/Song.wav", "jazz/b.wav")
    (root / "metadata.csv").write_text("path,artist\njazz/song.wav,Ann\njazz/SONG.wav,Bea\njazz/B.WAV,Cid\n")
    assert {clip.path: clip.artist for clip in clips(root)} == {
        "jazz/SONG.wav": "Bea",
        "jazz/Song.wav": "",
        "jazz/b.wav": "Cid",
        "jazz/song.wav": "Ann",
    }


def test_names_and_values_are_in_one_unicode_form(root):
    touch(root, "jazz/a.wav", "jazz/b.wav")
    forms = ("Beyonce\N{COMBINING ACUTE ACCENT}", "Beyonc\N{LATIN SMALL LETTER E WITH ACUTE}")
    rows = [f"jazz/{name}.wav,{form},{form}" for name, form in zip("ab", forms, strict=True)]
    (root / "metadata.csv").write_text("\n".join(["path,artist,genre", *rows]), encoding="utf-8")
    assert [(clip.artist, clip.genre) for clip in clips(root)] == [(forms[1], forms[1])] * 2


def test_a_table_whose_rows_match_no_file(root):
    touch(root, "jazz/one.wav", "jazz/two.wav", "rock/one.wav")
    (root / "metadata.csv").write_text("path,artist\nmusic/jazz/one.wav,Ann\njazz/twoo.wav,Bea\nrock/one.wav,Cid\n")
    expected = (
        r"metadata\.csv: 2 of 3 rows match no file: 'music/jazz/one\.wav' in line 2 \(nearest: 'jazz/one\.wav'\), "
        r"'jazz/twoo\.wav' in line 3 \(nearest: 'jazz/two\.wav'\)\. Write each path as it is below"
    )
    with pytest.raises(DatasetError, match=expected):
        clips(root)


def test_a_few_rows_without_a_file_are_clips_that_cannot_be_read(root):
    touch(root, "jazz/a.wav", "jazz/b.wav", "rock/a.wav")
    (root / "metadata.csv").write_text(
        "path,artist\njazz/a.wav,A\njazz/b.wav,B\njazz/c.wav,C\nrock/a.wav,D\ngone.wav,E\n"
    )
    found = listing(root)
    assert [clip.path for clip in found.clips] == ["jazz/a.wav", "jazz/b.wav", "jazz/c.wav", "rock/a.wav"]
    assert "jazz/c.wav" not in found.stamps
    # A file that is in no folder, and is not there, has no genre.
    assert found.remarks == ("metadata.csv: 2 of 5 rows match no file: 'jazz/c.wav' in line 4, 'gone.wav' in line 6.",)


TABLES = {
    "empty rows": b"path,artist\n\njazz/a.wav,Ann\n,,,\n , \n",
    "byte-order mark": "path,artist\njazz/a.wav,Ann\n".encode("utf-8-sig"),
    "UTF-16": "path,artist\njazz/a.wav,Ann\n".encode("utf-16"),
    "UTF-16, big-endian": b"\xfe\xff" + "path,artist\njazz/a.wav,Ann\n".encode("utf-16-be"),
    "semicolons": b"path;artist\njazz/a.wav;Ann\n",
    "tabs": b"path\tartist\njazz/a.wav\tAnn\n",
    "bars": b"path|artist\njazz/a.wav|Ann\n",
    "Excel's first line": b"sep=;\npath;artist\njazz/a.wav;Ann\n",
    "old Macs": b"path,artist\rjazz/a.wav,Ann\r",
    "Windows": b"path,artist\r\njazz/a.wav,Ann\r\n",
    "capitals": b"Path, ARTIST \njazz/a.wav,Ann\n",
    "empty lines first": b"\n,,\npath,artist\njazz/a.wav,Ann\n",
    "empty columns last": b"path,artist,,\njazz/a.wav,Ann,,\n",
    "a line break within quotes": b'title,path,artist\n"One\nTwo",jazz/a.wav,Ann\n',
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_tables_as_programs_write_them(root, table):
    touch(root, "jazz/a.wav", "jazz/b.wav")
    (root / "metadata.csv").write_bytes(table)
    prepare(root)
    assert [(clip.path, clip.artist) for clip in clips(root)] == [("jazz/a.wav", "Ann"), ("jazz/b.wav", "")]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,artist,Artist\njazz/a.wav,A,B\n", "the column 'artist' occurs 2 times"),
        ('path,title\n"jazz/a.wav","a\nb"\n/x.wav,y\n', "line 4: expected a path relative to"),
        ("path\njazz\n", "line 2: expected the path of a file, got 'jazz', a folder"),
        ("path\nC:\\jazz\\a.wav\n", "line 2: expected a path relative to"),
        ("path\njazz\\..\\..\\a.wav\n", "line 2: expected a path relative to"),
        ("path\njazz/a\0.wav\n", "line 2: .* NUL"),
        ("path,artist\njazz/a.wav," + "x" * 200_000, "line 2: expected a table .*field larger than field limit"),
    ],
)
def test_more_bad_metadata(root, table, message):
    touch(root, "jazz/a.wav")
    (root / "metadata.csv").write_text(table)
    with pytest.raises(DatasetError, match=rf"metadata\.csv.*{message}"):
        clips(root)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.mkdir, "is no file"),
        (os.mkfifo, "is no file"),
        (lambda path: path.symlink_to("nothing"), r"cannot be read \(No such file or directory\)"),
    ],
)
def test_metadata_that_is_no_file(root, make, message):
    touch(root, "jazz/a.wav")
    make(root / "metadata.csv")
    with pytest.raises(DatasetError, match=rf"metadata\.csv {message}"):
        prepare(root)


def test_metadata_without_rights(root, monkeypatch):
    touch(root, "jazz/a.wav", "metadata.csv")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DatasetError, match=r"metadata\.csv cannot be read \(Permission denied\)\. Make it readable"):
        prepare(root)


def test_metadata_in_capitals(root):
    touch(root, "jazz/a.wav")
    (root / "Metadata.CSV").write_text("path,artist\njazz/a.wav,Ann\n")
    assert [clip.artist for clip in clips(root)] == ["Ann"]
    (root / "METADATA.csv").write_text("path\n")
    with pytest.raises(DatasetError, match=r"METADATA\.csv, Metadata\.CSV could all be the table metadata\.csv"):
        clips(root)


def test_metadata_in_another_encoding(root):
    touch(root, "jazz/a.wav")
    (root / "metadata.csv").write_bytes("path,artist\njazz/a.wav,Bé\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"metadata\.csv, line 2: .*UTF-8"):
        prepare(root)


def test_missing_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"/music does not exist.*one sub-folder per genre.*datasets\.<name>\.path"):
        prepare(tmp_path / "music")


def test_file_in_place_of_the_folder(tmp_path):
    touch(tmp_path, "music")
    with pytest.raises(DatasetError, match=r"/music is a file, not a folder"):
        prepare(tmp_path / "music")


@pytest.mark.parametrize("names", [(), ("jazz/notes.txt",), ("stray.wav",)])
def test_empty_folder(root, names):
    touch(root, *names)
    with pytest.raises(DatasetError, match=r"holds no audio.*one sub-folder per genre.*datasets\.<name>\.path"):
        prepare(root)


def test_folder_that_cannot_be_listed(root, monkeypatch):
    touch(root, "jazz/a.wav")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("jazz"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    touch(root, "rock/a.wav", "pop/a.wav")
    monkeypatch.setattr(os, "scandir", refuse)
    assert [clip.path for clip in clips(root)] == ["pop/a.wav", "rock/a.wav"]
    assert listing(root).remarks == (
        (
            "nothing of 'jazz' is used: folders and files that cannot be read: 1 (Permission denied: 1; make them "
            "readable)."
        ),
    )


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


def test_paths_that_are_taken_as_they_are_are_in_normal_form():
    """Every short text of the signs that matter."""
    texts = ["".join(signs) for n in range(6) for signs in itertools.product("a./\\: \n", repeat=n)]
    taken = [text for text in texts if tables._NORMAL.fullmatch(text)]
    assert {"a", "a/a.a", "a/..a"} < set(taken)
    for text in taken:
        path = PurePosixPath(text)
        assert str(path) == text
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert not PureWindowsPath(text).drive
        assert "\\" not in text
