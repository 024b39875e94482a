"""Ingest: the track table, the report, and how little is done the second time."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from pyarrow import parquet

from genre_pipeline.datasets import DATASETS, TRACK_COLUMNS, DatasetBlock
from genre_pipeline.datasets.base import no_official_facts
from genre_pipeline.errors import ConfigError, DatasetError, StorageError
from genre_pipeline.ingest import inspections, near_duplicates
from genre_pipeline.ingest import report as ingest_report
from genre_pipeline.ingest.ingest import IngestResult, ingest
from genre_pipeline.ingest.near_duplicates import NearDuplicate
from genre_pipeline.locks import only_one

RATE = 8000

Write = Callable[..., Path]
Run = Callable[..., IngestResult]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "music"


@pytest.fixture
def write(root: Path) -> Write:
    """Write noise of a given seed, or given samples, into the dataset."""

    def write_file(name: str, seed: int = 0, *, samples: np.ndarray | None = None, duration_s: float = 4.0) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if samples is None:
            samples = np.random.default_rng(seed).integers(-9000, 9000, int(duration_s * RATE), dtype=np.int16)
        soundfile.write(path, samples, RATE, subtype="FLOAT" if samples.dtype.kind == "f" else "PCM_16")
        return path

    return write_file


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "inspections.parquet"


@pytest.fixture
def run(root: Path, cache: Path) -> Run:
    def run_ingest(facts: Mapping[str, Any] | None = None, **options) -> IngestResult:
        block = DatasetBlock(kind="folder", path=root, **options)
        return ingest("mine", replace(DATASETS["folder"], **facts or {}), block, cache=cache, n_workers=2)

    return run_ingest


@pytest.fixture
def music(write: Write) -> list[Path]:
    """Two genres of three sound clips each."""
    return [write(f"{genre}/{n}.wav", seed=10 * n + len(genre)) for genre in ("jazz", "blues") for n in range(3)]


def faults(result: IngestResult) -> dict[str, str]:
    tracks = result.tracks
    return {row.track_id: row.faults for row in tracks.itertuples() if row.faults}


def test_tracks(music, run):
    tracks = run().tracks
    assert list(tracks.columns) == list(TRACK_COLUMNS)
    assert {name: str(dtype) for name, dtype in tracks.dtypes.items()} == dict(TRACK_COLUMNS)
    assert list(tracks["track_id"]) == ["blues/0", "blues/1", "blues/2", "jazz/0", "jazz/1", "jazz/2"]
    assert list(tracks["path"]) == [f"{track_id}.wav" for track_id in tracks["track_id"]]
    assert set(tracks["duration_s"]) == {4.0}
    assert set(tracks["n_samples"]) == {4 * RATE}
    assert set(tracks["format"]) == {"WAV"}
    assert set(tracks["artist"]) == {""}
    assert not tracks.isna().any(axis=None)
    assert not tracks["quarantined"].any()


def test_report(music, write, run, root):
    (root / "metadata.csv").write_text("path,artist\njazz/0.wav,Ann\njazz/1.wav,Ann\njazz/2.wav,Bea\nblues/0.wav,Cy\n")
    write("blues/3.wav", seed=99, duration_s=1)
    report = run().report
    assert json.loads(json.dumps(report)) == report
    assert report["dataset"] == "mine"
    assert report["kind"] == "folder"
    assert report["title"]
    assert report["citation"]
    assert report["licence"]
    assert (report["n_clips"], report["n_usable"], report["n_quarantined"]) == (7, 6, 1)
    assert report["total_duration_s"] == 24.0
    assert report["genres"] == {
        "blues": {"clips": 4, "usable": 3, "artists": 1},
        "jazz": {"clips": 3, "usable": 3, "artists": 2},
    }
    assert report["faults"] == [
        {
            "track_id": "blues/3",
            "path": "blues/3.wav",
            "fault": "too_short",
            "detail": "it lasts 1.00 s, less than min_duration_s=3",
            "quarantined": True,
        }
    ]
    assert (report["n_inspected"], report["n_reused"]) == (7, 0)


def test_every_bad_file_is_found(music, write, run, root):
    good = music[0].read_bytes()
    (root / "jazz" / "text.wav").write_text("not music")
    # A tenth of a second: a few bytes less are a wrong size, which keeps no track out.
    (root / "jazz" / "cut.wav").write_bytes(good[: -2 * (RATE // 10)])
    (root / "jazz" / "nothing.wav").touch()
    write("jazz/no_samples.wav", samples=np.zeros(0, np.int16))
    write("jazz/silent.wav", samples=np.zeros(4 * RATE, np.int16))
    write("jazz/silent_too.wav", samples=np.zeros(4 * RATE, np.int16))
    write("jazz/nan.wav", samples=np.r_[np.tile([0.5, -0.5], 2 * RATE), np.nan])
    write("jazz/short.wav", duration_s=2.9, seed=50)
    write("jazz/loud.wav", samples=np.repeat(np.tile(np.array([32_767, -32_767], np.int16), 400), 40))
    write("jazz/shifted.wav", samples=(0.25 + np.random.default_rng(51).uniform(-0.1, 0.1, 4 * RATE)))
    assert faults(run()) == {
        "jazz/text": "unreadable",
        "jazz/cut": "truncated",
        "jazz/nothing": "empty",
        "jazz/no_samples": "empty",
        "jazz/silent": "silent",
        "jazz/silent_too": "silent",
        "jazz/nan": "non_finite",
        "jazz/short": "too_short",
        "jazz/loud": "clipped",
        "jazz/shifted": "dc_offset",
    }


def test_reported_faults_alone_do_not_quarantine(music, write, run):
    write("jazz/shifted.wav", samples=(0.25 + np.random.default_rng(51).uniform(-0.1, 0.1, 4 * RATE)))
    result = run()
    assert result.report["n_quarantined"] == 0
    assert result.report["faults"][0]["quarantined"] is False


def test_quarantine_is_a_choice(music, write, run):
    write("jazz/short.wav", duration_s=1, seed=50)
    result = run(quarantine=("unreadable", "empty"))
    assert faults(result) == {"jazz/short": "too_short"}
    assert result.report["n_usable"] == 7


def test_listed_but_missing_file(music, run, root):
    (root / "metadata.csv").write_text("path,artist\njazz/0.wav,Ann\njazz/gone.wav,Ann\n")
    result = run()
    assert faults(result) == {"jazz/gone": "unreadable"}
    assert "no such file" in result.report["faults"][0]["detail"]


def test_copied_file(music, run, root):
    shutil.copy(root / "jazz/1.wav", root / "jazz/9.wav")
    result = run()
    assert faults(result) == {"jazz/9": "duplicate_file"}
    assert result.report["faults"][0]["detail"] == "same file as jazz/1"
    assert result.tracks.set_index("track_id")["quarantined"]["jazz/9"]


def test_same_audio_in_another_container_and_genre(music, write, run):
    write("jazz/9.flac", samples=soundfile.read(music[-1], dtype="int16")[0])
    result = run()
    assert music[-1].match("blues/2.wav")
    assert faults(result) == {"jazz/9": "duplicate_audio"}
    assert result.report["faults"][0]["detail"] == "same audio as blues/2, which is labelled 'blues', not 'jazz'"


def test_copy_of_an_unusable_file_is_kept(music, run, root):
    # The same samples under a header that promises more: first in order, but not the one to keep.
    content = music[0].read_bytes()
    (root / "jazz" / "00.wav").write_bytes(content.replace(b"data" + content[40:44], b"data\xff\xff\x00\x00"))
    result = run()
    assert faults(result) == {"jazz/00": "truncated"}


def test_second_ingest_decodes_nothing(music, run, root, monkeypatch):
    (root / "jazz" / "text.wav").write_text("not music")
    first = run()

    def fail(path):
        raise AssertionError(path)

    monkeypatch.setattr(inspections, "inspect_audio", fail)
    second = run()
    assert (first.report["n_inspected"], first.report["n_reused"]) == (7, 0)
    assert (second.report["n_inspected"], second.report["n_reused"]) == (0, 7)
    assert second.tracks.equals(first.tracks)
    assert second.report["faults"] == first.report["faults"]


def test_changed_file_is_inspected_again(music, write, run):
    run()
    write("jazz/1.wav", seed=77, duration_s=5)
    result = run()
    assert (result.report["n_inspected"], result.report["n_reused"]) == (1, 5)
    assert result.tracks.set_index("track_id")["duration_s"]["jazz/1"] == 5.0


def test_file_of_the_same_size_but_another_time_is_inspected_again(music, run):
    run()
    status = music[0].stat()
    os.utime(music[0], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert run().report["n_inspected"] == 1


def test_new_file_alone_is_inspected(music, write, run):
    run()
    write("jazz/new.wav", seed=78)
    assert run().report["n_inspected"] == 1


def test_removed_file_leaves_table_and_cache(music, run, cache):
    run()
    music[0].unlink()
    result = run()
    assert result.report["n_inspected"] == 0
    assert "jazz/0" not in set(result.tracks["track_id"])
    assert parquet.read_table(cache)["path"].to_pylist() == sorted(result.tracks["path"])


def test_leaving_a_genre_out_does_not_forget_it(music, write, run):
    write("rock/0.wav", seed=55)
    run()
    subset = run(genres=("jazz", "blues"))
    assert set(subset.tracks["genre"]) == {"jazz", "blues"}
    assert run().report["n_inspected"] == 0


def test_file_that_could_not_be_opened_is_tried_again(music, run, monkeypatch):
    refused = inspections.AudioFacts(faults=("unreadable",), detail="cannot be opened (Permission denied)")
    inspect = inspections.inspect_audio
    with monkeypatch.context() as patch:
        patch.setattr(inspections, "inspect_audio", lambda path: refused if path == music[0] else inspect(path))
        assert faults(run()) == {"jazz/0": "unreadable"}
    result = run()
    assert result.report["n_inspected"] == 1
    assert faults(result) == {}


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_interrupted_ingest_goes_on_where_it_was(music, run, monkeypatch, interruption):
    inspect = inspections.inspect_audio

    def interrupt(path):
        if path.match("jazz/1.wav"):
            raise interruption
        return inspect(path)

    with monkeypatch.context() as patch:
        patch.setattr(inspections, "inspect_audio", interrupt)
        with pytest.raises(interruption):
            run()
    result = run()
    assert (result.report["n_inspected"], result.report["n_reused"]) == (2, 4)
    assert result.report["n_usable"] == 6


@pytest.mark.parametrize(("n_files", "expected"), [(4, [4, 2]), (3, [3, 3])])
def test_work_is_saved_on_the_way(music, run, cache, monkeypatch, n_files, expected):
    saved = []
    save = inspections._save

    def watch(path, rows):
        saved.append(len(rows))
        save(path, rows)

    monkeypatch.setattr(inspections, "_save", watch)
    monkeypatch.setattr(inspections, "_PART_FILES", n_files)
    run()
    assert saved == expected
    left = sorted(path.name for path in cache.parent.iterdir())
    assert left == [".inspections.lock", "inspections.near_duplicates.json", "inspections.parquet"]


def test_what_a_killed_run_left_half_written_is_removed(music, run, cache):
    cache.parent.mkdir()
    others = cache.with_name(".inspections6-abcdefgh.parquet")
    names = (".inspections-abc_efgh.parquet", ".inspections.near_duplicates-12345678.json")
    remains = [cache.with_name(name) for name in names]
    for path in (others, *remains):
        path.touch()
    run()
    assert others.exists()
    assert not any(path.exists() for path in remains)


def test_no_more_files_wait_than_workers_need():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        results = inspections._map_in_order(pool, lambda number: number * number, items(), n_ahead=7)
        for number, result in enumerate(results):
            assert result == number * number
            assert len(taken) <= number + 8


@pytest.mark.parametrize("content", [b"", b"PAR1 not a table PAR1"])
def test_damaged_cache_is_discarded_with_a_warning(music, run, cache, caplog, content):
    run()
    cache.write_bytes(content)
    result = run()
    assert result.report["n_inspected"] == 6
    assert any("cannot be read" in record.message for record in caplog.records if record.levelname == "WARNING")
    assert run().report["n_inspected"] == 0


def test_cache_of_another_version_is_discarded(music, run, cache, monkeypatch):
    run()
    with monkeypatch.context() as patch:
        patch.setattr(inspections, "INSPECTION_VERSION", 0)
        assert run().report["n_inspected"] == 6
    assert run().report["n_inspected"] == 6


def test_foreign_table_in_place_of_the_cache_is_discarded(music, run, cache):
    cache.parent.mkdir()
    parquet.write_table(pa.table({"path": ["jazz/0.wav"]}), cache)
    assert run().report["n_inspected"] == 6


@pytest.mark.parametrize(
    ("code", "message"), [(errno.EROFS, "read-only"), (errno.ENOSPC, "disk is full"), (errno.EACCES, "permission")]
)
def test_cache_that_cannot_be_written(music, run, cache, monkeypatch, code, message):
    def refuse(self, target):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError, match=rf"inspections\.parts.*{message}"):
        run()
    assert [path for path in cache.parent.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_unknown_genre(music, run):
    with pytest.raises(ConfigError, match=r"datasets\.mine\.genres.*'jaz'\. Did you mean 'jazz'\? Known: blues, jazz"):
        run(genres=("blues", "jaz"))


def test_no_usable_clip(write, run):
    write("jazz/0.wav", duration_s=1)
    write("blues/0.wav", duration_s=1, seed=1)
    with pytest.raises(DatasetError, match=r"'mine': the 2 clips have no usable clip.*2 too_short.*quarantine"):
        run()


def test_genre_without_usable_clip(music, write, run, root, caplog):
    (root / "pop").mkdir()
    (root / "pop" / "a.mp3").write_text("not music")
    with pytest.raises(DatasetError, match=r"'mine': the genre 'pop' has no usable clip.*1 unreadable"):
        run()
    assert "pop/a" in caplog.text


def test_log_lines(music, write, run, caplog, monkeypatch):
    monkeypatch.setattr(ingest_report, "_MAX_WARNINGS", 2)
    for n in range(5):
        write(f"jazz/short{n}.wav", duration_s=1, seed=n + 60)
    with caplog.at_level("INFO"):
        run()
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    why = "too_short (it lasts 1.00 s, less than min_duration_s=3)"
    unknown = (
        "mine: artists unknown: 6 of 6 tracks; artist_kfold cannot keep the tracks of each artist together. "
        "For your own music, give their artists in a metadata.csv with the columns path and artist."
    )
    assert warnings == [
        f"mine: jazz/short0 (jazz/short0.wav) is not used: {why}",
        f"mine: jazz/short1 (jazz/short1.wav) is not used: {why}",
        "mine: 3 more clips are not used; the ingest report names them.",
        unknown,
    ]
    assert "mine: 11 clips of 2 genres, 6 usable (0.0 h), 5 quarantined; 11 files inspected" in caplog.text


# What nobody looked into, nobody opened: paths that Python was asked to open while this is a list.
opened: list[str] | None = None


def watch_opened(event: str, arguments: tuple) -> None:
    if event == "open" and opened is not None:
        opened.append(str(arguments[0]))


@pytest.fixture
def watched(monkeypatch) -> Iterator[list[str]]:
    sys.addaudithook(watch_opened)
    monkeypatch.setattr(sys.modules[__name__], "opened", [])
    return opened


def test_unchanged_files_are_not_opened(music, run, root, watched):
    first = run()
    assert {path for path in watched if path.startswith(str(root))} >= set(map(str, music))
    watched.clear()
    assert run().tracks.equals(first.tracks)
    assert [path for path in watched if path.startswith(str(root))] == []


def test_near_duplicates_are_remembered_until_a_track_changes(music, write, run, monkeypatch):
    n_searches = []
    search = near_duplicates.find_near_duplicates

    def count(track_ids, fingerprints):
        n_searches.append(len(track_ids))
        return search(track_ids, fingerprints)

    monkeypatch.setattr(near_duplicates, "find_near_duplicates", count)
    first = run()
    assert run().report["near_duplicates"] == first.report["near_duplicates"]
    assert n_searches == [6]
    write("jazz/3.wav", seed=99)
    run()
    assert n_searches == [6, 7]


@pytest.mark.parametrize("text", ["", "[1]", "{}"])
def test_damaged_memory_of_near_duplicates_is_made_anew(music, run, cache, text):
    first = run()
    cache.with_name("inspections.near_duplicates.json").write_text(text)
    assert run().report["near_duplicates"] == first.report["near_duplicates"]


def test_quieter_copy_is_a_near_duplicate(music, write, run):
    noise = np.random.default_rng(0).integers(-9000, 9000, 10 * RATE, dtype=np.int16)
    write("jazz/a.wav", samples=noise)
    write("blues/z.flac", samples=(noise // 2)[2 * RATE :])
    result = run()
    assert faults(result) == {"jazz/a": "near_duplicate"}
    (pair,) = result.report["near_duplicates"]
    assert pair["track_ids"] == ["blues/z", "jazz/a"]
    assert pair["genres"] == ["blues", "jazz"]
    assert pair["offset_s"] == pytest.approx(-2, abs=0.2)
    recordings = result.tracks.set_index("track_id")["recording"]
    assert recordings["jazz/a"] == "blues/z"
    assert result.report["n_quarantined"] == 0
    (fault,) = result.report["faults"]
    assert fault["detail"].startswith("same recording as blues/z, which is labelled 'blues', not 'jazz' (similarity ")


def test_recordings_connect_all_that_are_copies_of_copies(music, run, root, monkeypatch):
    shutil.copy(root / "jazz/2.wav", root / "jazz/3.wav")
    pairs = [NearDuplicate("blues/1", "jazz/0", 0.9, 1.0), NearDuplicate("jazz/0", "jazz/2", 0.9, -1.0)]
    monkeypatch.setattr(near_duplicates, "find_near_duplicates", lambda *_: pairs)
    checksums = {"blues/0": "1f", "blues/2": "1f", "jazz/9": "1f", "jazz/1": "2e"}
    result = run({"checksums": lambda block: checksums, "file_format": "FLAC"})
    assert dict(zip(result.tracks["track_id"], result.tracks["recording"], strict=True)) == {
        "blues/0": "blues/0",
        "blues/1": "blues/1",
        "blues/2": "blues/0",
        "jazz/0": "blues/1",
        "jazz/1": "jazz/1",
        "jazz/2": "blues/1",
        "jazz/3": "blues/1",
    }
    assert faults(result) == {"jazz/0": "near_duplicate", "jazz/2": "near_duplicate", "jazz/3": "duplicate_file"}
    assert result.report["official_duplicates"] == [["blues/0", "blues/2", "jazz/9"]]


def test_near_duplicates_may_be_quarantined(music, run, monkeypatch):
    pair = NearDuplicate("jazz/0", "jazz/1", 0.9, 1.0)
    monkeypatch.setattr(near_duplicates, "find_near_duplicates", lambda *_: [pair])
    result = run(quarantine=("near_duplicate",))
    assert list(result.tracks["track_id"][result.tracks["quarantined"]]) == ["jazz/1"]


def test_against_what_was_published(music, write, run, root, caplog):
    (root / "jazz/cut.wav").write_bytes((root / "jazz/1.wav").read_bytes()[: -2 * (RATE // 10)])
    write("jazz/3.flac", seed=81)
    write("jazz/4.wav", seed=82, duration_s=3.5)
    soundfile.write(root / "jazz/5.wav", np.random.default_rng(83).uniform(-0.5, 0.5, 16_000), 4000)
    (root / "stray.wav").touch()
    md5 = {f"{path.parent.name}/{path.stem}": inspections.inspect_audio(path).content_hash for path in music}
    facts = {
        "catalogue": lambda block: {**dict.fromkeys(["jazz/0", "jazz/7"], "jazz"), "pop/0": "pop", "pop/1": "pop"},
        "checksums": lambda block: {**md5, "jazz/3": "0", "jazz/4": "0", "jazz/cut": "0", "pop/0": "0", "pop/1": "0"},
        "file_format": "WAV",
        "clip_duration_s": 4.0,
        "sample_rate": RATE,
        "caveats": ("It is small.",),
    }
    with caplog.at_level("INFO"):
        result = run(facts)
    report = result.report
    assert report["expected"] == {"jazz": 2, "pop": 2}
    assert report["missing"] == [
        {"track_id": "jazz/7", "genre": "jazz"},
        {"track_id": "pop/0", "genre": "pop"},
        {"track_id": "pop/1", "genre": "pop"},
    ]
    assert report["extra"] == ["stray.wav"]
    assert report["caveats"] == ["It is small."]
    assert report["checksums"] == {"official": 6, "re_encoded": 1, "unknown": 2}
    assert report["official_duplicates"] == [["jazz/3", "jazz/4", "jazz/cut", "pop/0", "pop/1"]]
    statuses = dict(zip(result.tracks["track_id"], result.tracks["checksum"], strict=True))
    assert (statuses["jazz/0"], statuses["jazz/3"], statuses["jazz/4"], statuses["jazz/5"]) == (
        "official",
        "re_encoded",
        "unknown",
        "",
    )
    assert faults(result) == {
        "jazz/4": "short;unknown_checksum",
        "jazz/5": "wrong_rate",
        "jazz/cut": "truncated;unknown_checksum",
    }
    details = {fault["fault"]: fault["detail"] for fault in report["faults"]}
    assert details["short"] == "it lasts 3.50 s, the published clips 4"
    assert details["wrong_rate"] == "its rate is 4000 Hz, that of the published clips 8000"
    assert "mine: 3 of the 4 published clips are missing" in caplog.text
    assert "mine: files against the published checksums: 6 official, 2 unknown, 1 re_encoded." in caplog.text
    assert "mine: faults that are only reported: 2 unknown_checksum, 1 short, 1 wrong_rate." in caplog.text


def test_kinds_with_published_checksums_say_of_which_format():
    # Without it, every re-encoded file would be taken for a damaged one.
    for kind in DATASETS.names():
        assert bool(DATASETS[kind].file_format) is (DATASETS[kind].checksums is not no_official_facts), kind


def test_excerpts(music, write, run):
    write("jazz/long.wav", seed=70, duration_s=9)
    write("jazz/middling.wav", seed=71, duration_s=5)
    write("jazz/just.wav", seed=72, duration_s=3)
    write("jazz/brief.wav", seed=73, duration_s=2.5)
    whole = run(min_duration_s=1).tracks.set_index("track_id")
    result = run(min_duration_s=1, excerpt={"start_s": 4.0, "duration_s": 3.0})
    tracks = result.tracks.set_index("track_id")
    assert tracks["start_sample"][["jazz/long", "jazz/middling", "jazz/just"]].tolist() == [4 * RATE, 2 * RATE, 0]
    sound = tracks[~tracks["quarantined"]]
    assert set(sound["n_samples"]) == {3 * RATE}
    assert set(sound["duration_s"]) == {3.0}
    assert faults(result) == {"jazz/brief": "too_short"}
    (fault,) = result.report["faults"]
    assert fault["detail"] == "it lasts 2.50 s, its excerpt 3"
    assert fault["quarantined"]
    is_whole = tracks["audio_hash"] == whole["audio_hash"]
    assert list(tracks.index[is_whole]) == ["jazz/brief", "jazz/just"]
    assert tracks["audio_hash"].is_unique
    assert list(tracks["recording"]) == list(tracks.index)
    assert result.report["n_inspected"] == 0


def test_excerpts_of_the_same_audio_are_duplicates(music, write, run, root):
    write("jazz/9.flac", samples=soundfile.read(root / "jazz/1.wav", dtype="int16")[0])
    result = run(min_duration_s=0, excerpt={"start_s": 1.0, "duration_s": 1.0})
    tracks = result.tracks.set_index("track_id")
    assert faults(result) == {"jazz/9": "duplicate_audio"}
    assert tracks["audio_hash"]["jazz/9"] == tracks["audio_hash"]["jazz/1"]


def test_excerpts_of_files_without_audio(music, run, root):
    (root / "jazz/text.wav").write_text("not music")
    result = run(excerpt={"start_s": 1.0, "duration_s": 3.0})
    assert faults(result) == {"jazz/text": "unreadable"}
    row = result.tracks.set_index("track_id").loc["jazz/text"]
    assert (row["start_sample"], row["n_samples"], row["duration_s"], row["audio_hash"]) == (0, 0, 0.0, "")


def test_strict(music, write, run, root):
    assert run(strict=True).report["n_usable"] == 6
    write("jazz/short.wav", duration_s=1, seed=50)
    (root / "stray.wav").touch()
    catalogue = {**{f"jazz/{n}": "jazz" for n in range(9)}, "pop/0": "pop"}
    with pytest.raises(DatasetError) as caught:
        run({"catalogue": lambda block: catalogue}, strict=True)
    assert (
        "'mine' is strict (datasets.mine.strict), and it has faults: 7 missing (jazz/3, jazz/4, jazz/5, "
        "...); 1 extra (stray.wav); 1 too_short (jazz/short). Repair it, or set strict to false"
    ) in str(caught.value)


def test_strict_asks_for_the_chosen_genres_only(music, write, run):
    write("rock/0.wav", duration_s=1, seed=50)
    catalogue = {"pop/0": "pop", "rock/1": "rock", **dict.fromkeys(["jazz/0"], "jazz"), "blues/0": "blues"}
    result = run({"catalogue": lambda block: catalogue}, strict=True, genres=("jazz", "blues"))
    assert [each["track_id"] for each in result.report["missing"]] == ["pop/0", "rock/1"]


def test_chosen_genre_of_which_nothing_is_there(music, run):
    with pytest.raises(DatasetError, match=r"'mine': the genre 'pop' has no usable clip \(found: no file\)"):
        run({"catalogue": lambda block: {"pop/0": "pop", "jazz/0": "jazz"}}, genres=("jazz", "pop"))


def test_everything_below_the_root_is_accounted_for(music, write, run, root, caplog):
    for name in ("jazz/a.m4a", "pop/b.wma", "jazz/cover.jpg", "stray.wav", "#recycle/jazz/0.wav", "blues/a.m4a"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((root / "jazz/0.wav").read_bytes())
    (root / "jazz/loop.wav").symlink_to("loop.wav")
    with caplog.at_level("INFO"):
        report = run().report
    assert {kind: counted["n"] for kind, counted in report["left_out"].items()} == {
        "stray": 1,
        "other_format": 3,
        "broken_link": 1,
        "system": 1,
        "other": 1,
    }
    assert report["n_usable"] == 6
    assert report["extra"] == ["blues/a.m4a", "jazz/a.m4a", "jazz/loop.wav", "pop/b.wma", "stray.wav"]
    assert json.loads(json.dumps(report)) == report
    (line,) = [record for record in caplog.records if "besides the clips" in record.message]
    assert line.levelname == "WARNING"
    assert "audio in formats that are not read: 3 (.m4a: 2, .wma: 1; convert it to FLAC with ffmpeg)" in line.message
    assert "system and hidden files and folders: 1 (#recycle: 1)" in line.message
    (remark,) = report["remarks"]
    assert remark.startswith("nothing of 'pop' is used: audio in formats that are not read: 1 (.wma: 1;")
    assert f"mine: {remark}" in caplog.messages


def test_names_that_look_alike_are_named(music, write, run, root, caplog):
    write("Hip-Hop/0.wav", seed=60)
    write("hip hop/0.wav", seed=61)
    rows = [("jazz/0", "The Beatles"), ("jazz/1", '"Beatles, The"'), ("blues/0", "AC/DC"), ("blues/1", "ACDC")]
    (root / "metadata.csv").write_text("\n".join(["path,artist", *(f"{name}.wav,{artist}" for name, artist in rows)]))
    report = run().report
    assert report["remarks"] == [
        "genres that look alike are different ones: 'Hip-Hop' = 'hip hop'. If they are one, give it one name.",
        (
            "artists that look alike are taken for one, and kept together by splits: 'AC/DC' = 'ACDC'; 'Beatles, The' "
            "= 'The Beatles'."
        ),
    ]
    assert (report["genres"]["jazz"]["artists"], report["genres"]["blues"]["artists"]) == (1, 1)
    *warnings, unknown = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [f"mine: {remark}" for remark in report["remarks"]]
    assert unknown.startswith("mine: artists unknown: 4 of 8 tracks")


def test_a_deleted_copy_does_not_keep_the_track_out(music, run, root):
    (root / "#recycle").mkdir()
    shutil.copy(root / "jazz/0.wav", root / "#recycle/0.wav")
    assert faults(run()) == {}


def test_signs_that_are_not_printed_are_escaped_in_the_log(music, run, root, caplog):
    (root / "jazz/esc\x1b[31m\n.wav").write_text("not music")
    assert faults(run()) == {"jazz/esc\x1b[31m\n": "unreadable"}
    assert r"jazz/esc\x1b[31m\n.wav" in caplog.text
    assert "\x1b" not in caplog.text


def test_missing_file_is_not_looked_for_outside(music, run, root, tmp_path):
    shutil.copy(music[0], tmp_path / "outside.wav")
    (root / "jazz/link.wav").symlink_to(tmp_path / "outside.wav")
    (root / "metadata.csv").write_text("path,artist\njazz/link.wav,Ann\n")
    result = run()
    assert faults(result) == {"jazz/link": "unreadable"}
    assert result.tracks.set_index("track_id")["n_bytes"]["jazz/link"] == 0


def test_nothing_but_missing_files(run, root):
    root.mkdir()
    (root / "metadata.csv").write_text("path,genre\na.wav,jazz\nb.wav,pop\n")
    with pytest.raises(DatasetError, match=r"metadata\.csv: 2 of 2 rows match no file: 'a\.wav' in line 2, 'b\.wav'"):
        run()


def test_cache_that_another_process_holds(music, run, cache):
    run()
    with (
        only_one(cache.with_name("inspections"), RuntimeError),
        pytest.raises(StorageError, match=rf"process {os.getpid()} on .* is inspecting this dataset"),
    ):
        run()
    assert run().report["n_inspected"] == 0


@pytest.mark.parametrize(("column", "is_new"), [("acoustic", True), ("duration_s", False)])
def test_cache_that_turns_out_damaged_on_the_way(music, write, run, cache, column, is_new):
    run()
    group = parquet.ParquetFile(cache).metadata.row_group(0)
    (chunk,) = (
        chunk for number in range(group.num_columns) if (chunk := group.column(number)).path_in_schema == column
    )
    begin = chunk.dictionary_page_offset or chunk.data_page_offset
    content = bytearray(cache.read_bytes())
    content[begin : begin + 16] = b"\xff" * 16
    cache.write_bytes(content)
    if is_new:
        write("jazz/new.wav", seed=99)
    with pytest.raises(StorageError, match=r"inspections\.parquet: is damaged .* Delete it and run again"):
        run()


def test_killed_ingest_goes_on(tmp_path):
    script = Path(__file__).with_name("ingest_until_killed.py")
    done = subprocess.run([sys.executable, script, tmp_path], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    n_inspected = json.loads(done.stdout)
    assert n_inspected[0] == 6
    assert n_inspected[-1] == 0
    assert sorted(n_inspected, reverse=True) == n_inspected
    assert set(n_inspected) == {6, 4, 2, 0}
