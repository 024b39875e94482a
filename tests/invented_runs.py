"""Runs of cells as they are read back from MLflow, without MLflow."""

import numpy as np
import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.results.run_changes import CellRecord, SessionRecord

CELL = Cell("demo", "artist_kfold", "mfcc_20", "svm")


def answers(right, *, n_repeats=1, first=0, genres=("jazz", "rock")):
    """Answers for tracks of two each of an artist, dealt to the repeats in turn; genres alternate."""
    tracks = np.arange(first, first + len(right))
    return pd.DataFrame(
        {
            "repeat": np.arange(len(right)) % n_repeats,
            "track_id": [f"t{track:03d}" for track in tracks],
            "genre": [genres[track % len(genres)] for track in tracks],
            "cluster": [f"artist {track // 2}" for track in tracks],
            "right": np.asarray(right, dtype=bool),
        }
    )


def record(
    right=None, *, cell=CELL, run_id="r1", accuracy=0.5, width=0.1, n_repeats=1, genres=("jazz", "rock"), **given
):
    """A cell's run; its accuracy is that of the given answers, if there are any."""
    outcomes = None if right is None else answers(right, n_repeats=n_repeats, genres=genres)
    mean = accuracy if outcomes is None else float(outcomes["right"].mean())
    metrics = {
        "test_track_accuracy": mean,
        "test_track_accuracy_ci_low": mean - width,
        "test_track_accuracy_ci_high": mean + width,
        "test_track_accuracy_sd": 0.01,
        "test_track_log_loss": 2.0 - mean,
        "test_track_log_loss_ci_low": 2.0 - mean - width,
        "test_track_log_loss_ci_high": 2.0 - mean + width,
        "test_segment_accuracy": mean,
        "test_track_f1/jazz": mean,
    }
    known = {
        "parameters": {"model.c": "1.0", "seed": "0"},
        "data": {"split_hash": "aaaa", "dataset_fingerprint": "bbbb", "leaky": "False", "subset": ""},
        "commit": "0123456789abcdef",
        "metrics": metrics,
        "design": "kfold" if n_repeats > 1 else "seeds",
        "test_ratio": 0.25,
        **given,
    }
    return CellRecord(cell=cell, run_id=run_id, outcomes=outcomes, **known)


def session(*records, run_id="s1", **given):
    """A session that evaluated cells."""
    known = {
        "name": "train_all / base",
        "experiment": "demo",
        "commit": "0123456789abcdef",
        "started": "2026-11-24 10:00 UTC",
        "status": "FINISHED",
        **given,
    }
    return SessionRecord(run_id=run_id, cells={each.cell: each for each in records}, **known)


def change_of(result, verdict, *, difference=-0.125, reason="", changes=()):
    """What became of a cell since the run before, as the pipeline hands it to the report."""
    metric = {
        "metric": "test_track_accuracy",
        "before": 0.875,
        "after": 0.875 + difference,
        "difference": difference,
        "ci_low": difference - 0.1,
        "ci_high": difference + 0.1,
        "basis": "tracks",
        "n_tracks": 24,
        "verdict": verdict,
    }
    return {
        "cell": Cell(**result["cell"]).name,
        "before": "r1",
        "after": "r2",
        "verdict": verdict,
        "reason": reason,
        "changes": [dict(zip(("kind", "key", "before", "after"), each, strict=True)) for each in changes],
        "metrics": [] if reason or verdict == "failed" else [metric],
    }
