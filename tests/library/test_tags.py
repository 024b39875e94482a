"""Genres in tags: the audio stays, and the file as it was can be had back to the byte."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from genre_pipeline.audio.tags import read_tags
from genre_pipeline.cli import cli
from genre_pipeline.errors import AudioError, ConfigError, StorageError
from genre_pipeline.evaluation.answers import FileClassifier
from genre_pipeline.library import tags
from genre_pipeline.library.patches import apply_patch, make_patch
from genre_pipeline.library.tags import Journal, last_change, take_back, write_genre
from tiny_music import write_clip

FORMATS = {
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "wav": ("WAV", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}


@pytest.fixture(params=FORMATS)
def song(request, tmp_path):
    """A song of each format, with a title and a genre."""
    path = tmp_path / "music" / f"song.{request.param}"
    path.parent.mkdir()
    form, subtype = FORMATS[request.param]
    noise = 0.1 * np.random.default_rng(0).standard_normal((48000, 2))
    soundfile.write(path, noise, 48000, format=form, subtype=subtype)
    return path


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "results" / "tags.jsonl")


def write(path, genre, journal):
    write_genre(path, genre, genre_before=read_tags(path)["genre"], model="0123", journal=journal)


def genre_by_mutagen(path):
    tagged = mutagen.File(path)
    found = tagged.tags["TCON"].text if "TCON" in tagged.tags else tagged.tags["genre"]
    return list(found)


@pytest.mark.parametrize("before", ["", "Old"])
def test_a_genre_is_written_and_taken_back_to_the_byte(song, journal, before):
    if before:
        write(song, before, journal)
    song.chmod(0o640)
    os.utime(song, ns=(5, 1_600_000_000_000_000_000))
    content, audio = song.read_bytes(), soundfile.read(song)[0]
    write(song, "Drum & Bass", journal)
    assert song.read_bytes() != content
    assert np.array_equal(soundfile.read(song)[0], audio)
    assert read_tags(song)["genre"] == "Drum & Bass"
    assert genre_by_mutagen(song) == ["Drum & Bass"]
    assert (song.stat().st_mode & 0o777, song.stat().st_mtime_ns) == (0o640, 1_600_000_000_000_000_000)
    change = last_change(song, journal.changes()[str(song)])
    assert (change.genre, change.genre_before) == ("Drum & Bass", before)
    take_back(change)
    assert song.read_bytes() == content
    assert (song.stat().st_mode & 0o777, song.stat().st_mtime_ns) == (0o640, 1_600_000_000_000_000_000)
    assert list(song.parent.iterdir()) == [song]


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
def test_ffprobe_reads_the_genre(song, journal):
    write(song, "Deep House", journal)
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", str(song)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    named = [*found["streams"], found["format"]]
    genres = {value for each in named for key, value in each.get("tags", {}).items() if key.lower() == "genre"}
    assert genres == {"Deep House"}


def test_changes_are_taken_back_one_after_the_other(song, journal):
    contents = [song.read_bytes()]
    for genre in ("one", "two"):
        write(song, genre, journal)
        contents.append(song.read_bytes())
    for content in (contents[1], contents[0]):
        take_back(last_change(song, journal.changes()[str(song)]))
        assert song.read_bytes() == content
    assert last_change(song, journal.changes()[str(song)]) is None


def test_the_same_change_by_two_commands_at_once_is_taken_back(clip, journal):
    content = clip.read_bytes()
    write(clip, "one", journal)
    # The second command has read the old genre, and finds the new one when it writes.
    write_genre(clip, "one", genre_before="", model="0123", journal=journal)
    take_back(last_change(clip, journal.changes()[str(clip)]))
    assert clip.read_bytes() == content
    assert last_change(clip, journal.changes()[str(clip)]) is None


def test_a_change_to_the_same_in_the_journal_hides_no_other(clip, journal):
    write(clip, "one", journal)
    (change,) = journal.changes()[str(clip)]
    journal.write(replace(change, sha256_before=change.sha256))
    assert last_change(clip, journal.changes()[str(clip)]) == change


@pytest.mark.parametrize("content", [b"edited by another program", None])
def test_what_others_change_meanwhile_is_kept(clip, journal, monkeypatch, content):
    def others_write(change):
        Journal.write(journal, change)
        clip.unlink() if content is None else clip.write_bytes(content)

    monkeypatch.setattr(journal, "write", others_write)
    with pytest.raises(AudioError, match=r"clip\.wav: another program has just changed it\. .* run again"):
        write(clip, "one", journal)
    assert [each.read_bytes() for each in clip.parent.iterdir()] == ([] if content is None else [content])


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clips" / "clip.wav", "jazz", seed=0)


def test_a_file_that_others_changed_is_not_taken_back(clip, journal):
    write(clip, "one", journal)
    (change,) = journal.changes()[str(clip)]
    content = clip.read_bytes() + b"more"
    clip.write_bytes(content)
    assert last_change(clip, [change]) is None
    with pytest.raises(AudioError, match=r"clip\.wav: it has been changed since, and is not taken back"):
        take_back(change)
    assert clip.read_bytes() == content


def test_a_link_stays_a_link(clip, journal, tmp_path):
    link = tmp_path / "link.wav"
    link.symlink_to(clip)
    write(link, "one", journal)
    assert link.is_symlink()
    assert read_tags(clip)["genre"] == "one"
    assert list(journal.changes()) == [str(clip)]


def test_an_interrupted_write_leaves_the_file_as_it_was(clip, journal, monkeypatch):
    content = clip.read_bytes()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for place in ("_set_genre", "_check"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(tags, place, interrupted)
            write(clip, "one", journal)
    assert journal.changes() == {}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", interrupted)
        write(clip, "one", journal)
    assert clip.read_bytes() == content
    assert list(clip.parent.iterdir()) == [clip]
    # It was written down first; what is written down and was not done is not taken back.
    assert last_change(clip, journal.changes()[str(clip)]) is None


def test_a_journal_that_cannot_be_written_keeps_the_file_from_being_changed(clip, tmp_path):
    content = clip.read_bytes()
    (tmp_path / "place").write_text("a file where a folder is needed")
    with pytest.raises(StorageError):
        write(clip, "one", Journal(tmp_path / "place" / "tags.jsonl"))
    assert clip.read_bytes() == content


def test_audio_that_would_change_is_left_as_it_is(clip, journal, monkeypatch):
    content = clip.read_bytes()
    monkeypatch.setattr(tags, "_set_genre", lambda copy, *_, **__: write_clip(copy, "rock", seed=1))
    with pytest.raises(AudioError, match=r"clip\.wav: with other tags its audio would be another one"):
        write(clip, "one", journal)
    assert clip.read_bytes() == content
    assert journal.changes() == {}


def test_a_format_without_tags_is_named(tmp_path, journal):
    path = tmp_path / "clip.au"
    soundfile.write(path, np.zeros(8000), 8000, format="AU")
    with pytest.raises(AudioError, match=r"clip\.au: files of this format hold no tags that can be written"):
        write(path, "one", journal)


def test_a_read_only_file_is_left_as_it_is(clip, journal):
    content = clip.read_bytes()
    clip.chmod(0o444)
    with pytest.raises(AudioError, match=r"clip\.wav: it is read-only\. Make it writable, or leave it out\."):
        write(clip, "one", journal)
    assert clip.read_bytes() == content
    assert journal.changes() == {}


def test_a_line_that_a_crash_cut_off_is_passed_over(clip, journal, tmp_path):
    write(clip, "one", journal)
    file = tmp_path / "results" / "tags.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:50])
    write(clip, "two", journal)
    assert [change.genre for change in journal.changes()[str(clip)]] == ["two", "one"]


@pytest.mark.parametrize(
    "damage",
    [
        {"content": "!!!"},
        {"content": 5},
        {"places": [["a", 1]]},
        {"places": 5},
        {"size": -5, "cut": 0},
        {"genre": None},
        {"path": 5},
    ],
)
def test_a_damaged_line_of_the_journal_changes_no_file(clip, journal, tmp_path, monkeypatch, damage):
    monkeypatch.setenv("GENRE_PIPELINE_DATA", str(tmp_path))
    place = tmp_path / "07_model_output" / "tags.jsonl"
    write(clip, "one", Journal(place))
    values = json.loads(place.read_text())
    fields = dict(zip(("size", "cut", "places", "content"), values["patch"], strict=True))
    values |= {key: value for key, value in damage.items() if key not in fields}
    values["patch"] = [damage.get(key, value) for key, value in fields.items()]
    place.write_text(json.dumps(values) + "\n")
    content = clip.read_bytes()
    result = CliRunner().invoke(cli, ["tag", "--undo", "--write"])
    assert isinstance(result.exception, SystemExit | None)
    assert clip.read_bytes() == content
    assert [path.name for path in clip.parent.iterdir() if path.name.startswith(".")] == []


def test_a_wav_that_states_no_size_is_named(clip, journal):
    content = clip.read_bytes()
    endless = b"\xff" * 4
    clip.write_bytes(content[:4] + endless + content[8:40] + endless + content[44:])
    content = clip.read_bytes()
    with pytest.raises(AudioError, match=r"clip\.wav: its tags cannot be written"):
        write(clip, "one", journal)
    assert clip.read_bytes() == content


def test_a_tag_of_version_2_3_keeps_it(tmp_path, journal):
    path = tmp_path / "song.mp3"
    soundfile.write(path, 0.1 * np.ones(44100), 44100, format="MP3")
    tagged = mutagen.File(path)
    tagged.add_tags()
    tagged.tags.add(mutagen.id3.TIT2(encoding=1, text=["Title"]))
    tagged.save(v2_version=3)
    write(path, "one", journal)
    again = mutagen.File(path)
    assert again.tags.version == (2, 3, 0)
    assert (str(again.tags["TIT2"]), again.tags["TCON"].text) == ("Title", ["one"])


@given(st.binary(min_size=1, max_size=300), st.binary(min_size=1, max_size=300), st.binary(max_size=300), st.data())
def test_any_file_can_be_made_of_any_other(tmp_path_factory, head, tail, inserted, data):
    old, new, again = (tmp_path_factory.getbasetemp() / f"patched_{name}" for name in ("old", "new", "again"))
    cut = data.draw(st.integers(0, len(tail)))
    for content in (head + inserted + tail, head, inserted + tail[cut:] + b"x"):
        old.write_bytes(head + tail)
        new.write_bytes(content)
        apply_patch(new, make_patch(old, new), again)
        assert again.read_bytes() == head + tail


@pytest.mark.parametrize(("before", "behind"), [(b"other tags", b"sgat"), (b"", b"more tags")])
def test_a_patch_is_small_although_the_whole_file_moved(tmp_path, before, behind):
    audio = np.random.default_rng(0).bytes(2**20)
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"RIFF0000" + audio + b"tags")
    new.write_bytes(b"RIFF1111" + before + audio + behind)
    patch = make_patch(old, new)
    assert sum(length for _, length in patch.places) < 50
    assert len(patch.content) < 200


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path):
        for number, genre in enumerate(("jazz", "rock", "blues")):
            write_clip(tmp_path / "songs" / f"{number}.wav", genre, seed=number)
        return tmp_path / "songs"

    @pytest.fixture
    def tag(self, cell_folder, tmp_path, monkeypatch):
        monkeypatch.setenv("GENRE_PIPELINE_DATA", str(tmp_path / "data"))

        def run(*words):
            return CliRunner().invoke(cli, ["tag", "--model", str(cell_folder), *map(str, words)])

        return run

    def test_nothing_is_written_without_write(self, tag, folder, tmp_path):
        contents = {path: path.read_bytes() for path in folder.iterdir()}
        for options in ([], ["--dry-run"]):
            result = tag(*options, folder)
            assert result.exit_code == 0
            assert "3 files would change: --write does it." in result.stdout
        assert {path: path.read_bytes() for path in folder.iterdir()} == contents
        assert not (tmp_path / "data/07_model_output/tags.jsonl").exists()

    def test_genres_are_written_mapped_and_taken_back(self, tag, folder, tmp_path):
        contents = {path: path.read_bytes() for path in folder.iterdir()}
        written = tmp_path / "my_genres.yml"
        written.write_text("jazz: Jazz & Blues\nblues: null\n")
        result = tag("--write", "--map", written, folder)
        assert "2 files changed; left as they are: 1 of genres that are mapped to nothing." in result.stdout
        assert [read_tags(folder / f"{number}.wav")["genre"] for number in range(3)] == ["Jazz & Blues", "rock", ""]
        again = tag("--write", "--map", written, "--only-missing", folder)
        assert "0 files changed; left as they are: 1 of genres that are mapped to nothing; " in again.stdout
        assert "left as they are: 2 with a genre." in again.stdout
        assert "2 files would change: --write does it." in tag("--undo").stdout
        assert "1 file changed." in tag("--undo", "--write", folder / "0.wav").stdout
        assert (folder / "0.wav").read_bytes() == contents[folder / "0.wav"]
        assert read_tags(folder / "1.wav")["genre"] == "rock"
        moved = (folder / "1.wav").rename(tmp_path / "moved.wav")
        assert "1 file changed." in tag("--undo", "--write", moved).stdout
        assert moved.read_bytes() == contents[folder / "1.wav"]
        tag("--write", "--map", written, moved)
        moved.rename(folder / "1.wav")
        assert "1 file changed." in tag("--undo", "--write", folder / "1.wav").stdout
        assert "0 files changed; left as they are: 2 that were taken back" in tag("--undo", "--write").stdout
        assert {path: path.read_bytes() for path in folder.iterdir()} == contents

    def test_what_is_not_probable_enough_is_left_as_it_is(self, tag, folder, monkeypatch):
        half = {"path": "", "genre": "jazz", "probability": 0.5}
        monkeypatch.setattr(FileClassifier, "row", lambda *_: half)
        assert "3 below 60.0" in " ".join(tag("--min-confidence", "60%", folder).stdout.split())
        assert "3 files would change" in tag("--min-confidence", "50%", folder).stdout

    @pytest.mark.parametrize("share", ["nan", "-1", "200%", "70", "inf"])
    def test_a_confidence_that_is_no_share_changes_nothing(self, tag, folder, share):
        contents = {path: path.read_bytes() for path in folder.iterdir()}
        result = tag("--write", "--min-confidence", share, folder)
        assert result.exit_code == 2
        assert f"expected a share from 0 to 1, or 0% to 100%, got '{share}'." in " ".join(result.stderr.split())
        assert {path: path.read_bytes() for path in folder.iterdir()} == contents

    def test_a_file_without_a_known_change_is_counted(self, tag, folder):
        assert "0 files changed; of 1 that were named, no change is known" in " ".join(
            tag("--undo", "--write", folder / "moved.wav").stdout.split()
        )

    @pytest.mark.parametrize("words", [(), ("--write",)])
    def test_read_only_files_are_counted_before_and_after(self, tag, folder, words):
        for path in folder.iterdir():
            path.chmod(0o444)
        result = tag(*words, folder)
        assert result.exit_code == 0
        n = len(list(folder.iterdir()))
        assert re.search(rf"0 files (would change|changed); left as they are: {n} that are read-only", result.stdout)

    def test_a_bad_file_does_not_stop_the_others(self, tag, folder):
        (folder / "0.wav").write_text("no audio")
        result = tag("--write", folder)
        assert result.exit_code == 1
        assert "Not classified: " in result.stdout
        assert "2 files changed." in result.stdout

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("jaz: Jazz", "the model does not know jaz. Its genres: blues, jazz, rock"),
            ("- jazz", "expected a line for each genre"),
            ("jazz: [", "cannot be read"),
            ("jazz: ''", "expected a line for each genre"),
            ('jazz: "a\\nb"', "expected a line for each genre"),
            ('jazz: "\\uD800"', "expected a line for each genre"),
        ],
    )
    def test_a_map_that_cannot_be_meant_is_named(self, tag, folder, tmp_path, content, message):
        path = tmp_path / "map.yml"
        path.write_text(content)
        result = tag("--map", path, folder)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: {path}: ")
        assert message in result.stderr

    def test_without_mutagen_it_says_what_to_install(self, tag, folder, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "mutagen", None)
        with pytest.raises(ConfigError, match=r"pip install 'genre-pipeline\[tags\]'"):
            tags.require_mutagen()
        assert tag(folder).exit_code == 1
        assert "Missing argument" not in tag(folder).stderr
