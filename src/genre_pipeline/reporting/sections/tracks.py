"""What each model said of a track, for any track that the reader looks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genre_pipeline.cells import Cell
from genre_pipeline.reporting.document import Block, Paragraph, Section, Span, Text, TrackSearch
from genre_pipeline.reporting.sections.base import ReportData, audio_url, cell_anchor, explanation_anchor, full_name
from genre_pipeline.reporting.wording import LEAKY, split_marks
from genre_pipeline.results.cell import CellResult, cell_of, dataset_name
from genre_pipeline.results.mistakes import TrackAnswer

# [?] Answers of models for tracks: 40 models on 1,000 tracks, or 4 on 10,000; about 150 bytes each.
MAX_ANSWERS = 40_000
_READING: Text = [
    (
        "What did each model say of this song, and why? Probabilities are of the models that were tested on the track, "
        "the mean over repeats. The curves show how they change over the track: the strong line is the predicted "
        "genre, the dashed one the true genre, from 0 to 100 %. The closest training tracks are those whose feature "
        "has the most similar mean and spread in each bin: what the model knew of such music, not what it used. That "
        "is drawn by "
    ),
    Span("kedro run --pipelines explain", "code"),
    ". Audio is not in this page: it is played from where it lies on this machine.",
]


def section(data: ReportData) -> Section | None:
    """Let the reader look for a track; nothing where no track was predicted."""
    results = {cell_of(result): result for group in data.groups.values() for result in group}
    found = [(results[cell], each["tracks"]) for each in data.mistakes if (cell := Cell(**each["cell"])) in results]
    # As the leaderboard has them.
    order = {cell: place for place, cell in enumerate(results)}
    found.sort(key=lambda pair: (LEAKY in split_marks(pair[0]), order[cell_of(pair[0])]))
    tracks = _tracks(found, data.folder)
    if not tracks:
        return None
    explained = {(Cell(**each["cell"]), each["track_id"]): i for i, each in enumerate(data.explanations)}
    n_answers = max(len(track["answers"]) for track in tracks)
    shown = sorted(tracks, key=_share_right)[: MAX_ANSWERS // n_answers]
    shown.sort(key=lambda track: (track["dataset"], track["id"]))
    cells = [_cell(result, explained) for result, _ in found]
    blocks: list[Block] = [Paragraph(_READING)]
    if len(shown) < len(tracks):
        words = f"The {len(shown):,} of {len(tracks):,} tracks that the most models predicted wrong are in this page."
        blocks.append(Paragraph(words))
    return Section("tracks", "Tracks", [*blocks, TrackSearch("track-search", {"cells": cells, "tracks": shown})])


def _cell(result: CellResult, explained: Mapping[tuple[Cell, str], int]) -> dict[str, Any]:
    cell = cell_of(result)
    return {
        "name": full_name(result),
        "model": f"{cell.model} · {cell.feature}",
        "protocol": cell.protocol,
        "marks": split_marks(result),
        "leaky": bool(result["leaky"]),
        "genres": list(result["genres"]),
        "card": cell_anchor(cell),
        "explained": {track_id: explanation_anchor(place) for (of, track_id), place in explained.items() if of == cell},
    }


def _tracks(found: list[tuple[CellResult, list[TrackAnswer]]], folder: Path | None) -> list[dict[str, Any]]:
    """Gather the answers of all cells by track."""
    tracks: dict[tuple[str, str], dict[str, Any]] = {}
    for place, (result, answers) in enumerate(found):
        for each in answers:
            key = (cell_of(result).dataset, each["track_id"])
            if key not in tracks:
                tracks[key] = {
                    "dataset": dataset_name(result),
                    "id": each["track_id"],
                    "title": each["title"],
                    "genre": each["genre"],
                    "url": audio_url(each["path"], each["start_s"], each["duration_s"], folder),
                    "duration_s": round(each["duration_s"], 2),
                    "answers": [],
                }
            tracks[key]["answers"].append(
                {
                    "cell": place,
                    "said": result["genres"].index(each["answer"]),
                    "p": _percents(each["probabilities"]),
                    "n": each["n_repeats"],
                    "right": each["n_right"],
                    "times_s": [round(time_s, 1) for time_s in _ends(each["times_s"])],
                    "over_time": [_percents(each["answer_over_time"]), _percents(each["genre_over_time"])],
                    "closest": each["closest"],
                }
            )
    return list(tracks.values())


def _share_right(track: Mapping[str, Any]) -> float:
    return float(sum(each["right"] / each["n"] for each in track["answers"]) / len(track["answers"]))


def _percents(shares: list[float]) -> list[int]:
    return [round(100 * share) for share in shares]


def _ends(times_s: list[float]) -> list[float]:
    """Return the first and the last time: segments are equally far apart."""
    return [times_s[0], times_s[-1]]
