"""Catalog entries that point to content which stays where it is."""

import json
import os
import shutil

import pytest
from kedro.io import DatasetError, Version

from genre_pipeline.catalog import CheckpointsDataset, FeatureStoreDataset
from genre_pipeline.errors import StoreError
from genre_pipeline.features import FEATURES
from genre_pipeline.stores.store import FeatureStore, PackedTrack
from genre_pipeline.training import Checkpoint, FailedRepeat
from genre_pipeline.training.checkpoints import kept_folder
from tiny_music import FEATURE, train_tiny


@pytest.fixture
def filepath(tmp_path):
    return tmp_path / "pointers" / "content.json"


@pytest.fixture
def features(filepath):
    return FeatureStoreDataset(filepath=str(filepath))


@pytest.fixture
def checkpoints(filepath):
    return CheckpointsDataset(filepath=str(filepath))


@pytest.fixture
def own_store(music, tmp_path):
    """A store with one track, which a test may spoil."""
    store = FeatureStore.create(tmp_path / "store", FEATURES["log_mel"], FEATURE)
    store.append([PackedTrack("jazz/jazz_0", "a", store.pack(music.store.read("jazz/jazz_0")))])
    return store


def test_a_feature_store_survives(features, music):
    assert not features.exists()
    features.save(music.store)
    assert features.exists()
    store = features.load()
    assert store.folder == music.store.folder
    assert store.fingerprint == music.store.fingerprint


def test_checkpoints_survive_in_their_order(checkpoints, trained):
    given = [trained[1], Checkpoint.open(trained[0].folder, reused=True)]
    checkpoints.save(given)
    assert checkpoints.load() == given
    assert [each.reused for each in checkpoints.load()] == [False, True]


def test_no_checkpoints_are_no_checkpoints(checkpoints):
    checkpoints.save([])
    assert checkpoints.load() == []


def test_the_pointer_is_small_and_readable(features, music, filepath):
    features.save(music.store)
    assert json.loads(filepath.read_text()) == {
        "folder": os.path.relpath(music.store.folder, filepath.parent),
        "fingerprint": music.store.fingerprint,
    }


def test_a_store_that_changed_is_noticed(features, own_store, music):
    features.save(own_store)
    own_store.append([PackedTrack("jazz/jazz_1", "b", own_store.pack(music.store.read("jazz/jazz_1")))])
    with pytest.raises(
        DatasetError, match=r"store has changed since .*content\.json was written.*'features' again"
    ) as e:
        features.load()
    assert isinstance(e.value.__cause__, StoreError)


def test_a_store_that_is_gone_is_named(features, own_store, tmp_path):
    features.save(own_store)
    own_store.folder.rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=r"store: there is no feature store"):
        features.load()


def test_a_checkpoint_that_changed_is_noticed(checkpoints, music, tmp_path):
    saved = train_tiny(music, tmp_path / "repeat_00", model="naive_bayes")
    checkpoints.save([saved])
    train_tiny(music, tmp_path / "repeat_00", model="naive_bayes", repeat=1)
    assert checkpoints.load()[0].fingerprint == saved.fingerprint
    shutil.rmtree(kept_folder(saved.folder, saved.fingerprint))
    with pytest.raises(DatasetError, match=r"repeat_00 has changed since .*content\.json was written"):
        checkpoints.load()


def test_a_checkpoint_that_is_damaged_is_named(checkpoints, music, tmp_path):
    checkpoint = train_tiny(music, tmp_path / "repeat_00", model="naive_bayes")
    checkpoints.save([checkpoint])
    (checkpoint.folder / "estimator.skops").write_bytes(b"damaged")
    with pytest.raises(DatasetError, match=r"estimator\.skops is not the file that was written"):
        checkpoints.load()


@pytest.mark.parametrize("entry", ["features", "checkpoints"])
@pytest.mark.parametrize("content", [None, "", "{", '"text"', "7", "[1]", '{"folder": 7}', "[{}]"])
def test_a_pointer_that_says_nothing_is_named(request, entry, content, filepath):
    filepath.parent.mkdir()
    if content is not None:
        filepath.write_text(content)
    with pytest.raises(DatasetError, match=r"Cannot read .*content\.json .*Run the stage that writes it again"):
        request.getfixturevalue(entry).load()


def test_a_full_disk_is_named(features, music, filepath, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("genre_pipeline.storage.tempfile.mkstemp", full)
    with pytest.raises(DatasetError, match=r"content\.json: the disk is full"):
        features.save(music.store)
    assert not filepath.exists()


def test_versions_are_kept_apart(music, trained, tmp_path):
    path = str(tmp_path / "versioned" / "content.json")
    for version, content in (("1", trained[:1]), ("2", trained)):
        CheckpointsDataset(filepath=path, version=Version(None, version)).save(content)
    assert CheckpointsDataset(filepath=path, version=Version("1", None)).load() == trained[:1]
    newest = CheckpointsDataset(filepath=path, version=Version(None, None))
    assert newest.exists()
    assert newest.load() == trained
    missing = CheckpointsDataset(filepath=str(tmp_path / "none.json"), version=Version(None, None))
    assert not missing.exists()


def test_the_entries_describe_themselves(filepath):
    entry = FeatureStoreDataset(filepath=str(filepath), metadata={"kedro-viz": {"layer": "features"}})
    assert entry.metadata == {"kedro-viz": {"layer": "features"}}
    assert str(filepath) in str(entry)


def test_a_failed_repeat_stands_in_its_place(checkpoints, trained):
    given = [FailedRepeat(0, 7, "It diverged."), trained[1]]
    checkpoints.save(given)
    assert checkpoints.load() == given


def test_a_version_opens_its_own_checkpoint_after_another_training(music, trained, tmp_path):
    path = str(tmp_path / "versions" / "checkpoints.json")
    names = ["2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z"]
    fingerprints = []
    for name, max_epochs in zip(names, (1, 2), strict=True):
        checkpoint = train_tiny(music, tmp_path / "repeat_00", max_epochs=max_epochs)
        CheckpointsDataset(filepath=path, version=Version(None, name)).save([checkpoint])
        fingerprints.append(checkpoint.fingerprint)
    for name, fingerprint in zip(names, fingerprints, strict=True):
        (opened,) = CheckpointsDataset(filepath=path, version=Version(name, None)).load()
        assert opened.fingerprint == fingerprint
