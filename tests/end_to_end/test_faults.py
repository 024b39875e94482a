"""Runs that cannot go on: one clear error, and nothing half-written that is taken for whole."""

import errno
from pathlib import Path

import mlflow
import pytest

from genre_pipeline import storage
from genre_pipeline.errors import ConfigError, DatasetError, FeatureError, SplitError, StorageError, TrackingError
from genre_pipeline.project import tracking_uri
from kedro_sessions import OWN_MUSIC, run, sessions_of, write_own_clip, write_own_music


def full_disk(*_arguments, **_options):
    raise OSError(errno.ENOSPC, "No space left on device")


def read_only(*_arguments, **_options):
    raise OSError(errno.EROFS, "Read-only file system")


def test_a_missing_dataset(data):
    with pytest.raises(DatasetError, match=str(data / "01_raw" / "my_music")):
        run("train_all", **OWN_MUSIC)
    (session,) = sessions_of(mlflow.MlflowClient(tracking_uri()))
    assert session.info.status == "FAILED"


def test_an_empty_dataset(data):
    root = data / "01_raw" / "my_music"
    root.mkdir(parents=True)
    with pytest.raises(DatasetError, match=str(root)):
        run("train_all", **OWN_MUSIC)


def test_a_dataset_of_other_files(data):
    root = data / "01_raw" / "my_music"
    (root / "jazz").mkdir(parents=True)
    (root / "jazz" / "notes.txt").write_text("no music")
    with pytest.raises(DatasetError, match=str(root)):
        run("train_all", **OWN_MUSIC)


def test_a_dataset_without_a_usable_clip(data):
    root = data / "01_raw" / "my_music"
    for genre in ("jazz", "rock"):
        (root / genre).mkdir(parents=True)
        (root / genre / "1.wav").write_text("no audio")
    with pytest.raises(DatasetError, match=r"'my_music': the 2 clips have no usable clip \(found: 2 unreadable"):
        run("train_all", **OWN_MUSIC)


def test_a_single_genre(data):
    write_own_music(data, genres=("jazz",))
    with pytest.raises(SplitError, match="my_music.*jazz|jazz.*my_music"):
        run("train_all", **OWN_MUSIC)


def test_two_genres_of_one_track_each(data):
    write_own_music(data, n_tracks=1)
    with pytest.raises(SplitError, match=r"(?s)artist_kfold.*jazz"):
        run("train_all", **OWN_MUSIC)


def test_a_genre_whose_clips_are_shorter_than_a_segment(data):
    root = write_own_music(data, genres=("jazz",))
    for track in range(4):
        write_own_clip(root / "rock" / f"{track}.wav", seed=500 + track)
    parameters = {**OWN_MUSIC, "features": {"mfcc_20": {"segment": {"n_frames": 400, "hop_frames": 400}}}}
    with pytest.raises(FeatureError, match=r"expected tracks of at least segment\.n_frames=400"):
        run("train_all", **parameters)


def test_a_genre_that_the_dataset_does_not_have(data):
    write_own_music(data)
    parameters = {**OWN_MUSIC, "datasets": {"my_music": {"genres": ["jazz", "rok"]}}}
    with pytest.raises(ConfigError, match=r"datasets\.my_music\.genres: .*'rok'. Did you mean 'rock'"):
        run("train_all", **parameters)


@pytest.mark.parametrize(("fail", "advice"), [(full_disk, "the disk is full"), (read_only, "is read-only")])
def test_a_disk_that_takes_nothing(data, monkeypatch, fail, advice):
    write_own_music(data)
    monkeypatch.setattr(storage.tempfile, "mkstemp", fail)
    monkeypatch.setattr(storage.tempfile, "mkdtemp", fail)
    with pytest.raises(StorageError, match=f"Cannot write {data}.*{advice}"):
        run("train_all", **OWN_MUSIC)
    # A session needs a name that comes after the last one's, which is written down before MLflow hears of it.
    assert sessions_of(mlflow.MlflowClient(tracking_uri())) == []


def test_a_disk_that_is_full_before_the_demo_is_made(data, monkeypatch):
    monkeypatch.setattr(storage.tempfile, "mkdtemp", full_disk)
    with pytest.raises(StorageError, match=rf"Cannot write {data}/01_raw/demo: the disk is full"):
        run("train_all")
    assert not list((data / "01_raw").iterdir())


def test_a_disk_that_fills_up_while_a_checkpoint_is_written(data, monkeypatch):
    write_own_music(data)
    write_bytes = Path.write_bytes

    def fill_up(path, content):
        if path.name == "history.parquet":
            full_disk()
        return write_bytes(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill_up)
        with pytest.raises(StorageError, match=r"repeat_00: the disk is full; free some space and run again"):
            run("train_naive_bayes", **OWN_MUSIC)
    models = data / "06_models/own/my_music/artist_kfold/mfcc_20/naive_bayes"
    assert list(models.iterdir()) == []
    run("train_naive_bayes", **OWN_MUSIC)
    assert (models / "repeat_01" / "card.json").is_file()


def test_a_catalog_entry_that_cannot_be_written(data, monkeypatch):
    write_own_music(data)
    monkeypatch.setattr("pandas.DataFrame.to_parquet", full_disk)
    with pytest.raises(StorageError, match=r"my_music/tracks\.parquet.*: the disk is full"):
        run("ingest", **OWN_MUSIC)
    assert list(data.rglob("tracks.parquet/*/*")) == []


def test_a_dead_mlflow_server(data, monkeypatch, dead_server):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_server)
    with pytest.raises(TrackingError, match=rf"{dead_server} does not answer .*unset\s+MLFLOW_TRACKING_URI"):
        run("train_all")
    assert not (data / "01_raw").exists()
