"""Fabricated but plausible results: no model is trained to test how results are shown."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from genre_pipeline.evaluation.paired import PAIR_COLUMNS
from genre_pipeline.reporting.report import build_report
from genre_pipeline.reporting.sections import ReportData

_HOSTILE = "<script>window.broken = true</script>"
GENRES = ["blues", "classical", "disco", "jazz", "metal", "rock"]
_Z95 = 1.96


def fabricate_result(
    *,
    dataset: str = "demo",
    protocol: str = "artist_kfold",
    feature: str = "log_mel_128",
    model: str = "net1",
    accuracy: float = 0.75,
    spread: float = 0.04,
    n_repeats: int = 5,
    n_epochs: int = 12,
    n_parameters: int | None = 1_234_567,
    design: str = "kfold",
    leaky: bool = False,
    subset: str = "",
    genres: list[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Make one cell's result; the accuracies of the repeats are evenly spaced around ``accuracy``."""
    rng = np.random.default_rng(seed)
    genres = genres or GENRES
    offsets = np.linspace(-1, 1, n_repeats) if n_repeats > 1 else np.zeros(1)
    values = {
        ("track", "accuracy"): accuracy + spread * offsets,
        ("track", "balanced_accuracy"): accuracy - 0.01 + spread * offsets,
        ("track", "macro_f1"): accuracy - 0.02 + spread * offsets,
        ("track", "top_2_accuracy"): accuracy + 0.1 + spread * offsets,
        ("track", "log_loss"): 1.5 - accuracy - spread * offsets,
        ("track", "ece"): 0.12 + spread * offsets,
        ("track", "brier"): 0.5 - spread * offsets,
        ("track", "accuracy_at_80_coverage"): accuracy + 0.05 + spread * offsets,
        ("track", "accuracy_at_95_coverage"): accuracy + 0.01 + spread * offsets,
        ("track", "calibrated_log_loss"): 1.4 - accuracy - spread * offsets,
        ("track", "calibrated_ece"): 0.06 + spread * offsets,
        ("track", "calibrated_brier"): 0.45 - spread * offsets,
        ("segment", "accuracy"): accuracy - 0.08 + spread * offsets,
        ("segment", "balanced_accuracy"): accuracy - 0.09 + spread * offsets,
        ("segment", "macro_f1"): accuracy - 0.10 + spread * offsets,
    }
    return {
        "cell": {"dataset": dataset, "protocol": protocol, "feature": feature, "model": model},
        "genres": list(genres),
        "design": design,
        "leaky": leaky,
        "split_hash": "5b1e5b1e5b1e5b1e",
        "feature_hash": "fea7fea7fea7fea7",
        "subset": subset,
        "n_repeats": n_repeats,
        "failures": [],
        "n_parameters": n_parameters,
        "n_tracks": {"train": 72.0, "validation": 24.0, "test": 24.0},
        "n_segments": {"train": 432.0, "validation": 144.0, "test": 144.0},
        "segment_duration_s": 3.0,
        "summary": [
            *(_summary(unit, metric, numbers) for (unit, metric), numbers in values.items()),
            {**_summary("track", "temperature", 2.0 + offsets), "split": "validation"},
        ],
        "repeats": [
            {"repeat": i, "split": "test", "unit": unit, "metric": metric, "value": float(v), "n": 24}
            for (unit, metric), numbers in values.items()
            for i, v in enumerate(numbers)
        ],
        "genre_repeats": [
            {"repeat": i, "split": "test", "unit": unit, "genre": genre, "precision": p, "recall": r, "f1": f, "n": 4}
            for i in range(n_repeats)
            for unit in ("segment", "track")
            for genre, p, r, f in zip(genres, *_genre_scores(len(genres), accuracy), strict=True)
        ],
        "history": [row for i in range(n_repeats) for row in _history(rng, i, n_epochs, accuracy)],
        "confusion": {
            unit: _confusion(rng, len(genres), n, accuracy).tolist() for unit, n in (("segment", 120), ("track", 20))
        },
        "reliability": {
            unit: [
                {"low": 0.4, "high": 0.467, "n": 20, "confidence": 0.45, "accuracy": 0.4},
                {"low": 0.933, "high": 1.0, "n": 100, "confidence": 0.95, "accuracy": accuracy},
            ]
            for unit in ("segment", "track")
        },
        "thresholds": [
            {
                "threshold": threshold,
                "validation_kept": kept,
                "validation_wrong": round(share * kept * (1 - accuracy)),
                "test_kept": kept,
                "test_wrong": round(share * kept * (1 - accuracy)),
            }
            for threshold, kept, share in ((0.9, 30, 0.2), (0.6, 80, 0.6), (0.3, 115, 0.9), (0.0, 120, 1.0))
        ],
        "leaks": {"tracks": 0, "files": 0, "audio": 0, "recordings": 0, "artists": 13 if leaky else 0, "albums": 0},
        "cost": {
            "training_s": 12.5 * n_repeats * n_epochs,
            "inference_s": 0.8 * n_repeats,
            "flop_per_clip": None if n_parameters is None else 2e3 * n_parameters,
        },
        "precision": "float32",
        "reference": f"The authors of {model}, A paper about {model}, 2020",
        "selection": "best validation",
        "git_commit": "c0ffee",
        "seed": 0,
    }


def _genre_scores(n_genres: int, accuracy: float) -> tuple[list[Any], list[float], list[float]]:
    """Precisions, recalls and F1 scores; nothing was taken for the last genre."""
    recalls = np.linspace(accuracy - 0.1, accuracy + 0.1, n_genres - 1).tolist()
    return [*recalls[::-1], None], [*recalls, 0.0], [*(accuracy for _ in recalls), 0.0]


def _summary(unit: str, metric: str, values: np.ndarray) -> dict[str, Any]:
    n, mean = len(values), float(values.mean())
    sd = float(values.std(ddof=1)) if n > 1 else math.nan
    half = _Z95 * sd / math.sqrt(n)
    return {
        "split": "test",
        "unit": unit,
        "metric": metric,
        "mean": mean,
        "sd": sd,
        "ci_low": mean - half,
        "ci_high": mean + half,
        "min": float(values.min()),
        "max": float(values.max()),
        "n_repeats": n,
        "interval": "corrected resampled t" if n > 1 else "none",
    }


def _history(rng: np.random.Generator, repeat: int, n_epochs: int, accuracy: float) -> list[dict[str, Any]]:
    rows = []
    for epoch in range(1, n_epochs + 1):
        progress = 1 - math.exp(-4 * epoch / n_epochs)
        noise = float(rng.normal(0, 0.02))
        rows.append(
            {
                "repeat": repeat,
                "epoch": epoch,
                "train_loss": 1.8 * (1 - progress) + 0.1,
                "train_accuracy": min(1.0, 0.2 + 0.8 * progress),
                "validation_loss": 1.8 * (1 - 0.7 * progress) + noise,
                "validation_accuracy": min(1.0, max(0.0, 0.2 + (accuracy - 0.2) * progress + noise)),
                "learning_rate": 1e-3,
                "gradient_norm": 0.5,
            }
        )
    return rows


def _confusion(rng: np.random.Generator, n_genres: int, n: int, accuracy: float) -> np.ndarray:
    weights = rng.dirichlet(np.full(n_genres, 0.6), size=n_genres)
    p = accuracy * np.eye(n_genres) + (1 - accuracy) * weights
    return np.stack([rng.multinomial(n, row / row.sum()) for row in p])


def fabricate_dataset(name: str = "demo", *, genres: list[str] | None = None, subset: str = "") -> dict[str, Any]:
    """Make one dataset's quality report, with an unreadable file and a duplicate."""
    genres = genres or GENRES
    first, second = genres[0], genres[1]
    return {
        "dataset": name,
        "kind": name,
        "subset": {"name": subset},
        "title": f"The {name} collection",
        "citation": "Nobody, Music made by code, 2026, https://example.org/music",
        "licence": "CC0",
        "n_clips": 20 * len(genres),
        "n_usable": 20 * len(genres) - 2,
        "n_quarantined": 2,
        "total_duration_s": 200.0 * len(genres),
        "genres": {genre: {"clips": 20, "usable": 19 if i < 2 else 20, "artists": 5} for i, genre in enumerate(genres)},
        "faults": [
            _fault(first, "unreadable", "Format not recognised at byte 0", quarantined=True),
            _fault(second, "duplicate_audio", f"same audio as {second}.00003", quarantined=True),
            _fault(second, "clipped", "1.2 % of the samples at full scale", quarantined=False),
        ],
    }


def _fault(genre: str, fault: str, detail: str, *, quarantined: bool) -> dict[str, Any]:
    track_id = f"{genre}.00017"
    path = f"{genre}/{track_id}.wav"
    return {"track_id": track_id, "path": path, "fault": fault, "detail": detail, "quarantined": quarantined}


def fabricate_pairs(results: list[dict[str, Any]], *, shown: float = 0.1) -> pd.DataFrame:
    """Compare every two cells of a setting; differences of at least ``shown`` count."""
    rows = []
    for a, b in combinations(results, 2):
        if any(a["cell"][key] != b["cell"][key] for key in ("dataset", "protocol")):
            continue
        means = [result["summary"][0]["mean"] for result in (a, b)]
        difference = means[0] - means[1]
        better = ("a" if difference > 0 else "b") if abs(difference) >= shown - 1e-9 else ""
        numbers = {
            "difference": difference,
            "ci_low": difference - 0.05,
            "ci_high": difference + 0.05,
            "confidence": 0.95,
            "n_repeats": 5,
            "n_tracks": 120,
            "n_clusters": 34,
            "only_a": 12,
            "only_b": 7,
            "p_bootstrap": 0.012,
            "p_corrected_t": 0.2,
            "p_mcnemar": math.nan,
            "p": 0.2,
            "p_holm": 0.4,
            "better": better,
        }
        names = {
            f"{key}_{side}": each["cell"][key] for side, each in (("a", a), ("b", b)) for key in ("feature", "model")
        }
        setting = {key: a["cell"][key] for key in ("dataset", "protocol")} | {
            "subset": a["subset"],
            "leaky": a["leaky"],
        }
        rows.append(
            {**setting, **names, **numbers, "unit": "track", "metric": "accuracy", "split_hash": a["split_hash"]}
        )
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS)).astype(dict(PAIR_COLUMNS))


def fabricate_answers(result: dict[str, Any]) -> dict[str, Any]:
    """Say what a cell's models predicted of two tracks; the first one is always taken for the second genre."""
    first, second, *others = result["genres"]
    rest = [0.0] * len(others)
    files = {"start_s": 0.0, "duration_s": 9.0, "times_s": [1.5, 4.5, 7.5]}
    tracks = [
        {
            **files,
            "track_id": f"track_1 {_HOSTILE}",
            "genre": first,
            "answer": second,
            "title": "Ann · Blue",
            "path": f"/music/{_HOSTILE}.wav",
            "n_repeats": 2,
            "n_right": 0,
            "probabilities": [0.3, 0.7, *rest],
            "answer_over_time": [0.9, 0.7, 0.5],
            "genre_over_time": [0.1, 0.3, 0.5],
            "closest": [["track_2", second], ["track_3", first]],
        },
        {
            **files,
            "track_id": "track_2",
            "genre": second,
            "answer": second,
            "title": "",
            "path": "/music/2.wav",
            "n_repeats": 1,
            "n_right": 1,
            "probabilities": [0.0, 1.0, *rest],
            "answer_over_time": [1.0] * 3,
            "genre_over_time": [1.0] * 3,
            "closest": [],
        },
    ]
    return {"cell": result["cell"], "n_wrong": 1, "n_tracks": 2, "mistakes": [], "pairs": [], "tracks": tracks}


def fabricate_split(dataset="demo", protocol="artist_kfold", *, leaky=False, subset=""):
    n = 30 if leaky else 0
    example = {"value": _HOSTILE, "repeat": 0, "splits": ["train", "test"], "track_ids": ["blues.00001", "blues.00002"]}
    return {
        "dataset": dataset,
        "subset": subset,
        "protocol": protocol,
        "promises": [] if leaky else ["artist", "track"],
        "kind": protocol,
        "design": "resampled" if leaky else "kfold",
        "leaky": leaky,
        "n_tracks": 118,
        "n_repeats": 5,
        "split_hash": "5b1e5b1e5b1e5b1e",
        "stratification_imbalance": {"train": 0.004, "validation": 0.0203, "test": 0.0123},
        "leaks": {
            "overall": {"track": 0, "file": 1, "audio": 0, "recording": 2, "artist": n, "album": 3},
            "examples": {"artist": [example] if leaky else []},
        },
        "unknown_artist_tracks": 4,
    }


@pytest.fixture(scope="session")
def make_pairs():
    return fabricate_pairs


@pytest.fixture(scope="session")
def make_result():
    return fabricate_result


@pytest.fixture(scope="session")
def make_dataset():
    return fabricate_dataset


@pytest.fixture(scope="session")
def make_answers():
    return fabricate_answers


@pytest.fixture(scope="session")
def make_split():
    return fabricate_split


@pytest.fixture(scope="session")
def hostile_page():
    """A report whose every name from data would do harm if it were not escaped."""
    genres = [_HOSTILE, "r&b", "<b>rock</b>", "</script>", "%{x}", "jazz"]
    results = [
        fabricate_result(model=model, protocol=protocol, accuracy=accuracy, leaky=leaky, genres=genres, n_epochs=n)
        for protocol, leaky in (("artist_kfold", False), ("random_segment", True))
        for model, accuracy, n in (("net1", 0.6, 4), ("svm", 0.7, 1))
    ]
    splits = [fabricate_split(), fabricate_split(protocol="random_segment", leaky=True)]
    options = {
        "pairs": fabricate_pairs(results),
        "title": _HOSTILE,
        "command": f"run {_HOSTILE}",
        "mistakes": [fabricate_answers(result) for result in results],
    }
    return build_report(ReportData(results, [fabricate_dataset(genres=genres)], splits, **options))


def fabricate_results() -> list[dict[str, Any]]:
    """Two datasets under two protocols (one leaky), four models, one of them an estimator."""
    models = [("crnn_gru", 0.7, 300_000), ("net1", 0.75, 1_234_567), ("net2", 0.8, 900_000), ("svm", 0.62, None)]
    return [
        fabricate_result(
            dataset=dataset,
            protocol=protocol,
            model=model,
            feature="mfcc_40" if model == "svm" else "log_mel_128",
            accuracy=accuracy + (0.1 if protocol == "random_segment" else 0.0) - (0.05 if dataset == "tiny" else 0.0),
            leaky=protocol == "random_segment",
            design="resampled" if protocol == "random_segment" else "kfold",
            n_epochs=1 if model == "svm" else 12,
            n_parameters=n_parameters,
            seed=index,
        )
        for dataset in ("demo", "tiny")
        for protocol in ("artist_kfold", "random_segment")
        for index, (model, accuracy, n_parameters) in enumerate(models)
    ]


@pytest.fixture(scope="session")
def make_results():
    return fabricate_results


@pytest.fixture
def results():
    return fabricate_results()
