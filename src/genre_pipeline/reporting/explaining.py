"""Explanations as pictures, and as what the report shows."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.features import Bins
from genre_pipeline.reporting.figures import PALETTE, plain
from genre_pipeline.results.explanation import Explanation

_ROUND_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
# [?] As many as can be read beside a picture of this height.
_MAX_TICKS = 12

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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


def _name_bins(axes: Axes, bins: Bins, n_bins: int) -> None:
    """Name the bins from bottom to top: by round frequencies, by their names, or by their numbers."""
    if bins.centres_hz is not None:
        centres_hz = bins.centres_hz
        shown = [each for each in _ROUND_HZ if centres_hz[0] <= each <= centres_hz[-1]]
        places = np.interp(shown, centres_hz, np.arange(n_bins) + 0.5)
        # Too close to each other, the upper one stays.
        kept = [i for i in range(len(shown)) if i + 1 == len(shown) or places[i + 1] - places[i] >= n_bins / _MAX_TICKS]
        axes.set_yticks([places[i] for i in kept], [f"{shown[i]:,}" for i in kept])
    elif bins.names:
        numbers = range(0, n_bins, -(-n_bins // _MAX_TICKS))
        axes.set_yticks([number + 0.5 for number in numbers], [bins.names[number] for number in numbers])
    unit = " (Hz)" if bins.centres_hz is not None else ""
    axes.set_ylabel(f"{bins.meaning}{unit}", fontsize=9)
    axes.tick_params(axis="y", labelsize=7)


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
        feature.set(title=f"what the model sees: {each.cell.feature}")
        limit = _limit(each.contributions)
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
        contributions.set(title=title)
        for axes in (feature, contributions):
            _name_bins(axes, each.bins, each.levels.shape[0])
        for place, genre in enumerate(each.genres):
            over_time.plot(
                np.stack([each.starts_s, each.starts_s + each.segment_s], axis=1).ravel(),
                np.repeat(100 * each.probabilities[:, place], 2),
                color=PALETTE[place % len(PALETTE)],
                linewidth=2.0 if genre in {each.target, each.genre} else 0.8,
                label=plain([genre])[0],
            )
        for axes in (feature, contributions):
            axes.tick_params(labelbottom=True)
        over_time.set(xlabel="time (s)", ylabel="probability (%)", ylim=(-3, 103), xlim=(begin_s, end_s))
        over_time.legend(fontsize=7, ncols=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
        track, genre, answer = plain([each.track_id, each.genre, each.answer])
        part.suptitle(f"{track}: {genre} told as {answer} by {each.cell.name}, repeat {each.repeat}", fontsize=10)
    return figure


def layers(levels: NDArray[np.floating], contributions: NDArray[np.floating]) -> tuple[bytes, bytes]:
    """Draw what a model sees, and the contributions to lay over it: blue for the genre, red against it.

    Args:
        levels: The feature, shape ``(n_bins, n_frames)``.
        contributions: The same shape.

    Returns:
        Two PNG files of one pixel per number; the second shows nothing where contributions are small.
    """
    from matplotlib import colormaps
    from matplotlib.image import imsave

    seen, laid_over = BytesIO(), BytesIO()
    imsave(seen, levels, cmap="gray", origin="lower", format="png")
    share = np.clip(contributions / _limit(contributions), -1.0, 1.0)
    colours = colormaps["RdBu"](0.5 + 0.5 * np.sign(share) * 0.8)
    colours[..., 3] = np.abs(share) ** 0.5
    imsave(laid_over, colours, origin="lower", format="png")
    return seen.getvalue(), laid_over.getvalue()


def _limit(contributions: NDArray[np.floating]) -> float:
    # [?] Beyond this quantile there are few numbers, which would leave the others without colour.
    return float(np.quantile(np.abs(contributions), 0.995)) or 1.0
