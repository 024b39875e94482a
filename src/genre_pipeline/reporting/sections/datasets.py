"""The datasets and their faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from genre_pipeline.datasets.reading.files import describe_left_out
from genre_pipeline.reporting.document import (
    Article,
    Block,
    Facts,
    Group,
    Paragraph,
    Section,
    Span,
    Table,
    numeric,
    texts,
)
from genre_pipeline.reporting.sections.base import ReportData
from genre_pipeline.reporting.wording import count, duration
from genre_pipeline.results.cell import part_name

# A page with thousands of faults is of no use; all of them are in the ingest report [?].
_MAX_FAULTS = 300


def section(data: ReportData) -> Section:
    """Show each dataset: its size, its genres and its faults."""
    blocks: list[Block] = [_dataset(report, place) for place, report in enumerate(data.datasets, start=1)]
    blocks = blocks or [Paragraph("No quality report was given.")]
    return Section("datasets", "Datasets and their quality", blocks, nav="Datasets")


def _dataset(report: Mapping[str, Any], place: int) -> Article:
    name = part_name(report["dataset"], report["subset"]["name"])
    genres = [
        [genre, *(numbers[key] for key in ("clips", "usable", "artists"))]
        for genre, numbers in report["genres"].items()
    ]
    card = Span("data card", "link", f"data_cards/{report['dataset']}.html")
    facts = {
        "Clips": count(report["n_clips"]),
        "Usable": count(report["n_usable"]),
        "Quarantined": count(report["n_quarantined"]),
        "Audio": duration(report["total_duration_s"]),
        **_not_clips(report),
        "Licence": report["licence"],
        "Citation": report["citation"],
    }
    table = Table(
        f"genres-{place}",
        f"Clips of {report['dataset']} by genre",
        [*texts("Genre"), *numeric("Clips", "Usable", "Artists")],
        genres,
    )
    return Article(
        [f"{report['title']} ", Span(name, "code")],
        [
            Paragraph(["Its ", card, " names every clip that is missing, faulty or a copy."]),
            Facts(facts),
            Group("columns", [table, Group("stack", _faults(report, place))]),
        ],
    )


def _faults(report: Mapping[str, Any], place: int) -> list[Block]:
    faults = report["faults"]
    if not faults:
        return [Paragraph("No fault and no duplicate was found.")]
    counts = Counter(fault["fault"] for fault in faults)
    consequences = {True: "quarantined", False: "reported only"}
    found = [
        [fault["track_id"], fault["fault"], consequences[fault["quarantined"]], fault["path"], fault["detail"]]
        for fault in faults[:_MAX_FAULTS]
    ]
    counted = ", ".join(f"{kind}: {n:,}" for kind, n in counts.most_common())
    blocks: list[Block] = [
        Paragraph([Span("Found", "strong"), f" {counted}"]),
        Table(
            f"faults-{place}",
            f"Faults and duplicates found in {report['dataset']}",
            texts("Track", "Fault", "Consequence", "File", "Detail"),
            found,
        ),
    ]
    if len(faults) > len(found):
        blocks.append(Paragraph(f"{len(faults) - len(found)} more are in the ingest report.", "muted"))
    return blocks


def _not_clips(report: Mapping[str, Any]) -> dict[str, str]:
    """List what else the dataset's folder holds, and what to check; reports of earlier versions have neither."""
    said = {
        "Besides the clips": describe_left_out(report.get("left_out", {})),
        "To check": " ".join(report.get("remarks", ())),
    }
    return {name: text for name, text in said.items() if text}
