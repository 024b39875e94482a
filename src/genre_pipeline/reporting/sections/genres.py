"""How well each genre is told."""

from __future__ import annotations

import math
from collections.abc import Sequence

from genre_pipeline.evaluation.leaderboard import genre_means
from genre_pipeline.reporting.document import Section, Table, TableEntry, numeric, texts
from genre_pipeline.reporting.sections.base import Looks, ReportData, label, setting_name
from genre_pipeline.reporting.wording import NONE, split_badge
from genre_pipeline.results.cell import CellResult


def section(data: ReportData) -> Section:
    """Show precision, recall and F1 of each genre."""
    tables = [
        _genre_table(f"genre-scores-{place}", group, data.looks)
        for place, group in enumerate(data.groups.values(), start=1)
    ]
    return Section("genres", "Genres", tables)


def _genre_table(key: str, group: Sequence[CellResult], looks: Looks) -> Table:
    genres = sorted({genre for result in group for genre in result["genres"]})
    rows = []
    for result in group:
        means = genre_means(result).reindex(genres)
        rows_of_genre = {genre: [float(means[key][genre]) for key in means] for genre in genres}
        entries = [
            TableEntry(NONE if all(map(math.isnan, shares)) else " / ".join(map(_whole, shares)), sort=shares[-1])
            for shares in rows_of_genre.values()
        ]
        rows.append([TableEntry(label(result, looks), badge=split_badge(result)), *entries])
    caption = (
        f"{setting_name(group)}: precision / recall / F1 of each genre's tracks in %, mean over repeats. Precision is "
        "the share of what was taken for the genre that is of it, recall the share of the genre that was found. "
        "Columns sort by F1."
    )
    return Table(key, caption, [*texts("Model"), *numeric(*genres)], rows)


def _whole(share: float) -> str:
    return NONE if math.isnan(share) else f"{100 * share:.0f}"
