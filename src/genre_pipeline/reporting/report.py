"""The HTML report that a person opens from disk, and its short Markdown form for code review.

What they say is in :mod:`genre_pipeline.reporting.sections`, one module per section.
"""

from __future__ import annotations

import pandas as pd

from genre_pipeline.reporting.document import (
    Block,
    Bullets,
    Document,
    Folded,
    Notice,
    Paragraph,
    Section,
    Span,
    render_html,
    render_markdown,
)
from genre_pipeline.reporting.run_changes import verdict_text, what_changed
from genre_pipeline.reporting.sections import BRIEFS, SECTIONS, ReportData
from genre_pipeline.reporting.sections.base import full_name
from genre_pipeline.reporting.wording import (
    FAILED_NOTE,
    LEAKY,
    LEAKY_NOTE,
    REGRESSION_NOTE,
    UNKNOWN_NOTE,
    enumerated,
    plural,
    split_marks,
)
from genre_pipeline.results.cell import cell_of, dataset_name
from genre_pipeline.results.run_changes import regressions

_REMEDY = "For your own music, name the artists in metadata.csv (columns path and artist)."


def build_report(data: ReportData) -> str:
    """Write the report as one HTML page that needs no network.

    Args:
        data: What it is made from.

    Returns:
        The page. Everything that comes from data is escaped, and a content security policy forbids all loading. It
        links to the cards of datasets and splits, in ``data_cards/`` and ``splits/`` beside it.

    Raises:
        EvaluationError: If there is no result, or one of them is incomplete.
    """
    return render_html(
        Document(
            title=data.title,
            name="",
            lead=_scope(data.frame),
            notices=_notices(data),
            sections=[section for build in SECTIONS if (section := build(data)) is not None],
            created=data.created,
            is_narrow=False,
        )
    )


def build_markdown(data: ReportData) -> str:
    """Write what matters most as Markdown, short enough for a code review.

    Args:
        data: What it is made from.

    Returns:
        A heading, a line on how to read it, and the sections that have a short form.

    Raises:
        EvaluationError: If there is no result, or one of them is incomplete.
    """
    reading = (
        "All metrics are of the test split, in %, as mean ± sd over repeats; accuracy, balanced accuracy and macro-F1 "
        "are of tracks."
    )
    return render_markdown(
        Document(
            title="Leaderboard",
            name="",
            lead=f"{_scope(data.frame)} {reading}",
            notices=[],
            sections=[
                Section("", "", _warnings(data)),
                *(section for build in BRIEFS for section in build(data)),
            ],
        )
    )


def _notices(data: ReportData) -> list[Notice]:
    """Return what the page warns of before anything else."""
    n_cells = plural(len(data.frame), "cell")
    notices = []
    if leaky := [full_name(result) for result in data.results if result["leaky"]]:
        text = f"{len(leaky)} of {n_cells} cannot be compared with the others. {LEAKY_NOTE}"
        notices.append(Notice("LEAKY", text, [Folded("Which ones", [Bullets(leaky)])]))
    if unknown := _unknown(data):
        (setting, mark), *others = unknown
        more = [Paragraph([Span(mark, "badge"), f" {setting}"]) for setting, mark in others]
        notices.append(Notice(mark, setting, [*more, Paragraph(f"{UNKNOWN_NOTE} {_REMEDY}")]))
    if data.failures:
        text = f"{plural(len(data.failures), 'training')} could not go on, and are in no number below."
        notices.append(Notice("FAILED", text, [Folded("Which ones, and why", [Bullets(data.failures)], is_open=True)]))
    if worse := _regressions(data):
        text = f"{len(worse)} of {n_cells}: {REGRESSION_NOTE}"
        notices.append(Notice("REGRESSION", text, [Folded("Which ones", [Bullets(worse)], is_open=True)]))
    return notices


def _warnings(data: ReportData) -> list[Block]:
    """Return what the Markdown form warns of before anything else."""
    blocks: list[Block] = []
    if data.frame["leaky"].any():
        blocks.append(Paragraph([Span(f"LEAKY. {LEAKY_NOTE}", "strong")]))
    if unknown := _unknown(data):
        blocks.append(Paragraph([Span(f"Artists unknown. {UNKNOWN_NOTE}", "strong"), f" {_REMEDY}"]))
        blocks.append(Bullets([[Span(mark, "strong"), f" {setting}"] for setting, mark in unknown]))
    if data.failures:
        blocks += [Paragraph([Span(f"FAILED: {FAILED_NOTE}", "strong")]), Bullets(data.failures)]
    if worse := _regressions(data):
        blocks += [Paragraph([Span(f"REGRESSION: {REGRESSION_NOTE}", "strong")]), Bullets(worse)]
    return blocks


def _unknown(data: ReportData) -> list[tuple[str, str]]:
    """Return the datasets and protocols with tracks of unknown artist, each with its mark."""
    found = [
        (f"{dataset_name(result)} · {cell_of(result).protocol}", mark)
        for result in data.results
        for mark in split_marks(result)
        if mark != LEAKY
    ]
    return list(dict.fromkeys(found))


def _regressions(data: ReportData) -> list[str]:
    """Name the cells that became worse, and what changed."""
    return [
        f"{change['cell']}: {verdict_text(change)}; changed: {what_changed(change['changes'])}"
        for change in regressions(data.changes)
    ]


def _scope(frame: pd.DataFrame) -> str:
    numbers = [(frame[column].nunique(), column) for column in ("model", "feature", "dataset", "protocol")]
    return f"{plural(len(frame), 'cell')}: {enumerated(plural(n, noun) for n, noun in numbers)}."
