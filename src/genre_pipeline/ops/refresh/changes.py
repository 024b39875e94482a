"""What a refresh changed: what ran and why, what happened to the data, and every cell's score before and after."""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import requests

from genre_pipeline.cells import Cell
from genre_pipeline.ops.refresh.journal import Journal
from genre_pipeline.ops.refresh.planning import Plan

logger = logging.getLogger(__name__)

# [?] A hook that does not respond must not delay a refresh for long.
_TIMEOUT_S = 10.0
_SCORE = "track_accuracy_mean"


@dataclass(frozen=True)
class Score:
    """Mean test accuracy of a cell's tracks before and after a refresh; ``None`` if there is none."""

    cell: str
    before: float | None
    after: float | None

    @property
    def change(self) -> float | None:
        """By how much it rose."""
        return None if self.before is None or self.after is None else self.after - self.before


def read_scores(leaderboard: Path | None) -> dict[str, float]:
    """Read the accuracy of each cell from a leaderboard; ``None`` if there is no leaderboard that can be read.

    Args:
        leaderboard: The CSV file.
    """
    if leaderboard is None or not leaderboard.exists():
        return {}
    try:
        table = pd.read_csv(leaderboard)
        return {
            Cell(*(str(part) for part in row[:-1])).name: float(row[-1])
            for row in table[["dataset", "protocol", "feature", "model", _SCORE]].itertuples(index=False)
        }
    except (OSError, ValueError, KeyError) as error:
        logger.warning("%s cannot be read (%s): its scores are left out.", leaderboard, " ".join(str(error).split()))
        return {}


def compare_scores(before: Mapping[str, float], after: Mapping[str, float]) -> list[Score]:
    """Set the scores of two leaderboards side by side, by cell.

    Args:
        before: Accuracy by cell.
        after: The same, later.
    """
    return [
        Score(cell, _finite(before.get(cell)), _finite(after.get(cell)))
        for cell in sorted(before.keys() | after.keys())
    ]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def describe_changes(plan: Plan, journal: Journal, scores: list[Score], *, experiment: str) -> dict[str, Any]:
    """Put together what a refresh changed, in plain JSON types.

    Args:
        plan: What was stale.
        journal: What was done.
        scores: The cells' scores before and after.
        experiment: Name of the experiment.

    Returns:
        ``status`` (``succeeded`` or ``failed``), ``experiment``, ``host``, ``ran`` (names of steps), ``failed`` (reason
        by step), ``blocked`` (what a step had to do without, by step), ``why`` (reasons by step that ran), ``data``
        (``new``, ``changed``, ``removed`` and ``renamed`` files and ``metadata`` by dataset), ``scores`` (``cell``,
        ``before``, ``after``), ``improved`` and ``worsened`` (cells).
    """
    return {
        "status": "failed" if journal.failures else "succeeded",
        "experiment": experiment,
        "host": socket.gethostname(),
        "ran": journal.steps_run,
        "failed": journal.failures,
        "blocked": journal.steps_blocked,
        "why": {name: [cause.text for cause in plan.causes.get(name, ())] for name in journal.steps_run},
        "data": {
            dataset: {
                "new": list(check.new),
                "changed": list(check.changed),
                "removed": list(check.removed),
                "renamed": [list(pair) for pair in check.renamed],
                "metadata": list(check.metadata.values()),
            }
            for dataset, check in plan.listings.items()
            if check.differences()
        },
        "scores": [{"cell": each.cell, "before": each.before, "after": each.after} for each in scores],
        "improved": [each.cell for each in scores if each.change is not None and each.change > 0],
        "worsened": [each.cell for each in scores if each.change is not None and each.change < 0],
    }


def notify(url: str, content: Mapping[str, Any]) -> None:
    """Post what a refresh changed to a webhook. A hook that fails is logged, and nothing else.

    Args:
        url: The webhook; it may hold a secret, and is not shown.
        content: Plain JSON types.
    """
    try:
        requests.post(url, json=content, timeout=_TIMEOUT_S).raise_for_status()
    except (requests.RequestException, ValueError) as error:
        # Messages of requests may hold the address.
        answer = getattr(error, "response", None)
        reason = type(error).__name__ if answer is None else f"it answered {answer.status_code}"
        logger.warning("The webhook of refreshes was not reached: %s.", reason)
