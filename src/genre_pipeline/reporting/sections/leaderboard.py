"""The leaderboard: every cell in one table, which the page sorts and filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from genre_pipeline.reporting.document import Column, Entry, Glyph, Table, count_entry, escape_markdown, share_entry
from genre_pipeline.reporting.leaderboard import blocks, shown_numbers
from genre_pipeline.reporting.sections.base import ReportData, Section, marks
from genre_pipeline.reporting.wording import NONE, common, duration, interval, mean_and_sd, percent
from genre_pipeline.results import part_name


def _build(data: ReportData) -> Mapping[str, Any]:
    return {"table": _leaderboard_table(data.frame, data.confidence_shown)}


def _write_markdown(data: ReportData) -> Sequence[str]:
    lines = []
    for dataset, protocol, rows in blocks(data.frame):
        always = f"always the largest genre: {common(rows['chance_largest_class'].map(percent))} %"
        lines += ["", f"## {escape_markdown(dataset)} · {escape_markdown(protocol)}", ""]
        split = f"split `{common(rows['split_hash'])}`, commit `{common(rows['git_commit'])}`"
        lines += [f"{common(rows['statistic'])}; {common(rows['n_genres'])} genres; {always}; {split}.", ""]
        lines += [
            "| model | feature | accuracy | interval | balanced | macro-F1 | segments | parameters | training |",
            "|---|---|--:|--:|--:|--:|--:|--:|--:|",
            *(_markdown_row(row) for row in rows.to_dict("records")),
        ]
    return lines


def _markdown_row(row: Mapping[Any, Any]) -> str:
    entries = [
        " ".join([*(f"**{mark}**" for mark in marks(row)), escape_markdown(row["model"])]),
        escape_markdown(row["feature"]),
        *shown_numbers(row),
    ]
    return f"| {' | '.join(entries)} |"


def _leaderboard_table(frame: pd.DataFrame, confidence: str) -> Table:
    columns = [
        Column("Model"),
        Column("Dataset"),
        Column("Protocol"),
        Column("Feature"),
        Column("Accuracy (%)", numeric=True),
        Column(f"{confidence} interval (%)", numeric=True),
        Column("Balanced acc. (%)", numeric=True),
        Column("Macro-F1 (%)", numeric=True),
        Column("Top-2 (%)", numeric=True),
        Column("Calibration error (points)", numeric=True),
        Column("Segment acc. (%)", numeric=True),
        Column("Chance (%)", numeric=True),
        Column("Mean over"),
        Column("Parameters", numeric=True),
        Column("Training", numeric=True),
    ]
    rows = [_leaderboard_row(row) for row in frame.to_dict("records")]
    caption = (
        "Test split. All but the segment accuracy is of tracks. ± is the standard deviation over repeats; top-2: the "
        "true genre is among the two most probable ones; calibration error: how far confidence and accuracy are apart "
        "(expected calibration error, 15 bins); chance is always answering the largest genre; training time is the sum "
        "over repeats."
    )
    return Table(caption, columns, rows)


def _leaderboard_row(row: Mapping[Any, Any]) -> list[Entry]:
    mean, low, high = (row[f"track_accuracy_{key}"] for key in ("mean", "ci_low", "ci_high"))
    metrics = ("balanced_accuracy", "macro_f1", "top_2_accuracy", "ece")
    shares = (*(f"track_{metric}_mean" for metric in metrics), "segment_accuracy_mean", "chance_largest_class")
    return [
        Entry(row["model"], badge=" · ".join(marks(row))),
        Entry(part_name(row["dataset"], row["subset"])),
        Entry(row["protocol"]),
        Entry(row["feature"]),
        Entry(mean_and_sd(mean, row["track_accuracy_sd"]), sort=mean),
        Entry(interval(low, high, NONE), sort=low, glyph=Glyph(mean, low, high, row["chance_largest_class"])),
        *(share_entry(row[key]) for key in shares),
        Entry(row["statistic"].removeprefix("mean of ")),
        count_entry(row["n_parameters"]),
        Entry(duration(row["training_s"]), sort=row["training_s"]),
    ]


SECTION = Section("leaderboard", "Leaderboard", _build, _write_markdown)
