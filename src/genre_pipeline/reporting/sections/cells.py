"""What each cell was made of."""

from __future__ import annotations

import math
from typing import Literal

from genre_pipeline.evaluation.leaderboard import genre_means
from genre_pipeline.reporting.document import (
    Article,
    Bullets,
    Facts,
    Group,
    Paragraph,
    Section,
    Span,
    Table,
    TableEntry,
    Value,
    count_entry,
    numeric,
    texts,
)
from genre_pipeline.reporting.sections.base import ReportData, cell_anchor, chance, full_name, track_accuracy
from genre_pipeline.reporting.sections.splits import UNCHECKED
from genre_pipeline.reporting.wording import (
    LEAKY,
    LEAKY_NOTE,
    NONE,
    PERCENT,
    UNKNOWN_NOTE,
    count,
    duration,
    interval,
    percent,
    pretrained_text,
    split_badge,
    split_marks,
)
from genre_pipeline.results.cell import CellResult, cell_of, dataset_name, statistic, summary_row, unknown_share

_SPLITS: tuple[Literal["train", "validation", "test"], ...] = ("train", "validation", "test")


def section(data: ReportData) -> Section:
    """List what each cell was made of."""
    columns = [
        *texts("Model", "Dataset", "Protocol", "Feature", "Epoch chosen", "Precision"),
        *numeric("Genres", *(f"{split} {unit}" for unit in ("tracks", "segments") for split in _SPLITS)),
        *numeric("Segment (s)", "Seed", "Parameters", "Training", "Inference", "Shared artists"),
        *texts("Interval", "Split hash", "Feature hash", "Git commit", "Paper"),
    ]
    rows = [_cell_row(result) for group in data.groups.values() for result in group]
    caption = "What each cell was made of. Tracks and segments are means over repeats."
    cards = [_card(result, data) for group in data.groups.values() for result in group]
    return Section(
        "cells", "Cells in detail", [Table("cells-table", caption, columns, rows), Group("grid", cards)], nav="Cells"
    )


def _card(result: CellResult, data: ReportData) -> Article:
    """Describe a model as it was trained: on which data, how good it is, and where its limits are."""
    cell = cell_of(result)
    mean, low, high = track_accuracy(result)
    known = f" ({data.confidence_shown} interval {interval(low, high)})" if not math.isnan(low) else ""
    licences = [each["licence"] for each in data.datasets if each["dataset"] == cell.dataset and each.get("licence")]
    recalls = genre_means(result)["recall"].dropna().sort_values(kind="stable")
    n_train, n_test = (count(result["n_tracks"][side]) for side in ("train", "test"))
    facts = {
        "Data": f"{dataset_name(result)}{f', {licences[0]}' if licences else ''}",
        "Protocol": f"{cell.protocol}, {statistic(result)}",
        "Tracks": f"trained on {n_train}, tested on {n_test}",
        "Track accuracy": f"{percent(mean)}{PERCENT}{known}; chance {chance([result])}",
        "Genres": ", ".join(result["genres"]),
        "Found least": "; ".join(f"{genre} {percent(share)}{PERCENT}" for genre, share in recalls.head(3).items()),
        "Parameters": count(result["n_parameters"], NONE),
        "Training": duration(result["cost"]["training_s"]),
        "Paper": result["reference"] or NONE,
    }
    notes = {LEAKY: LEAKY_NOTE}
    limits = [f"{mark}: {notes.get(mark, UNKNOWN_NOTE)}" for mark in split_marks(result)]
    if "pretraining" in result:
        limits.append(pretrained_text(result["pretraining"]))
    run = data.pages.get(cell.name, "")
    return Article(
        full_name(result),
        [
            Facts(facts),
            *([Bullets(limits)] if limits else []),
            Paragraph(
                "It knows these genres alone, and predicts one of them for any audio. How it does on other music is "
                "not known.",
                "muted",
            ),
            *([Paragraph([Span("Its run in MLflow", "link", run)])] if run else []),
        ],
        is_marked=bool(split_marks(result)),
        key=cell_anchor(cell),
    )


def _cell_row(result: CellResult) -> list[Value]:
    cell = cell_of(result)
    words = (result["selection"], result["precision"])
    return [
        TableEntry(cell.model, badge=split_badge(result)),
        *(dataset_name(result), cell.protocol, cell.feature, *words),
        len(result["genres"]),
        *(count_entry(result["n_tracks"][split]) for split in _SPLITS),
        *(count_entry(result["n_segments"][split]) for split in _SPLITS),
        TableEntry(f"{result['segment_duration_s']:.2f}", sort=result["segment_duration_s"]),
        str(result["seed"]),
        count_entry(result["n_parameters"]),
        TableEntry(duration(result["cost"]["training_s"]), sort=result["cost"]["training_s"]),
        TableEntry(duration(result["cost"]["inference_s"]), sort=result["cost"]["inference_s"]),
        _shared_artists(result),
        summary_row(result, unit="track", metric="accuracy")["interval"],
        *(result["split_hash"], result["feature_hash"], result["git_commit"], result["reference"] or NONE),
    ]


def _shared_artists(result: CellResult) -> TableEntry:
    n_shared = result["leaks"].get("artists")
    if not n_shared and unknown_share(result):
        return TableEntry(UNCHECKED, sort=math.nan)
    return count_entry(n_shared)
