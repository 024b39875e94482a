"""Which files are meant."""

import os

import pytest

from genre_pipeline.errors import AudioError
from genre_pipeline.library.listing import list_music, read_list


@pytest.fixture
def music(tmp_path):
    """Files in folders; what is in them does not matter."""
    for name in ("a.wav", "b/c.flac", "b/d/e.mp3", "b/cover.jpg", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def names(listing, folder):
    return [os.path.relpath(path, folder) for path in listing.paths]


def test_folders_are_looked_through_and_other_paths_are_taken_as_they_are(music):
    listing = list_music([music / "missing.wav", music / "notes.txt", music / "b"])
    assert names(listing, music) == ["missing.wav", "notes.txt", "b/c.flac", "b/d/e.mp3"]
    assert listing.folders == (music / "b",)
    assert set(listing.stamps()) == set(listing.paths) - {music / "missing.wav"}
    assert listing.stamps()[music / "notes.txt"] == (0, (music / "notes.txt").stat().st_mtime_ns)


def test_what_may_be_music_and_cannot_be_read_is_listed_apart(music):
    (music / "b" / "song.m4a").write_bytes(b"")
    (music / "b" / "gone.wav").symlink_to("nowhere.wav")
    listing = list_music([music / "b", music / "a.wav"])
    assert names(listing, music) == ["b/c.flac", "b/d/e.mp3", "a.wav"]
    assert [(each.path, each.kind) for each in listing.left_out] == [
        ("gone.wav", "broken_link"),
        ("song.m4a", "other_format"),
    ]
    other = music / "other"
    other.mkdir()
    (other / "song.m4a").write_bytes(b"")
    with pytest.raises(
        AudioError, match=r"holds no audio .* audio in formats that are not read: 1 \(\.m4a: 1; convert"
    ):
        list_music([other])


def test_a_file_that_is_named_twice_is_meant_once(music):
    assert names(list_music([music / "b" / "c.flac", music]), music) == ["b/c.flac", "a.wav", "b/d/e.mp3"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("**/*.flac", ["b/c.flac"]), ("?.wav", ["a.wav"]), ("b*", ["b/c.flac", "b/d/e.mp3"]), ("[ab].wav", ["a.wav"])],
)
def test_patterns_match_files_and_folders(music, pattern, expected):
    assert names(list_music([music / pattern]), music) == expected


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(music):
    path = music / "song [live].wav"
    path.write_bytes(b"")
    assert list_music([path]).paths == (path,)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.m3u", b"#EXTM3U\r\n#EXTINF:1,one\r\na.wav\r\n\r\n  b/c.flac \r\n"),
        ("list.M3U8", b"\xef\xbb\xbfa.wav\nb/c.flac\n"),
        ("list.pls", b"[playlist]\nFile1=a.wav\nTitle1=x\nfile2 = b/c.flac\nNumberOfEntries=2\n"),
    ],
)
def test_entries_of_a_playlist_are_relative_to_it(music, name, content):
    (music / name).write_bytes(content)
    assert names(list_music([music / name]), music) == ["a.wav", "b/c.flac"]


def test_a_playlist_may_name_folders_and_urls_of_files_and_what_is_in_no_unicode(music):
    song = music / "Für Elise.wav"
    song.write_bytes(b"")
    playlist = music / "list.m3u"
    playlist.write_bytes(f"{song.as_uri()}\nb\n{song.name}\nlist.m3u\n".encode("cp1252"))
    # A playlist in a playlist is taken for audio, so that none can name itself.
    assert names(list_music([playlist]), music) == ["Für Elise.wav", "b/c.flac", "b/d/e.mp3", "list.m3u"]


def test_what_holds_nothing_is_named(music):
    (music / "empty").mkdir()
    (music / "empty.m3u").write_text("#EXTM3U\n")
    for name, message in {
        "empty": "empty holds no audio files that can be read: expected some, in any sub-folder",
        "empty.m3u": r"empty\.m3u is a playlist that names no file",
        "*.ogg": r"\*\.ogg matches no file: expected a file, a folder, a pattern or a playlist",
    }.items():
        with pytest.raises(AudioError, match=message):
            list_music([music / name])
        assert list_music([music / name], allow_empty=True).paths == ()


def test_a_playlist_may_be_utf_16_and_hold_what_is_no_url(music):
    playlist = music / "list.m3u"
    playlist.write_bytes("a.wav\nfile://[abc\n".encode("utf-16"))
    assert list_music([playlist]).paths == (music / "a.wav", music / "file:" / "[abc")


def test_a_pipe_is_no_playlist(music):
    os.mkfifo(music / "list.m3u")
    with pytest.raises(AudioError, match=r"list\.m3u: expected a playlist, but it is not a regular file"):
        list_music([music / "list.m3u"])


def test_a_playlist_that_cannot_be_read_is_named(music, monkeypatch):
    playlist = music / "list.m3u"
    playlist.write_text("a.wav")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(playlist), "read_bytes", refused)
    with pytest.raises(AudioError, match=r"list\.m3u: cannot be read \(Permission denied\)"):
        list_music([playlist])


@pytest.mark.parametrize("content", [b"a.wav\r\nb c.wav\n\n", b"a.wav\nb c.wav", b"a.wav\0b c.wav\0"])
def test_lists_have_a_path_per_line_or_end_them_by_nul(content):
    assert [str(path) for path in read_list(content)] == ["a.wav", "b c.wav"]


def test_names_in_lists_need_not_be_text():
    assert [os.fsencode(path) for path in read_list(b"\xff.wav\n")] == [b"\xff.wav"]
