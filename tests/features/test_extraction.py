from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
import torch

from genre_pipeline.audio import io as audio_io
from genre_pipeline.errors import FeatureError, StoreError
from genre_pipeline.features import FEATURES
from genre_pipeline.features import store as store_module
from genre_pipeline.features.backends import Workers
from genre_pipeline.features.extraction import Target, extract, extract_together
from genre_pipeline.features.store import FeatureStore

SPEC = FEATURES["log_mel"]


def adding(spec, finish):
    """Return a kind of feature whose finished blocks pass through a function."""

    def begin(signal, block):
        original = spec.begin(signal, block)
        return lambda: (finish(each) for each in original())

    return dataclasses.replace(spec, begin=begin)


@pytest.fixture
def run(tmp_path, small_block):
    """A function that extracts into ``store/`` from the files of ``write_track``."""

    def run(tracks, **changes):
        arguments = {"root": tmp_path / "audio", "spec": SPEC, "block": small_block, "folder": tmp_path / "store"}
        return extract(tracks, **{**arguments, "workers": Workers("threads", 2), "shard_size": 2, **changes})

    return run


@pytest.fixture
def rows(write_track):
    """Rows of five tracks of different lengths."""
    return [write_track(f"t{number}", seed=number, n_samples=3000 + 500 * number) for number in range(5)]


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded, in no order."""
    names = []
    original = audio_io.waveform_blocks

    def count(path, **clip):
        names.append(path.name)
        return original(path, **clip)

    monkeypatch.setattr(audio_io, "waveform_blocks", count)
    return names


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_stores_the_feature_of_every_track(run, rows, make_tracks, small_block, tmp_path):
    result = run(make_tracks(rows))
    assert result.report == {
        "n_tracks": 5,
        "n_extracted": 5,
        "n_copied": 0,
        "n_reused": 0,
        "n_removed": 0,
        "n_bytes": result.store.n_bytes,
        "failed": [],
    }
    for row in rows:
        waveform = audio_io.read_waveform(tmp_path / "audio" / row["path"], sample_rate=small_block.sample_rate)
        expected = SPEC.extract(waveform, small_block)
        np.testing.assert_array_equal(result.store.read(row["track_id"]), expected.astype(np.float16))
    FeatureStore.open(tmp_path / "store").verify()


def test_bytes_do_not_depend_on_the_number_of_workers_or_shards(run, rows, make_tracks, tmp_path):
    tracks = make_tracks(rows)
    folders = [tmp_path / f"store-{n_workers}-{shard_size}" for n_workers, shard_size in [(1, 1), (3, 2), (3, 64)]]
    for folder in folders:
        _, n_workers, shard_size = folder.name.split("-")
        run(tracks, folder=folder, workers=Workers("threads", int(n_workers)), shard_size=int(shard_size))
    first, *others = [contents(folder) for folder in folders]
    assert others == [first, first]


def test_torch_threads_are_restored(run, rows, make_tracks, monkeypatch):
    before = torch.get_num_threads()
    inside = []
    spec = adding(SPEC, lambda frames: inside.append(torch.get_num_threads()) or frames)
    torch.set_num_threads(2)
    try:
        run(make_tracks(rows), spec=spec)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(inside) == {1}


class TestIncremental:
    def test_second_run_decodes_and_writes_nothing(self, run, rows, make_tracks, decoded, tmp_path):
        run(make_tracks(rows))
        before = contents(tmp_path / "store")
        decoded.clear()
        report = run(make_tracks(rows)).report
        assert decoded == []
        assert contents(tmp_path / "store") == before
        assert (report["n_extracted"], report["n_reused"]) == (0, 5)

    def test_only_new_tracks_are_decoded(self, run, rows, make_tracks, decoded):
        run(make_tracks(rows[:3]))
        decoded.clear()
        report = run(make_tracks(rows)).report
        assert sorted(decoded) == ["t3.wav", "t4.wav"]
        assert (report["n_tracks"], report["n_extracted"], report["n_reused"]) == (5, 2, 3)

    def test_renamed_track_keeps_its_bytes(self, run, rows, make_tracks, decoded):
        features = run(make_tracks(rows)).store.read("t2")
        decoded.clear()
        result = run(make_tracks([{**row, "track_id": row["track_id"].replace("t2", "x2")} for row in rows]))
        assert decoded == []
        assert result.report["n_removed"] == 0
        np.testing.assert_array_equal(result.store.read("x2"), features)

    def test_changed_audio_is_computed_anew(self, run, rows, make_tracks, write_track, decoded):
        before = run(make_tracks(rows)).store.read("t2")
        rows[2] = write_track("t2", seed=99, n_samples=4000)
        decoded.clear()
        result = run(make_tracks(rows))
        assert decoded == ["t2.wav"]
        assert (result.report["n_extracted"], result.report["n_removed"]) == (1, 1)
        assert not np.array_equal(result.store.read("t2"), before)

    def test_removed_and_quarantined_tracks_are_dropped(self, run, rows, make_tracks, decoded):
        run(make_tracks(rows))
        decoded.clear()
        rows[1]["quarantined"] = True
        result = run(make_tracks(rows[:4]))
        assert decoded == []
        assert result.store.index["track_id"].tolist() == ["t0", "t2", "t3"]
        assert result.report["n_removed"] == 2

    def test_copies_are_decoded_once(self, run, rows, make_tracks, decoded):
        result = run(make_tracks([*rows, {**rows[1], "track_id": "copy"}]))
        assert len(decoded) == 5
        assert result.report["n_tracks"] == 6
        assert result.store.read("copy").tobytes() == result.store.read("t1").tobytes()

    def test_mostly_unused_store_is_compacted(self, run, rows, make_tracks, tmp_path):
        run(make_tracks(rows))
        n_bytes = run(make_tracks(rows[4:])).report["n_bytes"]
        assert n_bytes == (1 + 5000 // 128) * 16 * 2
        assert (tmp_path / "store" / "frames-packed.bin").stat().st_size == n_bytes
        FeatureStore.open(tmp_path / "store").verify()

    def test_other_parameters_replace_the_store(self, run, rows, make_tracks, decoded, small_block, caplog):
        run(make_tracks(rows))
        decoded.clear()
        with caplog.at_level(logging.INFO):
            result = run(make_tracks(rows), block=small_block.model_copy(update={"n_mels": 8}))
        assert len(decoded) == 5
        assert result.store.read("t0").shape[0] == 8
        assert "replacing the features of another specification" in caplog.text

    def test_new_extractor_version_replaces_the_store(self, run, rows, make_tracks, decoded):
        run(make_tracks(rows))
        decoded.clear()
        run(make_tracks(rows), spec=dataclasses.replace(SPEC, version=SPEC.version + 1))
        assert len(decoded) == 5

    def test_other_segments_do_not(self, run, rows, make_tracks, decoded, small_block):
        run(make_tracks(rows))
        decoded.clear()
        run(make_tracks(rows), block=small_block.model_copy(update={"normalisation": "per_segment"}))
        assert decoded == []


class TestFailures:
    def test_a_broken_file_does_not_stop_the_others(self, run, rows, make_tracks, tmp_path, caplog):
        (tmp_path / "audio" / "t1.wav").write_bytes(b"no audio at all")
        result = run(make_tracks(rows))
        assert result.store.index["track_id"].tolist() == ["t0", "t2", "t3", "t4"]
        [failure] = result.report["failed"]
        assert (failure["track_id"], failure["path"]) == ("t1", "t1.wav")
        assert "t1.wav" in failure["error"]
        [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert "Track 't1' (t1.wav) gives no 'log_mel' feature" in record.getMessage()

    def test_a_failed_track_is_tried_again(self, run, rows, make_tracks, write_track, tmp_path, decoded):
        whole = (tmp_path / "audio" / "t1.wav").read_bytes()
        (tmp_path / "audio" / "t1.wav").unlink()
        assert len(run(make_tracks(rows)).report["failed"]) == 1
        (tmp_path / "audio" / "t1.wav").write_bytes(whole)
        decoded.clear()
        assert run(make_tracks(rows)).report["failed"] == []
        assert decoded == ["t1.wav"]

    def test_too_short_for_the_feature(self, run, rows, make_tracks, write_track):
        result = run(make_tracks([*rows, write_track("short", seed=9, n_samples=100)]))
        assert [failure["track_id"] for failure in result.report["failed"]] == ["short"]
        assert "expected at least 256 samples, got 100" in result.report["failed"][0]["error"]

    def test_copies_of_a_failed_track_are_reported_too(self, run, rows, make_tracks, tmp_path):
        (tmp_path / "audio" / "t1.wav").write_bytes(b"no audio at all")
        report = run(make_tracks([*rows, {**rows[1], "track_id": "copy"}])).report
        assert [failure["track_id"] for failure in report["failed"]] == ["copy", "t1"]
        assert (report["n_tracks"], report["n_extracted"]) == (4, 4)

    def test_a_track_without_hash_is_not_even_tried(self, run, rows, make_tracks, decoded):
        report = run(make_tracks([*rows, {"track_id": "x", "path": "x.wav", "audio_hash": ""}])).report
        assert "x.wav" not in decoded
        assert report["failed"][0]["error"].startswith("has no audio hash")

    def test_every_track_failing_is_an_error(self, run, rows, make_tracks, tmp_path):
        for row in rows:
            (tmp_path / "audio" / row["path"]).write_bytes(b"no audio at all")
        with pytest.raises(FeatureError, match=r"'log_mel' could be computed of none of 5 tracks. The first: t0\.wav"):
            run(make_tracks(rows))

    def test_nothing_but_quarantined_tracks_is_an_error(self, run, make_tracks):
        with pytest.raises(FeatureError, match="all 1 are quarantined"):
            run(make_tracks([{"track_id": "a", "quarantined": True}]))

    def test_numbers_beyond_float16_name_the_remedy(self, run, rows, make_tracks):
        spec = adding(SPEC, lambda frames: frames * np.float32(1e5))
        with pytest.raises(FeatureError, match="Set the feature's dtype to float32"):
            run(make_tracks(rows), spec=spec)

    def test_a_fault_of_the_extractor_is_not_hidden(self, run, rows, make_tracks):
        spec = adding(SPEC, lambda frames: frames[1:])
        with pytest.raises(ValueError, match="Expected features of shape"):
            run(make_tracks(rows), spec=spec)

    def test_corrupted_store_is_reported_not_mended(self, run, rows, make_tracks, tmp_path):
        run(make_tracks(rows))
        path = tmp_path / "store" / "frames.bin"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(StoreError, match="Delete the folder .*store and run again"):
            run(make_tracks(rows))

    def test_a_folder_of_something_else_is_not_replaced(self, run, rows, make_tracks, tmp_path):
        (tmp_path / "store").mkdir()
        (tmp_path / "store" / "thesis.txt").write_text("years of work")
        with pytest.raises(StoreError, match="no feature store"):
            run(make_tracks(rows))
        assert (tmp_path / "store" / "thesis.txt").exists()


