from __future__ import annotations

import fsspec
import numpy as np
import pandas as pd
import pytest

from genre_pipeline.errors import StorageError, StoreError
from genre_pipeline.features import FEATURES
from genre_pipeline.stores.remote import fetch, publish
from genre_pipeline.stores.store import FeatureStore, PackedTrack


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path):
    """A folder behind a URL; what is in memory is forgotten afterwards."""
    if request.param == "file":
        yield (tmp_path / "remote" / "features").as_uri()
        return
    yield f"memory://{tmp_path.name}/features"
    memory = fsspec.filesystem("memory")
    if memory.exists(f"/{tmp_path.name}"):
        memory.rm(f"/{tmp_path.name}", recursive=True)


def append(store, *track_ids):
    for track_id in track_ids:
        features = np.full((16, 10), ord(track_id), dtype=np.float32)
        store.append([PackedTrack(track_id, f"hash-{track_id}", store.pack(features))])


@pytest.fixture
def store(tmp_path, small_block):
    store = FeatureStore.create(tmp_path / "store", FEATURES["log_mel"], small_block)
    append(store, "a", "b")
    return store


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_published_store_is_fetched_whole(store, url, tmp_path):
    publish(store, url)
    assert fetch(url, tmp_path / "fetched")
    assert contents(tmp_path / "fetched") == contents(store.folder)


def test_changes_are_published(store, url, tmp_path):
    publish(store, url)
    append(store, "c")
    store.adopt(pd.DataFrame({"track_id": ["b", "c"], "audio_hash": ["hash-b", "hash-c"]}))
    store.compact()
    publish(store, url)
    assert fetch(url, tmp_path / "fetched")
    assert contents(tmp_path / "fetched") == contents(store.folder)


def test_nothing_is_sent_twice(store, url, monkeypatch):
    publish(store, url)
    files, _ = fsspec.core.url_to_fs(url)
    monkeypatch.setattr(type(files), "put_file", None)
    publish(store, url)


def test_nothing_to_fetch(url, tmp_path):
    assert not fetch(url, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_a_half_published_store_is_not_taken(store, url, tmp_path):
    publish(store, url)
    files, folder = fsspec.core.url_to_fs(url)
    files.pipe_file(f"{folder}/frames.bin", b"\0" * (store.folder / "frames.bin").stat().st_size)
    with pytest.raises(StoreError, match="not those that were written"):
        fetch(url, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_an_address_that_nobody_knows_is_named(store, tmp_path):
    with pytest.raises(StorageError, match=r"Cannot publish .*store to nowhere://features"):
        publish(store, "nowhere://features")
    with pytest.raises(StoreError, match="Cannot fetch the feature store at nowhere://features"):
        fetch("nowhere://features", tmp_path / "fetched")
