"""Predicted genres, for a terminal, and what to label next, for a page as well."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genre_pipeline.evaluation.answers import FileAnswer, FileClassifier
from genre_pipeline.reporting.document import (
    Bullets,
    Document,
    Paragraph,
    Section,
    Table,
    TableEntry,
    Value,
    numeric,
    render_html,
    share_entry,
    texts,
)
from genre_pipeline.reporting.wording import (
    LEAKY,
    LEAKY_NOTE,
    PERCENT,
    abstention_text,
    percent,
    plural,
    share_of_tests,
    split_marks,
)
from genre_pipeline.results.cell import is_missing
from genre_pipeline.spelling import printable

if TYPE_CHECKING:
    import pandas as pd

    from genre_pipeline.evaluation.prediction import GenrePredictor

NOT_SURE = "not sure"

# Genres that are named for a song, the most probable first [?].
N_SHOWN = 3


def answer(row: Mapping[Any, Any]) -> str:
    """Return the genre of a classified file, or that the model is not sure of it.

    Args:
        row: What :meth:`~genre_pipeline.evaluation.answers.FileClassifier.row` returned, or a row of such a table.

    Example:
        >>> answer({"genre": "jazz", "sure": True}), answer({"genre": "jazz", "sure": False})
        ('jazz', 'not sure')
        >>> answer({"genre": "jazz", "sure": None})
        'jazz'
    """
    return str(row["genre"]) if is_missing(row["sure"]) or row["sure"] else NOT_SURE


def describe(
    answers: Sequence[FileAnswer],
    model: FileClassifier,
    leader: Mapping[str, Any],
    *,
    n_shown: int = N_SHOWN,
    with_timeline: bool = False,
) -> list[Section]:
    """Show predicted genres, which model predicted them, and how good it was where it was compared.

    Args:
        answers: One for each file.
        model: The model.
        leader: What is to know of it (:func:`~genre_pipeline.evaluation.leaderboard.describe_leader`), or nothing.
        n_shown: How many genres are named for a file.
        with_timeline: Whether the genres of each file over time are shown.
    """
    rows: list[list[Value]] = []
    for row in (model.row(each) for each in answers if not each.error):
        shown = answer(row)
        best = sorted(model.genres, key=lambda genre: -row[f"p_{genre}"])[:n_shown]
        named = [f"{genre} {percent(row[f'p_{genre}'])}" for genre in best]
        is_sure = shown != NOT_SURE
        rows.append([row["path"], shown, percent(row["probability"]), ", ".join(named[is_sure:])])
    titles = [*texts("file", "genre"), *numeric("probability"), *texts("next")]
    sections = [Section("", "", [Table("", "", titles, rows)])] if rows else []
    if with_timeline:
        sections += [_stretches(each, model) for each in answers if not each.error]
    faults = [each.error for each in answers if each.error]
    return [*sections, *describe_faults(faults), Section("", "", [Paragraph(_model(model, leader))])]


def _stretches(answer: FileAnswer, model: FileClassifier) -> Section:
    """Show a file's time line: successive segments of one genre together, with their mean probability."""
    rows: list[list[Value]] = []
    for genre, segments in groupby(model.timeline_rows(answer), key=lambda segment: segment["genre"]):
        stretch = list(segments)
        probability = sum(each["probability"] for each in stretch) / len(stretch)
        rows.append([_time(stretch[0]["start_s"]), _time(stretch[-1]["end_s"]), genre, percent(probability)])
    columns = [*numeric("from", "to"), *texts("genre"), *numeric("probability")]
    return Section("", printable(answer.path), [Table("", "", columns, rows)])


def _time(seconds: float) -> str:
    """Return a time as players show it.

    Example:
        >>> _time(83.25), _time(5400.0)
        ('1:23.2', '1:30:00.0')
    """
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def model_facts(model: FileClassifier, leader: Mapping[str, Any]) -> dict[str, Any]:
    """Return which model answers, how good it was on the test tracks, and when it is not sure, in plain JSON types.

    Args:
        model: The model.
        leader: What is to know of it, or nothing.
    """
    kept = model.abstention
    known = {key: leader.get(key) for key in ("accuracy", "ci_low", "ci_high", "statistic", "artists_unknown")}
    # Of a leaky split nobody expects it, so its report has 0 whatever is known.
    if model.leaky:
        known["artists_unknown"] = None
    return {
        "cell": model.cell,
        "fingerprint": model.fingerprint,
        "genres": list(model.genres),
        "leaky": model.leaky,
        **known,
        "abstention": None if kept is None else {key: _finite(each) for key, each in kept._asdict().items()},
    }


def answer_facts(answer: FileAnswer, model: FileClassifier, *, n_shown: int, with_timeline: bool) -> dict[str, Any]:
    """Return the answer of a model about a file, in plain JSON types.

    Args:
        answer: What it says.
        model: The model.
        n_shown: How many genres are named.
        with_timeline: Whether to list the segments.
    """
    if answer.error:
        return {"path": printable(answer.path), "error": answer.error}
    row = model.row(answer)
    best = sorted(model.genres, key=lambda genre: -row[f"p_{genre}"])[:n_shown]
    return {
        "path": printable(answer.path),
        "genre": row["genre"],
        "probability": row["probability"],
        "sure": row["sure"],
        "genres": [{"genre": genre, "probability": row[f"p_{genre}"]} for genre in best],
        "duration_s": round(answer.duration_s, 3),
        **({"timeline": model.timeline_rows(answer)} if with_timeline else {}),
        "error": None,
    }


def _finite(value: float) -> float | None:
    """Return a number for JSON, which knows neither infinity nor NaN."""
    return value if math.isfinite(value) else None


def describe_next(chosen: pd.DataFrame, model: GenrePredictor, folder: Path | None = None) -> Table:
    """Show which songs to label next.

    Args:
        chosen: What :func:`~genre_pipeline.evaluation.label_next.choose_songs` returned.
        model: The model that is unsure of them.
        folder: Folder of the page on which they can be played; ``None`` for a terminal.
    """
    from genre_pipeline.reporting.sections.base import audio_url

    rows: list[list[Value]] = []
    for row in chosen.to_dict("records"):
        best = sorted(model.genres, key=lambda genre: -row[f"p_{genre}"])[:2]
        named = [f"{genre} {percent(row[f'p_{genre}'])}" for genre in best]
        name: list[Value] = [row["path"]]
        if folder is not None:
            url = audio_url(row["path"], 0.0, 0.0, folder)
            # Of many a folder's files the name alone says nothing.
            name = [TableEntry(str(Path(*Path(row["path"]).parts[-2:])), url=url), TableEntry("", audio=url)]
        distance = TableEntry(f"{row['distance']:.1f}", sort=row["distance"])
        numbers = [share_entry(row["uncertainty"]), distance, row["n_alike"]]
        rows.append([*name, row["rank"], *named, *numbers])
    caption = (
        f"Unsure: 100{PERCENT} minus the difference of the two highest probabilities, those of {model.cell}. Distance: "
        "to the closest labelled song, in standard deviations. Alike: unlabelled songs that it stands for, itself "
        "included. The first stands for the most uncertainty."
    )
    listen = texts("Listen") if folder else []
    columns = [*texts("Song"), *listen, *numeric("Rank"), *texts("Most probable (%)", "Next (%)")]
    return Table("label-next", caption, [*columns, *numeric("Unsure (%)", "Distance", "Alike")], rows)


def build_next_page(chosen: pd.DataFrame, model: GenrePredictor, *, faults: Sequence[str], folder: Path) -> str:
    """Write the page on which the songs to label next can be played.

    Args:
        chosen: What :func:`~genre_pipeline.evaluation.label_next.choose_songs` returned.
        model: The model that is unsure of them.
        faults: Why files could not be classified.
        folder: Folder of the page.
    """
    reading = (
        "Songs of which the model is unsure, and which differ from each other: each stands for a group of unlabelled "
        "songs. Label them from the top. Copies of labelled or listed songs are left out. Audio is not in this page: "
        "it is played from where it lies on this machine."
    )
    method = (
        "By k-means that counts each song by its uncertainty, with as many groups as songs are chosen; of each group "
        "the song closest to its centre: F. Zhdanov, Diverse mini-batch Active Learning, 2019 (arXiv:1901.05954). "
        "Songs are compared by the means and standard deviations over time of the model's feature "
        f"({model.cell.split('.')[2]}). Uncertainty is that of the margin: T. Scheffer, C. Decomain and S. Wrobel, "
        "Active Hidden Markov Models for Information Extraction, IDA 2001."
    )
    sections = [
        Section("songs", "Songs, the first to label first", [Paragraph(reading), describe_next(chosen, model, folder)])
    ]
    if faults:
        sections.append(Section("faults", "Not classified", [Bullets(list(faults))], nav="Not classified"))
    sections.append(Section("methods", "How they were chosen", [Paragraph(method)], nav="Method"))
    lead = f"{plural(len(chosen), 'song')}, chosen with {model.cell}."
    return render_html(Document("What to label next", "", lead, [], sections, is_narrow=False))


def describe_faults(faults: Sequence[str], what: str = "Not classified") -> list[Section]:
    """Name the files that could not be classified (or what else is said of them), if there are any."""
    text = "\n".join(f"{what}: {fault}" for fault in faults)
    return [Section("", "", [Paragraph(text)])] if faults else []


def _model(model: FileClassifier, leader: Mapping[str, Any]) -> str:
    text = f"Probabilities in %, of {model.cell}."
    if leader:
        text += f" It was right about {share_of_tests(leader['accuracy'], leader, leader['statistic'])}."
    text += f" {abstention_text(model.abstention)}"
    if model.abstention is not None and math.isinf(model.abstention.threshold):
        text += " --max-error 100% shows every answer."
    if model.leaky:
        return f"{text} {LEAKY}: {LEAKY_NOTE}"
    marks = split_marks(leader) if leader else []
    return f"{text} {'. '.join(marks)}." if marks else text
