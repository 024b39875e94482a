"""What models saw in single tracks."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from genre_pipeline.cells import Cell
from genre_pipeline.reporting.document import Block, Group, Paragraph, Picture, Section, Span, Text
from genre_pipeline.reporting.sections.base import ReportData, audio_url, explanation_anchor, full_name
from genre_pipeline.reporting.wording import PERCENT, percent
from genre_pipeline.results.cell import cell_of


def section(data: ReportData) -> Section | None:
    """Show each track that was explained; nothing where none was."""
    names = {cell_of(result): full_name(result) for result in data.results}
    audio = {
        (Cell(**each["cell"]), track["track_id"]): audio_url(
            track["path"], track["start_s"], track["duration_s"], data.folder
        )
        for each in data.mistakes
        for track in each["tracks"]
    }
    pictures = [
        Picture(
            title=f"{each['track_id']}: {each['genre']} predicted as {each['answer']}",
            caption=f"{_reading(name, each)}; {each['words']}.",
            alternative=f"Contributions over time and frequency: {each['words']}.",
            png=b64decode(each["png"]),
            audio=audio.get((Cell(**each["cell"]), each["track_id"]), ""),
            key=explanation_anchor(place),
        )
        for place, each in enumerate(data.explanations)
        if (name := names.get(Cell(**each["cell"]), ""))
    ]
    reading: Text = [
        (
            "Of each track: the feature as the model sees it, what of it spoke for a genre and against it, and the "
            "predicted probabilities over time. Made by "
        ),
        Span("kedro run --pipelines explain", "code"),
        ". Such pictures show what a model used, not that it was right to.",
    ]
    blocks: list[Block] = [Paragraph(reading), Group("grid", pictures)]
    return Section("explanations", "What models saw", blocks, nav="Explanations") if pictures else None


def _reading(name: str, each: Mapping[str, Any]) -> str:
    return (
        f"{name}, model of repeat {each['repeat']}: {each['target']} {percent(each['probability'])}{PERCENT}. By "
        f"{each['method']}, {each['explained']:+.2f} log odds a segment are explained, up to {each['residual']:.2f}"
    )
