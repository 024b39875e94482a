"""What each cell was made of."""

from __future__ import annotations

import math
from typing import Literal

from genre_pipeline.reporting.document import Section, Table, TableEntry, Value, count_entry, numeric, texts
from genre_pipeline.reporting.sections.base import ReportData
from genre_pipeline.reporting.sections.splits import UNCHECKED
from genre_pipeline.reporting.wording import NONE, duration, split_badge
from genre_pipeline.results.cell import CellResult, cell_of, dataset_name, summary_row, unknown_share

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
    return Section("cells", "Cells in detail", [Table("cells-table", caption, columns, rows)], nav="Cells")


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
