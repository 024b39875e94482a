"""Embeddings that the user supplies."""

import numpy as np
import pandas as pd
import pytest

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError, FeatureError
from genre_pipeline.features import FEATURES
from genre_pipeline.features.embeddings import EmbeddingsBlock, load_embeddings
from genre_pipeline.features.segments import segment_tracks
from genre_pipeline.stores.extraction import Target, extract, extract_together
from genre_pipeline.work.backends import Workers

N_DIMS = 4
SPEC = FEATURES["embeddings"]


def make_block(path, **changes):
    return parse_block(
        EmbeddingsBlock, {"kind": "embeddings", "path": path, "n_dims": N_DIMS, **changes}, key="feature"
    )


def write_npy(path, arrays):
    for track_id, array in arrays.items():
        (path / track_id).parent.mkdir(parents=True, exist_ok=True)
        np.save(path / f"{track_id}.npy", array)
    return path


def write_npz(path, arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path.with_suffix(".npz"), **arrays)
    return path.with_suffix(".npz")


def write_parquet(path, arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [(track_id, row.tolist()) for track_id, array in arrays.items() for row in np.atleast_2d(array)]
    pd.DataFrame(rows, columns=["track_id", "embedding"]).to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


@pytest.fixture
def arrays():
    generator = np.random.default_rng(0)
    return {"a": generator.normal(size=N_DIMS), "b": generator.normal(size=(3, N_DIMS)), "jazz/c": np.arange(N_DIMS)}


@pytest.fixture
def tracks():
    ids = ["a", "b", "jazz/c", "silent"]
    return pd.DataFrame(
        {
            "track_id": ids,
            "genre": ["jazz", "jazz", "rock", "rock"],
            "path": [f"{each}.wav" for each in ids],
            "audio_hash": [f"hash of {each}" for each in ids],
            "start_sample": 0,
            "n_samples": 1000,
            "sample_rate": 8000,
            "quarantined": [False, False, False, True],
        }
    )


def take(tracks, block, tmp_path):
    folder = tmp_path / "store"
    return extract(tracks, root=tmp_path, spec=SPEC, block=block, folder=folder, workers=Workers("serial", 1))


@pytest.mark.parametrize("write", [write_npy, write_npz, write_parquet])
@pytest.mark.parametrize("pooling", ["mean", "mean_deviation"])
def test_frames_are_pooled_whatever_the_file(write, pooling, arrays, tmp_path):
    block = make_block(write(tmp_path / "embeddings", arrays), pooling=pooling)
    load = load_embeddings(block)
    for track_id, array in arrays.items():
        frames = np.atleast_2d(array)
        expected = [frames.mean(axis=0), frames.std(axis=0)] if pooling == "mean_deviation" else [frames.mean(axis=0)]
        features = load(track_id)
        assert features.dtype == np.float32
        assert features.shape == (SPEC.n_bins(block), 1)
        np.testing.assert_allclose(features[:, 0], np.concatenate(expected), atol=1e-6)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(N_DIMS + 1), r"shape \(5,\); expected \(4,\) or \(n_frames, 4\)"),
        (np.zeros((2, 2, N_DIMS)), "shape"),
        (np.zeros((0, N_DIMS)), "shape"),
        (np.float32(1.0), "shape"),
        (np.array([0.0, np.nan, 0.0, 0.0]), "not finite"),
        (np.array([0.0, np.inf, 0.0, 0.0]), "not finite"),
        (np.array(["a", "b", "c", "d"]), "expected numbers"),
        (np.array([{}, 1, 2, 3], dtype=object), "cannot be read"),
    ],
)
def test_a_bad_array_is_named(array, message, tmp_path):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(FeatureError, match=message):
        load_embeddings(make_block(tmp_path))("a")


def test_a_truncated_file_is_named(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(FeatureError, match=r"a\.npy cannot be read"):
        load_embeddings(make_block(tmp_path))("a")


@pytest.mark.parametrize("write", [write_npy, write_npz, write_parquet])
def test_a_missing_track_is_named(write, arrays, tmp_path):
    load = load_embeddings(make_block(write(tmp_path / "embeddings", arrays)))
    with pytest.raises(FeatureError, match="no embedding .*zz"):
        load("zz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.npz", None, "There are no embeddings at"),
        ("x.csv", b"", r"got '\.csv'"),
        ("x.npz", b"nothing", "cannot be read"),
        ("x.parquet", b"nothing", "cannot be read"),
    ],
)
def test_a_bad_path_is_named(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FeatureError, match=message):
        load_embeddings(make_block(tmp_path / name))


@pytest.mark.parametrize("segment", [{"n_frames": 2, "hop_frames": 2}, {"n_frames": 1, "hop_frames": 1, "own_s": 3.0}])
def test_a_segment_is_a_clip(segment, tmp_path):
    with pytest.raises(ConfigError, match="a clip has one embedding"):
        make_block(tmp_path, segment=segment)


def test_audio_gives_none(tmp_path):
    with pytest.raises(FeatureError, match="not computed from audio, but read from"):
        SPEC.extract(np.zeros(100, dtype=np.float32), make_block(tmp_path))


def test_every_clip_is_one_segment(tracks, tmp_path):
    table = segment_tracks(tracks, make_block(tmp_path)).table
    assert table[["track_id", "start_frame", "n_frames"]].to_numpy().tolist() == [
        ["a", 0, 1],
        ["b", 0, 1],
        ["jazz/c", 0, 1],
    ]
    assert table["duration_s"].tolist() == [0.125] * 3


class TestStore:
    def test_it_holds_what_was_read_and_reports_what_was_not(self, arrays, tracks, tmp_path):
        del arrays["b"]
        block = make_block(write_npy(tmp_path / "embeddings", arrays))
        result = take(tracks, block, tmp_path)
        assert set(result.store.index["track_id"]) == {"a", "jazz/c"}
        np.testing.assert_allclose(result.store.read("a")[:, 0], arrays["a"], atol=1e-6)
        assert [(each["track_id"], each["path"]) for each in result.report["failed"]] == [("b", "b.wav")]
        assert "There is no embedding at" in result.report["failed"][0]["error"]
        assert result.report["n_extracted"] == result.report["n_tracks"] == 2

    def test_nothing_is_written_again_until_an_array_changes(self, arrays, tracks, tmp_path):
        folder = write_npy(tmp_path / "embeddings", arrays)
        first = take(tracks, make_block(folder), tmp_path)
        again = take(tracks, make_block(folder), tmp_path)
        assert (again.report["n_extracted"], again.report["n_reused"]) == (0, 3)
        assert again.store.fingerprint == first.store.fingerprint
        np.save(folder / "a.npy", arrays["a"] + 1.0)
        changed = take(tracks, make_block(folder), tmp_path)
        assert (changed.report["n_extracted"], changed.report["n_reused"]) == (1, 2)
        np.testing.assert_allclose(changed.store.read("a")[:, 0], arrays["a"] + 1.0, atol=1e-6)
        hashes = [store.index.set_index("track_id")["audio_hash"] for store in (first.store, changed.store)]
        assert (hashes[0] != hashes[1]).to_dict() == {"a": True, "b": False, "jazz/c": False}

    def test_a_track_that_goes_leaves_the_store(self, arrays, tracks, tmp_path):
        folder = write_npy(tmp_path / "embeddings", arrays)
        take(tracks, make_block(folder), tmp_path)
        result = take(tracks[tracks["track_id"] != "b"], make_block(folder), tmp_path)
        assert result.report["n_removed"] == 1
        assert set(result.store.index["track_id"]) == {"a", "jazz/c"}

    def test_none_at_all_is_an_error(self, tracks, tmp_path):
        (tmp_path / "embeddings").mkdir()
        with pytest.raises(FeatureError, match="could be read of none of 3 tracks"):
            take(tracks, make_block(tmp_path / "embeddings"), tmp_path)

    def test_results_come_in_the_order_of_the_targets(self, arrays, tracks, tmp_path):
        folder = write_npy(tmp_path / "embeddings", arrays)
        targets = [
            Target(SPEC, make_block(folder, pooling=pooling), tmp_path / pooling)
            for pooling in ("mean_deviation", "mean")
        ]
        results = extract_together(tracks, targets, root=tmp_path, workers=Workers("serial", 1))
        assert [result.store.read("a").shape[0] for result in results] == [2 * N_DIMS, N_DIMS]
