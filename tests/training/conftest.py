"""Small segments, recipes and tasks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from genre_pipeline.cells import Cell
from genre_pipeline.features import FeatureBlock, SegmentBlock
from genre_pipeline.training import ModelBlock, SegmentSet, parse_model
from genre_pipeline.training.fitting import Task

GENRES = ("blues", "jazz", "rock")
MODELS: dict[str, dict[str, Any]] = {
    "net": {
        "family": "duplicated_convolutions",
        "architecture": {"variant": "net1", "n_filters": 6, "n_parallel_filters": 3, "hidden": (8, 6)},
    },
    "crnn": {
        "family": "crnn",
        "architecture": {"n_filters": (2, 4), "n_recurrent": 4, "n_dense": 4, "norm_momentum": 0.1},
    },
    "svm": {"family": "svm"},
    "naive_bayes": {"family": "naive_bayes"},
}
RECIPE = {"max_epochs": 4, "batch_size": 8, "learning_rate": 0.01, "precision": "float32", "device": "cpu"}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_segments() -> Callable[..., SegmentSet]:
    """Noise with one loud bin a genre."""

    def make(n_segments: int = 24, *, seed: int = 0, n_frames: int = 8) -> SegmentSet:
        generator = np.random.default_rng(seed)
        targets = np.arange(n_segments, dtype=np.int64) % len(GENRES)
        features = generator.normal(size=(n_segments, 6, n_frames)).astype(np.float32)
        features[np.arange(n_segments), targets] += 2.0
        return SegmentSet(features, targets)

    return make


@pytest.fixture
def make_model() -> Callable[..., ModelBlock]:
    def make(name: str = "net", **training: Any) -> ModelBlock:
        return parse_model(name, {"feature": "log_mel_6", **MODELS[name], "training": training}, RECIPE)

    return make


@pytest.fixture
def make_feature() -> Callable[..., FeatureBlock]:
    def make(normalisation: str = "training") -> FeatureBlock:
        segment = SegmentBlock(n_frames=8, hop_frames=8)
        return FeatureBlock(
            kind="log_mel", sample_rate=8000, hop_length=256, segment=segment, normalisation=normalisation
        )

    return make


@pytest.fixture
def make_task(make_model, make_feature, make_segments) -> Callable[..., Task]:
    def make(name: str = "net", **training: Any) -> Task:
        model = make_model(name, **training)
        return Task("demo", model, make_feature(), len(GENRES), 5, make_segments(), make_segments(9, seed=1))

    return make


@pytest.fixture
def arguments(tmp_path, make_segments, make_feature, make_model) -> dict[str, Any]:
    """Arguments of ``train_repeat``."""
    return {
        "cell": Cell("demo", "artist_kfold", "log_mel_6", "net"),
        "repeat": 1,
        "seed": 5,
        "genres": GENRES,
        "feature": make_feature(),
        "model": make_model(),
        "train": make_segments(),
        "validation": make_segments(9, seed=1),
        "inputs": "0123456789abcdef",
        "leaky": False,
        "folder": tmp_path / "models" / "repeat_1",
    }
