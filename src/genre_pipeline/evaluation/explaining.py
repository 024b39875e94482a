"""Explain a trained model's prediction: which time-frequency regions speak for a genre, and which against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.blocks import parse_block
from genre_pipeline.cells import Cell
from genre_pipeline.errors import ConfigError
from genre_pipeline.features import FEATURES, Bins
from genre_pipeline.registry import suggestion
from genre_pipeline.results.explanation import Explanation
from genre_pipeline.training import Checkpoint
from genre_pipeline.training.attribution import Attribution, attribute_by_occlusion, attribute_network
from genre_pipeline.training.cell_data import CellData
from genre_pipeline.training.predictors import NetworkPredictor, Predictor

Method = Literal["auto", "integrated_gradients", "occlusion"]
# [?] Patches of occlusion, fine enough for a beat and an octave, coarse enough for some hundred predictions per track.
_N_ROWS, _N_COLUMNS = 8, 8


def explain_track(
    cell: Cell,
    checkpoints: Sequence[Checkpoint],
    data: CellData,
    track_id: str,
    *,
    genre: str | None = None,
    method: Method = "auto",
    n_steps: int = 64,
) -> Explanation:
    """Explain a cell's prediction of one of its test tracks, by the first repeat's model that was tested on it.

    Args:
        cell: The cell.
        checkpoints: The trained model of each repeat.
        data: The cell's segments.
        track_id: The track.
        genre: The genre whose log odds are explained; the predicted one by default.
        method: ``integrated_gradients`` (networks only), ``occlusion``, or ``auto``: the first where it can be.
        n_steps: Steps of integrated gradients.

    Returns:
        The explanation.

    Raises:
        ConfigError: If the track is never tested, the genre is not one of the cell's, or the method does not fit.
    """
    if genre is not None and genre not in data.genres:
        raise ConfigError(f"explain.genre: {cell.name} does not know '{genre}'. {suggestion(genre, data.genres)}")
    checkpoint, segments = _tested(cell, checkpoints, data, track_id)
    predictor = checkpoint.predictor(device="cpu")
    features = data.store.gather(segments)
    probabilities = predictor.predict_probabilities(features)
    answer = data.genres[int(probabilities.mean(axis=0).argmax())]
    target = data.genres.index(genre or answer)
    if method == "integrated_gradients" and not isinstance(predictor, NetworkPredictor):
        raise ConfigError(
            f"explain.method: {cell.name} is no network and has no gradients. Choose 'occlusion', or 'auto'."
        )
    found, means = attribute(predictor, features, target, method=method, n_steps=n_steps)
    starts = segments["start_frame"].to_numpy() - int(segments["start_frame"].iloc[0])
    return Explanation(
        cell=cell,
        repeat=checkpoint.card.repeat,
        track_id=track_id,
        genre=str(segments["genre"].iloc[0]),
        answer=answer,
        target=data.genres[target],
        method=means,
        genres=data.genres,
        probabilities=probabilities,
        starts_s=segments["start_s"].to_numpy(dtype=np.float64),
        segment_s=float(segments["duration_s"].iloc[0]),
        bins=_bins(checkpoint),
        levels=lay_out(features, starts).astype(np.float32),
        contributions=lay_out(found.contributions, starts),
        explained=float(found.explained.mean()),
        residual=float(np.abs(found.contributions.sum(axis=(1, 2)) - found.explained).mean()),
    )


def attribute(
    predictor: Predictor, features: NDArray[np.float32], target: int, *, method: Method = "auto", n_steps: int = 64
) -> tuple[Attribution, str]:
    """Explain a model's answer about segments; return the contributions, and by which method.

    Args:
        predictor: The trained model.
        features: Segments, shape ``(n_segments, n_bins, n_frames)``, not scaled.
        target: Index of the genre.
        method: Integrated gradients are for networks only; others are explained by occlusion.
        n_steps: Steps of integrated gradients.
    """
    if isinstance(predictor, NetworkPredictor) and method != "occlusion":
        return attribute_network(predictor, features, target, n_steps=n_steps), "integrated gradients"
    return attribute_by_occlusion(predictor, features, target, n_rows=_N_ROWS, n_columns=_N_COLUMNS), "occlusion"


def _bins(checkpoint: Checkpoint) -> Bins:
    values = checkpoint.card.feature
    spec = FEATURES[str(values["kind"])]
    return spec.bins(parse_block(spec.block, values, key="feature"))


def _tested(cell: Cell, checkpoints: Sequence[Checkpoint], data: CellData, track_id: str) -> tuple[Checkpoint, Any]:
    """Return the first model that was tested on a track, and the track's segments."""
    for checkpoint in checkpoints:
        rows = data.rows(checkpoint.card.repeat, "test")
        own = rows[rows["track_id"] == track_id]
        if len(own):
            return checkpoint, own
    known = data.segments["track_id"].unique()
    reason = "is on the test side of no trained repeat" if track_id in known else "has no segment"
    raise ConfigError(f"explain.tracks: '{track_id}' {reason} of {cell.name}. {suggestion(track_id, known[:50])}")


def lay_out(segments: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Place segments along the track; where they overlap, take their mean; where none is, zero."""
    n_frames = segments.shape[2]
    total = np.zeros((segments.shape[1], int(starts[-1]) + n_frames))
    counts = np.zeros(total.shape[1])
    for segment, start in zip(segments, starts, strict=True):
        total[:, start : start + n_frames] += segment
        counts[start : start + n_frames] += 1
    return total / np.maximum(counts, 1)
