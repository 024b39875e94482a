"""A picture of where a network with experts sent the genres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from genre_pipeline.training.routing import Counts, expert_loads

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def routing_figure(epochs: Mapping[int, Counts], *, selected: int, genres: Sequence[str], title: str) -> Figure:
    """Draw the experts' loads over the epochs, and where each genre went in the selected one.

    Args:
        epochs: Counts of each epoch, shape ``(n_experts, n_classes)``.
        selected: The epoch whose weights were kept.
        genres: The genres, in order.
        title: What is shown.

    Returns:
        A Matplotlib figure drawn without pyplot: it belongs to no window, and is the caller's to save.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_experts = len(epochs[selected])
    # 0.45 inches hold the digits of a cell, 5 inches the curves beside it [?].
    figure = Figure(figsize=(5.0 + 0.45 * len(genres) + 1.5, max(3.6, 0.3 * n_experts + 2.0)), layout="constrained")
    FigureCanvasAgg(figure)
    over_time, by_genre = figure.subplots(1, 2, width_ratios=[5.0, 0.45 * len(genres) + 1.0])

    shares = 100 * np.array([expert_loads(counts) for counts in epochs.values()])
    over_time.stackplot(list(epochs), shares.T, labels=[str(number) for number in range(n_experts)])
    over_time.axvline(selected, color="black", linestyle=":")
    over_time.set(xlabel="epoch", ylabel="load (%)", ylim=(0, 100), title="load of each expert")
    over_time.margins(x=0)

    counts = epochs[selected]
    of_genre = 100 * counts / np.maximum(counts.sum(axis=0), 1)
    by_genre.imshow(of_genre, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for expert, genre in np.argwhere(of_genre >= 0.5):
        share = of_genre[expert, genre]
        colour = "white" if share > 60 else "black"
        by_genre.text(genre, expert, f"{share:.0f}", ha="center", va="center", color=colour, fontsize=8)
    by_genre.set_xticks(
        range(len(genres)), labels=[genre.replace("$", r"\$") for genre in genres], rotation=45, ha="right"
    )
    by_genre.set_yticks(range(n_experts))
    by_genre.set(ylabel="expert", title=f"share of each genre (%), epoch {selected}")
    figure.suptitle(title, fontsize=10)
    return figure
