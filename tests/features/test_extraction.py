from __future__ import annotations

import dataclasses
import logging
import os

import numpy as np
import pytest
import torch

from genre_pipeline.audio import io as audio_io
from genre_pipeline.errors import FeatureError, StorageError, StoreError
from genre_pipeline.features import FEATURES
from genre_pipeline.stores import extraction
from genre_pipeline.stores import store as store_module
from genre_pipeline.stores.extraction import Target, extract, extract_together
from genre_pipeline.stores.locks import writing
from genre_pipeline.stores.shards import matrix_threads
from genre_pipeline.stores.store import FeatureStore
from genre_pipeline.work.backends import Workers

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


@pytest.mark.parametrize("workers", [Workers("serial"), Workers("threads", 2)], ids=lambda workers: workers.backend)
def test_workers_compute_in_one_thread_each_and_leave_the_process_its_own(run, rows, make_tracks, workers):
    """Whatever torch and numpy were set to: the numbers must not depend on it."""

    def n_threads():
        return torch.get_num_threads(), {each["num_threads"] for each in matrix_threads().info()}

    during = []
    spec = adding(SPEC, lambda block: during.append(n_threads()) or block)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with matrix_threads().limit(limits=2):
            run(make_tracks(rows), spec=spec, workers=workers)
            after = n_threads()
    finally:
        torch.set_num_threads(before)
    assert set(map(str, during)) == {str((1, {1}))}
    assert after == (2, {2})


def test_stores_the_feature_of_every_track(run, rows, make_tracks, small_block, tmp_path):
    result = run(make_tracks(rows))
    assert result.report == {
        "n_tracks": 5,
        "n_extracted": 5,
        "n_copied": 0,
        "n_reused": 0,
        "n_removed": 0,
        "n_bytes": result.store.n_bytes,
        "transform": "torch",
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


class TestRoom:
    """What a feature will take is known before anything is decoded."""

    def free(self, monkeypatch, n_bytes):
        usage = extraction.shutil.disk_usage
        monkeypatch.setattr(extraction.shutil, "disk_usage", lambda path: usage(path)._replace(free=n_bytes))

    def needed(self, store):
        return sum(store.index["n_frames"]) * store.header.n_bins * np.dtype(store.header.dtype).itemsize

    def test_too_little_is_an_error_that_names_the_feature(self, run, rows, make_tracks, decoded, monkeypatch):
        self.free(monkeypatch, 1000)
        message = r"features\.store: needs about 0\.0 GB in .* where 0\.0 GB are free.*storage\.features"
        with pytest.raises(StorageError, match=message):
            run(make_tracks(rows))
        assert decoded == []

    def test_what_is_needed_is_what_is_written(self, run, rows, make_tracks, tmp_path, monkeypatch):
        needed = self.needed(run(make_tracks(rows)).store)
        self.free(monkeypatch, needed)
        run(make_tracks(rows), folder=tmp_path / "second")
        self.free(monkeypatch, needed - 1)
        with pytest.raises(StorageError):
            run(make_tracks(rows), folder=tmp_path / "third")

    def test_what_is_stored_already_needs_no_room(self, run, rows, make_tracks, monkeypatch):
        run(make_tracks(rows))
        self.free(monkeypatch, 0)
        assert run(make_tracks(rows)).report["n_extracted"] == 0

    def test_a_higher_rate_of_the_files_needs_no_more(self, run, rows, make_tracks, small_block, monkeypatch):
        tracks = make_tracks(rows).assign(sample_rate=100 * small_block.sample_rate)
        self.free(monkeypatch, 5 * 2 * 4 * 128)
        run(tracks)


class TestClips:
    def test_a_clip_is_taken_out_of_its_file(self, run, write_track, make_tracks, small_block, tmp_path):
        whole = write_track("whole", seed=1, n_samples=9000)
        clips = [
            {**whole, "track_id": f"clip{start}", "audio_hash": f"{start}", "start_sample": start, "n_samples": 3000}
            for start in (1000, 5000)
        ]
        store = run(make_tracks(clips)).store
        waveform = audio_io.read_waveform(tmp_path / "audio" / "whole.wav", sample_rate=small_block.sample_rate)
        for start in (1000, 5000):
            expected = SPEC.extract(waveform[start : start + 3000], small_block)
            np.testing.assert_array_equal(store.read(f"clip{start}"), expected.astype(np.float16))

    def test_a_clip_that_its_file_lacks_is_reported(self, run, rows, make_tracks):
        rows[0] = {**rows[0], "start_sample": 2000, "n_samples": 1001}
        [failure] = run(make_tracks(rows)).report["failed"]
        assert failure["track_id"] == "t0"
        assert "holds 3000 samples" in failure["error"]


class TestTogether:
    @pytest.fixture
    def targets(self, small_block, make_mfcc, tmp_path):
        cepstrum = make_mfcc(**small_block.model_dump(exclude={"dtype", "kind"}), n_mfcc=4)
        half_rate = small_block.model_copy(update={"sample_rate": 4000})
        return [
            Target(SPEC, small_block, tmp_path / "mel"),
            Target(FEATURES["mfcc"], cepstrum, tmp_path / "mfcc"),
            Target(SPEC, half_rate, tmp_path / "half"),
        ]

    @pytest.fixture
    def together(self, tmp_path):
        def together(tracks, targets, **changes):
            return extract_together(
                tracks,
                targets,
                **{"root": tmp_path / "audio", "workers": Workers("serial"), "shard_size": 2, **changes},
            )

        return together

    def test_each_store_is_what_it_is_alone(self, together, targets, run, rows, make_tracks, tmp_path):
        results = together(make_tracks(rows), targets)
        for result, target in zip(results, targets, strict=True):
            alone = tmp_path / "alone" / target.folder.name
            assert run(make_tracks(rows), spec=target.spec, block=target.block, folder=alone).report == result.report
            assert contents(target.folder) == contents(alone)

    def test_each_file_is_decoded_once_a_rate(self, together, targets, rows, make_tracks, decoded):
        together(make_tracks(rows), targets[:2])
        assert sorted(decoded) == [row["path"] for row in rows]
        decoded.clear()
        together(make_tracks(rows), targets)
        assert sorted(decoded) == [row["path"] for row in rows]

    def test_only_what_a_store_lacks_is_computed(self, together, targets, rows, make_tracks, decoded):
        together(make_tracks(rows[:2]), targets[:1])
        together(make_tracks(rows[2:4]), targets[1:2])
        decoded.clear()
        results = together(make_tracks(rows), targets[:2])
        assert [result.report["n_extracted"] for result in results] == [3, 3]
        assert sorted(decoded) == [row["path"] for row in rows]

    def test_a_clip_may_fail_one_feature_only(self, together, targets, rows, make_tracks, small_block, tmp_path):
        long_frames = Target(SPEC, small_block.model_copy(update={"n_fft": 4096}), tmp_path / "long")
        mel, long = together(make_tracks(rows), [targets[0], long_frames])
        assert mel.report["failed"] == []
        assert [failure["track_id"] for failure in long.report["failed"]] == ["t0", "t1", "t2"]
        assert long.store.index["track_id"].tolist() == ["t3", "t4"]


class TestSharing:
    @pytest.fixture
    def library(self, tmp_path):
        return tmp_path / "features"

    @pytest.fixture
    def into(self, run, library):
        """A function that extracts into the store of a dataset and feature of the library."""
        return lambda tracks, name, **changes: run(tracks, folder=library / name, library=library, **changes)

    def test_what_another_dataset_has_is_copied(self, into, rows, make_tracks, decoded, library):
        first = into(make_tracks(rows[:4]), "one/mel")
        decoded.clear()
        renamed = [{**row, "track_id": f"other/{row['track_id']}"} for row in rows]
        second = into(make_tracks(renamed), "two/mel")
        assert decoded == ["t4.wav"]
        assert (second.report["n_copied"], second.report["n_extracted"], second.report["n_reused"]) == (4, 1, 0)
        for row in rows[:4]:
            np.testing.assert_array_equal(
                second.store.read(f"other/{row['track_id']}"), first.store.read(row["track_id"])
            )
        second.store.verify()

    def test_another_name_for_the_same_numbers_shares_them(self, into, rows, make_tracks, decoded, small_block):
        into(make_tracks(rows), "one/mel")
        decoded.clear()
        into(make_tracks(rows), "one/scaled", block=small_block.model_copy(update={"normalisation": "per_segment"}))
        assert decoded == []

    def test_other_numbers_are_not_taken(self, into, rows, make_tracks, decoded, small_block):
        into(make_tracks(rows), "one/mel")
        decoded.clear()
        into(make_tracks(rows), "two/mel", block=small_block.model_copy(update={"n_mels": 8}))
        assert len(decoded) == 5

    def test_damaged_bytes_are_not_taken(self, into, rows, make_tracks, decoded, library):
        into(make_tracks(rows), "one/mel")
        frames = library / "one" / "mel" / "frames.bin"
        content = bytearray(frames.read_bytes())
        content[5] ^= 1
        frames.write_bytes(bytes(content))
        (library / "zero" / "mel").mkdir(parents=True)
        (library / "zero" / "mel" / "store.json").write_text("{")
        decoded.clear()
        into(make_tracks(rows), "two/mel").store.verify()
        assert decoded == ["t0.wav"]

    def test_large_stores_are_copied_piece_by_piece(self, into, rows, make_tracks, monkeypatch):
        """The same bytes, whatever is in memory at a time."""
        into(make_tracks(rows), "one/mel")
        whole = contents(into(make_tracks(rows), "two/mel").store.folder)
        monkeypatch.setattr(store_module, "_COPY_BYTES", 1)
        assert contents(into(make_tracks(rows), "three/mel").store.folder) == whole


class TestInterruptions:
    def test_what_a_worker_had_finished_is_found_again(self, run, rows, make_tracks, decoded, tmp_path, monkeypatch):
        whole = contents(run(make_tracks(rows), folder=tmp_path / "whole").store.folder)
        original = audio_io.waveform_blocks

        def interrupt(path, **clip):
            if path.name == "t3.wav":
                raise KeyboardInterrupt
            return original(path, **clip)

        with monkeypatch.context() as broken:
            broken.setattr(audio_io, "waveform_blocks", interrupt)
            with pytest.raises(KeyboardInterrupt):
                run(make_tracks(rows), workers=Workers("serial"))
        decoded.clear()
        report = run(make_tracks(rows)).report
        assert sorted(decoded) == ["t2.wav", "t3.wav", "t4.wav"]
        assert (report["n_reused"], report["n_extracted"]) == (2, 3)
        assert contents(tmp_path / "store") == whole
        assert not (tmp_path / ".store.shards").exists()

    @pytest.mark.parametrize("damage", ["frames", "list", "nonsense"])
    def test_a_damaged_shard_is_made_again(self, run, rows, make_tracks, tmp_path, monkeypatch, damage):
        whole = contents(run(make_tracks(rows), folder=tmp_path / "whole").store.folder)
        with monkeypatch.context() as broken:
            broken.setattr(FeatureStore, "stage", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                run(make_tracks(rows))
        suffix = "frames" if damage == "frames" else "json"
        for path in (tmp_path / ".store.shards").glob(f"*.{suffix}"):
            path.write_bytes(b'{"tracks": [[1]]}' if damage == "nonsense" else path.read_bytes()[:-1])
        assert run(make_tracks(rows)).report["n_extracted"] == 5
        assert contents(tmp_path / "store") == whole

    @pytest.mark.parametrize(("n_waiting", "n_commits"), [(256, 1), (2, 3), (1, 5)])
    def test_the_index_is_written_seldom(self, run, rows, make_tracks, monkeypatch, n_waiting, n_commits):
        written = []
        original = store_module._write_index
        monkeypatch.setattr(store_module, "_write_index", lambda *given: written.append(given) or original(*given))
        monkeypatch.setattr(extraction, "_COMMIT_TRACKS", n_waiting)
        run(make_tracks(rows), shard_size=1, workers=Workers("serial"))
        # The first is that of the empty store.
        assert len(written) == 1 + n_commits

    def interrupted_before_the_index(self, run, rows, make_tracks, monkeypatch):
        """Run until all shards are staged and none is named; a broken file has its error in the first of them."""
        with monkeypatch.context() as broken:
            broken.setattr(FeatureStore, "commit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                run(make_tracks(rows), workers=Workers("serial"))

    def test_staged_shards_are_taken_with_their_errors(
        self, run, rows, make_tracks, decoded, tmp_path, monkeypatch, caplog
    ):
        (tmp_path / "audio" / "t1.wav").write_bytes(b"no audio at all")
        whole = contents(run(make_tracks(rows), folder=tmp_path / "whole").store.folder)
        self.interrupted_before_the_index(run, rows, make_tracks, monkeypatch)
        assert [path.suffix for path in (tmp_path / ".store.shards").iterdir()] == [".json"] * 3
        decoded.clear()
        caplog.clear()
        report = run(make_tracks(rows)).report
        assert decoded == []
        assert (report["n_reused"], report["n_extracted"]) == (4, 0)
        assert [failure["track_id"] for failure in report["failed"]] == ["t1"]
        assert "Track 't1' (t1.wav) gives no 'log_mel' feature" in caplog.text
        assert contents(tmp_path / "store") == whole
        assert not (tmp_path / ".store.shards").exists()

    def test_what_is_staged_behind_damage_is_made_again(self, run, rows, make_tracks, decoded, tmp_path, monkeypatch):
        whole = contents(run(make_tracks(rows), folder=tmp_path / "whole").store.folder)
        self.interrupted_before_the_index(run, rows, make_tracks, monkeypatch)
        path = tmp_path / "store" / "frames.bin"
        path.write_bytes(path.read_bytes()[:-1])
        decoded.clear()
        assert run(make_tracks(rows)).report["n_reused"] == 4
        assert decoded == ["t4.wav"]
        assert contents(tmp_path / "store") == whole


class TestLock:
    def test_a_second_writer_is_refused_and_told_of_the_first(self, run, rows, make_tracks, tmp_path):
        message = rf"store: is being written by process {os.getpid()} on .*Wait until"
        with writing(tmp_path / "store"), pytest.raises(StoreError, match=message):
            run(make_tracks(rows))
        run(make_tracks(rows))

    def test_what_killed_writers_left_is_removed(self, run, rows, make_tracks, tmp_path):
        folder = run(make_tracks(rows)).store.folder
        before = contents(folder)
        (folder / ".index-abcdefgh.parquet").touch()
        (tmp_path / ".store-abcdefgh").mkdir()
        (tmp_path / ".store_2-abcdefgh").mkdir()
        run(make_tracks(rows))
        assert contents(folder) == before
        assert not (tmp_path / ".store-abcdefgh").exists()
        assert (tmp_path / ".store_2-abcdefgh").exists()
