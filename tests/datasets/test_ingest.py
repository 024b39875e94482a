"""Ingest: the track table, the report, and how little is done the second time."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from pyarrow import parquet

from genre_pipeline.datasets import DATASETS, TRACK_COLUMNS, DatasetBlock, inspections
from genre_pipeline.datasets import ingest as ingest_module
from genre_pipeline.datasets.ingest import IngestResult, ingest
from genre_pipeline.errors import ConfigError, DatasetError, StorageError

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
    def run_ingest(**options) -> IngestResult:
        block = DatasetBlock(kind="folder", path=root, **options)
        return ingest("mine", DATASETS["folder"], block, cache=cache, n_workers=2)

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
    (root / "jazz" / "cut.wav").write_bytes(good[:-2])
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
    (root / "metadata.csv").write_text("path,artist\njazz/gone.wav,Ann\n")
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


def test_work_is_saved_on_the_way(music, run, cache, monkeypatch):
    saved = []
    save = inspections._save

    def watch(path, known):
        saved.append(len(known))
        save(path, known)

    monkeypatch.setattr(inspections, "_save", watch)
    monkeypatch.setattr(inspections, "_SAVE_EVERY", 2)
    run()
    assert saved == [2, 4, 6, 6]


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
    with pytest.raises(StorageError, match=rf"inspections\.parquet.*{message}"):
        run()
    assert list(cache.parent.iterdir()) == []


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
    monkeypatch.setattr(ingest_module, "_MAX_WARNINGS", 2)
    for n in range(5):
        write(f"jazz/short{n}.wav", duration_s=1, seed=n + 60)
    with caplog.at_level("INFO"):
        run()
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    why = "too_short (it lasts 1.00 s, less than min_duration_s=3)"
    assert warnings == [
        f"mine: jazz/short0 (jazz/short0.wav) is not used: {why}",
        f"mine: jazz/short1 (jazz/short1.wav) is not used: {why}",
        "mine: 3 more clips are not used; the ingest report names them.",
    ]
    assert "mine: 11 clips of 2 genres, 6 usable (0.0 h), 5 quarantined; 11 files inspected" in caplog.text
