from __future__ import annotations

import numpy as np
import pytest

from genre_pipeline.errors import StoreError
from genre_pipeline.features import FEATURES
from genre_pipeline.stores.inventory import remove_store, summarise_stores, unused_stores
from genre_pipeline.stores.locks import writing
from genre_pipeline.stores.store import FeatureStore, PackedTrack


@pytest.fixture
def make_store(tmp_path, small_block):
    """A function that makes a store with one track."""

    def make(name):
        store = FeatureStore.create(tmp_path / name, FEATURES["log_mel"], small_block)
        store.append([PackedTrack("a", "hash-a", store.pack(np.zeros((16, 10), dtype=np.float32)))])
        return store

    return make


def test_stores_are_listed_in_order_with_their_sizes(make_store, tmp_path):
    stores = [make_store("two/mel"), make_store("one/mel"), make_store("one/cqt")]
    shard = tmp_path / "two" / ".mel.shards" / "left.frames"
    shard.parent.mkdir()
    shard.write_bytes(b"\0" * 1000)
    found = summarise_stores(tmp_path)
    assert [(each.dataset, each.feature) for each in found] == [("one", "cqt"), ("one", "mel"), ("two", "mel")]
    assert {(each.n_tracks, each.waste, each.spec_hash) for each in found} == {(1, 0.0, stores[0].spec_hash)}
    sizes = [sum(path.stat().st_size for path in each.folder.iterdir()) for each in found]
    assert [each.n_bytes for each in found] == [sizes[0], sizes[1], sizes[2] + 1000]


def test_flipped_bytes_are_found_by_verifying(make_store, tmp_path):
    path = make_store("one/mel").folder / "frames.bin"
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    make_store("two/mel")
    assert [each.fault for each in summarise_stores(tmp_path)] == ["", ""]
    damaged, intact = summarise_stores(tmp_path, verify=True)
    assert "not those that were written" in damaged.fault
    assert intact.fault == ""


def test_used_is_what_has_the_same_specification(make_store, tmp_path):
    specification = make_store("one/mel").spec_hash
    make_store("two/mel")
    (make_store("damaged/mel").folder / "frames.bin").unlink()
    found = summarise_stores(tmp_path)
    used = {("one", "mel", specification), ("two", "mel", "another"), ("damaged", "mel", specification)}
    assert [each.dataset for each in unused_stores(found, used)] == ["damaged", "two"]
    # What a trained model read is used, of whatever specification; what is damaged is of no use to anybody.
    trained = {("two", "mel"), ("damaged", "mel")}
    assert [each.dataset for each in unused_stores(found, used, trained)] == ["damaged"]


def test_a_store_is_removed_with_what_stands_beside_it(make_store, tmp_path):
    folder = make_store("one/mel").folder
    (tmp_path / "one" / ".mel.shards").mkdir()
    make_store("one/mel_2")
    remove_store(folder)
    assert sorted(path.name for path in (tmp_path / "one").iterdir() if path.is_dir()) == ["mel_2"]


def test_a_store_in_use_is_not_removed(make_store):
    folder = make_store("one/mel").folder
    with writing(folder), pytest.raises(StoreError, match="is being written"):
        remove_store(folder)
    assert FeatureStore.open(folder).index["track_id"].tolist() == ["a"]
