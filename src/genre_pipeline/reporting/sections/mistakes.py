"""Mistakes to listen to: the most confident ones, and what is most often taken for what."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

from genre_pipeline.cells import Cell
from genre_pipeline.reporting.document import Block, Bullets, Folded, Group, Paragraph, Picture, Section, Span
from genre_pipeline.reporting.sections.base import ReportData, audio_url, full_name
from genre_pipeline.reporting.wording import PERCENT, mark_suffix, percent, plural
from genre_pipeline.results.cell import cell_of
from genre_pipeline.results.mistakes import CellMistakes, Mistake

# Height of the curves in the units of their drawing, whose width is 100 for the clip's whole length [?].
_CURVE_HEIGHT = 20


def section(data: ReportData) -> Section | None:
    """Show the mistakes of each cell, of which the first is open; nothing where none were looked for."""
    if not data.mistakes:
        return None
    found = {Cell(**each["cell"]): each for each in data.mistakes}
    results = [result for group in data.groups.values() for result in group if cell_of(result) in found]
    folded = [
        _mistakes_of(
            f"{full_name(result)}{mark_suffix([result])}", found[cell_of(result)], data.folder, is_open=place == 0
        )
        for place, result in enumerate(results)
    ]
    reading = (
        "The test tracks that each cell's models were most sure of and wrong about. Below each spectrogram (time from "
        "left to right, low frequencies at the bottom) are the predicted probabilities over time: the strong line is "
        "the wrong genre, the dashed one the true genre, from 0 to 100 %. Audio is not in this page: it is played from "
        "where it lies on this machine."
    )
    return Section("mistakes", "Mistakes to listen to", [Paragraph(reading), *folded], nav="Mistakes")


def _mistakes_of(name: str, found: CellMistakes, folder: Path | None, *, is_open: bool) -> Folded:
    pairs = [
        f"{pair['genre']} taken for {pair['answer']}: {plural(pair['n'], 'track')}, {percent(pair['share'])}{PERCENT} "
        f"of the genre (such as {', '.join(pair['examples'])})"
        for pair in found["pairs"]
    ]
    summary = f"{name}: {found['n_wrong']:,} of {plural(found['n_tracks'], 'track')} wrong, counted over repeats"
    pictures = Group("grid", [_picture(each, folder) for each in found["mistakes"]])
    most_often: list[Block] = [Paragraph("Most often:", "muted"), Bullets(pairs)] if pairs else []
    return Folded(summary, [*most_often, pictures], is_open=is_open)


def _picture(mistake: Mistake, folder: Path | None) -> Picture:
    answer, genre = (
        f"{name} {percent(mistake[key])}{PERCENT}"  # type: ignore[literal-required]
        for name, key in ((mistake["answer"], "probability"), (mistake["genre"], "p_genre"))
    )
    over_time = (mistake["answer_over_time"], mistake["genre_over_time"])
    drawn = mistake["picture"]
    shown = mistake["fault"]
    if drawn is not None:
        shown = f"Log-mel spectrogram of {mistake['track_id']}: {drawn['words']}."
    url = audio_url(mistake["path"], mistake["start_s"], mistake["duration_s"], folder)
    return Picture(
        title=f"{mistake['track_id']}: {mistake['genre']} taken for {mistake['answer']}",
        caption=[f"{answer}, {genre}; model of repeat {mistake['repeat']}. ", Span("The file", "link", url)],
        alternative=shown,
        png=b"" if drawn is None else b64decode(drawn["png"]),
        width=0 if drawn is None else drawn["width"],
        height=0 if drawn is None else drawn["height"],
        curves=[_curve(mistake, values) for values in over_time],
        spoken=(
            f"Probability over time, from segment to segment: {mistake['answer']} {_percents(over_time[0])}; "
            f"{mistake['genre']} {_percents(over_time[1])}."
        ),
        audio=url,
    )


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
