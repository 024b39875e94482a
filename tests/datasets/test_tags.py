"""Genres and artists from the files' own tags."""

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.aiff import AIFF
from mutagen.id3 import TALB, TCON, TIT2, TPE1
from mutagen.wave import WAVE

from genre_pipeline.audio.tags import read_tags
from genre_pipeline.datasets import DATASETS, DatasetBlock
from genre_pipeline.ingest.ingest import ingest
from genre_pipeline.ops.refresh.graph import Source
from genre_pipeline.ops.refresh.listing import check_listing

RATE = 8000
# As ID3 frames, where mutagen has no easy names for them.
FRAMES = {"genre": TCON, "artist": TPE1, "title": TIT2, "album": TALB}
KINDS = {".wav": WAVE, ".aiff": AIFF}


def write(path, *, seed, **tags):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, RATE), RATE)
    if path.suffix in KINDS:
        file = KINDS[path.suffix](path)
        file.add_tags()
        for name, text in tags.items():
            file.tags.add(FRAMES[name](encoding=3, text=[text]))
    else:
        file = mutagen.File(path, easy=True)
        for name, text in tags.items():
            file[name] = [text]
    file.save()


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg", ".wav", ".aiff"])
def test_tags_of_each_format(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    tags = {"genre": "Hip-Hop", "artist": "Björk", "title": "Joga", "album": "音楽"}
    write(path, seed=0, **tags)
    assert read_tags(path) == tags


def test_what_is_not_there_is_empty_and_the_album_s_artist_stands_in(tmp_path):
    write(tmp_path / "a.flac", seed=0, albumartist=" The \n Band ")
    assert read_tags(tmp_path / "a.flac") == {"genre": "", "artist": "The Band", "title": "", "album": ""}


@pytest.mark.parametrize("content", [b"", b"ID3", b"ID3\x04\x00\x00\x00\x00\x7f\x7f" + b"\xff" * 400, b"fLaC\xff\xff"])
def test_damaged_tags_are_no_tags(tmp_path, content):
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    assert set(read_tags(path).values()) == {""}


def block_of(root, **options):
    return DatasetBlock(kind="folder", path=root, min_duration_s=0.1, **options)


@pytest.fixture
def run(tmp_path):
    def run(**options):
        block = block_of(tmp_path / "music", **options)
        return ingest("mine", DATASETS["folder"], block, cache=tmp_path / "cache.parquet", n_workers=1)

    return run


def rows(result, *columns):
    return result.tracks[list(columns)].to_numpy().tolist()


def test_artists_from_tags_genres_from_folders(tmp_path, run):
    write(tmp_path / "music/jazz/a.flac", seed=0, genre="Rock", artist="Anna", title="One", album="First")
    write(tmp_path / "music/rock/b.flac", seed=1)
    (tmp_path / "music/metadata.csv").write_text("path,artist\nrock/b.flac,Ben\n")
    assert rows(run(tags="artists"), "genre", "artist", "title", "album") == [
        ["jazz", "Anna", "One", "First"],
        ["rock", "Ben", "", ""],
    ]
    assert rows(run(), "artist", "title") == [["", ""], ["Ben", ""]]


def test_a_table_wins_over_tags(tmp_path, run):
    write(tmp_path / "music/jazz/a.flac", seed=0, artist="Anna", genre="Rock")
    write(tmp_path / "music/jazz/b.flac", seed=1, artist="Anna", genre="Rock")
    (tmp_path / "music/metadata.csv").write_text("path,genre,artist\njazz/a.flac,Blues,Ben\n")
    assert rows(run(tags="genres"), "genre", "artist") == [["Blues", "Ben"], ["Rock", "Anna"]]


def test_genres_from_tags_in_any_folder(tmp_path, run):
    write(tmp_path / "music/a.flac", seed=0, genre="Hip-Hop")
    write(tmp_path / "music/x/b.flac", seed=1, genre="hip hop")
    write(tmp_path / "music/x/c.flac", seed=2, genre="Hip-Hop")
    write(tmp_path / "music/y/z/d.flac", seed=3, genre="Rock")
    write(tmp_path / "music/y/e.flac", seed=4)
    result = run(tags="genres")
    assert rows(result, "path", "genre") == [
        ["a.flac", "Hip-Hop"],
        ["x/b.flac", "Hip-Hop"],
        ["x/c.flac", "Hip-Hop"],
        ["y/z/d.flac", "Rock"],
    ]
    assert "untagged" in result.report["left_out"]
    assert result.report["n_inspected"] == 5
    assert run(tags="genres").report["n_inspected"] == 0


def test_merged_genres_count_as_one(tmp_path, run):
    for seed, genre in enumerate(("rap", "hip hop", "jazz")):
        write(tmp_path / f"music/{genre}/a.flac", seed=seed)
    assert rows(run(merge={"rap": "hip hop"}), "track_id", "genre") == [
        ["hip hop/a", "hip hop"],
        ["jazz/a", "jazz"],
        ["rap/a", "hip hop"],
    ]


def test_a_refresh_sees_new_files_and_changed_tags(tmp_path, run):
    write(tmp_path / "music/a.flac", seed=0, genre="Jazz", artist="Anna")
    write(tmp_path / "music/b.flac", seed=1, genre="Rock", artist="Ben")
    block = block_of(tmp_path / "music", tags="genres")
    parameters, cache = block.dump(), tmp_path / "cache.parquet"
    source = Source(
        dataset="mine", kind="folder", parameters=parameters, cache=cache, tracks="tracks", quality="quality"
    )
    tracks = tmp_path / "tracks.parquet"
    run(tags="genres").tracks.to_parquet(tracks)
    assert check_listing(source, tracks).differences() == []
    write(tmp_path / "music/c.flac", seed=2, genre="Rock")
    write(tmp_path / "music/b.flac", seed=1, genre="Rock and Roll", artist="Benjamin")
    assert check_listing(source, tracks).differences() == ["1 file new: c.flac", "1 file changed: b.flac"]
