"""What every dataset promises, checked on a small tree in each layout that people really have."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import soundfile

from genre_pipeline.blocks import parse_block
from genre_pipeline.datasets import DATASETS, DatasetBlock
from genre_pipeline.errors import ConfigError, DatasetError
from genre_pipeline.ingest.ingest import ingest
from genre_pipeline.splits.base import SPLITS


@dataclass(frozen=True)
class Example:
    """A few tracks of a dataset.

    Attributes:
        genres: Genre by track id, sorted.
        paths: Path by track id, with the names that differ between layouts in braces.
        layouts: Those names, for each layout; none where the dataset writes its own audio.
        stray: An audio file that is no clip, in the first layout.
        archive: Name, without its extension, of the archive of the first layout as people have it within the dataset's
            folder; none where there is no one archive of audio and tables.
        tables: Further files of every layout: content by path.
        parameters: What the dataset's block needs for clips of half a second.
    """

    genres: Mapping[str, str]
    paths: Mapping[str, str] = field(default_factory=dict)
    layouts: tuple[Mapping[str, str], ...] = ()
    stray: str = ""
    archive: str = "download"
    tables: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


_RAMEAU = "american_baroque/dances_and_suites_of_rameau_an"
_ISMIR = {
    "place": "",
    "rameau": f"classical/{_RAMEAU}/",
    "mirnix": "electronic/strojovna_07/mirnix/",
    "dirnix": "electronic/strojovna_07/dirnix/",
    "anup": "world/anup/embrace/",
}
_ISMIR_FLAT = {"rameau": "classical/", "mirnix": "electronic/", "dirnix": "electronic/", "anup": "world/"}

# The parts of FMA's table that matter: three lines of headings, the subject, what is said of it, the index's name.
_FMA_TABLE = """\
,track,track,set,set,artist,artist,album
,genre_top,title,subset,split,id,name,title
track_id,,,,,,,
2,Hip-Hop,Food,{subset},training,1,AWOL,A Way Of Life
5,Hip-Hop,This World,{subset},training,1,AWOL,A Way Of Life
10,Pop,Freeway,{subset},validation,6,Kurt Vile,Constant Hitmaker
140,Folk,Queen Of The Wires,{subset},test,54,Alec K. Redfearn,The Blind Spot
"""
_FMA_GENRES = {"000002": "Hip-Hop", "000005": "Hip-Hop", "000010": "Pop", "000140": "Folk"}

EXAMPLES = {
    "demo": Example(
        # The third clip of each genre is faulty.
        genres={f"{genre}_00{number}": genre for genre in ("ambient", "bossa", "house") for number in (1, 2, 3)},
        parameters={"n_genres": 3, "n_clips_per_genre": 2, "n_artists_per_genre": 2, "clip_duration_s": 0.5},
    ),
    "extended_ballroom": Example(
        genres={"100601": "Waltz", "100602": "Waltz", "100605": "Tango", "100701": "Chacha", "100702": "Chacha"},
        paths={
            "100601": "{place}{waltz}100601.{ext}",
            "100602": "{place}{waltz}100602.{ext}",
            "100701": "{place}{chacha}100701.{ext}",
            "100702": "{place}{chacha}100702.{ext}",
            "100605": "{place}{tango}100605.{ext}",
        },
        layouts=(
            {"place": "", "waltz": "Waltz/", "chacha": "Chacha/", "tango": "Tango/", "ext": "mp3"},
            {
                "place": "extendedballroom_v1.1/",
                "waltz": "Waltz/Waltz.",
                "chacha": "Chacha/Chacha.",
                "tango": "Tango/Tango.",
                "ext": "mp3",
            },
            {"place": "", "waltz": "WALTZ/", "chacha": "ChaChaCha/", "tango": "Tango/", "ext": "wav"},
            {"place": "audio/", "waltz": "waltz/", "chacha": "cha-cha-cha/", "tango": "tango/", "ext": "ogg"},
            {"place": "", "waltz": "", "chacha": "", "tango": "", "ext": "flac"},
        ),
        stray="Waltz/notes.mp3",
    ),
    "fma": Example(
        genres=_FMA_GENRES,
        paths={track_id: f"{{place}}000/{track_id}.{{ext}}" for track_id in _FMA_GENRES},
        layouts=(
            {"place": "fma_small/", "ext": "mp3"},
            {"place": "fma_small/fma_small/", "ext": "mp3"},
            {"place": "fma_large/", "ext": "mp3"},
            {"place": "", "ext": "wav"},
        ),
        stray="fma_small/000/notes.mp3",
        archive="",
        tables={"fma_metadata/tracks.csv": _FMA_TABLE.format(subset="small")},
        parameters={"subset": "small"},
    ),
    "fma_full": Example(
        genres=_FMA_GENRES,
        paths={track_id: f"{{place}}000/{track_id}.{{ext}}" for track_id in _FMA_GENRES},
        layouts=({"place": "fma_full/", "ext": "mp3"}, {"place": "", "ext": "ogg"}),
        stray="fma_full/000/notes.mp3",
        archive="",
        tables={"tracks.csv": _FMA_TABLE.format(subset="large")},
    ),
    "folder": Example(
        genres={"jazz/four": "jazz", "jazz/three": "jazz", "pop/one": "pop", "rock/live/two": "rock"},
        paths={name: f"{name}.{{ext}}" for name in ("jazz/four", "jazz/three", "pop/one", "rock/live/two")},
        layouts=tuple({"ext": extension} for extension in ("wav", "mp3", "ogg", "flac", "au", "aiff")),
        stray="notes.wav",
        archive="",
    ),
    "gtzan": Example(
        genres={"blues.00000": "blues", "blues.00001": "blues", "hiphop.00000": "hiphop", "rock.00099": "rock"},
        paths={
            "blues.00000": "{place}blues/blues.00000.{ext}",
            "blues.00001": "{place}blues/blues.00001.{ext}",
            "hiphop.00000": "{place}{hiphop}/{hiphop}.00000.{ext}",
            "rock.00099": "{place}rock/rock.00099.{ext}",
        },
        layouts=(
            {"place": "genres/", "hiphop": "hiphop", "ext": "wav"},
            {"place": "genres/", "hiphop": "hiphop", "ext": "au"},
            {"place": "genres_original/", "hiphop": "hiphop", "ext": "wav"},
            {"place": "Data/genres_original/", "hiphop": "hiphop", "ext": "wav"},
            {"place": "", "hiphop": "hip-hop", "ext": "mp3"},
            {"place": "", "hiphop": "Hip-Hop", "ext": "ogg"},
            {"place": "", "hiphop": "hiphop", "ext": "flac"},
        ),
        stray="genres/blues/notes.wav",
        archive="genres",
    ),
    "homburg": Example(
        genres={
            "1nothing-walk_away": "rock",
            "50_Minutes-Colours": "alternative",
            "50_Minutes-Nightwalk": "alternative",
            "All_Men_Are_Dogs_-GIGOLETTE": "blues",
            "Andy_Kimbel-Red_Hot_Blues": "blues",
        },
        paths={
            "1nothing-walk_away": "{place}{rock}1nothing-walk_away.{ext}",
            "50_Minutes-Colours": "{place}{alternative}50_Minutes-Colours.{ext}",
            "50_Minutes-Nightwalk": "{place}{alternative}50_Minutes-Nightwalk.{ext}",
            "All_Men_Are_Dogs_-GIGOLETTE": "{place}{blues}All_Men_Are_Dogs_-GIGOLETTE.{ext}",
            "Andy_Kimbel-Red_Hot_Blues": "{place}{blues}Andy_Kimbel-Red_Hot_Blues.{ext}",
        },
        layouts=(
            {"place": "", "alternative": "alternative/", "blues": "blues/", "rock": "rock/", "ext": "mp3"},
            {"place": "homburg/", "alternative": "alternative/", "blues": "blues/", "rock": "rock/", "ext": "wav"},
            {"place": "", "alternative": "Alternative/", "blues": "Blues/", "rock": "ROCK/", "ext": "ogg"},
            {
                "place": "",
                "alternative": "alternative/alternative/",
                "blues": "blues/blues/",
                "rock": "rock/rock/",
                "ext": "flac",
            },
            {"place": "", "alternative": "", "blues": "", "rock": "", "ext": "au"},
        ),
        stray="blues/notes.mp3",
    ),
    "ismir2004": Example(
        genres={
            f"evaluation/classical/{_RAMEAU}/29-menuets_1_2_suite_in_d_from": "classical",
            "evaluation/electronic/strojovna_07/dirnix/5-kruhovy_objazd": "electronic",
            f"training/classical/{_RAMEAU}/26-l'oracle_suite_in_d_from_les": "classical",
            "training/electronic/strojovna_07/mirnix/5-130": "electronic",
            "training/world/anup/embrace/6-life_glides": "world",
        },
        paths={
            f"evaluation/classical/{_RAMEAU}/29-menuets_1_2_suite_in_d_from": (
                "{place}evaluation/{rameau}29-menuets_1_2_suite_in_d_from.{ext}"
            ),
            "evaluation/electronic/strojovna_07/dirnix/5-kruhovy_objazd": (
                "{place}evaluation/{dirnix}05-kruhovy_objazd.{ext}"
            ),
            f"training/classical/{_RAMEAU}/26-l'oracle_suite_in_d_from_les": (
                "{place}training/{rameau}26-l_oracle_suite_in_d_from_les.{ext}"
            ),
            "training/electronic/strojovna_07/mirnix/5-130": "{place}training/{mirnix}5-130.{ext}",
            "training/world/anup/embrace/6-life_glides": "{place}training/{anup}6-life_glides.{ext}",
        },
        layouts=(
            {**_ISMIR, "ext": "mp3"},
            {**_ISMIR, "ext": "mp3", "place": "ismir04_genre/audio/"},
            {**_ISMIR, "ext": "wav", "place": "audio/"},
            {**_ISMIR_FLAT, "place": "", "ext": "ogg"},
        ),
        stray="training/classical/notes.mp3",
        parameters={"excerpt": {"start_s": 0.1, "duration_s": 0.3}},
    ),
}

# Those that come from nobody but the user or this project have no reader to be warned of.
OWN = frozenset({"demo", "folder"})
LAYOUTS = [(kind, number) for kind, example in EXAMPLES.items() for number in range(len(example.layouts))]
every_kind = pytest.mark.parametrize("kind", EXAMPLES)
every_layout = pytest.mark.parametrize(("kind", "number"), LAYOUTS)
every_kind_on_disk = pytest.mark.parametrize("kind", [kind for kind, example in EXAMPLES.items() if example.layouts])


def block_of(kind: str, root: Path, **values: Any) -> DatasetBlock:
    parameters = {"min_duration_s": 0.2, **EXAMPLES[kind].parameters, **values}
    return parse_block(DATASETS[kind].block, {"kind": kind, "path": root, **parameters}, key=kind)


def write_audio(path: Path, name: str) -> None:
    """Write half a second of noise, another for each name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(crc32(name.encode())).uniform(-0.5, 0.5, 11_025), 22_050)


def write_tree(kind: str, root: Path, number: int = 0) -> dict[str, str]:
    """Write a dataset's example in one of its layouts and return the path of each track."""
    example = EXAMPLES[kind]
    root.mkdir(exist_ok=True)
    for path, content in example.tables.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    if not example.layouts:
        return {}
    paths = {track_id: path.format(**example.layouts[number]) for track_id, path in example.paths.items()}
    for track_id, path in paths.items():
        write_audio(root / path, track_id)
    return paths


def test_every_kind_has_an_example():
    assert sorted(EXAMPLES) == DATASETS.names()


@every_layout
def test_every_layout_gives_the_same_tracks(tmp_path, kind, number):
    paths = write_tree(kind, tmp_path, number)
    block = block_of(kind, tmp_path)
    DATASETS[kind].prepare(block)
    listing = DATASETS[kind].find_clips(block)
    assert [(clip.track_id, clip.genre) for clip in listing.clips] == list(EXAMPLES[kind].genres.items())
    assert {clip.track_id: clip.path for clip in listing.clips} == paths
    status = {path: (tmp_path / path).stat() for path in paths.values()}
    assert listing.stamps == {path: (found.st_size, found.st_mtime_ns) for path, found in status.items()}
    assert listing.extra == ()


@every_kind
def test_track_ids_are_sorted_and_unique(tmp_path, kind):
    write_tree(kind, tmp_path)
    block = block_of(kind, tmp_path)
    DATASETS[kind].prepare(block)
    track_ids = [clip.track_id for clip in DATASETS[kind].find_clips(block).clips]
    assert track_ids == sorted(set(track_ids)) == list(EXAMPLES[kind].genres)


@every_kind
def test_the_order_of_a_folders_entries_does_not_matter(tmp_path, monkeypatch, kind):
    write_tree(kind, tmp_path)
    block = block_of(kind, tmp_path)
    DATASETS[kind].prepare(block)
    scan, listings = os.scandir, []
    for backwards in (False, True):

        @contextmanager
        def ordered(folder: Path | str, backwards: bool = backwards) -> Iterator[Iterator[os.DirEntry[str]]]:
            with scan(folder) as entries:
                yield iter(sorted(entries, key=lambda entry: entry.name, reverse=backwards))

        monkeypatch.setattr(os, "scandir", ordered)
        listings.append(DATASETS[kind].find_clips(block))
    assert listings[0] == listings[1]
    assert list(listings[0].stamps) == list(listings[1].stamps)


@every_kind_on_disk
@pytest.mark.parametrize("form", ["zip", "gztar"])
def test_archive_as_the_path(tmp_path, kind, form):
    write_tree(kind, tmp_path / "tree")
    archive = Path(shutil.make_archive(str(tmp_path / "music"), form, tmp_path / "tree"))
    block = block_of(kind, archive)
    DATASETS[kind].prepare(block)
    assert block.root == tmp_path / "music"
    clips = DATASETS[kind].find_clips(block).clips
    assert [(clip.track_id, clip.genre) for clip in clips] == list(EXAMPLES[kind].genres.items())
    assert all((block.root / clip.path).is_file() for clip in clips)


@pytest.mark.parametrize("kind", [kind for kind, example in EXAMPLES.items() if example.layouts and example.archive])
def test_archive_in_the_folder(tmp_path, kind):
    write_tree(kind, tmp_path / "tree")
    (tmp_path / "music").mkdir()
    shutil.make_archive(str(tmp_path / "music" / EXAMPLES[kind].archive), "zip", tmp_path / "tree")
    block = block_of(kind, tmp_path / "music")
    DATASETS[kind].prepare(block)
    clips = DATASETS[kind].find_clips(block).clips
    assert [(clip.track_id, clip.genre) for clip in clips] == list(EXAMPLES[kind].genres.items())


@every_kind_on_disk
def test_a_file_that_is_no_clip_is_named(tmp_path, kind):
    write_tree(kind, tmp_path)
    write_audio(tmp_path / EXAMPLES[kind].stray, "stray")
    listing = DATASETS[kind].find_clips(block_of(kind, tmp_path))
    assert listing.extra == (EXAMPLES[kind].stray,)
    assert [clip.track_id for clip in listing.clips] == list(EXAMPLES[kind].genres)


@every_kind
def test_facts_agree_with_each_other(tmp_path, kind):
    write_tree(kind, tmp_path)
    spec, block = DATASETS[kind], block_of(kind, tmp_path)
    spec.prepare(block)
    catalogue = spec.catalogue(block)
    if catalogue:
        assert EXAMPLES[kind].genres.items() <= catalogue.items()
    assert spec.checksums(block).keys() <= catalogue.keys()
    known = catalogue.keys() or EXAMPLES[kind].genres.keys()
    for sides in spec.official_splits(block).values():
        assert sides.keys() <= known
        assert {"train", "test"} <= set(sides.values()) <= set(SPLITS)


@every_kind
def test_texts_for_people(kind):
    spec = DATASETS[kind]
    for text in (spec.title, spec.citation, spec.licence):
        assert text.strip() == text != ""
    assert all(text.endswith(".") for text in (spec.citation, spec.licence, *spec.caveats))
    assert bool(spec.caveats) is (kind not in OWN)


@every_kind_on_disk
@pytest.mark.parametrize("is_there", [False, True])
def test_message_about_missing_audio_says_what_to_do(tmp_path, kind, is_there):
    root = tmp_path / "music"
    if is_there:
        root.mkdir()
    with pytest.raises(DatasetError, match=re.escape(str(root))) as caught:
        DATASETS[kind].prepare(block_of(kind, root))
    message = str(caught.value)
    assert re.search(r"does not exist|holds no audio|is not in", message)
    assert re.search(r"Expected|Get http", message)
    assert "datasets.<name>." in message


@every_layout
def test_ingest(tmp_path, kind, number):
    root = tmp_path / "music"
    paths = write_tree(kind, root, number)
    spec, block = DATASETS[kind], block_of(kind, root)
    result = ingest(kind, spec, block, cache=tmp_path / "cache.parquet", n_workers=1)
    tracks = result.tracks
    assert dict(zip(tracks["track_id"], tracks["genre"], strict=True)) == EXAMPLES[kind].genres
    assert dict(zip(tracks["track_id"], tracks["path"], strict=True)) == paths
    assert not tracks["quarantined"].any()
    assert result.report["n_usable"] == len(paths)
    missing = {row["track_id"]: row["genre"] for row in result.report["missing"]}
    assert missing == {track_id: genre for track_id, genre in spec.catalogue(block).items() if track_id not in paths}
    again = ingest(kind, spec, block, cache=tmp_path / "cache.parquet", n_workers=1)
    assert (again.report["n_inspected"], again.report["n_reused"]) == (0, len(paths))


@every_kind
def test_genres_can_be_chosen(tmp_path, kind):
    root = tmp_path / "music"
    write_tree(kind, root)
    genres = EXAMPLES[kind].genres
    *some, _ = sorted(set(genres.values()))
    assert chosen(kind, tmp_path, genres=some) == [track_id for track_id in genres if genres[track_id] in some]
    with pytest.raises(ConfigError, match=r"no genre 'polka'"):
        chosen(kind, tmp_path, genres=[some[0], "polka"])


def chosen(kind: str, folder: Path, **values: Any) -> list[str]:
    block = block_of(kind, folder / "music", **values)
    result = ingest(kind, DATASETS[kind], block, cache=folder / "cache.parquet", n_workers=1)
    return list(result.tracks["track_id"])
