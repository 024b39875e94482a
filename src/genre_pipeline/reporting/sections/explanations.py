"""What models saw in single tracks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genre_pipeline.cells import Cell
from genre_pipeline.reporting.sections.base import ReportData, Section, full_name
from genre_pipeline.reporting.wording import PERCENT, percent
from genre_pipeline.results import cell_of


def _build(data: ReportData) -> Mapping[str, Any] | None:
    names = {cell_of(result): full_name(result) for result in data.results}
    views = [
        {
            **each,
            "heading": f"{each['track_id']}: {each['genre']} told as {each['answer']}",
            "reading": _reading(name, each),
        }
        for each in data.explanations
        if (name := names.get(Cell(**each["cell"]), ""))
    ]
    return {"explanations": views} if views else None


def _reading(name: str, each: Mapping[str, Any]) -> str:
    return (
        f"{name}, model of repeat {each['repeat']}: {each['target']} {percent(each['probability'])}{PERCENT}. By "
        f"{each['method']}, {each['explained']:+.2f} log odds a segment are explained, up to {each['residual']:.2f}"
    )


SECTION = Section("explanations", "What models saw", _build, nav="Explanations")
