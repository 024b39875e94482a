"""The datasets and their faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genre_pipeline.datasets.reading.files import describe_left_out
from genre_pipeline.reporting.document import Column, Entry, Table, count_entry
from genre_pipeline.reporting.sections.base import ReportData, Section
from genre_pipeline.reporting.wording import count, duration
from genre_pipeline.results import part_name

# A page with thousands of faults is of no use; all of them are in the ingest report [?].
_MAX_FAULTS = 300


@dataclass(frozen=True)
class DatasetView:
    """A dataset's quality."""

    name: str
    title: str
    facts: Mapping[str, str]
    genres: Table
    fault_counts: str
    faults: Table
    n_faults_left_out: int = 0


def _build(data: ReportData) -> Mapping[str, Any]:
    return {"datasets": [_dataset_view(report) for report in data.datasets]}


def _dataset_view(report: Mapping[str, Any]) -> DatasetView:
    faults = report["faults"]
    kinds = Counter(fault["fault"] for fault in faults)
    genres = [
        [Entry(genre), *(count_entry(numbers[key]) for key in ("clips", "usable", "artists"))]
        for genre, numbers in report["genres"].items()
    ]
    found = [
        [
            Entry(fault["track_id"]),
            Entry(fault["fault"]),
            Entry("quarantined" if fault["quarantined"] else "reported only"),
            Entry(fault["path"]),
            Entry(fault["detail"]),
        ]
        for fault in faults[:_MAX_FAULTS]
    ]
    return DatasetView(
        name=part_name(report["dataset"], report["subset"]["name"]),
        title=report["title"],
        facts={
            "Clips": count(report["n_clips"]),
            "Usable": count(report["n_usable"]),
            "Quarantined": count(report["n_quarantined"]),
            "Audio": duration(report["total_duration_s"]),
            **_not_clips(report),
            "Licence": report["licence"],
            "Citation": report["citation"],
        },
        genres=Table(
            f"Clips of {report['dataset']} by genre",
            [Column("Genre"), *(Column(name, numeric=True) for name in ("Clips", "Usable", "Artists"))],
            genres,
        ),
        fault_counts=", ".join(f"{kind}: {n:,}" for kind, n in kinds.most_common()),
        faults=Table(
            f"Faults and duplicates found in {report['dataset']}",
            [Column(name) for name in ("Track", "Fault", "Consequence", "File", "Detail")],
            found,
        ),
        n_faults_left_out=len(faults) - len(found),
    )


def _not_clips(report: Mapping[str, Any]) -> dict[str, str]:
    """List what else the dataset's folder holds, and what to check; reports of earlier versions have neither."""
    said = {
        "Besides the clips": describe_left_out(report.get("left_out", {})),
        "To check": " ".join(report.get("remarks", ())),
    }
    return {name: text for name, text in said.items() if text}


SECTION = Section("datasets", "Datasets and their quality", _build, nav="Datasets")
