"""Extended Ballroom: the layouts that people have, the authors' list, and what the caveats say of it."""

import os
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest
import yaml

from genre_pipeline.datasets import DATASETS, Clip, DatasetBlock
from genre_pipeline.datasets.extended_ballroom import GENRES, read_list, repetitions, songs
from genre_pipeline.errors import DatasetError

SPEC = DATASETS["extended_ballroom"]
PRESETS = Path(__file__).parents[2] / "conf" / "base" / "parameters" / "datasets"

LIST = """<ballroom>
  <Waltz>
    <song album="First  steps" artist="Ann" bpm="87" id="100601" title=" One" hash="00"/>
    <song album="First steps" artist="Various" bpm="90" id="900001" title="Two" hash="01">
      <version id="100601"/>
    </song>
  </Waltz>
  <Cha-Cha-Cha><song album="" artist="ANN" bpm="120" id="900002" title="Three" hash="02"/></Cha-Cha-Cha>
</ballroom>
"""


def block(root: Path) -> DatasetBlock:
    return DatasetBlock(kind="extended_ballroom", path=root)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path) -> list[tuple[str, str]]:
    SPEC.prepare(block(root))
    return [(clip.track_id, clip.genre) for clip in SPEC.find_clips(block(root)).clips]


@pytest.mark.parametrize("place", ["", "extendedballroom_v1.1/", "audio/"])
@pytest.mark.parametrize("name", ["100601.mp3", "Waltz.100601.mp3", "Media-100601.wav", "100601.OGG"])
def test_layouts(tmp_path, place, name):
    touch(tmp_path, f"{place}Waltz/{name}")
    SPEC.prepare(block(tmp_path))
    listing = SPEC.find_clips(block(tmp_path))
    path = f"{place}Waltz/{name}"
    assert listing.clips == (Clip("100601", "Waltz", path, "Herberman", "Morning Song", "Ballroom Swing"),)
    assert set(listing.stamps) == {path}
    assert listing.extra == ()


@pytest.mark.parametrize(
    ("genre", "folder"),
    [
        ("Chacha", "ChaChaCha"),
        ("Chacha", "Cha-Cha"),
        ("Wcswing", "WestCoastSwing"),
        ("Wcswing", "WCSwing"),
        ("Slowwaltz", "Slow Waltz"),
        ("Viennesewaltz", "viennese_waltz"),
        ("Pasodoble", "Paso Doble"),
    ],
)
def test_spellings_of_dances(tmp_path, genre, folder):
    track_id = next(song.track_id for song in songs().values() if song.genre == genre)
    touch(tmp_path, f"{folder}/{track_id}.mp3", "Waltz/100601.mp3")
    assert sorted(found(tmp_path)) == sorted([("100601", "Waltz"), (track_id, genre)])


def test_files_without_folders(tmp_path):
    touch(tmp_path, "100601.mp3", "100602.mp3")
    assert found(tmp_path) == [("100601", "Waltz"), ("100602", "Waltz")]


def test_what_is_there_and_what_is_not(tmp_path, caplog):
    touch(tmp_path, "Waltz/100601.mp3", "Tango/100602.mp3", "Waltz/000001.mp3", "Waltz/song.mp3", "Waltz/100603.txt")
    listing = SPEC.find_clips(block(tmp_path))
    assert [clip.track_id for clip in listing.clips] == ["100601"]
    assert listing.extra == ("Tango/100602.mp3", "Waltz/000001.mp3", "Waltz/song.mp3")
    assert {each.kind for each in listing.left_out} == {"stray", "other"}


def test_one_clip_twice(tmp_path):
    touch(tmp_path, "Waltz/100601.mp3", "wav/Waltz/100601.wav")
    with pytest.raises(
        DatasetError, match=r"two files are the track 100601: Waltz/100601\.mp3 and wav/Waltz.*Keep one"
    ):
        SPEC.find_clips(block(tmp_path))


def test_missing_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"/gone does not exist.*Waltz/100601\.mp3.*IRCAM.*datasets\.<name>\.path"):
        SPEC.prepare(block(tmp_path / "gone"))


def test_empty_folder(tmp_path):
    touch(tmp_path, "Waltz/readme.txt")
    with pytest.raises(DatasetError, match=r"holds no audio.*IRCAM.*datasets\.<name>\.path"):
        SPEC.prepare(block(tmp_path))


@pytest.mark.parametrize("place", ["", "lists/"])
def test_list_in_the_folder_goes_first(tmp_path, place):
    touch(tmp_path, f"{place}extendedballroom_v1.1.xml", "100601.mp3", "ChaChaCha/900002.mp3", "100602.mp3")
    (tmp_path / f"{place}extendedballroom_v1.1.xml").write_text(LIST)
    listing = SPEC.find_clips(block(tmp_path))
    assert listing.clips == (
        Clip("100601", "Waltz", "100601.mp3", "Ann", "One", "First steps"),
        Clip("900002", "Chacha", "ChaChaCha/900002.mp3", "Ann", "Three", ""),
    )
    assert listing.extra == ("100602.mp3",)
    assert SPEC.catalogue(block(tmp_path)) == {"100601": "Waltz", "900001": "Waltz", "900002": "Chacha"}
    assert SPEC.checksums(block(tmp_path)) == {"100601": "00", "900001": "01", "900002": "02"}
    assert songs(tmp_path)["900001"].artist == ""


@pytest.mark.parametrize("content", ["", "<ballroom><Polka><song/></Polka></ballroom>", LIST.replace("bpm", "tempo")])
def test_list_that_cannot_be_read(tmp_path, content):
    (tmp_path / "extendedballroom_v1.1.xml").write_text(content)
    with pytest.raises(DatasetError, match=r"extendedballroom_v1\.1\.xml: expected the list.*Replace it"):
        SPEC.prepare(block(tmp_path))


def test_list_that_ships(tmp_path):
    counts = Counter(SPEC.catalogue(block(tmp_path)).values())
    assert tuple(sorted(counts)) == GENRES
    assert sum(counts.values()) == 4180
    assert (counts["Waltz"], counts["Slowwaltz"], counts["Wcswing"]) == (529, 65, 23)
    checksums = SPEC.checksums(block(tmp_path))
    assert checksums.keys() == SPEC.catalogue(block(tmp_path)).keys()
    assert all(len(checksum) == 32 for checksum in checksums.values())
    assert len(set(checksums.values())) == 4180 - 3


def test_nine_class_preset():
    preset = yaml.safe_load((PRESETS / "extended_ballroom_9.yml").read_text())["datasets"]["extended_ballroom_9"]
    counts = Counter(song.genre for song in songs().values())
    assert set(preset["genres"]) == {genre for genre, _ in counts.most_common(9)}
    assert sum(counts[genre] for genre in preset["genres"]) == 3992


def test_artists():
    artists = [song.artist for song in songs().values()]
    assert artists.count("") == 171
    known = set(artists) - {""}
    assert len(known) == len({"".join(filter(str.isalnum, artist.casefold())) for artist in known})
    assert all(artist == " ".join(artist.split()) for artist in known)


def test_repetitions():
    pairs = repetitions()
    assert {kind: len(found) for kind, found in pairs.items()} == {
        "exact": 251,
        "karaoke": 12,
        "time": 16,
        "version": 257,
    }
    known = songs()
    assert set(chain.from_iterable(chain.from_iterable(pairs.values()))) <= known.keys()
    assert sum(len({known[track].artist for track in pair}) > 1 for pair in pairs["exact"]) == 85


def test_tempo_alone_names_most_dances():
    dances: dict[str, Counter[str]] = {}
    for song in songs().values():
        dances.setdefault(song.bpm, Counter())[song.genre] += 1
    n_right = 0
    for song in songs().values():
        others = dances[song.bpm] - Counter([song.genre])
        n_right += bool(others) and others.most_common(1)[0][0] == song.genre
    assert n_right / 4180 == pytest.approx(0.85, abs=0.01)


@pytest.mark.real_data
def test_list_that_ships_is_the_published_one():
    data = os.environ.get("GENRE_PIPELINE_REAL_DATA")
    if not data:
        pytest.skip("GENRE_PIPELINE_REAL_DATA does not name a folder with the published list")
    published = {song.track_id: song for song in read_list(Path(data) / "metadata" / "extendedballroom_v1.1.xml")}
    shipped = songs()
    assert shipped.keys() == published.keys()
    for track_id, song in shipped.items():
        assert song._replace(artist="") == published[track_id]._replace(artist="")


def test_the_same_recording_is_one_recording_whatever_artists_the_list_names():
    pairs = SPEC.repetitions(None)
    assert len(pairs) == 251
    assert pairs == sorted(pairs)
