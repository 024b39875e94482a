"""HOMBURG: the layouts that people have, and the list that ships."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from genre_pipeline.datasets import DATASETS, Clip, DatasetBlock
from genre_pipeline.datasets.homburg import GENRES, names
from genre_pipeline.errors import DatasetError

SPEC = DATASETS["homburg"]


def block(root: Path) -> DatasetBlock:
    return DatasetBlock(kind="homburg", path=root)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize("place", ["", "blues/", "homburg/blues/", "blues/blues/", "audio/Blues/"])
@pytest.mark.parametrize("extension", ["mp3", "wav", "OGG", "flac", "au"])
def test_layouts(tmp_path, place, extension):
    path = f"{place}Andy_Kimbel-Red_Hot_Blues.{extension}"
    touch(tmp_path, path)
    SPEC.prepare(block(tmp_path))
    listing = SPEC.find_clips(block(tmp_path))
    assert listing.clips == (Clip("Andy_Kimbel-Red_Hot_Blues", "blues", path, "Andy Kimbel", "Red Hot Blues"),)
    assert set(listing.stamps) == {path}
    assert listing.extra == ()


@pytest.mark.parametrize(
    ("genre", "folder"),
    [
        ("folkcountry", "folk-country"),
        ("folkcountry", "Folk_Country"),
        ("funksoulrnb", "funk-soul-rnb"),
        ("funksoulrnb", "Funk Soul R&B"),
        ("raphiphop", "rap-hip-hop"),
        ("raphiphop", "Rap HipHop"),
    ],
)
def test_spellings_of_genres(tmp_path, genre, folder):
    track_id = next(track_id for track_id, known in SPEC.catalogue(block(tmp_path)).items() if known == genre)
    touch(tmp_path, f"{folder}/{track_id}.mp3")
    listing = SPEC.find_clips(block(tmp_path))
    assert [(clip.track_id, clip.genre) for clip in listing.clips] == [(track_id, genre)]


def test_names_with_their_signs_given_back(tmp_path):
    touch(tmp_path, "blues/All Men Are Dogs!-I'M LOOKING FOR MY HUSBAND..mp3")
    listing = SPEC.find_clips(block(tmp_path))
    assert [clip.track_id for clip in listing.clips] == ["All_Men_Are_Dogs_-I_M_LOOKING_FOR_MY_HUSBAND_"]


def test_what_is_there_and_what_is_not(tmp_path, caplog):
    touch(tmp_path, "blues/Andy_Kimbel-Red_Hot_Blues.mp3", "blues/50_Minutes-Colours.mp3", "blues/Nobody-Nothing.mp3")
    listing = SPEC.find_clips(block(tmp_path))
    assert [clip.artist for clip in listing.clips] == ["Andy Kimbel"]
    assert listing.extra == ("blues/50_Minutes-Colours.mp3", "blues/Nobody-Nothing.mp3")
    assert {each.kind for each in listing.left_out} == {"stray"}


def test_one_clip_twice(tmp_path):
    touch(tmp_path, "blues/Andy_Kimbel-Red_Hot_Blues.mp3", "blues/Andy_Kimbel-Red_Hot_Blues.wav")
    with pytest.raises(DatasetError, match=r"two files are the track Andy_Kimbel-Red_Hot_Blues.*Keep one"):
        SPEC.find_clips(block(tmp_path))


def test_an_archive_a_genre_as_distributed(tmp_path):
    for name in ("blues/Andy_Kimbel-Red_Hot_Blues.mp3", "alternative/50_Minutes-Colours.mp3"):
        touch(tmp_path / "tree", name)
    (tmp_path / "music").mkdir()
    for genre in ("alternative", "blues"):
        shutil.make_archive(str(tmp_path / "music" / genre), "zip", tmp_path / "tree" / genre)
    SPEC.prepare(block(tmp_path / "music"))
    listing = SPEC.find_clips(block(tmp_path / "music"))
    assert [(clip.genre, clip.title) for clip in listing.clips] == [
        ("alternative", "Colours"),
        ("blues", "Red Hot Blues"),
    ]


def test_missing_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"/gone does not exist.*blues/.*TU Dortmund.*datasets\.<name>\.path"):
        SPEC.prepare(block(tmp_path / "gone"))


def test_empty_folder(tmp_path):
    touch(tmp_path, "blues/readme.txt")
    with pytest.raises(DatasetError, match=r"holds no audio.*TU Dortmund.*datasets\.<name>\.path"):
        SPEC.prepare(block(tmp_path))


def test_list_that_ships(tmp_path):
    counts = Counter(SPEC.catalogue(block(tmp_path)).values())
    assert counts == {
        "alternative": 145,
        "blues": 120,
        "electronic": 113,
        "folkcountry": 222,
        "funksoulrnb": 47,
        "jazz": 319,
        "pop": 116,
        "raphiphop": 300,
        "rock": 504,
    }
    assert tuple(sorted(counts)) == GENRES


def test_artists_and_titles(tmp_path):
    known = names()
    assert len(known) == 1886
    assert all(artist and title for artist, title in known.values())
    genres: dict[str, set[str]] = {}
    for track_id, genre in SPEC.catalogue(block(tmp_path)).items():
        genres.setdefault(known[track_id][0], set()).add(genre)
    assert len(genres) == 1462
    assert sum(len(found) > 1 for found in genres.values()) == 29
    # Written in two ways, which would let an artist stand on both sides of a split.
    assert {artist for artist in genres if artist.replace(" ", "") == "BammHollow"} == {"BammHollow"}
