"""The sections of the report, in order.

To add one, write a module here with a ``SECTION``, a template ``templates/sections/<key>.html`` that shows what its
``build`` returned (as ``view``; the macros ``figure`` and ``data_table`` are at hand), and name it in :data:`SECTIONS`.
What it needs beyond results, datasets and splits becomes a field of
:class:`~genre_pipeline.reporting.sections.base.ReportData`, which the node ``write_report`` fills. Tables and figures
are made of what :mod:`genre_pipeline.reporting.views` has; numbers are worded by it and by
:mod:`genre_pipeline.evaluation.comparison`.
"""

from genre_pipeline.reporting.sections import (
    accuracy,
    calibration,
    cells,
    champions,
    changes,
    confusion,
    costs,
    curves,
    datasets,
    explanations,
    gap,
    genres,
    leaderboard,
    mistakes,
    pairs,
    papers,
    ranks,
    reproduce,
    robustness,
    splits,
    summary,
)
from genre_pipeline.reporting.sections.base import ReportData, Section

__all__ = ["SECTIONS", "ReportData", "Section"]

SECTIONS: tuple[Section, ...] = (
    summary.SECTION,
    leaderboard.SECTION,
    changes.SECTION,
    pairs.SECTION,
    accuracy.SECTION,
    ranks.SECTION,
    costs.SECTION,
    papers.SECTION,
    gap.SECTION,
    curves.SECTION,
    genres.SECTION,
    confusion.SECTION,
    mistakes.SECTION,
    explanations.SECTION,
    calibration.SECTION,
    robustness.SECTION,
    datasets.SECTION,
    splits.SECTION,
    champions.SECTION,
    cells.SECTION,
    reproduce.SECTION,
)
