"""The sections of the report, in order.

To add one, write a module here with a function ``section`` that returns a
:class:`~genre_pipeline.reporting.document.Section` of blocks, or ``None`` for a report that has no such section, and
name it in :data:`SECTIONS`. If it also belongs in the short Markdown form, write a function ``brief`` that returns a
list of sections, and name it in :data:`BRIEFS`. What a section needs beyond results, datasets and splits becomes a
field of :class:`~genre_pipeline.reporting.sections.base.ReportData`, which the node ``write_report`` fills. Blocks are
those of :mod:`genre_pipeline.reporting.document`; numbers are worded by :mod:`genre_pipeline.reporting.wording`.
"""

from collections.abc import Callable, Sequence

from genre_pipeline.reporting.document import Section
from genre_pipeline.reporting.sections import (
    abstention,
    accuracy,
    calibration,
    cells,
    champions,
    confusion,
    costs,
    curves,
    datasets,
    encoders,
    explanations,
    few_labels,
    gap,
    genres,
    leaderboard,
    mistakes,
    pairs,
    papers,
    ranking,
    reproduce,
    robustness,
    run_changes,
    splits,
    summary,
    tracks,
)
from genre_pipeline.reporting.sections.base import ReportData

__all__ = ["BRIEFS", "SECTIONS", "ReportData"]

SECTIONS: Sequence[Callable[[ReportData], Section | None]] = (
    summary.section,
    leaderboard.section,
    tracks.section,
    run_changes.section,
    pairs.section,
    encoders.section,
    accuracy.section,
    ranking.section,
    costs.section,
    papers.section,
    gap.section,
    curves.section,
    genres.section,
    confusion.section,
    mistakes.section,
    explanations.section,
    calibration.section,
    abstention.section,
    few_labels.section,
    robustness.section,
    datasets.section,
    splits.section,
    champions.section,
    cells.section,
    reproduce.section,
)
BRIEFS: Sequence[Callable[[ReportData], Sequence[Section]]] = (
    leaderboard.brief,
    run_changes.brief,
    pairs.brief,
    encoders.brief,
    few_labels.brief,
    ranking.brief,
    papers.brief,
    gap.brief,
    robustness.brief,
    champions.brief,
)
