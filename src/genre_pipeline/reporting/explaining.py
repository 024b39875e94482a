"""Explain a trained model's prediction: which time-frequency regions speak for a genre, and which against it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.cells import Cell
from genre_pipeline.errors import ConfigError
from genre_pipeline.registry import suggestion
from genre_pipeline.reporting.figures import PALETTE, plain
from genre_pipeline.training import Checkpoint
from genre_pipeline.training.attribution import attribute_by_occlusion, attribute_network
from genre_pipeline.training.cell_data import CellData
from genre_pipeline.training.predictors import NetworkPredictor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Method = Literal["auto", "integrated_gradients", "occlusion"]

# [?] Patches of occlusion, fine enough for a beat and an octave, coarse enough for some hundred predictions per track.
_N_ROWS, _N_COLUMNS = 8, 8


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a model saw in a track.

    Attributes:
        cell: The cell.
        repeat: Which repeat's model; the track is on its test side.
        track_id: The track.
        genre: The track's true genre.
        answer: The predicted genre.
        target: The genre whose log odds are explained.
        method: How.
        genres: The genres.
        probabilities: Of each segment, shape ``(n_segments, n_genres)``.
        starts_s: Where each segment begins.
        segment_s: How long each is.
        levels: The feature, shape ``(n_bins, n_frames)``.
        contributions: In log odds of a segment, the same shape; where segments overlap, their mean.
        explained: Log odds that are explained, the mean over segments.
        residual: What of that the contributions do not sum to, the mean over segments of its size.
    """

    cell: Cell
    repeat: int
    track_id: str
    genre: str
    answer: str
    target: str
    method: str
    genres: tuple[str, ...]
    probabilities: NDArray[np.float64]
    starts_s: NDArray[np.float64]
    segment_s: float
    levels: NDArray[np.float32]
    contributions: NDArray[np.float64]
    explained: float
    residual: float

    def summary(self) -> dict[str, Any]:
        """Return what the report shows, in plain JSON types, with the picture."""
        file = BytesIO()
        explanation_figure([self]).savefig(file, format="png", dpi=110)
        share = self.probabilities.mean(axis=0)[self.genres.index(self.target)]
        half = self.contributions.shape[0] // 2
        low, high = self.contributions[:half].sum(), self.contributions[half:].sum()
        return {
            "cell": {key: getattr(self.cell, key) for key in ("dataset", "protocol", "feature", "model")},
            "repeat": self.repeat,
            "track_id": self.track_id,
            "genre": self.genre,
            "answer": self.answer,
            "target": self.target,
            "method": self.method,
            "probability": float(share),
            "explained": self.explained,
            "residual": self.residual,
            "words": (
                f"of the contributions to {self.target}, the lower half of the bins sums to {low:+.1f} and the upper "
                f"half to {high:+.1f} log odds"
            ),
            "png": b64encode(file.getvalue()).decode("ascii"),
        }


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
    is_network = isinstance(predictor, NetworkPredictor)
    if method == "integrated_gradients" and not is_network:
        raise ConfigError(
            f"explain.method: {cell.name} is no network and has no gradients. Choose 'occlusion', or 'auto'."
        )
    if isinstance(predictor, NetworkPredictor) and method != "occlusion":
        found = attribute_network(predictor, features, target, n_steps=n_steps)
    else:
        found = attribute_by_occlusion(predictor, features, target, n_rows=_N_ROWS, n_columns=_N_COLUMNS)
    starts = segments["start_frame"].to_numpy() - int(segments["start_frame"].iloc[0])
    return Explanation(
        cell=cell,
        repeat=checkpoint.card.repeat,
        track_id=track_id,
        genre=str(segments["genre"].iloc[0]),
        answer=answer,
        target=data.genres[target],
        method="integrated gradients" if is_network and method != "occlusion" else "occlusion",
        genres=data.genres,
        probabilities=probabilities,
        starts_s=segments["start_s"].to_numpy(dtype=np.float64),
        segment_s=float(segments["duration_s"].iloc[0]),
        levels=_laid_out(features, starts).astype(np.float32),
        contributions=_laid_out(found.contributions, starts),
        explained=float(found.explained.mean()),
        residual=float(np.abs(found.contributions.sum(axis=(1, 2)) - found.explained).mean()),
    )


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


def _laid_out(segments: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Place segments along the track; where they overlap, take their mean; where none is, zero."""
    n_frames = segments.shape[2]
    total = np.zeros((segments.shape[1], int(starts[-1]) + n_frames))
    counts = np.zeros(total.shape[1])
    for segment, start in zip(segments, starts, strict=True):
        total[:, start : start + n_frames] += segment
        counts[start : start + n_frames] += 1
    return total / np.maximum(counts, 1)


def explanation_figure(explanations: Sequence[Explanation]) -> Figure:
    """Draw explanations, one below the other: the feature, the contributions, and the probabilities over time.

    Args:
        explanations: What to draw.

    Returns:
        A Matplotlib figure drawn without pyplot: it belongs to no window, and is the caller's to save. Blue speaks for
        the genre that is explained, red against it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 5.4 * len(explanations)), layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(len(explanations), 1, squeeze=False)[:, 0]
    for part, each in zip(parts, explanations, strict=True):
        feature, contributions, over_time = part.subplots(3, 1, sharex=True, height_ratios=[2, 2, 1.4])
        begin_s, end_s = float(each.starts_s[0]), float(each.starts_s[-1]) + each.segment_s
        extent = (begin_s, end_s, 0, each.levels.shape[0])
        feature.imshow(each.levels, origin="lower", aspect="auto", cmap="magma", extent=extent, interpolation="nearest")
        feature.set(ylabel=f"{each.cell.feature}\nbin", title="what the model sees")
        # [?] Beyond this quantile there are few numbers, which would leave the others without colour.
        limit = float(np.quantile(np.abs(each.contributions), 0.995)) or 1.0
        contributions.imshow(
            each.contributions,
            origin="lower",
            aspect="auto",
            cmap="RdBu",
            vmin=-limit,
            vmax=limit,
            extent=extent,
            interpolation="nearest",
        )
        title = f"what spoke for {plain([each.target])[0]} (blue) and against it (red), by {each.method}"
        contributions.set(ylabel="bin", title=title)
        for place, genre in enumerate(each.genres):
            over_time.plot(
                np.stack([each.starts_s, each.starts_s + each.segment_s], axis=1).ravel(),
                np.repeat(100 * each.probabilities[:, place], 2),
                color=PALETTE[place % len(PALETTE)],
                linewidth=2.0 if genre in {each.target, each.genre} else 0.8,
                label=plain([genre])[0],
            )
        over_time.set(xlabel="time (s)", ylabel="probability (%)", ylim=(-3, 103), xlim=(begin_s, end_s))
        over_time.legend(fontsize=7, ncols=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
        track, genre, answer = plain([each.track_id, each.genre, each.answer])
        part.suptitle(f"{track}: {genre} told as {answer} by {each.cell.name}, repeat {each.repeat}", fontsize=10)
    return figure
