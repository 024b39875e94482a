"""The splits, and what stands on two of their sides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from genre_pipeline.reporting.document import Column, Entry, Table, count_entry, share_entry
from genre_pipeline.reporting.sections.base import ReportData, Section, split_badge
from genre_pipeline.reporting.wording import NONE
from genre_pipeline.results import number, part_name
from genre_pipeline.splits.audit import Verdict

UNCHECKED: Verdict = "cannot be checked"
_SPLITS: tuple[Literal["train", "validation", "test"], ...] = ("train", "validation", "test")
_SPLIT_NUMBERS = (
    ("track", "Shared tracks"),
    ("file", "Shared files"),
    ("audio", "Shared audio"),
    ("recording", "Shared recordings"),
    ("artist", "Shared artists"),
    ("album", "Shared albums"),
)


def _build(data: ReportData) -> Mapping[str, Any]:
    return {"table": _splits_table(data.splits), "leak_examples": _leak_examples(data.splits)}


def _splits_table(splits: Sequence[Mapping[str, Any]]) -> Table:
    columns = [
        Column("Protocol"),
        Column("Dataset"),
        Column("Design"),
        Column("Promises apart"),
        Column("Repeats", numeric=True),
        Column("Tracks", numeric=True),
        *(Column(title, numeric=True) for _, title in _SPLIT_NUMBERS),
        Column("Artist unknown", numeric=True),
        *(Column(f"Imbalance of {split} (points)", numeric=True) for split in _SPLITS),
        Column("Split hash"),
    ]
    caption = (
        "Different values found on two sides of a split in any repeat; near-duplicates are one recording. Imbalance: "
        "the largest difference, over repeats and genres, between a genre's percentage of that side and of all sides."
    )
    return Table(caption, columns, [_split_row(report) for report in splits])


def _split_row(report: Mapping[str, Any]) -> list[Entry]:
    shared = report.get("leaks", {}).get("overall", {})
    imbalance = report.get("stratification_imbalance", {})
    return [
        Entry(report["protocol"], badge=split_badge(report)),
        Entry(_split_name(report)),
        Entry(report.get("design", NONE)),
        Entry(", ".join(report.get("promises", [])) or NONE),
        count_entry(report.get("n_repeats")),
        count_entry(report.get("n_tracks")),
        *(
            Entry(UNCHECKED, sort=math.nan)
            if report.get("verdicts", {}).get(kind) == UNCHECKED
            else count_entry(shared.get(kind))
            for kind, _ in _SPLIT_NUMBERS
        ),
        count_entry(report.get("unknown_artist_tracks")),
        *(share_entry(number(imbalance.get(split))) for split in _SPLITS),
        Entry(report.get("split_hash", NONE)),
    ]


def _split_name(report: Mapping[str, Any]) -> str:
    return part_name(report["dataset"], report.get("subset", ""))


def _leak_examples(splits: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{_split_name(report)} · {report['protocol']}, repeat {example['repeat']}: {kind} “{example['value']}” is in "
        f"{example['splits'][0]} ({example['track_ids'][0]}) and {example['splits'][1]} ({example['track_ids'][1]})."
        for report in splits
        for kind, examples in report.get("leaks", {}).get("examples", {}).items()
        for example in examples
    ]


SECTION = Section("splits", "Splits and leaks", _build, nav="Splits")
