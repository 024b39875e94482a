"""Small searches on synthetic segments."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from genre_pipeline.features import FeatureBlock, SegmentBlock
from genre_pipeline.training import SegmentSet
from genre_pipeline.tuning import Development, Search, TuningBlock, parse_space

MODEL: dict[str, Any] = {
    "family": "duplicated_convolutions",
    "feature": "log_mel_6",
    "architecture": {"variant": "net1", "n_filters": 6, "n_parallel_filters": 3, "hidden": (8, 6)},
}
DEFAULTS = {"max_epochs": 3, "batch_size": 8, "precision": "float32", "device": "cpu", "n_threads": 1}
SPACE: dict[str, Any] = {
    "architecture": {"dropout": {"kind": "float", "low": 0.0, "high": 0.5}},
    "training": {
        "learning_rate": {"kind": "float", "low": 0.0001, "high": 0.1, "log": True},
        "batch_size": {"kind": "choice", "values": [4, 8]},
    },
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise_with_a_loud_bin(n_segments: int, seed: int) -> SegmentSet:
    generator = np.random.default_rng(seed)
    targets = np.arange(n_segments, dtype=np.int64) % 3
    features = generator.normal(size=(n_segments, 6, 8)).astype(np.float32)
    features[np.arange(n_segments), targets] += 1.0
    return SegmentSet(features, targets)


@pytest.fixture(scope="session")
def database(tmp_path_factory) -> Path:
    """An empty database of Optuna's, which takes a second to make."""
    path = tmp_path_factory.mktemp("optuna") / "study.db"
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    storage.remove_session()
    storage.engine.dispose()
    return path


@pytest.fixture
def folder(tmp_path, database) -> Callable[..., Path]:
    """A function that gives a search a folder of a name."""

    def give(name: str = "tuning") -> Path:
        place = tmp_path / name
        if not place.exists():
            place.mkdir()
            shutil.copy(database, place)
        return place

    return give


@pytest.fixture
def make_search() -> Callable[..., Search]:
    def make(space: Any = SPACE, *, model: Any = MODEL, **settings: Any) -> Search:
        segment = SegmentBlock(n_frames=8, hop_frames=8)
        return Search(
            development=Development(
                cell="demo.official.log_mel_6.net",
                repeat=0,
                genres=("blues", "jazz", "rock"),
                train=noise_with_a_loud_bin(24, 0),
                validation=noise_with_a_loud_bin(30, 1),
                inputs="0123456789abcdef",
                n_tested_elsewhere=0,
            ),
            space=parse_space("net", space, model, DEFAULTS),
            block=TuningBlock(**{"n_trials": 4, "n_startup_trials": 2, "n_warm_up_epochs": 0, **settings}),
            model=model,
            defaults=DEFAULTS,
            feature=FeatureBlock(
                kind="log_mel", sample_rate=8000, hop_length=256, segment=segment, normalisation="training"
            ),
            seed=3,
        )

    return make
