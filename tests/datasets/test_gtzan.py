"""GTZAN: every layout that mirrors use, the facts that ship with the package, and the real files if any are there."""

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from genre_pipeline.audio import inspect_audio
from genre_pipeline.datasets import DATASETS, Clip, DatasetBlock
from genre_pipeline.datasets.gtzan import GENRES, artists
from genre_pipeline.errors import DatasetError
from genre_pipeline.ingest.copies import official_duplicates
from genre_pipeline.ingest.ingest import ingest

SPEC = DATASETS["gtzan"]


def block(root: Path) -> DatasetBlock:
    return DatasetBlock(kind="gtzan", path=root)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize("place", ["", "genres/", "genres_original/", "Data/genres_original/", "gtzan (1)/my copy/"])
def test_layouts(tmp_path, place):
    touch(tmp_path, f"{place}blues/blues.00012.wav", f"{place}hip-hop/hip-hop.00001.au", f"{place}Rock/ROCK.00099.OGG")
    SPEC.prepare(block(tmp_path))
    assert list(SPEC.find_clips(block(tmp_path)).clips) == [
        Clip("blues.00012", "blues", f"{place}blues/blues.00012.wav", "Robert Johnson", "Cross Road Blues"),
        Clip("hiphop.00001", "hiphop", f"{place}hip-hop/hip-hop.00001.au", *artists()["hiphop.00001"]),
        Clip("rock.00099", "rock", f"{place}Rock/ROCK.00099.OGG", "The Stone Roses", "This Is The One"),
    ]


@pytest.mark.parametrize("extension", ["wav", "au", "ogg", "mp3", "flac"])
def test_formats(tmp_path, extension):
    touch(tmp_path, f"jazz/jazz.00003.{extension}")
    assert [clip.track_id for clip in SPEC.find_clips(block(tmp_path)).clips] == ["jazz.00003"]


def test_what_is_there_and_what_is_not(tmp_path, caplog):
    touch(
        tmp_path,
        "jazz/jazz.00003.wav",
        "jazz/blues.00003.wav",
        "jazz/jazz.3.wav",
        "jazz/._jazz.00004.wav",
        "jazz/more/jazz.00005.wav",
        "speech/a.wav",
        "jazz.00006.wav",
        "speech/jazz.00007.wav",
        "jazz/jazz.00100.wav",
        "images_original/jazz/jazz00003.png",
    )
    with caplog.at_level("INFO"):
        listing = SPEC.find_clips(block(tmp_path))
    clips = listing.clips
    assert [clip.path for clip in clips] == [
        "jazz/jazz.00003.wav",
        "jazz/more/jazz.00005.wav",
        "jazz.00006.wav",
        "speech/jazz.00007.wav",
    ]
    assert listing.extra == ("jazz/blues.00003.wav", "jazz/jazz.00100.wav", "jazz/jazz.3.wav", "speech/a.wav")
    assert {each.kind for each in listing.left_out} == {"stray", "system", "other"}


def test_whole_dataset_is_not_remarked_upon(tmp_path, caplog):
    touch(tmp_path, *(f"{track_id.split('.')[0]}/{track_id}.wav" for track_id in artists()))
    with caplog.at_level("INFO"):
        clips = SPEC.find_clips(block(tmp_path)).clips
    assert Counter(clip.genre for clip in clips) == dict.fromkeys(GENRES, 100)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("blues/blues.00000.ogg", "blues/blues.00000.wav"),
        ("hip-hop/hip-hop.00000.wav", "hiphop/hiphop.00000.wav"),
    ],
)
def test_one_clip_twice(tmp_path, one, other):
    touch(tmp_path, one, other)
    with pytest.raises(DatasetError, match=rf"two files are the track .*{one} and {other}\. Keep one"):
        SPEC.find_clips(block(tmp_path))


def test_missing_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"/gtzan does not exist.*blues/blues\.00000\.wav.*datasets\.<name>\.path"):
        SPEC.prepare(block(tmp_path / "gtzan"))


def test_empty_folder(tmp_path):
    touch(tmp_path, "genres/readme.txt", "a.wav")
    with pytest.raises(DatasetError, match=r"holds no audio.*genres_original/.*datasets\.<name>\.path"):
        SPEC.prepare(block(tmp_path))


def test_artists():
    known = artists()
    assert len(known) == 1000
    assert sum(bool(artist) for artist, _ in known.values()) == 919
    assert len({artist for artist, _ in known.values()} - {""}) == 242
    assert len({artist.casefold() for artist, _ in known.values()} - {""}) == 242
    assert known["country.00002"] == ("", "I Wish I Had A Nickel")
    assert known["classical.00059"] == ("", "")
    assert all(text == " ".join(text.split()) for names in known.values() for text in names)


def test_fault_filtered_split(tmp_path):
    splits = SPEC.official_splits(block(tmp_path))
    assert list(splits) == ["fault_filtered"]
    split = splits["fault_filtered"]
    assert Counter(split.values()) == {"train": 443, "validation": 197, "test": 290}
    assert split.keys() <= artists().keys()
    assert {track_id.split(".")[0] for track_id in split} == set(GENRES)


def test_fault_filtered_split_keeps_known_artists_apart(tmp_path):
    sides: dict[str, set[str]] = {}
    for track_id, split in SPEC.official_splits(block(tmp_path))["fault_filtered"].items():
        artist, _ = artists()[track_id]
        if artist:
            sides.setdefault(artist, set()).add(split)
    assert [artist for artist, splits in sides.items() if len(splits) > 1] == []


def test_catalogue(tmp_path):
    catalogue = SPEC.catalogue(block(tmp_path))
    assert catalogue.keys() == artists().keys()
    assert Counter(catalogue.values()) == dict.fromkeys(GENRES, 100)


def test_fourteen_pairs_of_clips_are_identical_by_their_published_checksums(tmp_path):
    checksums = SPEC.checksums(block(tmp_path))
    assert checksums.keys() == artists().keys()
    assert all(re.fullmatch("[0-9a-f]{32}", checksum) for checksum in checksums.values())
    groups = official_duplicates(checksums)
    assert [len(group) for group in groups] == [2] * 14
    assert ["metal.00058", "rock.00016"] in groups
    assert ["hiphop.00039", "hiphop.00045"] in groups


@pytest.fixture
def real_data() -> Path:
    data = os.environ.get("GENRE_PIPELINE_REAL_DATA")
    if not data:
        pytest.skip("GENRE_PIPELINE_REAL_DATA does not name a folder with the real music")
    return Path(data)


@pytest.mark.real_data
def test_real_clips(real_data):
    root = real_data / "gtzan6"
    SPEC.prepare(block(root))
    clips = SPEC.find_clips(block(root)).clips
    assert len(clips) == 397
    assert {clip.genre for clip in clips} == {"blues", "classical", "country", "jazz", "metal", "rock"}
    assert sum(bool(clip.artist) for clip in clips) > 350
    split = SPEC.official_splits(block(root))["fault_filtered"]
    assert Counter(split[clip.track_id] for clip in clips) == {"train": 270, "validation": 127}
    for clip in clips[::100]:
        facts = inspect_audio(root / clip.path)
        assert facts.faults == ()
        assert facts.duration_s == pytest.approx(30, abs=0.5)
        assert (facts.sample_rate, facts.n_channels, facts.format) == (22_050, 1, "OGG")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "status", "n_missing"), [("gtzan6", "re_encoded", 603), ("gtzan6_original", "official", 988)]
)
def test_real_clips_against_what_was_published(real_data, tmp_path, name, status, n_missing):
    few = DatasetBlock(kind="gtzan", path=real_data / name, max_per_genre=2)
    result = ingest(name, SPEC, few, cache=tmp_path / "cache.parquet", n_workers=2)
    report = result.report
    assert (report["n_clips"], report["n_usable"]) == (12, 12)
    assert report["checksums"] == {"official": 0, "re_encoded": 0, "unknown": 0} | {status: 12}
    assert report["subset"]["name"] == "6 of 10 genres, at most 2 tracks a genre, 12 of 1000 tracks"
    present = {clip.track_id for clip in SPEC.find_clips(few).clips}
    assert [each["track_id"] for each in report["missing"]] == sorted(artists().keys() - present)
    assert len(report["missing"]) == n_missing
    assert len(report["official_duplicates"]) == 14
    # The fault-filtered lists hold no copies.
    assert list(result.tracks["recording"]) == list(result.tracks["track_id"])
