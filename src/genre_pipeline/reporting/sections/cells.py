"""What each cell was made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from genre_pipeline.reporting.document import Column, Entry, Table, count_entry
from genre_pipeline.reporting.sections.base import ReportData, Section, split_badge
from genre_pipeline.reporting.sections.splits import UNCHECKED
from genre_pipeline.reporting.wording import NONE, duration
from genre_pipeline.results import CellResult, cell_of, dataset_name, summary_row, unknown_share

_SPLITS: tuple[Literal["train", "validation", "test"], ...] = ("train", "validation", "test")


def _build(data: ReportData) -> Mapping[str, Any]:
    return {"table": _cells_table(data.groups)}


def _cells_table(groups: Mapping[tuple[str, str], Sequence[CellResult]]) -> Table:
    words = ("Model", "Dataset", "Protocol", "Feature", "Epoch chosen", "Precision")
    numbers = ("Genres", *(f"{split} {unit}" for unit in ("tracks", "segments") for split in _SPLITS))
    more = ("Segment (s)", "Seed", "Parameters", "Training", "Inference", "Shared artists")
    columns = [
        *(Column(name) for name in words),
        *(Column(name, numeric=True) for name in (*numbers, *more)),
        *(Column(name) for name in ("Interval", "Split hash", "Feature hash", "Git commit", "Paper")),
    ]
    rows = [_cell_row(result) for group in groups.values() for result in group]
    return Table("What each cell was made of. Tracks and segments are means over repeats.", columns, rows)


def _cell_row(result: CellResult) -> list[Entry]:
    cell = cell_of(result)
    words = (result["selection"], result["precision"])
    return [
        Entry(cell.model, badge=split_badge(result)),
        *(Entry(text) for text in (dataset_name(result), cell.protocol, cell.feature, *words)),
        count_entry(len(result["genres"])),
        *(count_entry(result["n_tracks"][split]) for split in _SPLITS),
        *(count_entry(result["n_segments"][split]) for split in _SPLITS),
        Entry(f"{result['segment_duration_s']:.2f}", sort=result["segment_duration_s"]),
        Entry(str(result["seed"])),
        count_entry(result["n_parameters"]),
        Entry(duration(result["cost"]["training_s"]), sort=result["cost"]["training_s"]),
        Entry(duration(result["cost"]["inference_s"]), sort=result["cost"]["inference_s"]),
        _shared_artists(result),
        Entry(summary_row(result, unit="track", metric="accuracy")["interval"]),
        Entry(result["split_hash"]),
        Entry(result["feature_hash"]),
        Entry(result["git_commit"]),
        Entry(result["reference"] or NONE),
    ]


def _shared_artists(result: CellResult) -> Entry:
    n_shared = result["leaks"].get("artists")
    if not n_shared and unknown_share(result):
        return Entry(UNCHECKED, sort=math.nan)
    return count_entry(n_shared)


SECTION = Section("cells", "Cells in detail", _build, nav="Cells")
