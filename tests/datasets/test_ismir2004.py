"""ISMIR 2004: the parts, the layouts that people have, and what the track lists say of the official split."""

from collections import Counter
from pathlib import Path

import pytest

from genre_pipeline.datasets import DATASETS, Clip, ExcerptBlock
from genre_pipeline.datasets.ismir2004 import GENRES, Ismir2004Block
from genre_pipeline.errors import DatasetError

SPEC = DATASETS["ismir2004"]
ORACLE = "classical/american_baroque/dances_and_suites_of_rameau_an/26-l'oracle_suite_in_d_from_les"
MENUETS = "classical/american_baroque/dances_and_suites_of_rameau_an/29-menuets_1_2_suite_in_d_from"


def block(root: Path, **values: object) -> Ismir2004Block:
    return Ismir2004Block.model_validate({"kind": "ismir2004", "path": root, **values})


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path, **values: object) -> dict[str, str]:
    SPEC.prepare(block(root, **values))
    return {clip.path: clip.track_id for clip in SPEC.find_clips(block(root, **values)).clips}


@pytest.mark.parametrize("place", ["", "audio/", "ismir04_genre/audio/"])
@pytest.mark.parametrize("extension", ["mp3", "wav", "flac", "OGG"])
def test_layouts(tmp_path, place, extension):
    touch(tmp_path, f"{place}training/{ORACLE}.{extension}", f"{place}evaluation/{MENUETS}.{extension}")
    SPEC.prepare(block(tmp_path))
    listing = SPEC.find_clips(block(tmp_path))
    album = "dances and suites of rameau an"
    assert listing.clips == (
        Clip(
            f"evaluation/{MENUETS}",
            "classical",
            f"{place}evaluation/{MENUETS}.{extension}",
            "american baroque",
            "menuets 1 2 suite in d from",
            album,
        ),
        Clip(
            f"training/{ORACLE}",
            "classical",
            f"{place}training/{ORACLE}.{extension}",
            "american baroque",
            "l oracle suite in d from les",
            album,
        ),
    )
    assert set(listing.stamps) == {clip.path for clip in listing.clips}
    assert listing.extra == ()


@pytest.mark.parametrize(
    "path",
    [
        "training/classical/american_baroque/dances_and_suites_of_rameau_an/26-l_oracle_suite_in_d_from_les.mp3",
        "Training/classical/american_baroque/dances_and_suites_of_rameau_an/026-loracle.mp3",
        "train/american_baroque/dances_and_suites_of_rameau_an/26-l'oracle_suite_in_d_from_les.mp3",
        "training/classical/dances_and_suites_of_rameau_an/26-l'oracle_suite_in_d_from_les.mp3",
        "training/classical/26-l'oracle_suite_in_d_from_les.mp3",
        "training/26-l'oracle_suite_in_d_from_les.wav",
    ],
)
def test_names_as_unpacked_and_as_rearranged(tmp_path, path):
    touch(tmp_path, path)
    assert found(tmp_path) == {path: f"training/{ORACLE}"}


def test_a_letter_that_is_damaged_in_the_published_list(tmp_path):
    path = "evaluation/electronic/strojovna_07/dirnix/05-kruhovy_objazd.mp3"
    touch(tmp_path, path)
    assert found(tmp_path) == {path: "evaluation/electronic/strojovna_07/dirnix/5-kruhovy_objazd"}


@pytest.mark.parametrize(("folder", "genre"), [("jazz", "jazz_blues"), ("punk", "metal_punk"), ("pop", "rock_pop")])
def test_folders_are_named_by_half_a_class_or_by_the_class(tmp_path, folder, genre):
    track_id = next(name for name in SPEC.catalogue(block(tmp_path)) if name.startswith(f"training/{folder}/"))
    renamed = f"{track_id.replace(folder, genre, 1)}.mp3"
    assert SPEC.catalogue(block(tmp_path))[track_id] == genre
    touch(tmp_path, renamed)
    assert found(tmp_path) == {renamed: track_id}


def test_one_track_twice(tmp_path):
    touch(tmp_path, f"training/{ORACLE}.mp3", f"training/{ORACLE}.wav")
    with pytest.raises(DatasetError, match="two files are the track training/.*Keep one"):
        SPEC.find_clips(block(tmp_path))


def test_development_as_the_test_half(tmp_path):
    development = "development/artist_12_album_1_track_3.mp3"
    touch(tmp_path, f"training/{ORACLE}.mp3", development)
    assert found(tmp_path, test_part="development") == {
        development: "development/artist_12_album_1_track_3",
        f"training/{ORACLE}.mp3": f"training/{ORACLE}",
    }
    clip = SPEC.find_clips(block(tmp_path, test_part="development")).clips[0]
    assert (clip.artist, clip.album) == ("artist 12", "artist 12 album 1")
    with pytest.raises(DatasetError, match=r"no track of the part 'evaluation', but 1 of the part 'development'.*Set"):
        SPEC.prepare(block(tmp_path))


def test_a_third_part_is_neither_used_nor_extra(tmp_path, caplog):
    touch(tmp_path, f"training/{ORACLE}.mp3", f"evaluation/{MENUETS}.mp3", "development/artist_1_album_1_track_1.mp3")
    with caplog.at_level("INFO"):
        listing = SPEC.find_clips(block(tmp_path))
    assert {clip.track_id.partition("/")[0] for clip in listing.clips} == {"training", "evaluation"}
    assert len(listing.stamps) == 2
    assert listing.extra == ()
    assert "1 tracks of a third part" in caplog.text
    assert [each.kind for each in listing.left_out] == ["other_part"]


def test_what_is_there_and_what_is_not(tmp_path):
    touch(
        tmp_path,
        f"training/{ORACLE}.mp3",
        "training/classical/american_baroque/other/26-suite.mp3",
        f"{MENUETS}.mp3",
        "evaluation/6-fantasia_6.mp3",
        "metadata/training/tracklist.csv",
    )
    listing = SPEC.find_clips(block(tmp_path))
    assert [clip.path for clip in listing.clips] == [f"training/{ORACLE}.mp3"]
    assert listing.extra == (
        f"{MENUETS}.mp3",
        # Two albums of the part have a track of this number and title.
        "evaluation/6-fantasia_6.mp3",
        "training/classical/american_baroque/other/26-suite.mp3",
    )
    assert Counter(each.kind for each in listing.left_out) == {"stray": 3, "other": 1}


def test_missing_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"/gone does not exist.*training/.*zenodo.*datasets\.<name>\.path"):
        SPEC.prepare(block(tmp_path / "gone"))


def test_empty_folder(tmp_path):
    touch(tmp_path, "training/readme.txt")
    with pytest.raises(DatasetError, match=r"holds no audio.*Universitat Pompeu Fabra.*datasets\.<name>\.path"):
        SPEC.prepare(block(tmp_path))


def test_excerpt_is_the_rule_of_musicnext_unless_another_is_asked_for(tmp_path):
    assert block(tmp_path).excerpt == ExcerptBlock(start_s=30.0, duration_s=30.0)
    assert block(tmp_path, excerpt=None).excerpt is None


@pytest.mark.parametrize(
    ("test_part", "counts"),
    [
        ("evaluation", (639, 230, 52, 90, 202, 245)),
        ("development", (640, 229, 52, 90, 203, 244)),
    ],
)
def test_lists_that_ship(tmp_path, test_part, counts):
    asked = block(tmp_path, test_part=test_part)
    catalogue = SPEC.catalogue(asked)
    assert Counter(catalogue.values()) == dict(zip(GENRES, counts, strict=True))
    split = SPEC.official_splits(asked)["official"]
    assert split.keys() == catalogue.keys()
    assert Counter(split.values()) == {"train": 729, "test": 729}
    assert {split[track_id] for track_id in split if track_id.startswith("training/")} == {"train"}


def test_every_listed_path_is_found_as_its_own_track(tmp_path):
    catalogue = SPEC.catalogue(block(tmp_path))
    touch(tmp_path, *(f"{track_id}.mp3" for track_id in catalogue))
    assert found(tmp_path) == {f"{track_id}.mp3": track_id for track_id in catalogue}


def test_official_split_does_not_keep_artists_apart(tmp_path):
    touch(tmp_path, *(f"{track_id}.mp3" for track_id in SPEC.catalogue(block(tmp_path))))
    clips = SPEC.find_clips(block(tmp_path)).clips
    training = [clip for clip in clips if clip.track_id.startswith("training/")]
    evaluation = [clip for clip in clips if clip.track_id.startswith("evaluation/")]
    assert {clip.artist for clip in evaluation} <= {clip.artist for clip in training}
    albums = {(clip.artist, clip.album) for clip in training}
    assert sum((clip.artist, clip.album) not in albums for clip in evaluation) == 2
