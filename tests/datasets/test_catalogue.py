"""Finding listed tracks on disk, whatever the names look like."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre_pipeline.datasets.reading.catalogue import match_files, one_spelling, plain, shipped_facts
from genre_pipeline.datasets.reading.files import LeftOut
from genre_pipeline.errors import DatasetError


def by_stem(path: PurePosixPath) -> str | None:
    return path.stem if path.stem.isdigit() else None


def test_tracks_other_audio_and_other_files_are_told_apart(tmp_path):
    for name in ("b/2.mp3", "a/10.WAV", "a/x.ogg", "a/1.txt", ".hidden/3.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "link").symlink_to("a")
    matched = match_files(tmp_path, by_stem)
    assert list(matched.paths.items()) == [("10", "a/10.WAV"), ("2", "b/2.mp3")]
    assert {path: n_bytes for path, (n_bytes, _) in matched.stamps.items()} == {"a/10.WAV": 5, "b/2.mp3": 5}
    assert matched.left_out == (
        LeftOut(".hidden", "system", ".hidden"),
        LeftOut("a/1.txt", "other", ".txt"),
        LeftOut("a/x.ogg", "stray"),
        LeftOut("link", "link", str(tmp_path / "a")),
    )


def test_two_files_of_one_track(tmp_path):
    (tmp_path / "1.mp3").touch()
    (tmp_path / "1.wav").touch()
    with pytest.raises(DatasetError, match=r"two files are the track 1: 1\.mp3 and 1\.wav\. Keep one"):
        match_files(tmp_path, by_stem)


def test_lines_that_say_the_source_are_no_facts():
    rows = shipped_facts("homburg.csv")
    assert len(rows) == 1886
    assert rows[0].keys() == {"track_id", "genre"}


@given(st.text())
def test_plain_names_are_letters_and_digits_and_stay_as_they_are(text):
    reduced = plain(text)
    assert set(reduced) <= set("abcdefghijklmnopqrstuvwxyz0123456789")
    assert plain(reduced) == reduced


@given(st.lists(st.text(alphabet="aAbB .&?")))
def test_one_spelling_merges_names_that_are_plainly_the_same_and_no_others(names):
    spelled = one_spelling(names)
    for one, other in zip(names, spelled, strict=True):
        assert plain(one) == plain(other)
    plain_names = {plain(name) for name in names if plain(name)}
    assert len({name for name in spelled if plain(name)}) == len(plain_names)
