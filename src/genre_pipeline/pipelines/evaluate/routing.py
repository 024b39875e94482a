"""Log to MLflow where a network with experts sends segments."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from genre_pipeline.reporting.routing_figure import routing_figure
from genre_pipeline.tracking import CellRun
from genre_pipeline.training import Checkpoint
from genre_pipeline.training.routing import routing_counts, routing_metrics


def log_routing(run: CellRun, checkpoints: Sequence[Checkpoint], *, genres: Sequence[str]) -> None:
    """Log where a network with experts sent the validation segments of each epoch; nothing for other models.

    Experts of two repeats have nothing in common but their number: their loads are curves of the repeats' runs, which
    must still be open; the cell's own run gets the mean entropy, and a picture of each repeat.

    Args:
        run: The cell's run.
        checkpoints: The trained model of each repeat.
        genres: The genres, in order.
    """
    entropies = []
    for checkpoint in checkpoints:
        if (table := checkpoint.routing) is None:
            return
        card, epochs = checkpoint.card, routing_counts(table, genres)
        metrics = {epoch: routing_metrics(counts) for epoch, counts in epochs.items()}
        for epoch, values in metrics.items():
            run.log_epoch(card.repeat, epoch, values)
        entropies.append(pd.Series({epoch: values["routing_entropy"] for epoch, values in metrics.items()}))
        title = f"{card.cell}, repeat {card.repeat}, validation segments"
        figure = routing_figure(epochs, selected=card.selected_epoch, genres=genres, title=title)
        run.log_figure(figure, f"routing_{card.repeat:02d}.png")
    run.log_curve("routing_entropy", pd.concat(entropies, axis=1).mean(axis=1).tolist())
