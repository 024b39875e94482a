"""What is damaged is made again, or named."""

import logging

import pytest

from genre_pipeline.stores.store import FeatureStore
from kedro_sessions import run

NET1 = {"experiment": {"models": ["net1"], "protocols": ["artist_kfold"]}}


def test_a_damaged_checkpoint_is_trained_again_as_it_was(finished_copy, caplog):
    folder = finished_copy / "06_models/test/demo/artist_kfold/log_mel_256/net1"
    weights = folder / "repeat_00" / "weights.safetensors"
    intact = weights.read_bytes()
    other = (folder / "repeat_01" / "weights.safetensors").stat().st_mtime_ns
    weights.write_bytes(intact[:-50])
    with caplog.at_level(logging.INFO):
        run("train_net1", **NET1)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("training again" in text and "weights.safetensors" in text for text in warnings)
    assert "repeat 1: already trained" in caplog.text
    assert weights.read_bytes() == intact
    assert (folder / "repeat_01" / "weights.safetensors").stat().st_mtime_ns == other


def test_damaged_predictions_are_made_again(finished_copy):
    path = finished_copy / "06_models/test/demo/artist_kfold/log_mel_256/net1/repeat_00.predictions.parquet"
    intact = path.read_bytes()
    path.write_bytes(intact[: len(intact) // 2])
    run("train_net1", fresh=True, **NET1)
    assert path.read_bytes() == intact


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_damaged_feature_store_is_mended_and_nothing_is_trained(finished_copy, damage, caplog):
    folder = finished_copy / "04_feature/demo/log_mel_256"
    frames = folder / "frames.bin"
    n_tracks = len(FeatureStore.open(folder).index)
    content = bytearray(frames.read_bytes())
    if damage == "cut":
        del content[-100:]
    else:
        content[len(content) // 2] ^= 0xFF
    frames.write_bytes(content)
    with caplog.at_level(logging.DEBUG, logger="genre_pipeline"):
        run("train_net1", **NET1)
    assert f"{frames}" in caplog.text
    assert "What is damaged is computed again." in caplog.text
    assert "train_net1: up to date" in caplog.text
    mended = FeatureStore.open(folder)
    mended.verify()
    assert len(mended.index) == n_tracks


def test_a_deleted_store_is_made_again_and_nothing_is_trained(finished_copy, caplog):
    folder = finished_copy / "04_feature/demo/log_mel_256"
    intact = (folder / "frames.bin").read_bytes()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with caplog.at_level(logging.DEBUG, logger="genre_pipeline"):
        run("train_net1", **NET1)
    assert (folder / "frames.bin").read_bytes() == intact
    assert "train_net1: up to date" in caplog.text
