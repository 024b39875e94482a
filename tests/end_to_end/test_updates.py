"""Datasets that change: only what is new is done."""

import json

import pandas as pd

from genre_pipeline.training import Checkpoint
from kedro_sessions import OWN_MUSIC, run, write_own_clip, write_own_music


def newest(data, entry):
    path = data / entry
    return json.loads(max(path.glob(f"*/{path.name}")).read_text())


def update(data):
    """Run all nodes up to the features of one's own music; say what was inspected, extracted, kept and removed."""
    run("ingest", "segment", "features", fresh=True, **OWN_MUSIC)
    quality = newest(data, "02_intermediate/my_music/quality.json")
    extraction = newest(data, "04_feature/my_music/mfcc_20_extraction.json")
    return {
        "inspected": quality["n_inspected"],
        **{name: extraction[f"n_{name}"] for name in ("extracted", "reused", "removed")},
    }


def test_only_what_changed_is_done_again(data):
    root = write_own_music(data)
    assert update(data) == {"inspected": 8, "extracted": 8, "reused": 0, "removed": 0}
    assert update(data) == {"inspected": 0, "extracted": 0, "reused": 8, "removed": 0}
    write_own_clip(root / "jazz" / "new.wav", seed=1000)
    assert update(data) == {"inspected": 1, "extracted": 1, "reused": 8, "removed": 0}
    (root / "rock" / "0.wav").unlink()
    assert update(data) == {"inspected": 0, "extracted": 0, "reused": 8, "removed": 1}
    (root / "rock" / "1.wav").rename(root / "rock" / "renamed.wav")
    assert update(data) == {"inspected": 1, "extracted": 0, "reused": 8, "removed": 0}
    write_own_clip(root / "jazz" / "2.wav", seed=1001)
    assert update(data) == {"inspected": 1, "extracted": 1, "reused": 7, "removed": 1}


def test_a_changed_dataset_is_trained_on_again(data):
    root = write_own_music(data)
    run("train_naive_bayes", **OWN_MUSIC)
    folder = data / "06_models/own/my_music/artist_kfold/mfcc_20/naive_bayes/repeat_00"
    before = Checkpoint.open(folder)
    write_own_clip(root / "jazz" / "new.wav", seed=1000)
    run("train_naive_bayes", **OWN_MUSIC)
    assert Checkpoint.open(folder).fingerprint != before.fingerprint
    growth = newest(data, "03_primary/my_music/artist_kfold/audit.json")["growth"]
    assert (growth["n_kept"], growth["added"]["n_tracks"], growth["moved"]["n_tracks"]) == (8, 1, 0)


def test_bad_files_are_reported_and_the_others_used(data):
    root = write_own_music(data)
    (root / "jazz" / "text.wav").write_text("no audio at all")
    (root / "jazz" / "empty.wav").write_bytes(b"")
    whole = write_own_clip(root / "rock" / "cut.wav", seed=5000)
    whole.write_bytes(whole.read_bytes()[:20_000])
    run("train_naive_bayes", **OWN_MUSIC)
    quality = newest(data, "02_intermediate/my_music/quality.json")
    assert quality["n_usable"] == 8
    assert {fault["path"] for fault in quality["faults"] if fault["quarantined"]} == {
        "jazz/text.wav",
        "jazz/empty.wav",
        "rock/cut.wav",
    }
    split = data / "03_primary/my_music/artist_kfold/split.parquet"
    assert pd.read_parquet(max(split.glob("*/split.parquet")))["track_id"].nunique() == 8
