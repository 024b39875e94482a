"""The leaderboard: every cell in one table, which the page sorts and filters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genre_pipeline.cells import Cell
from genre_pipeline.reporting.document import (
    Glyph,
    Paragraph,
    Section,
    Span,
    Table,
    TableEntry,
    Value,
    count_entry,
    numeric,
    share_entry,
    texts,
)
from genre_pipeline.reporting.leaderboard import leaderboard_sections
from genre_pipeline.reporting.sections.base import ReportData, cell_anchor
from genre_pipeline.reporting.wording import NONE, duration, interval, mean_and_sd, row_badge
from genre_pipeline.results.cell import part_name


def section(data: ReportData) -> Section:
    """Show all cells in one table, which the page sorts and filters, and where the models for use are described."""
    datasets = dict.fromkeys(dataset for dataset, _ in data.groups)
    cards: list[str | Span] = []
    for name in datasets:
        cards += [", " if cards else "", Span(name, "link", f"model_cards/{name}.html")]
    use = [Paragraph(["The models for use, one per dataset, and how to use them: ", *cards, "."])] if cards else []
    return Section("leaderboard", "Leaderboard", [*use, _leaderboard_table(data)])


def brief(data: ReportData) -> list[Section]:
    """Show the cells of each dataset and protocol."""
    return leaderboard_sections(data.frame)


def _leaderboard_table(data: ReportData) -> Table:
    columns = [
        *texts("Model"),
        *numeric("Accuracy (%)", f"{data.confidence_shown} interval (%)"),
        *texts("Dataset", "Protocol", "Feature"),
        *numeric("Balanced acc. (%)", "Macro-F1 (%)", "Top-2 (%)"),
        *numeric("Calibration error (points)", "Segment acc. (%)", "Chance (%)"),
        *texts("Mean over"),
        *numeric("Parameters", "Training"),
    ]
    rows = [_leaderboard_row(row, data.pages) for row in data.frame.to_dict("records")]
    caption = (
        "Test split. All but the segment accuracy is of tracks. ± is the standard deviation over repeats; top-2: the "
        "true genre is among the two most probable ones; calibration error: how far confidence and accuracy are apart "
        "(expected calibration error, 15 bins); chance is always answering the largest genre; training time is the sum "
        "over repeats. A model's name leads to its card."
    )
    return Table("leaderboard-table", caption, columns, rows, filter="model, dataset, protocol…")


def _leaderboard_row(row: Mapping[Any, Any], pages: Mapping[str, str]) -> list[Value]:
    cell = Cell(row["dataset"], row["protocol"], row["feature"], row["model"])
    card = f"#{cell_anchor(cell)}" if row["n_repeats"] else ""
    mean, low, high = (row[f"track_accuracy_{key}"] for key in ("mean", "ci_low", "ci_high"))
    metrics = ("balanced_accuracy", "macro_f1", "top_2_accuracy", "ece")
    shares = (*(f"track_{metric}_mean" for metric in metrics), "segment_accuracy_mean", "chance_largest_class")
    return [
        TableEntry(row["model"], badge=row_badge(row), url=card, run=pages.get(cell.name, "")),
        TableEntry(mean_and_sd(mean, row["track_accuracy_sd"]), sort=mean),
        TableEntry(interval(low, high, NONE), sort=low, glyph=Glyph(mean, low, high, row["chance_largest_class"])),
        *(part_name(row["dataset"], row["subset"]), row["protocol"], row["feature"]),
        *(share_entry(row[key]) for key in shares),
        row["statistic"].removeprefix("mean of "),
        count_entry(row["n_parameters"]),
        TableEntry(duration(row["training_s"]), sort=row["training_s"]),
    ]
