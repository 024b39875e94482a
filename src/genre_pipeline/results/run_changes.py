"""What became of cells from one run to a later one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypedDict

import pandas as pd

from genre_pipeline.cells import Cell

ChangeVerdict = Literal[
    "regression",
    "improvement",
    "no difference shown",
    "unchanged",
    "no interval",
    "failed",
    "new",
    "gone",
    "not comparable",
]
ChangeKind = Literal["data", "parameter", "code"]
# The number by which runs are judged.
JUDGED = "test_track_accuracy"


@dataclass(frozen=True)
class CellRecord:
    """What is known of a cell in one run.

    Attributes:
        cell: The cell.
        run_id: The cell's run.
        parameters: Its parameters, by dotted name.
        data: What it was made from: ``split_hash``, ``dataset_fingerprint``, ``feature_hash``, ``subset``, ``leaky``,
            ``artists_unknown`` (where some are), numbers of tracks.
        commit: The code's commit.
        metrics: Its metrics by name, with ``_ci_low`` and ``_ci_high`` where there is an interval; empty if no repeat
            could be trained.
        design: How its repeats relate: ``kfold``, ``resampled`` or ``seeds``; empty where that is not known.
        test_ratio: Test tracks over training tracks; NaN where that is not known.
        outcomes: Its predictions for the test tracks, see
            :func:`~genre_pipeline.evaluation.paired.track_outcomes`; ``None`` if they are not available.
    """

    cell: Cell
    run_id: str
    parameters: Mapping[str, str]
    data: Mapping[str, str]
    commit: str
    metrics: Mapping[str, float]
    design: str = ""
    test_ratio: float = math.nan
    outcomes: pd.DataFrame | None = None


@dataclass(frozen=True)
class SessionRecord:
    """A ``kedro run`` with the cells that were evaluated in it.

    Attributes:
        run_id: Its run.
        name: The run's name.
        experiment: The experiment's name.
        commit: The code's commit.
        started: When it began, in UTC, as it should be read.
        status: How it ended.
        cells: The cells.
    """

    run_id: str
    name: str
    experiment: str
    commit: str
    started: str
    status: str
    cells: Mapping[Cell, CellRecord] = field(default_factory=dict)


@dataclass(frozen=True)
class SessionChange:
    """Two sessions, and what became of each cell of either, in the order of their names.

    Attributes:
        before: The earlier session; ``None`` if the cells were evaluated for the first time.
        after: The later one.
        cells: What became of them.
    """

    before: SessionRecord | None
    after: SessionRecord
    cells: Sequence[CellChange]


class Change(TypedDict):
    """Something that is not what it was; null where one of the two does not have it."""

    kind: ChangeKind
    key: str
    before: str | None
    after: str | None


class MetricChange(TypedDict):
    """A metric in both runs, its difference (after minus before), and how sure that is.

    Attributes:
        metric: Its name, such as ``test_track_accuracy``.
        before: What it was.
        after: What it is.
        difference: The difference: of the common test tracks where ``basis`` is ``tracks``.
        ci_low: Lower end of the difference's interval, null where there is none.
        ci_high: Upper end.
        basis: ``tracks``: paired, on the test tracks that both runs have answered for. ``intervals``: made of the two
            logged intervals as if the runs had nothing in common, which is too wide if anything.
        n_tracks: How many tracks that were, null for ``intervals``.
        verdict: What holds at the interval's confidence.
    """

    metric: str
    before: float
    after: float
    difference: float
    ci_low: float | None
    ci_high: float | None
    basis: Literal["tracks", "intervals"]
    n_tracks: int | None
    verdict: ChangeVerdict


class CellChange(TypedDict):
    """What became of a cell from one run to a later one, in plain JSON types.

    Attributes:
        cell: The cell's dotted name.
        before: The earlier run of the cell, null where there is none.
        after: The later one.
        verdict: What the track accuracy says; ``failed`` where no repeat could be trained any more.
        reason: Why the two are not comparable, else empty.
        changes: What is not as it was, data first.
        metrics: The metrics that both have, the judged one first.
    """

    cell: str
    before: str | None
    after: str | None
    verdict: ChangeVerdict
    reason: str
    changes: list[Change]
    metrics: list[MetricChange]


def regressions(changes: Sequence[CellChange]) -> list[CellChange]:
    """Return the cells that became worse, or could not be trained any more."""
    return [change for change in changes if change["verdict"] in {"regression", "failed"}]
