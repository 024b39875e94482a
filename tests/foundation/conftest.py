import copy
from typing import Any

import pytest

PARAMETERS: dict[str, Any] = {
    "experiment": {
        "name": "small",
        "title": "A small experiment",
        "datasets": ["music"],
        "protocols": ["folds", "random"],
        "models": ["bayes", "net"],
    },
    "datasets": {"music": {"kind": "folder", "path": "/nowhere"}, "unused": {"kind": "gtzan", "path": "/nowhere"}},
    "protocols": {"folds": {"kind": "artist_kfold", "n_folds": 3}, "random": {"kind": "random_track", "repeats": 2}},
    "features": {
        "mel": {
            "kind": "log_mel",
            "sample_rate": 22050,
            "n_fft": 2048,
            "hop_length": 512,
            "n_mels": 64,
            "segment": {"n_frames": 64, "hop_frames": 64},
        },
        "cepstrum": {
            "kind": "mfcc",
            "sample_rate": 22050,
            "n_fft": 2048,
            "hop_length": 512,
            "n_mels": 64,
            "n_mfcc": 13,
            "segment": {"n_frames": 64, "hop_frames": 32},
        },
    },
    "models": {
        "bayes": {"family": "naive_bayes", "feature": "cepstrum"},
        "net": {
            "family": "duplicated_convolutions",
            "feature": "mel",
            "architecture": {"variant": "net1"},
            "training": {"max_epochs": 3},
        },
    },
    "training": {"batch_size": 16, "max_epochs": 9},
    "explain": {"cell": "music.folds.mel.net"},
    "interventions": {"quieter": {"kind": "gain", "gain_db": -20}},
    "robustness": {"interventions": ["quieter"]},
    "storage": {
        "ingest": "/nowhere/a",
        "splits": "/nowhere/d",
        "features": "/nowhere/b",
        "models": "/nowhere/c",
        "reports": "/nowhere/e",
    },
}


@pytest.fixture
def parameters() -> dict[str, Any]:
    """Parameters of a small experiment, to be spoilt by a test."""
    return copy.deepcopy(PARAMETERS)
