from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genre_pipeline.errors import FeatureError, StorageError, StoreError
from genre_pipeline.features import FEATURES
from genre_pipeline.stores import store as store_module
from genre_pipeline.stores.store import FeatureStore, PackedTrack, spec_hash

N_BINS = 16
LENGTHS = {"a": 30, "b": 12, "c": 25}


@pytest.fixture
def spec():
    return FEATURES["log_mel"]


def features_of(track_id, n_frames):
    rng = np.random.default_rng(ord(track_id))
    return rng.uniform(-80.0, 0.0, (N_BINS, n_frames)).astype(np.float32)


def packed(store, track_id, n_frames, audio_hash=None):
    return PackedTrack(track_id, audio_hash or f"hash-{track_id}", store.pack(features_of(track_id, n_frames)))


@pytest.fixture
def store(tmp_path, spec, small_block):
    store = FeatureStore.create(tmp_path / "store", spec, small_block.model_copy(update={"dtype": "float32"}))
    store.append([packed(store, track_id, n_frames) for track_id, n_frames in LENGTHS.items()])
    return store


@pytest.fixture
def half_store(tmp_path, spec, small_block):
    return FeatureStore.create(tmp_path / "half", spec, small_block)


def segments_of(*rows, n_frames=10):
    return pd.DataFrame(
        {
            "track_id": pd.Series([track_id for track_id, _ in rows], dtype="string"),
            "start_frame": np.array([start for _, start in rows], dtype=np.int64),
            "n_frames": np.full(len(rows), n_frames, dtype=np.int64),
        }
    )


def wanted(**hashes):
    return pd.DataFrame({"track_id": list(hashes), "audio_hash": list(hashes.values())}, dtype="string")


def flip_byte(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(bytes(content))


class TestReading:
    def test_what_was_written_is_read_again(self, store):
        reopened = FeatureStore.open(store.folder, spec_hash=store.spec_hash)
        for track_id, n_frames in LENGTHS.items():
            features = reopened.read(track_id)
            assert features.dtype == np.float32
            assert features.flags.c_contiguous
            np.testing.assert_array_equal(features, features_of(track_id, n_frames))

    def test_index_names_every_track_once(self, store):
        index = FeatureStore.open(store.folder).index
        assert index["track_id"].tolist() == ["a", "b", "c"]
        assert index["offset"].tolist() == [0, 30, 42]
        assert index["n_frames"].tolist() == [30, 12, 25]
        assert index.dtypes.astype(str).tolist() == ["string", "string", "int64", "int64", "int64"]
        pd.testing.assert_frame_equal(index, store.index)

    def test_file_of_frames_is_plain_numbers(self, store):
        frames = np.fromfile(store.folder / "frames.bin", dtype="<f4").reshape(-1, N_BINS)
        assert store.n_bytes == frames.nbytes
        np.testing.assert_array_equal(frames[30:42].T, features_of("b", 12))

    def test_segments_are_slices_of_tracks(self, store, monkeypatch):
        monkeypatch.setattr(store_module, "_GATHER_SEGMENTS", 2)
        rows = [("c", 15), ("a", 0), ("b", 2), ("a", 20), ("c", 0)]
        gathered = store.gather(segments_of(*rows))
        expected = [features_of(track_id, LENGTHS[track_id])[:, start : start + 10] for track_id, start in rows]
        assert gathered.dtype == np.float32
        assert gathered.flags.c_contiguous
        assert gathered.flags.writeable
        np.testing.assert_array_equal(gathered, expected)

    def test_no_segments_give_an_empty_array(self, store):
        assert store.gather(segments_of()).shape == (0, N_BINS, 0)

    def test_unknown_track(self, store):
        with pytest.raises(StoreError, match="has no features of track 'z'. Run the feature extraction again"):
            store.read("z")
        with pytest.raises(StoreError, match="has no features of tracks 'y', 'z'"):
            store.gather(segments_of(("z", 0), ("y", 0), ("a", 0), ("y", 1)).sort_values("track_id"))

    def test_many_unknown_tracks_are_counted(self, store):
        with pytest.raises(StoreError, match="'3', '4' and 2 more"):
            store.gather(segments_of(*((str(number), 0) for number in range(7))))

    @pytest.mark.parametrize("start", [-1, 3])
    def test_segment_outside_its_track(self, store, start):
        with pytest.raises(StoreError, match=rf"from frame {start} is not inside track 'b', which has 12 frames"):
            store.gather(segments_of(("a", 0), ("b", start)))

    def test_segments_of_different_lengths(self, store):
        segments = pd.concat([segments_of(("a", 0)), segments_of(("a", 0), n_frames=5)])
        with pytest.raises(StoreError, match="different lengths"):
            store.gather(segments)


class TestPacking:
    def test_float16_keeps_decibels_to_a_fiftieth(self, half_store):
        features = features_of("a", 40)
        half_store.append([packed(half_store, "a", 40)])
        assert half_store.n_bytes == 40 * N_BINS * 2
        # Half of float16's step of 1/16 dB between 64 and 128.
        assert np.abs(half_store.read("a") - features).max() <= 1 / 32

    def test_numbers_beyond_float16_are_refused(self, half_store):
        features = np.full((N_BINS, 3), 65504.0, np.float32)
        assert np.isfinite(half_store.pack(features)).all()
        with pytest.raises(FeatureError, match="reaches 70000, beyond the 65504 that float16 can hold.*float32"):
            half_store.pack(features * np.float32(70000 / 65504))

    @pytest.mark.parametrize("number", [np.nan, np.inf])
    def test_numbers_that_are_not_finite_are_refused(self, store, number):
        features = features_of("a", 5)
        features[3, 2] = number
        with pytest.raises(FeatureError, match="NaN or infinite"):
            store.pack(features)

    @pytest.mark.parametrize("shape", [(N_BINS,), (N_BINS - 1, 4), (N_BINS, 0)])
    def test_wrong_shapes_are_a_fault_of_the_extractor(self, store, shape):
        with pytest.raises(ValueError, match=r"Expected features of shape \(16, n_frames\)"):
            store.pack(np.zeros(shape, np.float32))


class TestFingerprints:
    def test_use_of_the_numbers_does_not_change_the_specification(self, spec, small_block):
        other_use = small_block.model_copy(update={"normalisation": "training"})
        assert spec_hash(spec, other_use) == spec_hash(spec, small_block)

    @pytest.mark.parametrize("change", [{"n_mels": 17}, {"dtype": "float32"}, {"hop_length": 64}, {"top_db": None}])
    def test_whatever_changes_the_numbers_does(self, spec, small_block, change):
        assert spec_hash(spec, small_block.model_copy(update=change)) != spec_hash(spec, small_block)

    def test_fingerprint_depends_on_content_not_on_order(self, tmp_path, spec, small_block, store):
        other = FeatureStore.create(tmp_path / "other", spec, small_block.model_copy(update={"dtype": "float32"}))
        other.append([packed(other, "c", 25), packed(other, "a", 30)])
        assert other.fingerprint != store.fingerprint
        other.append([packed(other, "b", 12)])
        assert other.fingerprint == store.fingerprint
        other.adopt(wanted(a="hash-a", b="hash-b", z="hash-c"))
        assert other.fingerprint != store.fingerprint


class TestChanges:
    def test_adopt_renames_shares_and_drops(self, store):
        store.adopt(wanted(renamed="hash-a", copy="hash-c", c="hash-c", new="hash-new"))
        assert store.index["track_id"].tolist() == ["c", "copy", "renamed"]
        np.testing.assert_array_equal(store.read("renamed"), features_of("a", 30))
        np.testing.assert_array_equal(store.read("copy"), store.read("c"))
        assert store.waste() == pytest.approx(12 / 67)

    def test_adopting_the_same_tracks_writes_nothing(self, store, monkeypatch):
        monkeypatch.setattr(store_module, "_write_index", lambda *_: pytest.fail("wrote the index"))
        store.adopt(wanted(c="hash-c", b="hash-b", a="hash-a"))

    def test_dropping_the_last_tracks_shortens_the_file(self, store):
        store.adopt(wanted(a="hash-a"))
        assert (store.folder / "frames.bin").stat().st_size == store.n_bytes == 30 * N_BINS * 4
        assert store.waste() == 0.0

    def test_compaction_keeps_features_and_drops_waste(self, store):
        store.adopt(wanted(z="hash-b", c="hash-c", copy="hash-c"))
        store.compact()
        assert store.waste() == 0.0
        assert sorted(path.name for path in store.folder.iterdir()) == [
            "frames-packed.bin",
            "index.parquet",
            "store.json",
        ]
        assert store.n_bytes == (store.folder / "frames-packed.bin").stat().st_size == (12 + 25) * N_BINS * 4
        reopened = FeatureStore.open(store.folder)
        reopened.verify()
        np.testing.assert_array_equal(reopened.read("z"), features_of("b", 12))
        np.testing.assert_array_equal(reopened.read("copy"), features_of("c", 25))

    def test_compaction_goes_back_and_forth(self, store):
        store.compact()
        store.compact()
        assert not (store.folder / "frames-packed.bin").exists()
        FeatureStore.open(store.folder).verify()

    def test_compaction_does_not_spread_corruption(self, store):
        flip_byte(store.folder / "frames.bin", 0)
        with pytest.raises(StoreError, match="track 'a'"):
            FeatureStore.open(store.folder).compact()

    def test_an_empty_store_has_no_waste(self, half_store):
        assert half_store.waste() == 0.0
        half_store.compact()
        assert FeatureStore.open(half_store.folder).index.empty

    def test_creating_replaces_what_was_there(self, store, spec, small_block):
        FeatureStore.create(store.folder, spec, small_block)
        assert FeatureStore.open(store.folder).index.empty


class TestCrashes:
    def test_frames_that_no_index_names_are_cut_off_by_the_next_write(self, store):
        path = store.folder / "frames.bin"
        whole = path.read_bytes()
        path.write_bytes(whole + b"half a shard")
        reopened = FeatureStore.open(store.folder)
        reopened.verify()
        assert reopened.n_bytes == len(whole)
        reopened.append([packed(reopened, "d", 7)])
        assert path.read_bytes()[: len(whole)] == whole
        assert path.stat().st_size == len(whole) + 7 * N_BINS * 4
        FeatureStore.open(store.folder).verify()

    def test_a_failed_append_leaves_the_store_as_it_was(self, store, monkeypatch):
        def refuse(*_):
            raise OSError(28, "No space left on device")

        before = (store.folder / "index.parquet").read_bytes()
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", refuse)
            with pytest.raises(StorageError, match=r"frames\.bin: the disk is full"):
                store.append([packed(store, "d", 7)])
        assert (store.folder / "index.parquet").read_bytes() == before
        assert store.index["track_id"].tolist() == ["a", "b", "c"]
        store.append([packed(store, "d", 7)])
        FeatureStore.open(store.folder).verify()

    @pytest.mark.parametrize("stage", ["_write_index", "_discard_unnamed"])
    def test_interrupted_compaction_loses_nothing(self, store, monkeypatch, stage):
        store.adopt(wanted(b="hash-b", c="hash-c"))
        with monkeypatch.context() as broken:
            owner = FeatureStore if stage == "_discard_unnamed" else store_module
            broken.setattr(owner, stage, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                store.compact()
        reopened = FeatureStore.open(store.folder)
        reopened.verify()
        reopened.compact()
        assert reopened.waste() == 0.0
        assert len(list(store.folder.glob("frames*"))) == 1


class TestCorruption:
    def test_missing_store(self, tmp_path):
        with pytest.raises(StoreError, match=r"no feature store \(no store.json\). Run the feature extraction first"):
            FeatureStore.open(tmp_path / "nowhere")

    def test_other_specification(self, store):
        with pytest.raises(StoreError, match="holds another feature: expected specification 0123"):
            FeatureStore.open(store.folder, spec_hash="0123")

    @pytest.mark.parametrize("position", [0, 30 * N_BINS * 4 - 1])
    def test_flipped_byte_is_found_by_every_reader(self, store, position):
        flip_byte(store.folder / "frames.bin", position)
        message = r"frames\.bin: the features of track 'a' are not those that were written. Delete the folder"
        with pytest.raises(StoreError, match=message):
            FeatureStore.open(store.folder).verify()
        with pytest.raises(StoreError, match=message):
            FeatureStore.open(store.folder).read("a")
        with pytest.raises(StoreError, match=message):
            FeatureStore.open(store.folder).gather(segments_of(("b", 0), ("a", 10)))

    def test_only_the_tracks_that_are_read_are_checked(self, store):
        flip_byte(store.folder / "frames.bin", 0)
        reopened = FeatureStore.open(store.folder)
        reopened.read("b")
        assert reopened.gather(segments_of(("c", 0))).shape == (1, N_BINS, 10)
        assert reopened.gather(segments_of(("a", 0)), verify=False).shape == (1, N_BINS, 10)

    def test_verify_checks_again(self, store):
        store.verify()
        flip_byte(store.folder / "frames.bin", 5)
        with pytest.raises(StoreError, match="track 'a'"):
            store.verify()

    def test_cut_short(self, store):
        path = store.folder / "frames.bin"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(StoreError, match="cut short: expected at least 4288 bytes, got 4287. Delete the folder"):
            FeatureStore.open(store.folder)

    def test_frames_gone(self, store):
        (store.folder / "frames.bin").unlink()
        with pytest.raises(StoreError, match="is missing or cut short: .* got 0"):
            FeatureStore.open(store.folder)

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\x00\xff", '{"format_version": 2}'])
    def test_garbage_for_a_header(self, store, text):
        (store.folder / "store.json").write_text(text, encoding="latin-1")
        with pytest.raises(StoreError, match=r"(?s)store\.json: is corrupted .*Delete the folder"):
            FeatureStore.open(store.folder)

    def test_edited_header(self, store):
        path = store.folder / "store.json"
        header = json.loads(path.read_text())
        header["feature"]["n_mels"] = 128
        path.write_text(json.dumps(header))
        with pytest.raises(StoreError, match="its spec_hash is not that of its feature"):
            FeatureStore.open(store.folder)

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"not a table" * 50])
    def test_garbage_for_an_index(self, store, content):
        (store.folder / "index.parquet").write_bytes(content)
        with pytest.raises(StoreError, match=r"index\.parquet: is corrupted"):
            FeatureStore.open(store.folder)

    def test_index_gone(self, store):
        (store.folder / "index.parquet").unlink()
        with pytest.raises(StoreError, match=r"index\.parquet: is corrupted"):
            FeatureStore.open(store.folder)

    def test_flipped_byte_in_the_index(self, store):
        path = store.folder / "index.parquet"
        flip_byte(path, path.read_bytes().index(b"hash-a") + 5)
        with pytest.raises(StoreError, match=r"index\.parquet: is corrupted"):
            FeatureStore.open(store.folder)

    def test_table_of_something_else(self, store):
        table = pq.read_table(store.folder / "index.parquet")
        crc32 = table.schema.get_field_index("crc32")
        strings = pa.array(["a"] * len(table))
        pq.write_table(table.set_column(crc32, "crc32", strings), store.folder / "index.parquet")
        with pytest.raises(StoreError, match="it is not the index of a feature store"):
            FeatureStore.open(store.folder)

    @pytest.mark.parametrize("change", [{"track_id": "a"}, {"offset": -1}, {"n_frames": 0}])
    def test_index_that_contradicts_itself(self, store, change):
        store_module._write_index(store.folder / "index.parquet", store.index.assign(**change), "frames.bin")
        with pytest.raises(StoreError, match="its rows contradict each other"):
            FeatureStore.open(store.folder)


class TestMending:
    def test_an_intact_store_is_left_as_it_is(self, store):
        before = {path.name: path.read_bytes() for path in store.folder.iterdir()}
        assert FeatureStore.mend(store.folder) == ""
        assert {path.name: path.read_bytes() for path in store.folder.iterdir()} == before

    def test_a_track_whose_bytes_changed_is_dropped_and_the_others_stay(self, store):
        frames = store.read("b")
        flip_byte(store.folder / "frames.bin", 0)
        assert "the features of track 'a' are not those that were written" in FeatureStore.mend(store.folder)
        mended = FeatureStore.open(store.folder)
        mended.verify()
        assert mended.index["track_id"].tolist() == ["b", "c"]
        np.testing.assert_array_equal(mended.read("b"), frames)

    def test_of_a_file_that_was_cut_the_tracks_before_the_end_stay(self, store):
        path = store.folder / "frames.bin"
        path.write_bytes(path.read_bytes()[:-1])
        assert "cut short" in FeatureStore.mend(store.folder)
        assert FeatureStore.open(store.folder).index["track_id"].tolist() == ["a", "b"]

    @pytest.mark.parametrize("name", ["index.parquet", "store.json", "frames.bin"])
    def test_what_cannot_be_told_apart_is_made_again_as_a_whole(self, store, name):
        (store.folder / name).write_bytes(b"")
        fault = FeatureStore.mend(store.folder)
        assert name in fault
        assert "Delete" not in fault
        assert not store.folder.exists() or FeatureStore.open(store.folder).index.empty
