"""Explanations as pictures, and as what the report shows."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from genre_pipeline.reporting.figures import PALETTE, plain
from genre_pipeline.results.explanation import Explanation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def explanation_summary(explanation: Explanation) -> dict[str, Any]:
    """Return what the report shows of an explanation, in plain JSON types, with the picture."""
    file = BytesIO()
    explanation_figure([explanation]).savefig(file, format="png", dpi=110)
    share = explanation.probabilities.mean(axis=0)[explanation.genres.index(explanation.target)]
    half = explanation.contributions.shape[0] // 2
    low, high = explanation.contributions[:half].sum(), explanation.contributions[half:].sum()
    names = ("repeat", "track_id", "genre", "answer", "target", "method")
    return {
        "cell": {key: getattr(explanation.cell, key) for key in ("dataset", "protocol", "feature", "model")},
        **{name: getattr(explanation, name) for name in names},
        "probability": float(share),
        "explained": explanation.explained,
        "residual": explanation.residual,
        "words": (
            f"of the contributions to {explanation.target}, the lower half of the bins sums to {low:+.1f} and the "
            f"upper half to {high:+.1f} log odds"
        ),
        "png": b64encode(file.getvalue()).decode("ascii"),
    }


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
