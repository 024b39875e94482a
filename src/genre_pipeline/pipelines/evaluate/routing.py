"""Where a network with experts sends segments, as it is logged to MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from genre_pipeline.reporting.routing_figure import routing_figure
from genre_pipeline.training import Checkpoint
from genre_pipeline.training.routing import routing_counts, routing_metrics


class RoutingLog(NamedTuple):
    """What is logged of a network with experts; nothing for other models.

    Experts of two repeats have nothing in common but their number: their loads are curves of the repeats' runs.

    Attributes:
        repeats: Loads and entropy of each epoch, by repeat.
        entropies: The mean entropy of each epoch, for the cell's own run.
        files: A picture of each repeat, for the cell's own run.
    """

    repeats: dict[int, dict[int, dict[str, float]]]
    entropies: list[float]
    files: dict[str, Any]


def log_routing(checkpoints: Sequence[Checkpoint], *, genres: Sequence[str]) -> RoutingLog:
    """Return where a network with experts sent the validation segments of each epoch.

    Args:
        checkpoints: The trained model of each repeat.
        genres: The genres, in order.
    """
    repeats: dict[int, dict[int, dict[str, float]]] = {}
    files: dict[str, Any] = {}
    entropies = []
    for checkpoint in checkpoints:
        if (table := checkpoint.routing) is None:
            return RoutingLog({}, [], {})
        card, epochs = checkpoint.card, routing_counts(table, genres)
        metrics = {epoch: routing_metrics(counts) for epoch, counts in epochs.items()}
        repeats[card.repeat] = metrics
        entropies.append(pd.Series({epoch: values["routing_entropy"] for epoch, values in metrics.items()}))
        title = f"{card.cell}, repeat {card.repeat}, validation segments"
        figure = routing_figure(epochs, selected=card.selected_epoch, genres=genres, title=title)
        files[f"routing_{card.repeat:02d}.png"] = figure
    return RoutingLog(repeats, pd.concat(entropies, axis=1).mean(axis=1).tolist(), files)
