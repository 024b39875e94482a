"""Models ranked over datasets: whose order holds beyond one collection.

Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from genre_pipeline.evaluation.leaderboard import honest_results
from genre_pipeline.results.cell import CellResult, cell_of, row_of, summary_row
from genre_pipeline.results.tables import RANK_COLUMNS, make_table

# [P] Friedman's test compares three or more; two models on several datasets are compared in pairs.
_MIN_MODELS = 3
_MIN_DATASETS = 2


@dataclass(frozen=True)
class Ranking:
    """Models in the order of their mean ranks.

    Attributes:
        ranks: Rank of each model (columns, best first) on each dataset (rows); 1 is best, equal ones share theirs.
        p_value: Of "all models are equally good": Friedman's test, chi-squared.
        critical_difference: Two mean ranks that are closer cannot be told apart.
        level: Level of the tests.
        table: One row per dataset and model, with the columns :data:`RANK_COLUMNS`.
    """

    ranks: pd.DataFrame
    p_value: float
    critical_difference: float
    level: float
    table: pd.DataFrame

    @property
    def means(self) -> pd.Series[float]:
        """Mean rank by model, best first."""
        return self.ranks.mean()

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The largest sets of two or more models of which no two can be told apart, best first."""
        names, means = list(self.ranks.columns), self.means.to_numpy()
        ends = np.searchsorted(means, means + self.critical_difference, side="left")
        # A run that ends where the one before it ends is part of it.
        begins = [start for start, end in enumerate(ends) if end - start > 1 and (start == 0 or end > ends[start - 1])]
        return [tuple(names[start : ends[start]]) for start in begins]


def rank_models(results: Sequence[CellResult], *, confidence: float = 0.95) -> Ranking | str:
    """Rank the models that were tested on every dataset by their mean track accuracy.

    Of each dataset one honest protocol counts: :func:`~genre_pipeline.evaluation.leaderboard.honest_results`. A model
    with several features counts once with each of them.

    Args:
        results: One result per cell.
        confidence: One minus the level of the tests.

    Returns:
        The ranking, or why there is none.
    """
    tested = {dataset: _by_name(group, results) for dataset, group in honest_results(results).items()}
    if len(tested) < _MIN_DATASETS:
        found = ", ".join(tested) or "none"
        return f"Ranks need two or more datasets with an honest protocol; there is {len(tested)}: {found}."
    everywhere = sorted(set.intersection(*(set(group) for group in tested.values())))
    if len(everywhere) < _MIN_MODELS:
        found = ", ".join(everywhere) or "none"
        return (
            f"Ranks need three or more models that were tested on every dataset ({', '.join(tested)}); there are "
            f"{len(everywhere)}: {found}."
        )
    means = pd.DataFrame({dataset: _means(group) for dataset, group in tested.items()}).T[everywhere]
    ranks = means.rank(axis=1, ascending=False)
    ranks = ranks[ranks.mean().sort_values(kind="stable").index]
    level = 1.0 - confidence
    table = _table(tested, means, ranks)
    return Ranking(ranks, _friedman(means), critical_difference(ranks.shape[1], len(ranks), level), level, table)


def rank_table(ranking: Ranking | str) -> pd.DataFrame:
    """Return the table of ranks, which is empty where there is no ranking."""
    return make_table([], RANK_COLUMNS) if isinstance(ranking, str) else ranking.table


def critical_difference(n_models: int, n_datasets: int, level: float) -> float:
    """Return the critical difference of mean ranks of the Nemenyi test.

    CD = q * sqrt(k (k + 1) / (6 N)), q being the studentised range's quantile divided by sqrt(2): Demšar 2006,
    section 3.2.2.

    Args:
        n_models: How many models are compared, k.
        n_datasets: On how many datasets, N.
        level: Level of the test.

    Example:
        >>> round(critical_difference(4, 14, 0.05), 2)
        1.25
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1.0 - level, n_models, math.inf)) / math.sqrt(2.0)
    return q * math.sqrt(n_models * (n_models + 1) / (6.0 * n_datasets))


def _friedman(means: pd.DataFrame) -> float:
    """Return the p-value of Friedman's test; 1 where all models are equal on every dataset, where it is undefined.

    The chi-squared form is the conservative one; the F form that Demšar prefers calls two datasets certainty.
    """
    from scipy.stats import friedmanchisquare

    if (means.nunique(axis=1) == 1).all():
        return 1.0
    return float(friedmanchisquare(*means.T.to_numpy()).pvalue)


def _by_name(group: Sequence[CellResult], results: Sequence[CellResult]) -> dict[str, CellResult]:
    """Name results by their model, and by its feature where some dataset has the model with several."""
    features: dict[tuple[str, str], set[str]] = {}
    for result in results:
        cell = cell_of(result)
        features.setdefault((cell.dataset, cell.model), set()).add(cell.feature)
    several = {model for (_, model), names in features.items() if len(names) > 1}
    cells = {cell_of(result): result for result in group}
    return {
        f"{cell.model} · {cell.feature}" if cell.model in several else cell.model: result
        for cell, result in cells.items()
    }


def _means(group: Mapping[str, CellResult]) -> dict[str, float]:
    return {name: summary_row(result, unit="track", metric="accuracy")["mean"] for name, result in group.items()}


def _table(tested: Mapping[str, Mapping[str, CellResult]], means: pd.DataFrame, ranks: pd.DataFrame) -> pd.DataFrame:
    mean_ranks = ranks.mean()
    rows: list[dict[str, Any]] = [
        {
            **row_of(tested[dataset][name]),
            "split": "test",
            "unit": "track",
            "metric": "accuracy",
            "mean": means[name][dataset],
            "rank": ranks[name][dataset],
            "mean_rank": mean_ranks[name],
        }
        for dataset in ranks.index
        for name in ranks.columns
    ]
    return make_table(rows, RANK_COLUMNS)
