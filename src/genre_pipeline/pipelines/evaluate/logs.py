"""What is logged to MLflow of an evaluated cell."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.cell import metric_values
from genre_pipeline.evaluation.leaderboard import genre_means
from genre_pipeline.evaluation.metrics import UNITS, confusion
from genre_pipeline.fingerprints import fingerprint
from genre_pipeline.logs import OUTCOMES, CellLog, RunLog, ServedModel, file_metrics
from genre_pipeline.pipelines.evaluate.routing import log_routing
from genre_pipeline.reporting.figures import confusion_figure
from genre_pipeline.reporting.wording import accuracy_text, split_marks, unknown_tag
from genre_pipeline.results.cell import CellResult, cell_of, dataset_name, number, statistic, summary_row, unknown_share
from genre_pipeline.training import Checkpoint
from genre_pipeline.training.checkpoints import joint_fingerprint

_CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
# What MLflow takes in a key, but for "/", which makes a folder, and ":", which it does not take on Windows.
_NOT_IN_KEYS = re.compile(r"[^\w. -]")
# [D] MLflow takes 250 characters: 23 are "test_segment_precision/", 9 a hash; 18 are spare.
_MAX_GENRE = 200
_STATISTICS = {"sd": "_sd", "ci_low": "_ci_low", "ci_high": "_ci_high"}


def log_evaluation(
    cell: Cell,
    result: CellResult,
    checkpoints: Sequence[Checkpoint],
    predictions: pd.DataFrame,
    *,
    track_average: str,
    dataset_fingerprint: str,
    test_ratio: float,
    outcomes: pd.DataFrame | None,
) -> CellLog:
    """Return what is logged of a cell: numbers, figures and model; its run fails if no repeat could be trained.

    The metric keys are the same for every cell, so that any runs can be compared by ticking them; the mean over
    repeats carries no suffix. All but a few have a folder, which MLflow's charts make a section of its own, and which
    comes after those few in its lists.

    Args:
        cell: The cell.
        result: The cell's result.
        checkpoints: The trained model of each repeat that did not fail.
        predictions: Their predictions.
        track_average: What of a track's segments was averaged.
        dataset_fingerprint: Fingerprint of the dataset's tracks.
        test_ratio: Test over training tracks, or pieces where the split divides tracks.
        outcomes: The predictions for the test tracks, for comparison with later runs; none without a trained model.
    """
    unknown = unknown_tag(result)
    of_split = {**{key: result[key] for key in ("split_hash", "leaky", "subset")}, **unknown}
    tags = {
        **of_split,
        "track_average": track_average,
        "unit": "segment and track",
        "split": "validation and test",
        "statistic": statistic(result),
        "failed_repeats": len(result["failures"]),
        "feature_hash": result["feature_hash"],
        "dataset_fingerprint": dataset_fingerprint,
        "design": result["design"],
        "selection": result["selection"],
        "precision": result["precision"],
        "reference": result["reference"],
        "reused_repeats": sum(checkpoint.reused for checkpoint in checkpoints),
    }
    inputs = {cell.dataset: dataset_fingerprint, f"{cell.dataset}.{cell.protocol}": result["split_hash"]}
    session_tags = {key: f"{cell.dataset}.{cell.protocol}: {share}" for key, share in unknown.items()}
    files: dict[str, Any] = {"result.json": result}
    if outcomes is None:
        note = "\n".join(["No repeat could be trained:\n", *(f"- {each['reason']}" for each in result["failures"])])
        return CellLog(
            cell=cell, tags=tags, session_tags=session_tags, files=files, inputs=inputs, note=note, ends="FAILED"
        )
    routing = log_routing(checkpoints, genres=result["genres"])
    pictures = {f"confusion_{unit}.png": confusion_figure(result, unit) for unit in ("track", "segment")}
    return CellLog(
        cell=cell,
        tags={**_table_tags(result), **tags},
        note=_note(result),
        inputs=inputs,
        session_tags=session_tags,
        files={**files, OUTCOMES: outcomes, **routing.files, **pictures},
        repeats={
            checkpoint.card.repeat: _log_repeat(
                checkpoint, result, predictions, of_split, routing.repeats.get(checkpoint.card.repeat, {})
            )
            for checkpoint in checkpoints
        },
        metrics={**_metrics(result), "tracks/test_ratio": test_ratio},
        epochs=_curves(result, routing.entropies),
        model=ServedModel(
            tuple(each.folder for each in checkpoints),
            tuple(result["genres"]),
            joint_fingerprint(each.fingerprint for each in checkpoints),
            tuple(result["thresholds"]),
        ),
        ends="FINISHED",
    )


def _table_tags(result: CellResult) -> dict[str, str]:
    """Return what a table of runs shows in words: the accuracy with its interval, and what makes it doubtful."""
    row = summary_row(result, unit="track", metric="accuracy")
    marks = ", ".join(split_marks(result))
    return {
        "track_accuracy": accuracy_text(row["mean"], row["ci_low"], row["ci_high"]),
        **({"marks": marks} if marks else {}),
    }


def _note(result: CellResult) -> str:
    """Describe a cell for people who open its run."""
    cell, tags = cell_of(result), _table_tags(result)
    lines = [
        f"**{tags['track_accuracy']}** of the test tracks, {statistic(result)}.",
        f"Model **{cell.model}** on the feature {cell.feature} of {dataset_name(result)}, protocol {cell.protocol}.",
    ]
    if "marks" in tags:
        lines.append(f"**{tags['marks']}**: the number may be inflated.")
    return "\n\n".join(lines)


def _log_repeat(
    checkpoint: Checkpoint,
    result: CellResult,
    predictions: pd.DataFrame,
    tags: Mapping[str, object],
    epochs: Mapping[int, Mapping[str, float]],
) -> RunLog:
    card = checkpoint.card
    rows = [row for row in result["repeats"] if row["repeat"] == card.repeat]
    own = confusion(predictions[predictions["repeat"] == card.repeat], genres=result["genres"], unit="track")
    one: CellResult = {**result, "confusion": {"track": own.tolist()}}
    computed = {key: getattr(card, key) for key in ("device", "precision", "channels_last", "compiled")}
    return RunLog(
        metrics=file_metrics(metric_values(rows, value="value")),
        epochs=epochs,
        files={"confusion_track.png": confusion_figure(one, "track", repeat=card.repeat)},
        tags={**tags, "seed": card.seed, **computed},
        ends="FINISHED",
    )


def _metrics(result: CellResult) -> dict[str, float]:
    # How uncertain the other splits' scores are, result.json says: three of four metrics would be that.
    tested = [row for row in result["summary"] if row["split"] == "test"]
    scores = metric_values(result["summary"], value="mean")
    for column, suffix in _STATISTICS.items():
        scores |= metric_values(tested, value=column, suffix=suffix)
    return {
        **file_metrics({**scores, **_genre_metrics(result)}),
        "usage/n_parameters": number(result["n_parameters"]),
        "usage/training_s": result["cost"]["training_s"],
        "usage/inference_s": result["cost"]["inference_s"],
        "usage/gflop_per_clip": number(result["cost"]["flop_per_clip"]) / 1e9,
        "tracks/n_train_tracks": result["n_tracks"]["train"],
        "tracks/n_validation_tracks": result["n_tracks"]["validation"],
        "tracks/n_test_tracks": result["n_tracks"]["test"],
        "tracks/artists_unknown": unknown_share(result),
        **{f"tracks/shared_{kind}": count for kind, count in result["leaks"].items()},
    }


def _curves(result: CellResult, entropies: Sequence[float]) -> dict[int, dict[str, float]]:
    """Return the means over repeats: one point an epoch, beginning with epoch 1."""
    means = pd.DataFrame(result["history"]).groupby("epoch")[list(_CURVES)].mean()
    curves = {key: means[key].astype(float).tolist() for key in _CURVES}
    if entropies:
        curves["routing_entropy"] = list(entropies)
    n_epochs = max(map(len, curves.values()), default=0)
    return {
        step + 1: {key: values[step] for key, values in curves.items() if step < len(values)}
        for step in range(n_epochs)
    }


def _genre_metrics(result: CellResult) -> dict[str, float]:
    """Name the test metrics of each genre: ``test_track_f1/jazz``."""
    keys = genre_keys(result["genres"])
    return {
        f"test_{unit}_{metric}/{keys[str(genre)]}": float(value)
        for unit in UNITS
        for metric, by_genre in genre_means(result, unit=unit).items()
        for genre, value in by_genre.items()
    }


def genre_keys(genres: Sequence[str]) -> dict[str, str]:
    """Name each genre as MLflow takes it in a metric's key, no two alike.

    Letters and digits of any script stay, and so do dots, hyphens and spaces; each other character becomes ``_``. A
    genre that would share its name with another then, is too long or could be taken for a folder (``..``), gets a hash
    of its true name at the end.

    Args:
        genres: The genres, all different.

    Returns:
        Genre to the part of the key that stands for it.

    Example:
        >>> genre_keys(["摇滚", "Drum & Bass", "R&B", "R+B", "R_B"])
        {'摇滚': '摇滚', 'Drum & Bass': 'Drum _ Bass', 'R&B': 'R_B 34b1a8fc', 'R+B': 'R_B 50072dcb', 'R_B': 'R_B'}
    """
    names = {genre: _NOT_IN_KEYS.sub("_", unicodedata.normalize("NFC", genre)) for genre in genres}
    shared = Counter(names.values())

    def is_own(genre: str, name: str) -> bool:
        return len(name) <= _MAX_GENRE and bool(name.strip(".")) and (name == genre or shared[name] == 1)

    return {
        genre: name if is_own(genre, name) else f"{name[:_MAX_GENRE]} {fingerprint('genre', 1, name=genre)[:8]}"
        for genre, name in names.items()
    }
