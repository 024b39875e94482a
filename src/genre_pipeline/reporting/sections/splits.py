"""The splits, and what stands on two of their sides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from genre_pipeline.reporting.document import (
    Block,
    Bullets,
    Folded,
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
from genre_pipeline.reporting.sections.base import ReportData
from genre_pipeline.reporting.wording import NONE, split_badge
from genre_pipeline.results.cell import number, part_name
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


def section(data: ReportData) -> Section:
    """Show every split, with links to their cards, and examples of leaks."""
    blocks: list[Block] = [Paragraph("No split report was given.")]
    if data.splits:
        names = [(_split_name(report), report["protocol"]) for report in data.splits]
        links = [Span(f"{name} · {protocol}", "link", f"splits/{name}.{protocol}.html") for name, protocol in names]
        commas = [", "] * (len(links) - 1) + ["."]
        cards = [part for pair in zip(links, commas, strict=True) for part in pair]
        blocks = [_splits_table(data.splits), Paragraph(["Cards with promises, counts and leaks: ", *cards])]
    if leaks := _leak_examples(data.splits):
        blocks.append(Folded(f"Examples of what stands on two sides ({len(leaks)})", [Bullets(leaks)]))
    return Section("splits", "Splits and leaks", blocks, nav="Splits")


def _splits_table(splits: Sequence[Mapping[str, Any]]) -> Table:
    columns = [
        *texts("Protocol", "Dataset", "Design", "Promises apart"),
        *numeric("Repeats", "Tracks", *(title for _, title in _SPLIT_NUMBERS), "Artist unknown"),
        *numeric(*(f"Imbalance of {split} (points)" for split in _SPLITS)),
        *texts("Split hash"),
    ]
    caption = (
        "Different values found on two sides of a split in any repeat; near-duplicates are one recording. Imbalance: "
        "the largest difference, over repeats and genres, between a genre's percentage of that side and of all sides."
    )
    return Table("splits-table", caption, columns, [_split_row(report) for report in splits])


def _split_row(report: Mapping[str, Any]) -> list[Value]:
    shared = report.get("leaks", {}).get("overall", {})
    imbalance = report.get("stratification_imbalance", {})
    return [
        TableEntry(report["protocol"], badge=split_badge(report)),
        *(_split_name(report), report.get("design", NONE), ", ".join(report.get("promises", [])) or NONE),
        count_entry(report.get("n_repeats")),
        count_entry(report.get("n_tracks")),
        *(
            TableEntry(UNCHECKED, sort=math.nan)
            if report.get("verdicts", {}).get(kind) == UNCHECKED
            else count_entry(shared.get(kind))
            for kind, _ in _SPLIT_NUMBERS
        ),
        count_entry(report.get("unknown_artist_tracks")),
        *(share_entry(number(imbalance.get(split))) for split in _SPLITS),
        report.get("split_hash", NONE),
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
