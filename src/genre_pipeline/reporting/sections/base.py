"""What the sections of the report are made from, and how they name it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from genre_pipeline.cells import Cell
from genre_pipeline.evaluation.leaderboard import by_setting, chance_levels, leaderboard
from genre_pipeline.evaluation.paired import PairVerdict, verdicts
from genre_pipeline.evaluation.protocol_gap import protocol_gaps
from genre_pipeline.evaluation.published import PublishedFigure
from genre_pipeline.evaluation.ranking import Ranking, rank_models
from genre_pipeline.evaluation.reproduction import compare_with_papers, reported_of_others
from genre_pipeline.reporting import figures
from genre_pipeline.reporting.wording import PERCENT, mark_suffix, percent
from genre_pipeline.results.cell import CellResult, cell_of, dataset_name, number, summary_row
from genre_pipeline.results.mistakes import CellMistakes
from genre_pipeline.results.run_changes import CellChange
from genre_pipeline.results.tables import PAIR_COLUMNS

Looks = Mapping[tuple[str, str], figures.Style]
Groups = Mapping[tuple[str, str], Sequence[CellResult]]
# Results of one dataset and protocol, and the rows of a further table that are theirs.
Setting = tuple[Sequence[CellResult], pd.DataFrame]
# Two means of the same answers, summed in another order.
_SAME = 1e-9


@dataclass(frozen=True)
class ReportData:
    """Everything that a report is made from. A section that needs more adds a field with a default here.

    Attributes:
        results: One result per cell.
        datasets: The quality report of each dataset: ``dataset`` (its name), ``kind``, ``subset`` (with ``name``),
            ``title``, ``citation``, ``licence``, ``n_clips``, ``n_usable``, ``n_quarantined``, ``total_duration_s``,
            ``genres`` (genre to ``clips``, ``usable`` and ``artists``) and ``faults`` (with ``track_id``, ``path``,
            ``fault``, ``detail`` and ``quarantined``).
        splits: The report of each split, as in :class:`~genre_pipeline.splits.splitting.SplitResult`. Keys that it
            lacks are shown as unknown.
        pairs: What :func:`~genre_pipeline.evaluation.paired.compare_pairs` found, of all datasets and protocols; none
            where nothing was compared.
        changes: What became of cells since the last finished run, see :mod:`genre_pipeline.results.run_changes`.
        registrations: How each cell's model was registered: ``cell`` (its name) and, where it was, what
            :func:`~genre_pipeline.tracking.model_registry.register_model` returned.
        robustness: What :func:`~genre_pipeline.evaluation.robustness.scoring.score_robustness` found, of all cells that
            predicted changed audio; ``None`` if none did. Rows of other trainings than the results' are not shown.
        unseen_genres: What :func:`~genre_pipeline.evaluation.unseen.score_unseen` found, of all cells that were trained
            without genres; ``None`` if none was. Rows of other splits than the results' are not shown.
        few_labels: What :func:`~genre_pipeline.evaluation.few_labels.score_few_labels` found, of all cells that were
            trained on few artists; ``None`` if none was. Rows of other splits than the results' are not shown.
        mistakes: What each cell's models said of the test tracks, and the mistakes that are worth listening to.
        explanations: What :func:`~genre_pipeline.reporting.explaining.explanation_summary` returned for each track that
            was explained.
        pages: Addresses of the runs of cells in MLflow, by the cell's name, where they can be opened.
        folder: Where the report will lie, for links to audio; ``None`` means links that hold wherever it lies.
        confidence: Coverage of the results' intervals.
        title: The report's title.
        command: What to type to get the same numbers.
        created: When the report was made, as it should be read.
        versions: Program to version.
    """

    results: Sequence[CellResult]
    datasets: Sequence[Mapping[str, Any]] = ()
    splits: Sequence[Mapping[str, Any]] = ()
    pairs: pd.DataFrame | None = None
    changes: Sequence[CellChange] = ()
    registrations: Sequence[Mapping[str, Any]] = ()
    robustness: pd.DataFrame | None = None
    unseen_genres: pd.DataFrame | None = None
    few_labels: pd.DataFrame | None = None
    mistakes: Sequence[CellMistakes] = ()
    explanations: Sequence[Mapping[str, Any]] = ()
    pages: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    confidence: float = 0.95
    title: str = "Genre classifiers compared"
    command: str = ""
    created: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The leaderboard."""
        return leaderboard(self.results, self.changes)

    @cached_property
    def groups(self) -> Groups:
        """The results that have numbers, best first, by dataset and protocol."""
        return by_setting(self.results)

    @cached_property
    def looks(self) -> Looks:
        """The style of each model and feature, the same in all figures."""
        return figures.styles(self.results)

    @cached_property
    def compared(self) -> Mapping[tuple[str, str], Mapping[tuple[Cell, Cell], PairVerdict]]:
        """What the paired tests found, by dataset and protocol."""
        table = pd.DataFrame(columns=list(PAIR_COLUMNS)) if self.pairs is None else self.pairs
        return {setting: verdicts(table, *setting) for setting in self.groups}

    @cached_property
    def ranking(self) -> Ranking | str:
        """The models ranked over datasets, or why they are not."""
        return rank_models(self.results, confidence=self.confidence)

    @cached_property
    def gaps(self) -> pd.DataFrame:
        """What protocols are worth."""
        return protocol_gaps(self.results, confidence=self.confidence)

    @property
    def kinds(self) -> Mapping[str, str]:
        """Kind of each dataset, by its name."""
        return {report["dataset"]: report["kind"] for report in self.datasets}

    @cached_property
    def reproduction(self) -> pd.DataFrame:
        """What papers report beside what was measured."""
        return compare_with_papers(self.results, kinds=self.kinds, confidence=self.confidence)

    @cached_property
    def others(self) -> Mapping[str, Sequence[PublishedFigure]]:
        """What papers report of other systems on each dataset, for those that have any."""
        names = dict.fromkeys(dataset for dataset, _ in self.groups)
        found = {name: reported_of_others(name, kinds=self.kinds) for name in names}
        return {name: figures for name, figures in found.items() if figures}

    @property
    def confidence_shown(self) -> str:
        """The confidence in percent."""
        return f"{100 * self.confidence:g}{PERCENT}"

    @property
    def failures(self) -> list[str]:
        """Each repeat that could not be trained, and why."""
        return [
            f"{full_name(result)}, repeat {failure['repeat']} (seed {failure['seed']}): {failure['reason']}"
            for result in self.results
            for failure in result["failures"]
        ]


def track_accuracy(result: CellResult) -> tuple[float, float, float]:
    """Return the mean track accuracy of the test split, and the ends of its interval."""
    row = summary_row(result, unit="track", metric="accuracy")
    return number(row["mean"]), number(row["ci_low"]), number(row["ci_high"])


def rows_of(table: pd.DataFrame, result: CellResult) -> pd.DataFrame:
    """Return a cell's rows of a table; none if they are of another split."""
    same = table["split_hash"].eq(result["split_hash"])
    for key, value in result["cell"].items():
        same &= table[key] == value
    return table[same]


def has_accuracy(result: CellResult, values: pd.Series) -> bool:
    """Tell whether all values are the cell's track accuracy: rows of another training hold another."""
    return bool(((values - track_accuracy(result)[0]).abs() < _SAME).all())


def settings_of(results: Iterable[Sequence[CellResult]], find: Callable[[CellResult], pd.DataFrame]) -> list[Setting]:
    """Return each group's results for which rows are found, with these; groups without any are left out."""
    settings: list[Setting] = []
    for group in results:
        found = [(result, rows) for result in group if len(rows := find(result))]
        if found:
            settings.append(([result for result, _ in found], pd.concat([rows for _, rows in found])))
    return settings


def full_name(result: CellResult) -> str:
    """Name a cell by all of its parts."""
    cell = cell_of(result)
    return " · ".join([dataset_name(result), cell.protocol, cell.model, cell.feature])


def label(result: CellResult, looks: Looks) -> str:
    """Name a cell as figures do: by its model, and by its feature where the model has several."""
    return looks[cell_of(result).model, cell_of(result).feature].label


def cell_anchor(cell: Cell) -> str:
    """Return the anchor of a cell's card on the page."""
    return f"card-{cell.name}"


def explanation_anchor(place: int) -> str:
    """Return the anchor of an explanation on the page."""
    return f"explanation-{place + 1}"


def audio_url(path: str, start_s: float, duration_s: float, folder: Path | None) -> str:
    """Return where audio is, as seen from the report's folder; the clip only, where its file holds more."""
    place = quote(os.path.relpath(path, folder).replace(os.sep, "/")) if folder else Path(path).absolute().as_uri()
    return f"{place}#t={start_s:.2f},{start_s + duration_s:.2f}" if start_s else place


def chance_level(group: Sequence[CellResult]) -> float:
    """Return the accuracy, as a share, of always answering the largest genre."""
    return max(chance_levels(result)[0] for result in group)


def chance(group: Sequence[CellResult]) -> str:
    """Show what always answering the largest genre would give."""
    return f"{percent(chance_level(group))}{PERCENT}"


def setting_name(group: Sequence[CellResult]) -> str:
    """Name what cells of one dataset and protocol have in common."""
    return f"{dataset_name(group[0])} · {cell_of(group[0]).protocol}{mark_suffix(group)}"
