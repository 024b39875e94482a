"""Mistakes to listen to: the most confident ones, and what is most often taken for what."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from genre_pipeline.cells import Cell
from genre_pipeline.reporting.sections.base import ReportData, Section, full_name
from genre_pipeline.reporting.wording import PERCENT, percent, plural
from genre_pipeline.results import CellMistakes, Mistake

# Height of the curves in the units of their drawing, whose width is 100 for the clip's whole length [?].
_CURVE_HEIGHT = 20


def _build(data: ReportData) -> Mapping[str, Any] | None:
    if not data.mistakes:
        return None
    found = {Cell(**each["cell"]): each for each in data.mistakes}
    views = []
    for group in data.groups.values():
        for result in group:
            mistakes = found.get(Cell(**result["cell"]))
            if mistakes is not None:
                views.append(_cell_view(full_name(result), mistakes, data))
    return {"views": views, "curve_height": _CURVE_HEIGHT}


def _cell_view(name: str, found: CellMistakes, data: ReportData) -> dict[str, Any]:
    pairs = [
        f"{pair['genre']} taken for {pair['answer']}: {plural(pair['n'], 'track')}, {percent(pair['share'])}{PERCENT} "
        f"of the genre (such as {', '.join(pair['examples'])})"
        for pair in found["pairs"]
    ]
    return {
        "name": name,
        "reading": f"{found['n_wrong']:,} of {plural(found['n_tracks'], 'track')} wrong, counted over repeats",
        "pairs": pairs,
        "mistakes": [_mistake_view(each, data.folder) for each in found["mistakes"]],
    }


def _mistake_view(mistake: Mistake, folder: Path | None) -> dict[str, Any]:
    answer, genre = (
        f"{name} {percent(mistake[key])}{PERCENT}"  # type: ignore[literal-required]
        for name, key in ((mistake["answer"], "probability"), (mistake["genre"], "p_genre"))
    )
    over_time = (mistake["answer_over_time"], mistake["genre_over_time"])
    return {
        **mistake,
        "heading": f"{mistake['track_id']}: {mistake['genre']} taken for {mistake['answer']}",
        "reading": f"{answer}, {genre}; model of repeat {mistake['repeat']}",
        "url": _url(mistake, folder),
        "curves": [_curve(mistake, values) for values in over_time],
        "spoken": (
            f"Probability over time, from segment to segment: {mistake['answer']} {_percents(over_time[0])}; "
            f"{mistake['genre']} {_percents(over_time[1])}."
        ),
    }


def _url(mistake: Mistake, folder: Path | None) -> str:
    """Return where the audio is, as seen from the report's folder; the clip only, where its file holds more."""
    path = mistake["path"]
    place = quote(os.path.relpath(path, folder).replace(os.sep, "/")) if folder else Path(path).absolute().as_uri()
    end_s = mistake["start_s"] + mistake["duration_s"]
    return f"{place}#t={mistake['start_s']:.2f},{end_s:.2f}" if mistake["start_s"] else place


def _curve(mistake: Mistake, values: list[float]) -> str:
    """Return the points of a curve, in an area that is 100 wide for the clip's length; one segment is a level."""
    times_s = mistake["times_s"]
    if len(values) == 1:
        times_s, values = [0.0, mistake["duration_s"]], values * 2
    return " ".join(
        f"{100 * time_s / mistake['duration_s']:.2f},{_CURVE_HEIGHT * (1 - value):.2f}"
        for time_s, value in zip(times_s, values, strict=True)
    )


def _percents(values: list[float]) -> str:
    return ", ".join(f"{100 * value:.0f}" for value in values) + PERCENT


SECTION = Section("mistakes", "Mistakes to listen to", _build, nav="Mistakes")
