"""FMA: the layouts that people have, with a small tracks.csv in the form of the published one."""

import csv
import hashlib
import io
import os
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from genre_pipeline.blocks import parse_block
from genre_pipeline.datasets import DATASETS, Clip, Source, fma
from genre_pipeline.errors import ConfigError, DatasetError

# What the published table has, in its order; most of it is of no use here.
HEADINGS = {
    "album": "comments date_created date_released engineer favorites id information listens producer tags title tracks "
    "type",
    "artist": "active_year_begin active_year_end associated_labels bio comments date_created favorites id latitude "
    "location longitude members name related_projects tags website wikipedia_page",
    "set": "split subset",
    "track": "bit_rate comments composer date_created date_recorded duration favorites genre_top genres genres_all "
    "information interest language_code license listens lyricist number publisher tags title",
}
COLUMNS = [(subject, name) for subject, names in HEADINGS.items() for name in names.split()]
STORY = 'They say, "it began\nin a garage";\r\n\nand it ended there.'


def track(track_id: int, subset: str, split: str, genre: str, artist: str, artist_id: str) -> dict[str, str]:
    return {
        "track_id": str(track_id),
        "album.title": "An album",
        "artist.bio": STORY,
        "artist.id": artist_id,
        "artist.name": artist,
        "set.split": split,
        "set.subset": subset,
        "track.genre_top": genre,
        "track.title": f"Title,  {track_id}",
    }


TRACKS = [
    track(155000, "large", "training", "Old-Time / Historic", "AWOL", "1"),
    track(2, "small", "training", "Hip-Hop", "AWOL", "1"),
    track(5, "small", "test", "Hip-Hop", "Awol", "77"),
    track(10, "medium", "validation", "Pop", "Kurt  Vile", "6"),
    track(140, "large", "training", "", "Alec K. Redfearn", "54"),
    track(141, "large", "training", "Folk", "", ""),
]


def table(rows: list[Mapping[str, str]] = TRACKS) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["", *(subject for subject, _ in COLUMNS)])
    writer.writerow(["", *(name for _, name in COLUMNS)])
    writer.writerow(["track_id", *("" for _ in COLUMNS)])
    for row in rows:
        writer.writerow([row["track_id"], *(row.get(".".join(column), "") for column in COLUMNS)])
    return file.getvalue()


def write(root: Path, **files: str) -> None:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content, newline="")


def write_audio(root: Path, *track_ids: str, extension: str = "mp3") -> None:
    write(root, **{f"{track_id[:3]}/{track_id}.{extension}": "" for track_id in track_ids})


def zip_folder(folder: Path, archive: Path) -> None:
    """Pack a folder as the authors do: with itself, compressed by bzip2."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_BZIP2) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder.parent))


def block(path: Path, subset: str = "small", **values: object) -> fma.FmaBlock | fma.FmaFullBlock:
    kind = "fma_full" if subset == "full" else "fma"
    return parse_block(DATASETS[kind].block, {"kind": kind, "path": path, "subset": subset, **values}, key="datasets.x")


def found(path: Path, subset: str = "small", **values: object) -> list[str]:
    used = block(path, subset, **values)
    fma.prepare(used)
    return [clip.path for clip in fma.find_clips(used).clips]


SMALL = ["000/000002.mp3", "000/000005.mp3"]


@pytest.fixture
def tree(tmp_path) -> Path:
    """Return a folder with the small subset as the authors distribute it, unpacked."""
    write_audio(tmp_path / "fma/fma_small", "000002", "000005")
    write(
        tmp_path / "fma", **{"fma_metadata/tracks.csv": table(), "fma_small/checksums": "", "fma_small/README.txt": ""}
    )
    return tmp_path / "fma"


def test_as_distributed(tree):
    used = block(tree)
    fma.prepare(used)
    listing = fma.find_clips(used)
    assert listing.clips == (
        Clip("000002", "Hip-Hop", "fma_small/000/000002.mp3", "AWOL [1]", "Title, 2", "An album"),
        Clip("000005", "Hip-Hop", "fma_small/000/000005.mp3", "Awol [77]", "Title, 5", "An album"),
    )
    status = (tree / "fma_small/000/000002.mp3").stat()
    assert listing.stamps["fma_small/000/000002.mp3"] == (0, status.st_mtime_ns)
    assert set(listing.stamps) == {clip.path for clip in listing.clips}
    assert listing.extra == ()


@pytest.mark.parametrize("metadata", ["tracks.csv", "fma_metadata/tracks.csv", "fma_metadata/fma_metadata/tracks.csv"])
@pytest.mark.parametrize("place", ["", "fma_small/", "fma_small/fma_small/", "fma_medium/", "fma_large/"])
@pytest.mark.parametrize("extension", ["mp3", "wav"])
def test_layouts(tmp_path, place, metadata, extension):
    write(tmp_path, **{metadata: table()})
    write_audio(tmp_path / place, "000002", "000005", extension=extension)
    assert found(tmp_path) == [f"{place}{path[:-3]}{extension}" for path in SMALL]


def test_metadata_beside_the_audio(tree):
    assert found(tree / "fma_small") == SMALL


def test_metadata_elsewhere(tree, tmp_path):
    (tree / "fma_metadata").rename(tmp_path / "elsewhere")
    assert found(tree, metadata=tmp_path / "elsewhere") == [f"fma_small/{path}" for path in SMALL]


def test_archives_in_the_folder(tree, tmp_path):
    for name in ("fma_small", "fma_metadata"):
        zip_folder(tree / name, tmp_path / f"data/{name}.zip")
    (tmp_path / "data/fma_full.zip").write_bytes(b"Of no interest here.")
    assert found(tmp_path / "data") == [f"fma_small/{path}" for path in SMALL]
    assert (tmp_path / "data/fma_metadata/tracks.csv").is_file()
    assert not (tmp_path / "data/fma_full").exists()


@pytest.mark.parametrize("metadata", ["fma_metadata", "fma_metadata.zip"])
def test_archive_as_path(tree, tmp_path, metadata):
    zip_folder(tree / "fma_small", tmp_path / "data/fma_small.zip")
    if metadata == "fma_metadata":
        (tree / "fma_metadata").rename(tmp_path / "data/fma_metadata")
    else:
        zip_folder(tree / "fma_metadata", tmp_path / "data/fma_metadata.zip")
    assert found(tmp_path / "data/fma_small.zip") == SMALL


def test_subsets_include_each_other(tmp_path):
    write(tmp_path, **{"fma_metadata/tracks.csv": table()})
    for subset in ("small", "medium", "large", "full"):
        write_audio(tmp_path / f"fma_{subset}", "000002", "000005", "000010", "000140", "155000")
    expected = {
        "small": {"000002", "000005"},
        "medium": {"000002", "000005", "000010"},
        "large": {"000002", "000005", "000010", "155000"},
        "full": {"000002", "000005", "000010", "155000"},
    }
    for subset, track_ids in expected.items():
        assert set(found(tmp_path, subset)) == {f"fma_{subset}/{name[:3]}/{name}.mp3" for name in track_ids}


def test_one_subset_is_not_another(tmp_path):
    write(tmp_path, **{"tracks.csv": table()})
    write_audio(tmp_path / "fma_small", "000002")
    write_audio(tmp_path / "fma_full", "000002")
    for subset in ("medium", "large"):
        with pytest.raises(DatasetError, match=rf"holds no audio .*fma_{subset}\.zip .*GiB.*download is true"):
            fma.prepare(block(tmp_path, subset))


def test_what_is_there_and_what_is_not(tree, caplog):
    write_audio(tree / "fma_small", "000010", "000140", "000999")
    write(tree, **{"fma_small/001/000002.wav": "", "fma_small/000/notes.mp3": ""})
    (tree / "fma_small/000/000005.mp3").unlink()
    with caplog.at_level("INFO"):
        listing = fma.find_clips(block(tree))
    assert [clip.track_id for clip in listing.clips] == ["000002"]
    assert listing.extra == ("fma_small/000/000999.mp3", "fma_small/000/notes.mp3", "fma_small/001/000002.wav")
    assert set(listing.stamps) == {"fma_small/000/000002.mp3"}
    assert "2 tracks of other subsets or without a top genre are not used" in caplog.text
    assert Counter(each.kind for each in listing.left_out) == {"stray": 3, "other_part": 2, "other": 2}


def test_tracks_without_a_top_genre_are_counted(tree, caplog):
    with caplog.at_level("INFO"):
        assert "000140" not in fma.catalogue(block(tree, "large"))
    assert "FMA-large: 1 tracks have no top genre and are left out" in caplog.text


def test_catalogue_and_official_split(tree):
    genres = {"000002": "Hip-Hop", "000005": "Hip-Hop", "000010": "Pop", "000141": "Folk"}
    genres["155000"] = "Old-Time / Historic"
    assert fma.catalogue(block(tree, "full")) == genres
    assert list(fma.catalogue(block(tree, "full"))) == sorted(genres)
    assert fma.catalogue(block(tree)) == {"000002": "Hip-Hop", "000005": "Hip-Hop"}
    assert fma.official_splits(block(tree)) == {"official": {"000002": "train", "000005": "test"}}
    sides = fma.official_splits(block(tree, "full"))["official"]
    assert sides == dict.fromkeys(genres, "train") | {"000005": "test", "000010": "validation"}


def test_artists_of_one_name_stay_apart(tree):
    write_audio(tree / "fma_large", "000002", "000005", "000010", "000141")
    artists = {clip.track_id: clip.artist for clip in fma.find_clips(block(tree, "large")).clips}
    assert artists == {"000002": "AWOL [1]", "000005": "Awol [77]", "000010": "Kurt Vile [6]", "000141": ""}
    assert len({artist.casefold() for artist in artists.values()}) == 4


def test_one_track_twice(tree):
    write_audio(tree / "fma_small", "000002", extension="wav")
    with pytest.raises(DatasetError, match=r"two files are the track 000002.*Keep one"):
        fma.find_clips(block(tree))


def test_missing_folder(tmp_path):
    with pytest.raises(
        DatasetError, match=r"/fma does not exist\. Expected fma_small\.zip or .*7\.2 GiB.*download is true"
    ):
        fma.prepare(block(tmp_path / "fma"))


def test_missing_table(tree):
    (tree / "fma_metadata/tracks.csv").unlink()
    message = (
        r"tracks\.csv is not in .*/fma\. Get https://os\.unil\.\S+/fma_metadata\.zip \(342 MiB\) and put it.*/fma;"
    )
    for function in (fma.prepare, fma.find_clips, fma.catalogue, fma.official_splits):
        with pytest.raises(DatasetError, match=message):
            function(block(tree))
    with pytest.raises(DatasetError, match=r"tracks\.csv is not in .*/nowhere\."):
        fma.prepare(block(tree, metadata=tree / "nowhere"))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "track_id,genre\n2,Rock\n",
        "<html>\n<body>\n404\n</html>\n",
        table().replace("genre_top", "genre_bottom"),
        table([]).replace("track_id", "index"),
        table() + "7,too,few\n",
        table().replace("\n", ",\n", 1),
        table() + '7,"never closed',
    ],
)
def test_another_table(tree, content):
    write(tree, **{"fma_metadata/tracks.csv": content})
    with pytest.raises(DatasetError, match=r"tracks\.csv: expected tracks\.csv of fma_metadata\.zip, with three lines"):
        fma.find_clips(block(tree))


def test_table_in_another_encoding(tree):
    (tree / "fma_metadata/tracks.csv").write_bytes(table().replace("Kurt", "K\xfcrt").encode("latin-1"))
    with pytest.raises(DatasetError, match=r"expected tracks\.csv of fma_metadata\.zip"):
        fma.find_clips(block(tree))


@pytest.mark.parametrize(("kind", "subset"), [("fma", "full"), ("fma", "tiny"), ("fma", None), ("fma_full", "large")])
def test_misspelt_subset(tmp_path, kind, subset):
    values = {"kind": kind, "path": tmp_path, **({"subset": subset} if subset else {})}
    with pytest.raises(ConfigError, match=r"datasets\.x\.subset"):
        parse_block(DATASETS[kind].block, values, key="datasets.x")


def test_whole_tracks_have_no_common_length():
    assert DATASETS["fma"].clip_duration_s == 30.0
    assert DATASETS["fma_full"].clip_duration_s is None


# Downloads, from nowhere but this computer: test_downloads.py has the rest.


@pytest.fixture
def served(tree, tmp_path, monkeypatch) -> list[str]:
    """Have the archives in a folder that stands for the authors' server; return the names of what is fetched."""
    fetched: list[str] = []

    def download(sources: list[Source], folder: Path) -> tuple[Path, ...]:
        folder.mkdir(exist_ok=True)
        for source in sources:
            name = source.url.rsplit("/", maxsplit=1)[-1]
            fetched.append(name)
            zip_folder(tree / name.removesuffix(".zip"), folder / name)
        return tuple(folder / name for name in fetched)

    monkeypatch.setattr(fma, "download", download)
    return fetched


def test_download(served, tmp_path):
    assert found(tmp_path / "data", download=True) == [f"fma_small/{path}" for path in SMALL]
    assert served == ["fma_metadata.zip", "fma_small.zip"]
    assert found(tmp_path / "data", download=True) == [f"fma_small/{path}" for path in SMALL]
    assert len(served) == 2


def test_only_what_is_missing_is_downloaded(served, tmp_path):
    write_audio(tmp_path / "data/fma_small", "000005")
    assert found(tmp_path / "data", download=True) == ["fma_small/000/000005.mp3"]
    assert served == ["fma_metadata.zip"]


def test_nothing_is_downloaded_unasked(served, tmp_path):
    with pytest.raises(DatasetError, match=r"does not exist"):
        fma.prepare(block(tmp_path / "data"))
    assert served == []


def test_nothing_is_downloaded_for_an_archive_that_is_there(served, tree, tmp_path):
    zip_folder(tree / "fma_small", tmp_path / "fma_small.zip")
    with pytest.raises(DatasetError, match=r"Get \S+fma_metadata\.zip"):
        fma.prepare(block(tmp_path / "fma_small.zip", download=True))
    assert served == []


def test_sources():
    sources = [fma._METADATA, *fma._AUDIO.values()]
    assert [source.url.rsplit("/")[-1] for source in sources] == [
        f"fma_{name}.zip" for name in ("metadata", "small", "medium", "large", "full")
    ]
    assert len({source.sha1 for source in sources}) == 5
    assert all(len(bytes.fromhex(source.sha1)) == hashlib.sha1().digest_size for source in sources)
    assert [round(source.n_bytes / 2**30) for source in sources] == [0, 7, 22, 93, 879]


@pytest.mark.real_data
def test_published_labels_of_small():
    data = os.environ.get("GENRE_PIPELINE_REAL_DATA")
    if not data:
        pytest.skip("GENRE_PIPELINE_REAL_DATA does not name a folder with the real data")
    with (Path(data) / "metadata/fma_small_labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # The paths are those that the loader expects, the genres eight, each with 1000 tracks.
    names = [fma._identify(Path(row["filename"]), {Path(row["filename"]).stem: None}) for row in rows]
    assert len(names) == len(set(names)) == 8000
    assert None not in names
    assert {sum(row["genre"] == genre for row in rows) for genre in {row["genre"] for row in rows}} == {1000}
